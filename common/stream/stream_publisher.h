/* Publishing to one JetStream stream without waiting: each message is fenced by the sequence
 * that must be the stream's last, and each gets one acknowledgement, in whatever order, or
 * none at all when the connection or the server breaks: time is the caller's to watch.
 *
 * One thread uses a publisher; acknowledgements arrive on NATS's own and are collected. */
#ifndef WAYBILL_STREAM_STREAM_PUBLISHER_H
#define WAYBILL_STREAM_STREAM_PUBLISHER_H

#include "common/base/bytes.h"
#include "common/stream/stream_connection.h"

struct stream_publisher;

struct stream_publisher_options {
    const char *stream;          /* outlives the publisher */
    const char *subjects;        /* what the stream takes, e.g. "waybill.changes.0.>"; outlives it too */
    int64_t max_bytes;           /* of the stream; 0: no limit */
    int64_t max_age_ms;          /* of its messages; 0: no limit */
    int64_t duplicate_window_ms; /* how long a Nats-Msg-Id is remembered; 0: two minutes */
    int replicas;                /* of a stream that is made; 0: one */
    /* Whether a message with this Nats-Msg-Id is ours; others, and those without one, are
     * passed over when the end of the stream is looked for. NULL: all that have one. */
    bool (*is_ours)(void *self, const char *message_id);
    /* An acknowledgement waits to be collected; on a NATS thread. */
    void (*on_ack)(void *self);
    void *self;
};

struct stream_publisher *stream_publisher_new(struct stream_connection *connection,
                                              const struct stream_publisher_options *options, struct error *error);
/* After this no on_ack comes any more. NULL is fine. */
void stream_publisher_free(struct stream_publisher *publisher);

enum { STREAM_MESSAGE_ID_BYTES = 64 };

/* The end of the stream. */
struct stream_end {
    bool unfinished;                          /* the rest is not known yet: the next sync goes on looking */
    uint64_t sequence;                        /* of its last message, there or not; 0: it never held one */
    bool has_message;                         /* whether it holds a message of ours; then the newest: */
    uint64_t message_sequence;                /*   below `sequence` where somebody else wrote behind it */
    char message_id[STREAM_MESSAGE_ID_BYTES]; /*   its Nats-Msg-Id */
    struct bytes body;                        /*   its body, borrowed until the next sync */
};

/* Makes the stream where it is missing, gives it the limits of the options where it has others,
 * and asks for its end. Waits for the server, a few seconds at most; where messages of others lie behind ours,
 * as many as it may take longer to look through, it comes back unfinished. Acknowledgements of
 * messages published before are forgotten. UNAVAILABLE where the server does not answer, and for two
 * seconds after a stream that was there was found to be gone: nats-server may be deleting it yet. */
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
    bool acknowledged;            /* whether an acknowledgement is to come, also of a refusal */
    const char *expected_last_id; /* the Nats-Msg-Id that the stream's last message must have; NULL: any */
    const struct stream_header *headers;
    size_t header_count;
    struct bytes body;
};

/* Hands a message to the connection. Fails when it takes none. Blocks while a server that is
 * up takes nothing, a few seconds at most; and, behind a sync that met messages of others, for a round trip
 * at those that are acknowledged, so that they leave at once. */
bool stream_publisher_publish(struct stream_publisher *publisher, const struct stream_message *message,
                              struct error *error);

enum stream_outcome {
    STREAM_ACCEPTED,      /* the stream has it, at `sequence` */
    STREAM_WRONG_LAST,    /* the stream's last sequence or message is not the expected one */
    STREAM_REFUSED,       /* something else; `why` says what */
    STREAM_NO_RESPONDERS, /* no stream takes the subject */
};

struct stream_ack {
    int64_t token;
    enum stream_outcome outcome;
    bool duplicate; /* the stream had a message with this id: it is the one at `sequence` */
    uint64_t sequence;
    char why[96]; /* for people */
};

/* Takes acknowledgements that arrived, at most `max`; does not wait. */
size_t stream_publisher_collect(struct stream_publisher *publisher, struct stream_ack *acks, size_t max);

#endif
