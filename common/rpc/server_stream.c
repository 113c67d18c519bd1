/* The server's side of streaming calls. Every call that is not a known unary one arrives
 * here: those with a handler get a thread, the others a status that says why not. */
#include <protobuf-c/protobuf-c.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/rpc/server_parts.h"
#include "common/rpc/stream_parts.h"
#include "common/rpc/sync_annotations.h"
#include "common/rpc/wire_message.h"

static void free_stream(struct rpc_stream *stream) {
    struct rpc_server *server = stream->server.server;
    struct server_place place = stream->server.place;
    server_status_destroy(&stream->server.status);
    grpc_call_details_destroy(&stream->server.details);
    stream_destroy(stream);
    free(stream);
    server_leave(server, &place);
}

static void stream_arrived(struct queue_event *event, bool ok);

void server_stream_ask(struct rpc_server *server) {
    if (atomic_load(&server->closing)) {
        return;
    }
    struct rpc_stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL) {
        abort();
    }
    stream_init(stream, free_stream);
    stream->is_server = true;
    stream->queue = &server->queue;
    stream->max_message_bytes = server->options.max_message_bytes;
    stream->server.server = server;
    stream->server.arrived.complete = stream_arrived;
    server_status_init(&stream->server.status);
    grpc_call_details_init(&stream->server.details);
    server_enter(server);
    handover_release(&stream->server.arrived);
    if (grpc_server_request_call(server->core, &stream->core, &stream->server.details, &stream->headers,
                                 server->queue.core, server->queue.core, &stream->server.arrived) != GRPC_CALL_OK) {
        stream_release(stream); /* the drain overtook us */
    }
}

/* ---- arrival ---- */

static const struct server_stream_method *find_method(const struct rpc_stream *stream) {
    const struct rpc_server *server = stream->server.server;
    for (unsigned i = 0; i < server->stream_count; i++) {
        if (grpc_slice_str_cmp(stream->server.details.method, server->streams[i].path) == 0) {
            return &server->streams[i];
        }
    }
    return NULL;
}

/* Whether the contract has the method "/package.Service/Method". */
static bool is_in_contract(const struct rpc_server *server, const char *path) {
    const char *slash = path[0] == '/' ? strchr(path + 1, '/') : NULL;
    if (slash == NULL) {
        return false;
    }
    size_t length = (size_t)(slash - path) - 1;
    for (unsigned i = 0; i < server->service_count; i++) {
        const ProtobufCServiceDescriptor *service = server->services[i];
        if (strlen(service->name) == length && memcmp(service->name, path + 1, length) == 0) {
            return protobuf_c_service_descriptor_get_method_by_name(service, slash + 1) != NULL;
        }
    }
    return false;
}

/* The batch that ends a call. `ops` has room for three. */
static size_t final_ops(struct rpc_stream *stream, const struct error *error, grpc_op *ops) {
    memset(ops, 0, 3 * sizeof *ops);
    server_status_set(&stream->server.status, error, &stream->arena);
    server_status_op(&stream->server.status, &ops[0]);
    return stream_send_headers(stream, &ops[1]) ? 2 : 1;
}

/* Ends a call that gets no handler, without waiting; takes the user's reference. */
static void refuse(struct rpc_stream *stream, const char *method, const struct error *error) {
    server_observe(stream->server.server, method, error->code, stream->server.started_us);
    grpc_op ops[3];
    size_t count = final_ops(stream, error, ops);
    ops[count].op = GRPC_OP_RECV_CLOSE_ON_SERVER;
    ops[count].data.recv_close_on_server.cancelled = &stream->close_cancelled;
    stream_op_start(&stream->start, ops, count + 1);
    stream_release(stream);
}

static void refuse_unknown(struct rpc_stream *stream) {
    struct error error;
    grpc_slice name = stream->server.details.method;
    char *path = arena_alloc(&stream->arena, GRPC_SLICE_LENGTH(name) + 1);
    memcpy(path, GRPC_SLICE_START_PTR(name), GRPC_SLICE_LENGTH(name));
    path[GRPC_SLICE_LENGTH(name)] = '\0';
    if (is_in_contract(stream->server.server, path)) {
        error_set(&error, ERROR_UNIMPLEMENTED, "NOT_SERVED_YET", "%s is in the contract but not served here yet", path);
    } else {
        error_set(&error, ERROR_UNIMPLEMENTED, "UNKNOWN_METHOD", "there is no method %s here", path);
    }
    refuse(stream, "unknown", &error);
}

