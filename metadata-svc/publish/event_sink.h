/* The event stream as the publisher sees it: JetStream, or a simulator's stand-in. */
#ifndef WAYBILL_PUBLISH_EVENT_SINK_H
#define WAYBILL_PUBLISH_EVENT_SINK_H

#include "common/base/bytes.h"
#include "common/base/error.h"

/* Where the stream ends. */
struct sink_end {
    uint64_t sequence; /* of its last message, there or expired; 0: it never held one */
    int64_t revision;  /* that this message tells of; 0 when there is none to tell */
};

struct sink_ack {
    int64_t revision;
    bool accepted;
    uint64_t sequence; /* where the stream has it */
    struct error error;
};

struct event_sink {
    bool (*connected)(void *self);
    /* Asks for the end; acknowledgements of what was published before never come. */
    bool (*sync)(void *self, struct sink_end *end, struct error *error);
    /* Publishes an encoded ChangeEvent if `expected_last` is the stream's last sequence when it
     * arrives. Does not wait; an acknowledgement follows unless something breaks. */
    bool (*publish)(void *self, int64_t revision, struct bytes event, uint64_t expected_last, struct error *error);
    /* Takes acknowledgements that have come, without waiting. */
    size_t (*collect)(void *self, struct sink_ack *acks, size_t max);
    void *self;
};

#endif
