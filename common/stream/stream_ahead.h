/* Looks ahead in a stream, subject by subject, of what a durable consumer has yet to come to. What is
 * found is no delivery: the consumer comes to it in its time, so whoever uses this must bear to see
 * it twice.
 *
 * Each subject has a place in the server (a pull consumer without acknowledgements), which all that look
 * ahead by the same name share, so that each message is found by one of them; places that nobody asked
 * for in a minute are forgotten. One thread. */
#ifndef WAYBILL_STREAM_STREAM_AHEAD_H
#define WAYBILL_STREAM_STREAM_AHEAD_H

#include "common/base/bytes.h"
#include "common/stream/stream_connection.h"

struct stream_ahead;

/* `name` and `filter`, a pattern of subjects, outlive it. */
struct stream_ahead *stream_ahead_new(struct stream_connection *connection, const char *stream, const char *name,
                                      const char *filter);
/* Before the connection is freed. NULL is fine. */
void stream_ahead_free(struct stream_ahead *ahead);

/* Finds out anew which subjects there are; how many, -1 and the error on failure. */
int stream_ahead_look(struct stream_ahead *ahead, struct error *error);
/* One of them, until the next look. */
const char *stream_ahead_subject(const struct stream_ahead *ahead, int index);
/* Visits up to `max` messages of the subject, each once, from behind the `after`th of the stream on.
 * Returns how many, -1 and the error on failure. Waits for the server, half a second at most. */
int stream_ahead_fetch(struct stream_ahead *ahead, int index, uint64_t after, int max,
                       void (*visit)(void *self, struct bytes body), void *self, struct error *error);

#endif
