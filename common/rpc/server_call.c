/* A unary call's way: asked for → arrived, with its message → handler → answered, in one
 * batch → gone. The core hands it over on the queue thread; the answer starts from whichever
 * thread has it. */
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/rpc/proto_message.h"
#include "common/rpc/server_parts.h"
#include "common/rpc/server_status.h"
#include "common/rpc/sync_annotations.h"
#include "common/rpc/wire_message.h"

struct rpc_call {
    struct queue_event event; /* arrived, returned to the queue, then gone */
    void (*returned)(void *context);
    void *context;
    struct worker_job job;
    struct server_unary_method *method;
    rpc_unary_handler *blocking; /* what a worker runs */
    struct server_place place;
    int cancelled;
    int64_t started_us;
    grpc_call *core;
    gpr_timespec deadline;
    grpc_metadata_array headers;
    grpc_byte_buffer *payload;
    grpc_slice payload_slice; /* keeps the request when it came in one piece */
    struct bytes request;
    struct server_status status;
    struct arena arena;
};

static void call_free(struct rpc_call *call) {
    struct rpc_server *server = call->method->server;
    struct server_place place = call->place;
    if (call->core != NULL) {
        grpc_call_unref(call->core);
    }
    if (call->payload != NULL) {
        grpc_byte_buffer_destroy(call->payload);
    }
    wire_slice_release(call->payload_slice);
    server_status_destroy(&call->status);
    grpc_metadata_array_destroy(&call->headers);
    arena_free(&call->arena);
    free(call);
    server_leave(server, &place);
}

static void call_arrived(struct queue_event *event, bool ok);

void server_call_ask(struct server_unary_method *method) {
    struct rpc_server *server = method->server;
    if (atomic_load(&server->closing)) {
        return;
    }
    struct rpc_call *call = calloc(1, sizeof *call);
    if (call == NULL) {
        abort();
    }
    call->event.complete = call_arrived;
    call->method = method;
    call->payload_slice = grpc_empty_slice();
    server_status_init(&call->status);
    grpc_metadata_array_init(&call->headers);
    arena_init(&call->arena);
    server_enter(server);
    handover_release(&call->event);
    if (grpc_server_request_registered_call(server->core, method->registered, &call->core, &call->deadline,
                                            &call->headers, &call->payload, server->queue.core, server->queue.core,
                                            &call->event) != GRPC_CALL_OK) {
        call_free(call); /* the drain overtook us */
    }
}

bool server_take_request(const struct rpc_server *server, grpc_byte_buffer *payload, struct arena *arena,
                         grpc_slice *slice, struct bytes *request, struct error *error) {
    size_t most_bytes = server->options.max_message_bytes;
    size_t size = grpc_byte_buffer_length(payload);
    if (size > most_bytes) {
        error_set(error, ERROR_RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE", "the message of %zu bytes is longer than %zu",
                  size, most_bytes);
        error_set_detail(error, "max_message_bytes", "%zu", most_bytes);
        return false;
    }
    if (!wire_message_borrow(payload, slice, request)) {
        uint8_t *whole = arena_alloc(arena, size);
        wire_message_copy(payload, whole);
        *request = bytes_of(whole, size);
    }
    return true;
}

static bool take_request(struct rpc_call *call, struct error *error) {
    if (call->payload == NULL) {
        return error_set(error, ERROR_INVALID_ARGUMENT, "MALFORMED_REQUEST", "the call came without a message");
    }
    return server_take_request(call->method->server, call->payload, &call->arena, &call->payload_slice, &call->request,
                               error);
}

static void run_blocking(struct worker_job *job) {
    struct rpc_call *call = event_owner(job, struct rpc_call, job);
    if (rpc_call_time_left_us(call) <= 0) {
        struct error late;
        error_set(&late, ERROR_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "the deadline passed before work began");
        rpc_call_fail(call, &late);
        return;
    }
    call->blocking(call->method->service, call);
}

void rpc_call_move_to_worker(struct rpc_call *call, rpc_unary_handler *handler) {
    const struct rpc_server *server = call->method->server;
    call->blocking = handler;
    call->job.run = run_blocking;
    enum fair_verdict verdict = worker_pool_submit(server->blocking, &call->job, call->place.client);
    if (verdict != FAIR_TAKEN) {
        struct error error;
        server_refuse_place(verdict, &server->blocking_places, &error);
        rpc_call_fail(call, &error);
    }
}

static void dispatch(struct rpc_call *call) {
    if (call->method->kind == RPC_BLOCKING) {
        rpc_call_move_to_worker(call, call->method->handler);
    } else {
        call->method->handler(call->method->service, call);
    }
}