static void run_stream(struct worker_job *job);
static void close_received(struct queue_event *event, bool ok);

static void stream_arrived(struct queue_event *event, bool ok) {
    struct rpc_stream *stream = event_owner(event, struct rpc_stream, server.arrived);
    if (!ok) {
        stream_release(stream);
        return;
    }
    server_stream_ask(stream->server.server);
    stream->server.started_us = clock_monotonic_us(&system_clock);
    stream->server.method = find_method(stream);
    if (stream->server.method == NULL) {
        refuse_unknown(stream);
        return;
    }
    struct error error;
    struct rpc_server *server = stream->server.server;
    const struct server_places *places =
        stream->server.method->apart.share != NULL ? &stream->server.method->apart : &server->stream_places;
    if (!server_admit(server, stream->core, places, 1, &stream->server.place, &error)) {
        refuse(stream, stream->server.method->path, &error);
        return;
    }
    stream->server.job.run = run_stream;
    enum fair_verdict verdict = worker_pool_submit(server->stream_workers, &stream->server.job, 0);
    if (verdict != FAIR_TAKEN) {
        server_refuse_place(verdict, places, &error);
        refuse(stream, stream->server.method->path, &error);
    }
}

/* ---- the handler's thread ---- */

static void link_stream(struct rpc_stream *stream) {
    struct rpc_server *server = stream->server.server;
    pthread_mutex_lock(&server->lock);
    stream->server.next = server->open_streams;
    if (server->open_streams != NULL) {
        server->open_streams->server.previous = stream;
    }
    server->open_streams = stream;
    pthread_mutex_unlock(&server->lock);
}

static void unlink_stream(struct rpc_stream *stream) {
    struct rpc_server *server = stream->server.server;
    pthread_mutex_lock(&server->lock);
    if (stream->server.previous != NULL) {
        stream->server.previous->server.next = stream->server.next;
    } else {
        server->open_streams = stream->server.next;
    }
    if (stream->server.next != NULL) {
        stream->server.next->server.previous = stream->server.previous;
    }
    pthread_mutex_unlock(&server->lock);
}

static void run_stream(struct worker_job *job) {
    struct rpc_stream *stream = event_owner(job, struct rpc_stream, server.job);
    grpc_op op = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER, .data.recv_close_on_server.cancelled = &stream->close_cancelled};
    stream->close.event.complete = close_received;
    stream_op_start(&stream->close, &op, 1);
    link_stream(stream);
    struct rpc_server *server = stream->server.server;
    if (server->options.beside) {
        idle_poller_begin(&server->poller);
    }
    stream->server.method->handler(stream->server.method->service, stream);
    if (!stream->server.finished) {
        struct error error;
        error_set(&error, ERROR_INTERNAL, "NO_STATUS", "the handler ended without a status");
        rpc_stream_finish(stream, &error);
    }
    if (server->options.beside) {
        idle_poller_end(&server->poller);
    }
    unlink_stream(stream);
    stream_release(stream);
}

/* The client took note of the status, or is gone. */
static void close_received(struct queue_event *event, bool ok) {
    struct rpc_stream *stream = event_owner(event, struct rpc_stream, close.event);
    if (stream->close_cancelled != 0) {
        atomic_store(&stream->cancelled, true);
    }
    stream_op_complete(event, ok);
}

/* Ends the call; with a last message, unless that is NULL. */
static void finish(struct rpc_stream *stream, grpc_byte_buffer *message, const struct error *error) {
    stream->server.finished = true;
    server_observe(stream->server.server, stream->server.method->path, error != NULL ? error->code : ERROR_OK,
                   stream->server.started_us);
    server_stream_end_stall(stream);
    stream_op_wait(&stream->write);
    /* A client that has the status may call again at once; one that does not may be long in taking note. */
    server_give_place(stream->server.server, &stream->server.place);
    grpc_op ops[3];
    size_t count = final_ops(stream, error, ops);
    if (message != NULL) {
        ops[count++] = (grpc_op){.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = message};
    }
    stream_op_start(&stream->start, ops, count);
}

