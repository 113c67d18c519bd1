/* The client's side of streaming calls. */
#include <stdlib.h>
#include <string.h>

#include "common/rpc/channel_parts.h"
#include "common/rpc/stream_parts.h"

struct client_stream {
    struct rpc_stream stream;
    struct channel_headers headers;
};

static void free_stream(struct rpc_stream *stream) {
    struct client_stream *whole = event_owner(stream, struct client_stream, stream);
    grpc_slice_unref(stream->client.status_text);
    grpc_metadata_array_destroy(&stream->client.trailers);
    channel_headers_destroy(&whole->headers);
    stream_destroy(stream);
    free(whole);
}

/* The call is over: the status is here. */
static void status_received(struct queue_event *event, bool ok) {
    struct rpc_stream *stream = event_owner(event, struct rpc_stream, close.event);
    atomic_store(&stream->cancelled, true); /* nothing more can be sent */
    stream_op_complete(event, ok);
}

static void begin(struct client_stream *whole) {
    struct rpc_stream *stream = &whole->stream;
    grpc_op status = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT};
    status.data.recv_status_on_client.trailing_metadata = &stream->client.trailers;
    status.data.recv_status_on_client.status = &stream->client.status;
    status.data.recv_status_on_client.status_details = &stream->client.status_text;
    stream->close.event.complete = status_received;
    stream_op_start(&stream->close, &status, 1);

    grpc_op op = {.op = GRPC_OP_RECV_INITIAL_METADATA};
    op.data.recv_initial_metadata.recv_initial_metadata = &stream->headers;
    stream_op_start(&stream->start, &op, 1);
}

struct rpc_stream *rpc_channel_open_stream(struct rpc_channel *channel, const char *path,
                                           const struct rpc_call_options *options, struct error *error) {
    grpc_completion_queue *queue = channel_queue(channel, error);
    if (queue == NULL) {
        return NULL;
    }
    struct client_stream *whole = calloc(1, sizeof *whole);
    if (whole == NULL) {
        abort();
    }
    struct rpc_stream *stream = &whole->stream;
    stream_init(stream, free_stream);
    stream->queue = &channel->queue;
    stream->max_message_bytes = channel->max_message_bytes;
    stream->client.status = GRPC_STATUS_UNKNOWN;
    stream->client.status_text = grpc_empty_slice();
    grpc_metadata_array_init(&stream->client.trailers);
    if (!channel_headers_init(&whole->headers, options, error)) {
        stream_release(stream);
        return NULL;
    }
    stream->client.headers = whole->headers.metadata;
    stream->client.header_count = whole->headers.count;
    stream->core = channel_make_call(channel, path, queue, channel_deadline(options, 0));
    begin(whole);
    return stream;
}

void rpc_stream_begin(struct rpc_stream *stream) {
    grpc_op op;
    if (stream_send_headers(stream, &op)) {
        stream_op_start(&stream->write, &op, 1);
    }
}

enum rpc_read client_stream_read_ended(struct rpc_stream *stream, struct error *error) {
    stream_op_wait(&stream->close);
    if (stream->client.status == GRPC_STATUS_OK) {
        return RPC_READ_END;
    }
    if (stream->read_overdue) {
        error_set(error, ERROR_DEADLINE_EXCEEDED, "SERVER_SILENT", "the server sent nothing for %lld ms",
                  (long long)stream->read_wait_ms);
        return RPC_READ_ERROR;
    }
    channel_status_error(stream->client.status, stream->client.status_text, &stream->client.trailers, error);
    return RPC_READ_ERROR;
}

bool rpc_stream_writes_done(struct rpc_stream *stream) {
    if (stream->client.writes_closed) {
        return true;
    }
    stream->client.writes_closed = true;
    if (stream_op_wait(&stream->write) == STREAM_OP_FAILED || atomic_load(&stream->cancelled)) {
        return false;
    }
    grpc_op ops[2] = {{.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT}};
    size_t count = stream_send_headers(stream, &ops[1]) ? 2 : 1;
    stream_op_start(&stream->write, ops, count);
    return true;
}

void rpc_stream_cancel(struct rpc_stream *stream) {
    grpc_call_cancel(stream->core, NULL);
}

/* Waits for the status; a message that comes in instead cancels the call, which else would
 * not end before it is read. */
static void wait_for_status(struct rpc_stream *stream) {
    stream_read_ahead(stream);
    pthread_mutex_lock(&stream->lock);
    while (stream->close.state == STREAM_OP_RUNNING &&
           !(stream->read.state == STREAM_OP_DONE && stream->received != NULL)) {
        pthread_cond_wait(&stream->changed, &stream->lock);
    }
    bool unread = stream->close.state == STREAM_OP_RUNNING;
    pthread_mutex_unlock(&stream->lock);
    if (unread) {
        rpc_stream_cancel(stream);
        stream_op_wait(&stream->close);
    }
}

bool rpc_stream_close(struct rpc_stream *stream, struct error *error) {
    rpc_stream_writes_done(stream);
    wait_for_status(stream);
    bool ok = stream->client.status == GRPC_STATUS_OK;
    if (!ok) {
        channel_status_error(stream->client.status, stream->client.status_text, &stream->client.trailers, error);
    }
    stream_release(stream);
    return ok;
}
