/* A pushed call's way: asked for → arrived, with its request → handler → begun: headers out,
 * its end watched for → sends, one after another → finished, behind the last of them → freed.
 *
 * A send of several messages is one write: all but the last carry the hint to wait for more,
 * so that the transport takes them at once while they are few and frames them together. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/rpc/proto_message.h"
#include "common/rpc/rpc_push.h"
#include "common/rpc/server_parts.h"
#include "common/rpc/server_status.h"
#include "common/rpc/sync_annotations.h"
#include "common/rpc/wire_message.h"

struct rpc_message {
    grpc_slice slice;
};

struct rpc_push {
    struct queue_event life;    /* arrived; then the call is over for the client */
    struct queue_event write;   /* a message was taken */
    struct queue_event goodbye; /* the status was taken */
    struct server_push_method *method;
    struct rpc_push *previous, *next; /* in server->open_pushes, under its lock */
    bool linked;
    struct server_place place;
    int cancelled; /* filled by the core */
    int64_t started_us;
    grpc_call *core;
    gpr_timespec deadline;
    grpc_metadata_array headers;
    grpc_byte_buffer *payload;
    grpc_slice payload_slice; /* keeps the request when it came in one piece */
    struct bytes request;
    struct server_status status;
    struct arena arena;
    /* The user's until it is finished, and one for each operation under way. */
    atomic_uint references;

    pthread_mutex_t lock;
    /* Under the lock. */
    struct rpc_push_listener listener;
    bool begun;
    enum error_code lost; /* why it is gone; OK while it is not */
    bool told;            /* `gone` was or is being called */
    bool sending;
    bool finished;

    /* The send under way; belongs to who runs it. */
    grpc_byte_buffer *outgoing; /* has no message of its own between two operations */
    grpc_slice *slices;
    size_t slice_count;
    size_t slices_started;
    bool broken;
};

/* ---- messages ---- */

struct rpc_message *rpc_message_new(struct bytes head, struct bytes body) {
    struct rpc_message *message = malloc(sizeof *message);
    if (message == NULL) {
        abort();
    }
    message->slice = grpc_slice_malloc(head.size + body.size);
    if (head.size > 0) {
        memcpy(GRPC_SLICE_START_PTR(message->slice), head.data, head.size);
    }
    if (body.size > 0) {
        memcpy(GRPC_SLICE_START_PTR(message->slice) + head.size, body.data, body.size);
    }
    return message;
}

struct bytes rpc_message_bytes(const struct rpc_message *message) {
    return bytes_of(GRPC_SLICE_START_PTR(message->slice), GRPC_SLICE_LENGTH(message->slice));
}

void rpc_message_free(struct rpc_message *message) {
    if (message != NULL) {
        wire_slice_release(message->slice);
        free(message);
    }
}

/* ---- life ---- */

static void link_push(struct rpc_push *push) {
    struct rpc_server *server = push->method->server;
    pthread_mutex_lock(&server->lock);
    push->next = server->open_pushes;
    if (push->next != NULL) {
        push->next->previous = push;
    }
    server->open_pushes = push;
    push->linked = true;
    pthread_mutex_unlock(&server->lock);
}

static void unlink_push(struct rpc_push *push) {
    struct rpc_server *server = push->method->server;
    pthread_mutex_lock(&server->lock);
    if (push->previous != NULL) {
        push->previous->next = push->next;
    } else {
        server->open_pushes = push->next;
    }
    if (push->next != NULL) {
        push->next->previous = push->previous;
    }
    pthread_mutex_unlock(&server->lock);
}

static void free_push(struct rpc_push *push) {
    handover_acquire(push);
    struct rpc_server *server = push->method->server;
    struct server_place place = push->place;
    if (push->linked) {
        unlink_push(push);
    }
    if (push->begun) {
        push->listener.freed(push->listener.self);
    }
    if (push->core != NULL) {
        grpc_call_unref(push->core);
    }
    if (push->payload != NULL) {
        grpc_byte_buffer_destroy(push->payload);
    }
    if (push->outgoing != NULL) {
        grpc_byte_buffer_destroy(push->outgoing);
    }
    wire_slice_release(push->payload_slice);
    server_status_destroy(&push->status);
    grpc_metadata_array_destroy(&push->headers);
    pthread_mutex_destroy(&push->lock);
    arena_free(&push->arena);
    free(push);
    server_leave(server, &place);
}

static void hold(struct rpc_push *push) {
    atomic_fetch_add(&push->references, 1);
}

static void release(struct rpc_push *push) {
    if (atomic_fetch_sub(&push->references, 1) == 1) {
        free_push(push);
    }
}

static void push_arrived(struct queue_event *event, bool ok);

