#include "common/rpc/rpc_stream.h"

#include <assert.h>
#include <errno.h>
#include <grpc/byte_buffer.h>
#include <grpc/slice.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/rpc/proto_message.h"
#include "common/rpc/stream_parts.h"
#include "common/rpc/sync_annotations.h"
#include "common/rpc/wire_message.h"

struct rpc_buffer {
    size_t size;
    alignas(64) uint8_t data[];
};

/* ---- life ---- */

static void op_init(struct stream_op *op, struct rpc_stream *stream) {
    op->event.complete = stream_op_complete;
    op->stream = stream;
}

void stream_init(struct rpc_stream *stream, void (*free_stream)(struct rpc_stream *stream)) {
    stream->free = free_stream;
    stream->references = 1;
    stream->message_slice = grpc_empty_slice();
    grpc_metadata_array_init(&stream->headers);
    arena_init(&stream->arena);
    pthread_mutex_init(&stream->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&stream->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    op_init(&stream->read, stream);
    op_init(&stream->write, stream);
    op_init(&stream->start, stream);
    op_init(&stream->close, stream);
}

void stream_destroy(struct rpc_stream *stream) {
    if (stream->core != NULL) {
        grpc_call_unref(stream->core);
    }
    if (stream->received != NULL) {
        grpc_byte_buffer_destroy(stream->received);
    }
    wire_slice_release(stream->message_slice);
    buffer_free(&stream->message);
    grpc_metadata_array_destroy(&stream->headers);
    pthread_cond_destroy(&stream->changed);
    pthread_mutex_destroy(&stream->lock);
    arena_free(&stream->arena);
}

void stream_release(struct rpc_stream *stream) {
    pthread_mutex_lock(&stream->lock);
    bool last = --stream->references == 0;
    pthread_mutex_unlock(&stream->lock);
    if (last) {
        stream->free(stream);
    }
}

/* ---- operations ---- */

void stream_op_start(struct stream_op *op, const grpc_op *ops, size_t count) {
    struct rpc_stream *stream = op->stream;
    pthread_mutex_lock(&stream->lock);
    assert(op->state != STREAM_OP_RUNNING);
    op->state = STREAM_OP_RUNNING;
    stream->references++;
    pthread_mutex_unlock(&stream->lock);
    bool ok;
    if (event_start_batch_here(stream->queue, stream->core, ops, count, &op->event, &ok)) {
        op->event.complete(&op->event, ok); /* a message that was here, a write that gRPC keeps */
    }
}

void stream_op_complete(struct queue_event *event, bool ok) {
    struct stream_op *op = event_owner(event, struct stream_op, event);
    struct rpc_stream *stream = op->stream;
    pthread_mutex_lock(&stream->lock);
    op->state = ok ? STREAM_OP_DONE : STREAM_OP_FAILED;
    pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->lock);
    stream_release(stream);
}

enum stream_op_state stream_op_wait(struct stream_op *op) {
    struct rpc_stream *stream = op->stream;
    pthread_mutex_lock(&stream->lock);
    while (op->state == STREAM_OP_RUNNING) {
        pthread_cond_wait(&stream->changed, &stream->lock);
    }
    enum stream_op_state state = op->state;
    pthread_mutex_unlock(&stream->lock);
    return state;
}

/* ---- reading ---- */

void stream_read_ahead(struct rpc_stream *stream) {
    pthread_mutex_lock(&stream->lock);
    bool idle = stream->read.state == STREAM_OP_IDLE;
    pthread_mutex_unlock(&stream->lock);
    if (!idle || stream->read_ended) {
        return;
    }
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &stream->received};
    stream_op_start(&stream->read, &op, 1);
}

/* Makes the received message one piece of bytes; the buffer for that is kept for the next. */
static bool take_message(struct rpc_stream *stream, struct bytes *message, struct error *error) {
    size_t size = grpc_byte_buffer_length(stream->received);
    bool fits = size <= stream->max_message_bytes;
    if (!fits) {
        error_set(error, ERROR_RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE", "a message of %zu bytes is longer than %zu",
                  size, stream->max_message_bytes);
        error_set_detail(error, "max_message_bytes", "%zu", stream->max_message_bytes);
    } else if (!wire_message_borrow(stream->received, &stream->message_slice, message)) {
        buffer_clear(&stream->message);
        wire_message_copy(stream->received, buffer_reserve(&stream->message, size));
        stream->message.size = size;
        *message = buffer_bytes(&stream->message);
    }
    grpc_byte_buffer_destroy(stream->received);
    stream->received = NULL;
    return fits;
}

/* Waits for a change, under the lock; a client's read that is overdue cancels the call, which ends it. */
static void wait_for_change(struct rpc_stream *stream, const struct timespec *overdue) {
    if (stream->read_wait_ms == 0 || stream->read_overdue) {
        pthread_cond_wait(&stream->changed, &stream->lock);
    } else if (pthread_cond_timedwait(&stream->changed, &stream->lock, overdue) == ETIMEDOUT &&
               stream->read.state == STREAM_OP_RUNNING) {
        stream->read_overdue = true;
        if (!stream->is_server) {
            pthread_mutex_unlock(&stream->lock);
            rpc_stream_cancel(stream);
            pthread_mutex_lock(&stream->lock);
        }
    }
}

/* Whether a read of the server's side is given up. */
static bool gives_up_read(const struct rpc_stream *stream) {
    return stream->is_server && (stream->read_overdue || (stream->server.ends_on_drain && rpc_stream_draining(stream)));
}

