/* The client side of gRPC: unary calls that wait, with deadline and retries, and streams.
 *
 * A channel is one server address; it reconnects by itself. Any thread may call; each waiting
 * call polls a queue of its own. Error details in grpc-status-details-bin come back in struct
 * error: reason, field, detail and retry_after_ms as the server set them. */
#ifndef WAYBILL_RPC_RPC_CHANNEL_H
#define WAYBILL_RPC_RPC_CHANNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/error.h"
#include "common/rpc/rpc_stream.h"

struct rpc_channel;

struct rpc_header {
    const char *name; /* lower case; NULL ends the list */
    const char *value;
};

struct rpc_call_options {
    int64_t timeout_ms;               /* over all attempts; 0: 30 s. Streams: 0 is no deadline */
    unsigned max_attempts;            /* 0 or 1: no retries. Retried are UNAVAILABLE, and
                                         RESOURCE_EXHAUSTED that came with RetryInfo */
    const struct rpc_header *headers; /* NULL for none */
};

/* `target` is "host:port". Keeps idle connections alive with pings. */
struct rpc_channel *rpc_channel_new(const char *target, size_t max_message_bytes);
/* Only when every stream is closed; waits for the started calls under way. */
void rpc_channel_free(struct rpc_channel *channel);

/* A server that could not be reached is tried again with the next call, not only after the pause
 * between connections. */
void rpc_channel_reconnect(struct rpc_channel *channel);

/* Calls a unary method; the answer is in the arena. Waits between attempts with exponential
 * backoff (50 ms doubling to 2 s) and full jitter, or as RetryInfo says. */
bool rpc_channel_call(struct rpc_channel *channel, const char *path, const struct rpc_call_options *options,
                      const ProtobufCMessage *request, const ProtobufCMessageDescriptor *response_type,
                      struct arena *arena, ProtobufCMessage **response, struct error *error);

/* Opens a streaming call, which the server sees with what is written first, or before the first read; ends
 * with rpc_stream_close. NULL only when gRPC refuses the call. */
struct rpc_stream *rpc_channel_open_stream(struct rpc_channel *channel, const char *path,
                                           const struct rpc_call_options *options, struct error *error);

/* An asynchronous unary call, for load generators and pipelines: `done` runs on the channel's
 * one completion thread, started at first use, and must not block; it comes exactly once if
 * this returned true. No retries. `response` is valid during the callback. */
enum { RPC_CHANNEL_MAX_STARTED = 65536 }; /* calls under way; one more is RESOURCE_EXHAUSTED */
typedef void rpc_done(void *context, struct bytes response, const struct error *error_or_null);
bool rpc_channel_start(struct rpc_channel *channel, const char *path, const struct rpc_call_options *options,
                       const ProtobufCMessage *request, rpc_done *done, void *context, struct error *error);

#endif