void server_push_ask(struct server_push_method *method) {
    struct rpc_server *server = method->server;
    if (atomic_load(&server->closing)) {
        return;
    }
    struct rpc_push *push = calloc(1, sizeof *push);
    if (push == NULL) {
        abort();
    }
    push->life.complete = push_arrived;
    push->method = method;
    push->payload_slice = grpc_empty_slice();
    server_status_init(&push->status);
    grpc_metadata_array_init(&push->headers);
    arena_init(&push->arena);
    pthread_mutex_init(&push->lock, NULL);
    atomic_init(&push->references, 1);
    server_enter(server);
    handover_release(&push->life);
    if (grpc_server_request_registered_call(server->core, method->registered, &push->core, &push->deadline,
                                            &push->headers, &push->payload, server->push_queue.core,
                                            server->push_queue.core, &push->life) != GRPC_CALL_OK) {
        release(push); /* the drain overtook us */
    }
}

/* ---- arrival ---- */

static bool take_request(struct rpc_push *push, struct error *error) {
    if (push->payload == NULL) {
        return error_set(error, ERROR_INVALID_ARGUMENT, "REQUEST_MISSING", "the stream held no request");
    }
    return server_take_request(push->method->server, push->payload, &push->arena, &push->payload_slice, &push->request,
                               error);
}

static void push_arrived(struct queue_event *event, bool ok) {
    struct rpc_push *push = event_owner(event, struct rpc_push, life);
    if (!ok) {
        release(push);
        return;
    }
    server_push_ask(push->method);
    push->started_us = clock_monotonic_us(&system_clock);
    struct error error = {0};
    struct rpc_server *server = push->method->server;
    if (!server_admit(server, push->core, &server->push_places, 1, &push->place, &error) ||
        !take_request(push, &error)) {
        rpc_push_finish(push, &error);
        return;
    }
    push->method->handler(push->method->service, push);
}

/* ---- the end comes from outside ---- */

/* Whether the listener is to be told now. Under the lock. */
static bool must_tell(struct rpc_push *push) {
    bool now = push->lost != ERROR_OK && push->begun && !push->told && !push->finished;
    push->told = push->told || now;
    return now;
}

static void tell(struct rpc_push *push) {
    struct error why = {0};
    if (push->lost == ERROR_UNAVAILABLE) {
        error_set(&why, ERROR_UNAVAILABLE, "DRAINING", "the server is shutting down");
        error_retry_after(&why, ERROR_RETRY_DRAINING_MS);
    } else if (push->lost == ERROR_DEADLINE_EXCEEDED) {
        error_set(&why, ERROR_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "the call's deadline passed");
    } else {
        error_set(&why, ERROR_CANCELLED, "CANCELLED", "the client cancelled the call or went away");
    }
    push->listener.gone(push->listener.self, &why);
}

static void lose(struct rpc_push *push, enum error_code why) {
    pthread_mutex_lock(&push->lock);
    if (push->lost == ERROR_OK) {
        push->lost = why;
    }
    bool first = must_tell(push);
    pthread_mutex_unlock(&push->lock);
    if (first) {
        tell(push);
    }
}

void server_push_end_all(struct rpc_server *server) {
    pthread_mutex_lock(&server->lock);
    for (struct rpc_push *push = server->open_pushes; push != NULL; push = push->next) {
        lose(push, ERROR_UNAVAILABLE);
    }
    pthread_mutex_unlock(&server->lock);
}

static void life_over(struct queue_event *event, bool ok) {
    (void)ok;
    struct rpc_push *push = event_owner(event, struct rpc_push, life);
    lose(push, server_time_left_us(push->deadline) <= 0 ? ERROR_DEADLINE_EXCEEDED : ERROR_CANCELLED);
    release(push);
}

void rpc_push_begin(struct rpc_push *push, const struct rpc_push_listener *listener) {
    grpc_op ops[2];
    memset(ops, 0, sizeof ops);
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[1].op = GRPC_OP_RECV_CLOSE_ON_SERVER;
    ops[1].data.recv_close_on_server.cancelled = &push->cancelled;
    push->life.complete = life_over;
    /* The queue is asked for the end, and other threads may send, before this returns. */
    hold(push);
    hold(push);
    event_start_batch(push->core, ops, 2, &push->life);
    link_push(push);
    pthread_mutex_lock(&push->lock);
    assert(!push->begun);
    push->listener = *listener;
    push->begun = true;
    bool first = must_tell(push);
    pthread_mutex_unlock(&push->lock);
    if (first) {
        tell(push);
    } else if (rpc_server_draining(push->method->server)) {
        lose(push, ERROR_UNAVAILABLE);
    }
    release(push);
}

/* ---- the status ---- */

static void status_taken(struct queue_event *event, bool ok) {
    (void)ok;
    release(event_owner(event, struct rpc_push, goodbye));
}

/* Its reference is the user's. */
static void start_status(struct rpc_push *push) {
    grpc_op op;
    server_status_op(&push->status, &op);
    push->goodbye.complete = status_taken;
    event_start_batch(push->core, &op, 1, &push->goodbye);
}