/* Large requests are few at once, so that memory is bounded. */
static uint64_t places_of(const grpc_byte_buffer *payload) {
    size_t size = payload != NULL ? grpc_byte_buffer_length((grpc_byte_buffer *)(uintptr_t)payload) : 0;
    return size <= SERVER_PLACE_BYTES ? 1 : (size + SERVER_PLACE_BYTES - 1) / SERVER_PLACE_BYTES;
}

static bool admit(struct rpc_call *call, struct error *error) {
    struct server_unary_method *method = call->method;
    struct rpc_server *server = method->server;
    const struct server_places *places = method->apart.share != NULL    ? &method->apart
                                         : method->kind == RPC_BLOCKING ? &server->blocking_places
                                                                        : &server->inline_places;
    return server_admit(server, call->core, places, places_of(call->payload), &call->place, error);
}

static void call_arrived(struct queue_event *event, bool ok) {
    struct rpc_call *call = event_owner(event, struct rpc_call, event);
    if (!ok) {
        call_free(call);
        return;
    }
    server_call_ask(call->method);
    call->started_us = clock_monotonic_us(&system_clock);
    struct error error;
    if (!admit(call, &error) || !take_request(call, &error)) {
        rpc_call_fail(call, &error);
        return;
    }
    dispatch(call);
}

static void call_returned(struct queue_event *event, bool ok) {
    (void)ok;
    struct rpc_call *call = event_owner(event, struct rpc_call, event);
    call->returned(call->context);
}

/* A batch of no operations is over at once, on the queue. */
void rpc_call_return_to_queue(struct rpc_call *call, void (*run)(void *context), void *context) {
    call->returned = run;
    call->context = context;
    call->event.complete = call_returned;
    event_start_batch(call->core, NULL, 0, &call->event);
}

/* ---- the answer ---- */

static void call_gone(struct queue_event *event, bool ok) {
    (void)ok; /* a client that went away has no use for the answer */
    struct rpc_call *call = event_owner(event, struct rpc_call, event);
    call_free(call);
}

/* Ends the call in one batch. Takes `message`, which is NULL for an error. */
static void answer(struct rpc_call *call, grpc_byte_buffer *message, const struct error *error) {
    server_observe(call->method->server, call->method->path, error != NULL ? error->code : ERROR_OK, call->started_us);
    grpc_op ops[4];
    memset(ops, 0, sizeof ops);
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[1].op = GRPC_OP_RECV_CLOSE_ON_SERVER;
    ops[1].data.recv_close_on_server.cancelled = &call->cancelled;
    server_status_set(&call->status, error, &call->arena);
    server_status_op(&call->status, &ops[2]);
    size_t count = 3;
    if (message != NULL) {
        ops[3].op = GRPC_OP_SEND_MESSAGE;
        ops[3].data.send_message.send_message = message;
        count = 4;
    }
    call->event.complete = call_gone;
    event_start_batch(call->core, ops, count, &call->event);
    /* The call may be gone by now. The core took the slices out of the buffer at once. */
    if (message != NULL) {
        grpc_byte_buffer_destroy(message);
    }
}

void rpc_call_reply(struct rpc_call *call, const ProtobufCMessage *response) {
    answer(call, wire_message_pack(response), NULL);
}

void rpc_call_reply_wire(struct rpc_call *call, struct bytes head, struct bytes body) {
    answer(call, wire_message_join(head, body), NULL);
}

void rpc_call_fail(struct rpc_call *call, const struct error *error) {
    answer(call, NULL, error);
}

/* ---- what a handler asks ---- */

struct bytes rpc_call_request(const struct rpc_call *call) {
    return call->request;
}

struct arena *rpc_call_arena(struct rpc_call *call) {
    return &call->arena;
}

ProtobufCMessage *rpc_call_decode(struct rpc_call *call, const ProtobufCMessageDescriptor *type) {
    struct error error;
    ProtobufCMessage *message = proto_decode(type, call->request, &call->arena, &error);
    if (message == NULL) {
        rpc_call_fail(call, &error);
    }
    return message;
}

const char *rpc_call_header(const struct rpc_call *call, const char *name) {
    /* Only the arena changes, which is no part of what the caller sees. */
    return wire_header(&call->headers, name, &((struct rpc_call *)call)->arena);
}

uint64_t rpc_call_client(const struct rpc_call *call) {
    return call->place.client;
}

int64_t rpc_call_time_left_us(const struct rpc_call *call) {
    return server_time_left_us(call->deadline);
}