/* Waits for the read under way; false when the server should not wait for it any longer. */
static bool wait_for_read(struct rpc_stream *stream, enum stream_op_state *state) {
    struct timespec overdue = stream_time_after(stream->read_wait_ms);
    pthread_mutex_lock(&stream->lock);
    while (stream->read.state == STREAM_OP_RUNNING && !gives_up_read(stream)) {
        wait_for_change(stream, &overdue);
    }
    *state = stream->read.state;
    pthread_mutex_unlock(&stream->lock);
    return *state != STREAM_OP_RUNNING;
}

bool rpc_stream_has_message(struct rpc_stream *stream) {
    pthread_mutex_lock(&stream->lock);
    bool has = stream->read.state == STREAM_OP_DONE && stream->received != NULL;
    pthread_mutex_unlock(&stream->lock);
    return has;
}

void rpc_stream_limit_read(struct rpc_stream *stream, int64_t wait_ms) {
    stream->read_wait_ms = wait_ms;
}

enum rpc_read rpc_stream_read(struct rpc_stream *stream, struct bytes *message, struct error *error) {
    wire_slice_release(stream->message_slice);
    stream->message_slice = grpc_empty_slice();
    bool failed = false;
    if (!stream->is_server) {
        rpc_stream_begin(stream);
    }
    if (!stream->read_ended) {
        stream_read_ahead(stream);
        enum stream_op_state state;
        if (!wait_for_read(stream, &state)) {
            if (stream->read_overdue) {
                error_set(error, ERROR_DEADLINE_EXCEEDED, "CLIENT_SILENT", "the client sent nothing for %lld ms",
                          (long long)stream->read_wait_ms);
            } else {
                error_set(error, ERROR_UNAVAILABLE, "DRAINING", "the server is shutting down");
                error_retry_after(error, ERROR_RETRY_DRAINING_MS);
            }
            return RPC_READ_ERROR;
        }
        failed = state == STREAM_OP_FAILED;
        if (!failed && stream->received != NULL) {
            stream->read.state = STREAM_OP_IDLE;
            if (!take_message(stream, message, error)) {
                return RPC_READ_ERROR;
            }
            stream_read_ahead(stream);
            return RPC_READ_MESSAGE;
        }
        stream->read_ended = true;
    }
    return stream->is_server ? server_stream_read_ended(stream, failed, error)
                             : client_stream_read_ended(stream, error);
}

/* ---- writing ---- */

bool stream_send_headers(struct rpc_stream *stream, grpc_op *op) {
    if (stream->headers_sent) {
        return false;
    }
    stream->headers_sent = true;
    *op = (grpc_op){.op = GRPC_OP_SEND_INITIAL_METADATA};
    if (!stream->is_server) {
        op->data.send_initial_metadata.count = stream->client.header_count;
        op->data.send_initial_metadata.metadata = (grpc_metadata *)(uintptr_t)stream->client.headers;
    }
    return true;
}

void rpc_stream_more_follows(struct rpc_stream *stream) {
    stream->more_follows = true;
}

/* Sends the buffer, which it takes, once the write before is done. */
static bool send_message(struct rpc_stream *stream, grpc_byte_buffer *buffer, bool last) {
    server_stream_end_stall(stream);
    bool sound = stream_op_wait(&stream->write) != STREAM_OP_FAILED && !atomic_load(&stream->cancelled);
    if (sound) {
        /* Headers have left once they are written: kept here, they would keep the next write waiting. */
        bool may_stay = stream->more_follows && stream->headers_sent;
        grpc_op ops[3] = {{.op = GRPC_OP_SEND_MESSAGE, .flags = may_stay ? GRPC_WRITE_BUFFER_HINT : 0}};
        ops[0].data.send_message.send_message = buffer;
        size_t count = stream_send_headers(stream, &ops[1]) ? 2 : 1;
        if (last) {
            ops[count++] = (grpc_op){.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT};
            stream->client.writes_closed = true;
        }
        stream_op_start(&stream->write, ops, count);
    }
    stream->more_follows = false;
    /* The core took the slices out of it. */
    grpc_byte_buffer_destroy(buffer);
    return sound;
}

bool rpc_stream_write(struct rpc_stream *stream, const ProtobufCMessage *message) {
    return send_message(stream, wire_message_pack(message), false);
}

bool rpc_stream_write_last(struct rpc_stream *stream, const ProtobufCMessage *message) {
    assert(!stream->is_server);
    return send_message(stream, wire_message_pack(message), true);
}

bool rpc_stream_write_bulk(struct rpc_stream *stream, struct bytes head, struct rpc_buffer *body, size_t size) {
    assert(size <= body->size);
    /* From here on gRPC owns the body, and frees it on a thread of its choice. */
    handover_release(body);
    grpc_slice slices[2] = {
        grpc_slice_from_copied_buffer((const char *)head.data, head.size),
        grpc_slice_new_with_user_data(body->data, size, (void (*)(void *))rpc_buffer_free, body),
    };
    return send_message(stream, wire_message_of_slices(slices, 2), false);
}

struct rpc_buffer *rpc_buffer_new(size_t size) {
    struct rpc_buffer *buffer = NULL;
    if (posix_memalign((void **)&buffer, alignof(struct rpc_buffer), sizeof *buffer + size) != 0) {
        abort();
    }
    buffer->size = size;
    return buffer;
}

uint8_t *rpc_buffer_data(struct rpc_buffer *buffer) {
    return buffer->data;
}

void rpc_buffer_free(struct rpc_buffer *buffer) {
    if (buffer != NULL) {
        handover_acquire(buffer);
    }
    free(buffer);
}