/* For a call that was not begun: everything in one batch. */
static void start_refusal(struct rpc_push *push) {
    grpc_op ops[3];
    memset(ops, 0, sizeof ops);
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[1].op = GRPC_OP_RECV_CLOSE_ON_SERVER;
    ops[1].data.recv_close_on_server.cancelled = &push->cancelled;
    server_status_op(&push->status, &ops[2]);
    push->goodbye.complete = status_taken;
    event_start_batch(push->core, ops, 3, &push->goodbye);
}

void rpc_push_finish(struct rpc_push *push, const struct error *error) {
    server_observe(push->method->server, push->method->path, error != NULL ? error->code : ERROR_OK, push->started_us);
    pthread_mutex_lock(&push->lock);
    assert(!push->finished);
    push->finished = true;
    server_status_set(&push->status, error, &push->arena);
    bool begun = push->begun;
    bool sending = push->sending; /* then who sends starts the status */
    pthread_mutex_unlock(&push->lock);
    if (!begun) {
        start_refusal(push);
    } else if (!sending) {
        start_status(push);
    }
}

/* The queue thread may free the push as soon as the core hears of it. */
void rpc_push_reset(struct rpc_push *push, const struct error *error) {
    grpc_call *core = push->core;
    grpc_call_ref(core);
    handover_release(push);
    grpc_call_cancel_with_status(core, (grpc_status_code)error->code, error->message, NULL);
    grpc_call_unref(core);
}

/* ---- sending ---- */

static void message_taken(struct queue_event *event, bool ok);

/* Starts the next message. True when that ended at once. */
static bool start_message(struct rpc_push *push) {
    bool last = push->slices_started + 1 == push->slice_count;
    grpc_slice_buffer *content = &push->outgoing->data.raw.slice_buffer;
    grpc_slice_buffer_reset_and_unref(content);
    grpc_slice_buffer_add(content, push->slices[push->slices_started]);
    push->slices_started++;
    grpc_op op;
    memset(&op, 0, sizeof op);
    op.op = GRPC_OP_SEND_MESSAGE;
    op.flags = last ? 0 : GRPC_WRITE_BUFFER_HINT;
    op.data.send_message.send_message = push->outgoing;
    bool ok = false;
    if (!event_start_batch_here(&push->method->server->push_queue, push->core, &op, 1, &push->write, &ok)) {
        return false;
    }
    push->broken = push->broken || !ok;
    return true;
}

/* Sends until the transport makes it wait: then false, and another thread may have it. */
static bool go_on_sending(struct rpc_push *push) {
    while (push->slices_started < push->slice_count && !push->broken) {
        if (!start_message(push)) {
            return false;
        }
    }
    return true;
}

/* Ends the send; whether the user is still there to hear of it. */
static bool end_send(struct rpc_push *push) {
    for (size_t i = push->slices_started; i < push->slice_count; i++) {
        wire_slice_release(push->slices[i]);
    }
    free(push->slices);
    push->slices = NULL;
    push->slice_count = 0;
    push->slices_started = 0;
    pthread_mutex_lock(&push->lock);
    push->sending = false;
    bool finished = push->finished;
    pthread_mutex_unlock(&push->lock);
    if (finished) {
        start_status(push);
    }
    return !finished;
}

static void message_taken(struct queue_event *event, bool ok) {
    struct rpc_push *push = event_owner(event, struct rpc_push, write);
    push->broken = push->broken || !ok;
    if (go_on_sending(push)) {
        if (end_send(push)) {
            push->listener.taken(push->listener.self);
        }
        release(push);
    }
}

bool rpc_push_send(struct rpc_push *push, struct rpc_message *const *messages, size_t count) {
    assert(count > 0 && count <= RPC_PUSH_MAX_MESSAGES);
    pthread_mutex_lock(&push->lock);
    assert(push->begun && !push->sending);
    bool finished = push->finished;
    push->sending = !finished;
    pthread_mutex_unlock(&push->lock);
    if (finished || push->broken) {
        if (!finished) {
            end_send(push);
        }
        return true;
    }
    hold(push);
    push->slices = malloc(count * sizeof *push->slices);
    if (push->slices == NULL) {
        abort();
    }
    for (size_t i = 0; i < count; i++) {
        push->slices[i] = grpc_slice_ref(messages[i]->slice);
    }
    push->slice_count = count;
    push->slices_started = 0;
    if (push->outgoing == NULL) {
        push->outgoing = grpc_raw_byte_buffer_create(NULL, 0);
        push->write.complete = message_taken;
    }
    bool taken = go_on_sending(push);
    if (taken) {
        end_send(push);
        release(push);
    }
    return taken;
}

/* ---- what a handler asks ---- */

struct bytes rpc_push_request(const struct rpc_push *push) {
    return push->request;
}

struct arena *rpc_push_arena(struct rpc_push *push) {
    return &push->arena;
}

ProtobufCMessage *rpc_push_decode(struct rpc_push *push, const ProtobufCMessageDescriptor *type) {
    struct error error = {0};
    ProtobufCMessage *message = proto_decode(type, push->request, &push->arena, &error);
    if (message == NULL) {
        rpc_push_finish(push, &error);
    }
    return message;
}