void rpc_stream_finish(struct rpc_stream *stream, const struct error *error) {
    finish(stream, NULL, error);
}

void rpc_stream_finish_with(struct rpc_stream *stream, const ProtobufCMessage *message) {
    grpc_byte_buffer *buffer = wire_message_pack(message);
    finish(stream, buffer, NULL);
    grpc_byte_buffer_destroy(buffer); /* the core took the slices out of it */
}

enum rpc_read server_stream_read_ended(struct rpc_stream *stream, bool failed, struct error *error) {
    if (!failed && !atomic_load(&stream->cancelled) && !grpc_call_failed_before_recv_message(stream->core)) {
        return RPC_READ_END;
    }
    if (server_time_left_us(stream->server.details.deadline) <= 0) {
        error_set(error, ERROR_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "the call's deadline passed");
    } else if (rpc_stream_draining(stream)) {
        error_set(error, ERROR_UNAVAILABLE, "DRAINING", "the server is shutting down");
        error_retry_after(error, ERROR_RETRY_DRAINING_MS);
    } else {
        error_set(error, ERROR_CANCELLED, "CANCELLED", "the client cancelled the call or went away");
    }
    return RPC_READ_ERROR;
}

uint64_t rpc_stream_client(const struct rpc_stream *stream) {
    return stream->server.place.client;
}

const char *rpc_stream_header(const struct rpc_stream *stream, const char *name) {
    return wire_header(&stream->headers, name, &((struct rpc_stream *)stream)->arena);
}

bool rpc_stream_cancelled(const struct rpc_stream *stream) {
    return atomic_load(&stream->cancelled);
}

bool rpc_stream_draining(const struct rpc_stream *stream) {
    return stream->is_server && rpc_server_draining(stream->server.server);
}

void rpc_stream_end_reads_on_drain(struct rpc_stream *stream) {
    stream->server.ends_on_drain = true;
}

/* ---- waiting ---- */

struct timespec stream_time_after(int64_t timeout_ms) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += timeout_ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    return until;
}

void rpc_stream_limit_stall(struct rpc_stream *stream, int64_t stall_ms) {
    stream->stall_ms = stall_ms;
}

void server_stream_end_stall(struct rpc_stream *stream) {
    if (stream->stall_ms == 0) {
        return;
    }
    struct timespec until = stream_time_after(stream->stall_ms);
    int waited = 0;
    pthread_mutex_lock(&stream->lock);
    while (stream->write.state == STREAM_OP_RUNNING && waited == 0) {
        waited = pthread_cond_timedwait(&stream->changed, &stream->lock, &until);
    }
    bool stalled = stream->write.state == STREAM_OP_RUNNING;
    pthread_mutex_unlock(&stream->lock);
    if (stalled) {
        /* Fails the write. */
        atomic_store(&stream->cancelled, true);
        grpc_call_cancel_with_status(stream->core, GRPC_STATUS_DEADLINE_EXCEEDED,
                                     "the client did not read for too long", NULL);
    }
}

void rpc_stream_wake(struct rpc_stream *stream) {
    pthread_mutex_lock(&stream->lock);
    stream->woken = true;
    pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->lock);
}

void server_stream_wake_all(struct rpc_server *server) {
    pthread_mutex_lock(&server->lock);
    for (struct rpc_stream *stream = server->open_streams; stream != NULL; stream = stream->server.next) {
        rpc_stream_wake(stream);
    }
    pthread_mutex_unlock(&server->lock);
}

bool rpc_stream_wait(struct rpc_stream *stream, int64_t timeout_ms) {
    struct timespec until = stream_time_after(timeout_ms);
    pthread_mutex_lock(&stream->lock);
    int waited = 0;
    while (!stream->woken && !atomic_load(&stream->cancelled) && !rpc_stream_draining(stream) && waited == 0) {
        waited = pthread_cond_timedwait(&stream->changed, &stream->lock, &until);
    }
    stream->woken = false;
    bool go_on = !atomic_load(&stream->cancelled) && !rpc_stream_draining(stream);
    pthread_mutex_unlock(&stream->lock);
    return go_on;
}
