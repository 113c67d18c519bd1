/* Pulls messages from one consumer in the server, and tells them from the server's word about a request.
 *
 * Both come to the same inbox, and both may be empty with a header "Status": anybody who may publish to a stream
 * can write such a message. The library (libnats 3.4.1) goes by that header, in natsSubscription_Fetch, in
 * ordered consumers and, for 503, in natsSubscription_NextMsg, and keeps what it takes for the server's word
 * to itself: a delivery that nobody gets to see or to answer. Here what has a place in the stream is a message,
 * whatever its headers say, and only what answers the request itself is the server's word. So messages come
 * by a handler, the one way on which the library does not look at them.
 *
 * One thread asks and takes. */
#ifndef WAYBILL_STREAM_STREAM_PULL_H
#define WAYBILL_STREAM_STREAM_PULL_H

#include "common/stream/stream_connection.h"

struct stream_pull;

enum pull_outcome {
    PULL_MESSAGE,
    PULL_OVER,    /* the request brings no more */
    PULL_NOTHING, /* nothing came in time */
    PULL_FAILED,
};

/* `most`: how many messages are asked for at once, at most. Makes nothing in the server, and does
 * not ask whether the consumer is there. NULL with UNAVAILABLE (EVENT_STREAM_FAILED). */
struct stream_pull *stream_pull_open(struct stream_connection *connection, const char *stream, const char *consumer,
                                     int most, struct error *error);
/* Before the connection is freed. Messages that were not taken are lost: where they are to be acknowledged they
 * are delivered again. NULL is fine. */
void stream_pull_close(struct stream_pull *pull);

/* Asks for what there is, up to `count`; where there is nothing, for what comes within wait_ms (0: for
 * nothing then). An earlier request is over for us, though messages that it still brings are taken. */
bool stream_pull_ask(struct stream_pull *pull, int count, int64_t wait_ms, struct error *error);
/* Waits for the next message, which with its metadata is the caller's then. PULL_FAILED with UNAVAILABLE
 * (EVENT_STREAM_FAILED): the server will not serve the request, or no more, since the consumer is gone. For one
 * that was not there at the call nobody answers. */
enum pull_outcome stream_pull_next(struct stream_pull *pull, int64_t wait_ms, natsMsg **message, jsMsgMetaData **meta,
                                   struct error *error);

#endif
