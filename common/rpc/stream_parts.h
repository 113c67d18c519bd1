/* A stream's inside, the same for server and client: operations run on the shared queue and
 * the stream's one user waits for them under the stream's lock.
 *
 * One read is kept under way ahead of the reader and one write behind the writer, so that
 * the network and the user work at the same time; flow control bounds what that holds. */
#ifndef WAYBILL_RPC_STREAM_PARTS_H
#define WAYBILL_RPC_STREAM_PARTS_H

#include <grpc/grpc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "common/base/arena.h"
#include "common/base/bytes.h"
#include "common/rpc/event_queue.h"
#include "common/rpc/rpc_stream.h"
#include "common/rpc/server_parts.h"
#include "common/rpc/server_status.h"
#include "common/rpc/worker_pool.h"

struct rpc_channel;
struct rpc_server;
struct server_stream_method;

enum stream_op_state { STREAM_OP_IDLE, STREAM_OP_RUNNING, STREAM_OP_DONE, STREAM_OP_FAILED };

struct stream_op {
    struct queue_event event;
    struct rpc_stream *stream;
    enum stream_op_state state; /* under the stream's lock */
};

/* What only the server's side has. */
struct stream_server_side {
    struct rpc_server *server;
    const struct server_stream_method *method;
    struct queue_event arrived;
    struct worker_job job;
    grpc_call_details details;
    struct rpc_stream *previous, *next; /* in server->open_streams, under its lock */
    int64_t started_us;
    struct server_place place;
    bool ends_on_drain;
    bool finished; /* rpc_stream_finish was called */
    struct server_status status;
};

/* What only the client's side has. */
struct stream_client_side {
    struct rpc_channel *channel;
    grpc_metadata_array trailers;
    grpc_status_code status;
    grpc_slice status_text;
    const grpc_metadata *headers; /* those of the request */
    size_t header_count;
    bool writes_closed;
};

struct rpc_stream {
    bool is_server;
    struct event_queue *queue;
    grpc_call *core;
    size_t max_message_bytes;
    grpc_metadata_array headers; /* the peer's */
    struct arena arena;          /* lives as long as the stream */
    void (*free)(struct rpc_stream *stream);

    pthread_mutex_t lock;
    pthread_cond_t changed; /* an operation ended, or the stream was woken */
    /* Under the lock. */
    unsigned references; /* the user's, and one for each operation under way */
    bool woken;
    struct stream_op read, write;
    struct stream_op start; /* client: headers received; server: status sent */
    struct stream_op close; /* client: status received; server: close received */

    atomic_bool cancelled; /* the peer is gone, or the call was cancelled */
    int close_cancelled;   /* filled by the core */

    /* The user's. */
    int64_t read_wait_ms; /* how long a read may take; 0: as long as it takes */
    bool read_overdue;    /* one took longer: a client's call was cancelled */
    int64_t stall_ms;     /* the server's: how long a write may take; 0: as long as it takes */
    bool headers_sent;    /* with the first message, or before the first read, or with the end */
    bool more_follows;    /* of the next message */
    bool read_ended;
    grpc_byte_buffer *received; /* filled by the core */
    grpc_slice message_slice;   /* keeps the last message read if it came in one piece */
    struct buffer message;      /* and this, else */

    struct stream_server_side server;
    struct stream_client_side client;
};

/* For a stream fresh from calloc. One reference, the user's. */
void stream_init(struct rpc_stream *stream, void (*free_stream)(struct rpc_stream *stream));
/* Gives back what stream_init and reading took; not the struct. */
void stream_destroy(struct rpc_stream *stream);
/* Drops a reference; the last one frees the stream. */
void stream_release(struct rpc_stream *stream);
/* Starts operations; the op is RUNNING and holds a reference until they end. */
void stream_op_start(struct stream_op *op, const grpc_op *ops, size_t count);
/* The op's completion: sets DONE or FAILED, wakes the user, drops the reference. */
void stream_op_complete(struct queue_event *event, bool ok);
/* Waits until the op is not RUNNING; returns what it is. */
enum stream_op_state stream_op_wait(struct stream_op *op);
/* Makes `op` what sends the headers, unless they were sent; whether they were not. */
bool stream_send_headers(struct rpc_stream *stream, grpc_op *op);
/* Starts a read where none is under way. */
void stream_read_ahead(struct rpc_stream *stream);

/* That time from now, for waits on `changed`. */
struct timespec stream_time_after(int64_t timeout_ms);

/* Waits for the write under way for as long as rpc_stream_limit_stall allows, then cancels the
 * call, which ends the write. Without a limit returns at once. */
void server_stream_end_stall(struct rpc_stream *stream);
/* What a read that found no message means. */
enum rpc_read server_stream_read_ended(struct rpc_stream *stream, bool failed, struct error *error);
enum rpc_read client_stream_read_ended(struct rpc_stream *stream, struct error *error);

#endif
