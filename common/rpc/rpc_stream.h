/* Streams with blocking reads and writes: the server's side of a streaming call, and a
 * client's. One thread at a time uses a stream. */
#ifndef WAYBILL_RPC_RPC_STREAM_H
#define WAYBILL_RPC_RPC_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/bytes.h"
#include "common/base/error.h"

struct rpc_stream;

enum rpc_read {
    RPC_READ_MESSAGE, /* there is one more */
    RPC_READ_END,     /* the peer has sent all it wanted to */
    RPC_READ_ERROR,   /* cancelled, broken, too large, or the deadline passed: error says which */
};

/* Bulk bytes that gRPC sends without a copy: filled by the caller, given up by writing. */
struct rpc_buffer;
struct rpc_buffer *rpc_buffer_new(size_t size);
uint8_t *rpc_buffer_data(struct rpc_buffer *buffer);
/* Only for a buffer that was not handed to rpc_stream_write_bulk. */
void rpc_buffer_free(struct rpc_buffer *buffer);

/* The next message's wire form, valid until the next read on this stream. Blocks. */
enum rpc_read rpc_stream_read(struct rpc_stream *stream, struct bytes *message, struct error *error);
/* Sends a message; returns once gRPC has taken the one before it (flow control blocks here),
 * so that one is under way while the caller makes the next. False when the stream is broken;
 * then read or close tells why. */
bool rpc_stream_write(struct rpc_stream *stream, const ProtobufCMessage *message);
/* Sends a message whose wire form is `head` followed by the first `size` bytes of the buffer,
 * without copying those. Takes the buffer, also on failure. */
bool rpc_stream_write_bulk(struct rpc_stream *stream, struct bytes head, struct rpc_buffer *body, size_t size);
/* The next message that is written may stay here until the one after it, or the end, is: both leave in one packet
 * then, and cost one system call. For a caller that goes on at once. */
void rpc_stream_more_follows(struct rpc_stream *stream);
/* Whether a message has come that rpc_stream_read would return at once. */
bool rpc_stream_has_message(struct rpc_stream *stream);

/* From now on a read that gets no message for so long fails with DEADLINE_EXCEEDED. A client's cancels
 * the call (reason SERVER_SILENT); a server's handler ends it itself (CLIENT_SILENT). For a peer that
 * may hang. */
void rpc_stream_limit_read(struct rpc_stream *stream, int64_t wait_ms);

/* ---- server side ---- */

/* Who calls, as rpc_call_client. */
uint64_t rpc_stream_client(const struct rpc_stream *stream);
/* The value of a request header (lower-case name), NULL where there is none. */
const char *rpc_stream_header(const struct rpc_stream *stream, const char *name);
/* Whether the client went away or the server cancels what is left. Any thread. */
bool rpc_stream_cancelled(const struct rpc_stream *stream);
/* Whether the server drains: a stream without natural end should finish. */
bool rpc_stream_draining(const struct rpc_stream *stream);
/* For a handler that waits for something else than its client: sleeps until rpc_stream_wake
 * (one that came before counts), the client goes away, the server drains, or the timeout.
 * False when the stream should end: the client is gone or the server drains. */
bool rpc_stream_wait(struct rpc_stream *stream, int64_t timeout_ms);
/* Any thread, as long as the handler has not returned. */
void rpc_stream_wake(struct rpc_stream *stream);
/* From now on a write that gRPC does not take for so long, since the client does not read, ends
 * the call: the client gets DEADLINE_EXCEEDED, the write and all later ones fail. For a handler
 * that holds something back from others while it writes. */
void rpc_stream_limit_stall(struct rpc_stream *stream, int64_t stall_ms);
/* For a stream without natural end that waits in reads: from now on a read that finds no
 * message returns RPC_READ_ERROR (UNAVAILABLE, DRAINING) once the server drains. Without this
 * a drain waits for the client's end, up to its grace. */
void rpc_stream_end_reads_on_drain(struct rpc_stream *stream);
/* Ends the call with a status; error NULL is OK. The handler calls it once, last, or not at
 * all, which is INTERNAL. */
void rpc_stream_finish(struct rpc_stream *stream, const struct error *error);
/* Ends the call with a last message and OK, in one packet. */
void rpc_stream_finish_with(struct rpc_stream *stream, const ProtobufCMessage *message);

/* ---- client side ---- */

/* Lets the server see a call that nothing was written to yet. */
void rpc_stream_begin(struct rpc_stream *stream);
/* Tells the server that nothing more comes. */
bool rpc_stream_writes_done(struct rpc_stream *stream);
/* Sends the last message, and that nothing more comes. */
bool rpc_stream_write_last(struct rpc_stream *stream, const ProtobufCMessage *message);
/* Any thread: ends the call with CANCELLED; blocked reads and writes return. */
void rpc_stream_cancel(struct rpc_stream *stream);
/* Tells the server that nothing more comes, waits for the status, frees the stream. True when
 * the status is OK. A message that nobody read cancels the call, so that a stream without
 * end can be closed at any time. */
bool rpc_stream_close(struct rpc_stream *stream, struct error *error);

#endif
