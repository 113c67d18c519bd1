/* The event stream as the publisher sees it: JetStream, or a simulator's stand-in. */
#ifndef WAYBILL_PUBLISH_EVENT_SINK_H
#define WAYBILL_PUBLISH_EVENT_SINK_H

#include "common/base/bytes.h"
#include "common/base/error.h"

/* Where the stream ends. */
struct sink_end {
    bool unfinished;    /* the rest is not known yet: the next sync goes on finding it out */
    uint64_t sequence;  /* of its last message, there or expired; 0: it never held one */
    int64_t revision;   /* of the newest event that it holds; 0: it holds none */
    struct bytes event; /* that event as it was published; borrowed until the next sync */
};

enum sink_outcome {
    SINK_ACCEPTED,  /* the stream has it, at `sequence` */
    SINK_DISPLACED, /* another sequence is the stream's last than was expected */
    SINK_REFUSED,   /* something else is in the way; `why` says what */
};

struct sink_ack {
    int64_t revision;
    enum sink_outcome outcome;
    bool duplicate; /* the stream had this revision before: it is that one which is at `sequence` */
    uint64_t sequence;
    char why[96]; /* for people */
};

struct event_sink {
    bool (*connected)(void *self);
    /* Asks for the end, making the stream where it is missing; acknowledgements of what was
     * published before never come. May wait for the server, a few seconds at most; what takes longer,
     * because messages of others lie behind the newest event, goes on with the next sync. */
    bool (*sync)(void *self, struct sink_end *end, struct error *error);
    /* Publishes an encoded ChangeEvent if `expected_last` is the stream's last sequence when it
     * arrives, and, when it is chained, the stream's last message is the revision before. (The
     * sequence alone would let an event in whose forerunner lost its place to somebody else's
     * message.) Does not wait longer than for a round trip; where one is asked for, an acknowledgement follows unless
     * something breaks. DATA_LOSS when the event itself is no event. */
    bool (*publish)(void *self, int64_t revision, struct bytes event, uint64_t expected_last, bool chained,
                    bool acknowledged, struct error *error);
    /* Takes acknowledgements that have come, without waiting. */
    size_t (*collect)(void *self, struct sink_ack *acks, size_t max);
    void *self;
};

#endif
