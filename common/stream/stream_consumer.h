/* A durable pull consumer of one JetStream stream, shared by all who open it by the same name:
 * each message goes to one of them and is delivered again unless it is acknowledged in time.
 *
 * It mends itself: a consumer or stream that is missing is made again or waited for. One that
 * somebody made with other options gets ours, one that delivers nothing though it could is made anew. A stream
 * that lost its end and was filled again differently from what was delivered would never show
 * its new messages to a consumer whose place is behind them; then the consumer is made anew,
 * with its place where the two still agree. Whoever uses it must bear redelivery.
 *
 * One thread fetches. Deliveries may be answered by any thread, also after the consumer is
 * freed, as long as the connection is there. */
#ifndef WAYBILL_STREAM_STREAM_CONSUMER_H
#define WAYBILL_STREAM_STREAM_CONSUMER_H

#include "common/base/bytes.h"
#include "common/stream/stream_connection.h"

enum { STREAM_FETCH_MAX = 1000 };

struct stream_consumer;
struct stream_delivery;

struct stream_consumer_options {
    const char *stream; /* all three outlive the consumer */
    const char *durable;
    const char *filter; /* a subject pattern */
    int64_t ack_wait_ms;
    int64_t max_ack_pending;
    int64_t max_deliver; /* how often a message is delivered; 0 or -1: until it is acknowledged */
};

struct stream_consumer *stream_consumer_new(struct stream_connection *connection,
                                            const struct stream_consumer_options *options);
/* The durable consumer stays in the stream. NULL is fine. */
void stream_consumer_free(struct stream_consumer *consumer);

/* Fetches up to `max` deliveries, STREAM_FETCH_MAX at most, waiting at most wait_ms for the first. Returns how many, 0
 * when there are none, -1 with UNAVAILABLE when the stream cannot be reached or is not there:
 * pause and call again. */
int stream_consumer_fetch(struct stream_consumer *consumer, struct stream_delivery **deliveries, int max,
                          int64_t wait_ms, struct error *error);
/* Whether the server answers: one that hangs lets fetches end with nothing, too. For the thread
 * that fetches. */
bool stream_consumer_in_touch(const struct stream_consumer *consumer);
/* How often it was made anew because its stream had been rewritten. Any thread. */
uint64_t stream_consumer_resets(const struct stream_consumer *consumer);

/* Borrowed until the delivery is answered. */
struct bytes stream_delivery_body(const struct stream_delivery *delivery);
const char *stream_delivery_subject(const struct stream_delivery *delivery);
/* The value of a header, by its exact name; NULL without it. */
const char *stream_delivery_header(const struct stream_delivery *delivery, const char *name);
/* Its place in the stream. */
uint64_t stream_delivery_sequence(const struct stream_delivery *delivery);
/* How many more the consumer has to deliver. */
uint64_t stream_delivery_pending(const struct stream_delivery *delivery);
/* When the stream took it, nanoseconds since 1970. */
int64_t stream_delivery_time_ns(const struct stream_delivery *delivery);
/* How often it was delivered, this time included. */
uint64_t stream_delivery_count(const struct stream_delivery *delivery);
/* Keeps it from being delivered again for another ack_wait. */
void stream_delivery_in_progress(struct stream_delivery *delivery);
/* Each answers and frees the delivery. An answer that is lost means redelivery. */
void stream_delivery_ack(struct stream_delivery *delivery);
void stream_delivery_nak(struct stream_delivery *delivery, int64_t delay_ms);
/* It is given up: never delivered again to this consumer. */
void stream_delivery_term(struct stream_delivery *delivery);
/* Frees it without an answer: it is delivered again after ack_wait. */
void stream_delivery_drop(struct stream_delivery *delivery);

#endif
