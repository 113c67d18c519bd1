/* Publishing to one JetStream stream without waiting: each message is fenced by the sequence
 * that must be the stream's last, and each gets one acknowledgement, in whatever order.
 *
 * One thread uses a publisher; acknowledgements arrive on NATS's own and are collected. */
#ifndef WAYBILL_STREAM_STREAM_PUBLISHER_H
#define WAYBILL_STREAM_STREAM_PUBLISHER_H

#include "common/base/bytes.h"
#include "common/stream/stream_connection.h"

struct stream_publisher;

struct stream_publisher_options {
    const char *stream;   /* outlives the publisher */
    const char *subjects; /* what the stream takes, e.g. "waybill.changes.0.>"; outlives it too */
    int64_t max_bytes;    /* of the stream; 0: no limit */
    int64_t max_age_ms;   /* of its messages; 0: no limit */
    /* An acknowledgement waits to be collected; on a NATS thread. */
    void (*on_ack)(void *self);
    void *self;
};

struct stream_publisher *stream_publisher_new(struct stream_connection *connection,
                                              const struct stream_publisher_options *options, struct error *error);
void stream_publisher_free(struct stream_publisher *publisher);

enum { STREAM_MESSAGE_ID_BYTES = 64 };

/* The end of the stream. */
struct stream_end {
    uint64_t sequence;                        /* 0: it never held a message */
    bool has_message;                         /* whether that message is still there */
    char message_id[STREAM_MESSAGE_ID_BYTES]; /* its Nats-Msg-Id; "" without one */
};

/* Makes the stream where it is missing and asks for its end. Waits for the server, a few
 * seconds at most. Acknowledgements of messages published before are forgotten. */
bool stream_publisher_sync(struct stream_publisher *publisher, struct stream_end *end, struct error *error);

struct stream_header {
    const char *name;
    const char *value;
};

struct stream_message {
    int64_t token; /* comes back with the acknowledgement */
    const char *subject;
    const char *message_id;
    uint64_t expected_last_sequence;
    const struct stream_header *headers;
    size_t header_count;
    struct bytes body;
};

/* Hands a message to the connection. Fails when it takes none. */
bool stream_publisher_publish(struct stream_publisher *publisher, const struct stream_message *message,
                              struct error *error);

struct stream_ack {
    int64_t token;
    bool accepted; /* the stream has it, at `sequence` */
    uint64_t sequence;
    struct error error; /* else: why not */
};

/* Takes acknowledgements that arrived, at most `max`; does not wait. */
size_t stream_publisher_collect(struct stream_publisher *publisher, struct stream_ack *acks, size_t max);

#endif
