/* What the files of the client's side share: rpc_channel.c has the channel and the calls
 * that wait, channel_start.c those that do not, client_stream.c the streams. */
#ifndef WAYBILL_RPC_CHANNEL_PARTS_H
#define WAYBILL_RPC_CHANNEL_PARTS_H

#include <grpc/grpc.h>
#include <pthread.h>
#include <stdatomic.h>

#include "common/rpc/event_queue.h"
#include "common/rpc/rpc_channel.h"

enum {
    CHANNEL_TIMEOUT_MS = 30000,
    CHANNEL_MAX_HEADERS = 32,
};

struct rpc_channel {
    grpc_channel *core;
    size_t max_message_bytes;
    atomic_uint started; /* calls of rpc_channel_start under way */
    pthread_mutex_t lock;
    struct event_queue queue; /* for streams and started calls; its thread comes with the first */
    bool queue_runs;          /* under the lock */
};

struct channel_headers {
    size_t count;
    grpc_metadata metadata[CHANNEL_MAX_HEADERS];
};

/* The queue with its thread running; NULL when there is no thread to be had. */
grpc_completion_queue *channel_queue(struct rpc_channel *channel, struct error *error);
/* A call on `queue` with the options' deadline, `default_ms` (0: none) where they have none. */
grpc_call *channel_make_call(struct rpc_channel *channel, const char *path, grpc_completion_queue *queue,
                             gpr_timespec deadline);
gpr_timespec channel_deadline(const struct rpc_call_options *options, int64_t default_ms);
/* The options' headers for the core, which needs them until they are sent; INVALID_ARGUMENT
 * (BAD_HEADER) when HTTP/2 does not allow one. */
bool channel_headers_init(struct channel_headers *headers, const struct rpc_call_options *options, struct error *error);
void channel_headers_destroy(struct channel_headers *headers);
/* A status other than OK, with its details, as an error. */
void channel_status_error(grpc_status_code code, grpc_slice text, const grpc_metadata_array *trailers,
                          struct error *error);

#endif
