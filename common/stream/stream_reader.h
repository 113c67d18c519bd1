/* All that a stream holds, read once from its beginning to the end that it has at the call. It leaves
 * nothing in the server: no durable consumer, no acknowledgements. */
#ifndef WAYBILL_STREAM_STREAM_READER_H
#define WAYBILL_STREAM_STREAM_READER_H

#include "common/base/bytes.h"
#include "common/stream/stream_connection.h"

/* One message, in the order of the stream; `message_id` is its Nats-Msg-Id, "" without. Valid during the call.
 * False ends the reading; then the visitor has filled the error of its own context. */
typedef bool stream_message_visitor(void *self, const char *message_id, struct bytes body);

/* Reads the messages whose subjects match `filter`. `exists` is false where there is no such stream, which is
 * no failure. UNAVAILABLE (EVENT_STREAM_FAILED) when the server does not answer. One thread. */
bool stream_read_all(struct stream_connection *connection, const char *stream, const char *filter,
                     stream_message_visitor *visit, void *self, bool *exists, struct error *error);

#endif
