// rooms: waybill_rpc
#include <pthread.h>
#include <stdlib.h>

#include "common/rpc/rpc_push.h"
#include "rpc_fixture.h"

TestSuite(push, .timeout = 120);

enum { CALLS = 64, BIG_BYTES = 64 << 10, BIG_COUNT = 64 };

/* One call as its owner sees it. */
struct pushed {
    struct rpc_push *push;
    pthread_mutex_t *lock;
    pthread_cond_t *changed;
    unsigned taken; /* how often the callback came */
    bool begun, gone, freed;
    enum error_code why;
    char reason[ERROR_REASON_BYTES];
};

struct owner {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned count;
    struct pushed calls[CALLS];
    enum error_code observed[CALLS];
    unsigned observed_count;
    struct rpc_server *server;
    struct rpc_channel *channel;
};

static void on_taken(void *self) {
    struct pushed *pushed = self;
    pthread_mutex_lock(pushed->lock);
    pushed->taken++;
    pthread_cond_broadcast(pushed->changed);
    pthread_mutex_unlock(pushed->lock);
}

static void on_gone(void *self, const struct error *why) {
    struct pushed *pushed = self;
    pthread_mutex_lock(pushed->lock);
    cr_assert_not(pushed->gone, "told once");
    pushed->gone = true;
    pushed->why = why->code;
    memcpy(pushed->reason, why->reason, sizeof pushed->reason);
    pthread_cond_broadcast(pushed->changed);
    pthread_mutex_unlock(pushed->lock);
}

static void on_freed(void *self) {
    struct pushed *pushed = self;
    pthread_mutex_lock(pushed->lock);
    pushed->freed = true;
    pthread_cond_broadcast(pushed->changed);
    pthread_mutex_unlock(pushed->lock);
}

/* Takes the call over, unless the request says "refuse". */
static void take_over(void *service, struct rpc_push *push) {
    struct owner *owner = service;
    ProtobufCMessage *request = rpc_push_decode(push, &google__protobuf__any__descriptor);
    if (request == NULL) {
        return;
    }
    if (strcmp(((Google__Protobuf__Any *)request)->type_url, "refuse") == 0) {
        struct error error = {0};
        error_set(&error, ERROR_OUT_OF_RANGE, "NOT_THAT_ONE", "asked to refuse");
        error_set_detail(&error, "oldest", "%d", 7);
        rpc_push_finish(push, &error);
        return;
    }
    pthread_mutex_lock(&owner->lock);
    struct pushed *pushed = &owner->calls[owner->count++];
    *pushed = (struct pushed){.push = push, .lock = &owner->lock, .changed = &owner->changed};
    pthread_mutex_unlock(&owner->lock);
    rpc_push_begin(push, &(struct rpc_push_listener){on_taken, on_gone, on_freed, pushed});
    pthread_mutex_lock(&owner->lock);
    pushed->begun = true;
    pthread_cond_broadcast(&owner->changed);
    pthread_mutex_unlock(&owner->lock);
}

static void observe(void *self, const char *method, enum error_code code, int64_t duration_us) {
    struct owner *owner = self;
    cr_assert_str_eq(method, "/test.Push/Watch");
    cr_assert_geq(duration_us, 0);
    pthread_mutex_lock(&owner->lock);
    owner->observed[owner->observed_count++] = code;
    pthread_mutex_unlock(&owner->lock);
}

static struct owner *start(unsigned max_pushes) {
    struct owner *owner = calloc(1, sizeof *owner);
    pthread_mutex_init(&owner->lock, NULL);
    pthread_cond_init(&owner->changed, NULL);
    struct rpc_server_options options = fixture_options;
    options.max_pushes = max_pushes;
    owner->server = rpc_server_new(&options);
    rpc_server_observe(owner->server, (struct rpc_observer){observe, owner});
    rpc_server_add_push(owner->server, "/test.Push/Watch", take_over, owner);
    fixture_start(owner->server);
    owner->channel = fixture_connect(rpc_server_port(owner->server));
    return owner;
}

static void stop(struct owner *owner) {
    fixture_stop(owner->server, owner->channel);
    for (unsigned i = 0; i < owner->count; i++) {
        cr_assert(owner->calls[i].freed, "every call is freed when the drain ends");
    }
    pthread_cond_destroy(&owner->changed);
    pthread_mutex_destroy(&owner->lock);
    free(owner);
}

static struct rpc_stream *open_call(struct owner *owner, const char *text, const struct rpc_call_options *options) {
    struct error error = {0};
    struct rpc_stream *stream = rpc_channel_open_stream(owner->channel, "/test.Push/Watch", options, &error);
    cr_assert_not_null(stream, "%s", error.message);
    Google__Protobuf__Any request = fixture_message(text);
    rpc_stream_write(stream, &request.base);
    rpc_stream_writes_done(stream);
    return stream;
}

#define wait_until(owner, condition)                                                                                   \
    do {                                                                                                               \
        pthread_mutex_lock(&(owner)->lock);                                                                            \
        while (!(condition)) {                                                                                         \
            pthread_cond_wait(&(owner)->changed, &(owner)->lock);                                                      \
        }                                                                                                              \
        pthread_mutex_unlock(&(owner)->lock);                                                                          \
    } while (0)

static unsigned call_count(struct owner *owner) {
    pthread_mutex_lock(&owner->lock);
    unsigned count = owner->count;
    pthread_mutex_unlock(&owner->lock);
    return count;
}

static enum error_code observed(struct owner *owner, unsigned index) {
    pthread_mutex_lock(&owner->lock);
    cr_assert_gt(owner->observed_count, index);
    enum error_code code = owner->observed[index];
    pthread_mutex_unlock(&owner->lock);
    return code;
}

/* A call that is there on both sides. */
static struct pushed *open_begun(struct owner *owner, struct rpc_stream **stream) {
    struct pushed *pushed = &owner->calls[call_count(owner)];
    *stream = open_call(owner, "watch", NULL);
    wait_until(owner, pushed->begun);
    return pushed;
}

/* Sends and waits until all is taken. */
static void send_all(struct owner *owner, struct pushed *pushed, struct rpc_message **messages, size_t count) {
    pthread_mutex_lock(&owner->lock);
    unsigned before = pushed->taken;
    pthread_mutex_unlock(&owner->lock);
    if (!rpc_push_send(pushed->push, messages, count)) {
        wait_until(owner, pushed->taken > before);
    }
}

/* An Any whose text is the number. */
static struct rpc_message *numbered(unsigned number) {
    char text[16];
    int length = snprintf(text, sizeof text, "%u", number);
    uint8_t head[2] = {1 << 3 | 2, (uint8_t)length};
    return rpc_message_new(bytes_of(head, 2), bytes_of(text, (size_t)length));
}

/* An Any with BIG_BYTES in its field 2. */
static struct rpc_message *big(uint8_t content) {
    static const uint8_t head[] = {2 << 3 | 2, 0x80, 0x80, 0x04};
    uint8_t *body = malloc(BIG_BYTES);
    memset(body, content, BIG_BYTES);
    struct rpc_message *message = rpc_message_new(bytes_of(head, sizeof head), bytes_of(body, BIG_BYTES));
    free(body);
    return message;
}

static unsigned read_number(struct rpc_stream *stream) {
    struct bytes wire;
    struct error error = {0};
    cr_assert_eq(rpc_stream_read(stream, &wire, &error), RPC_READ_MESSAGE, "%s", error.message);
    Google__Protobuf__Any *any = google__protobuf__any__unpack(NULL, wire.size, wire.data);
    cr_assert_not_null(any);
    unsigned number = (unsigned)atoi(any->type_url);
    google__protobuf__any__free_unpacked(any, NULL);
    return number;
}

static void expect_end(struct rpc_stream *stream, enum error_code code, const char *reason) {
    struct bytes wire;
    struct error error = {0};
    enum rpc_read read = rpc_stream_read(stream, &wire, &error);
    cr_assert_neq(read, RPC_READ_MESSAGE);
    error = (struct error){0};
    cr_assert_eq(rpc_stream_close(stream, &error), code == ERROR_OK);
    cr_assert_eq(error.code, code, "%s", error.message);
    cr_assert_str_eq(error.reason, reason);
}

static void finish(struct pushed *pushed, enum error_code code, const char *reason) {
    struct error error = {0};
    error_set(&error, code, reason, "ended by the test");
    rpc_push_finish(pushed->push, code == ERROR_OK ? NULL : &error);
}

/* ---- ---- */

struct reader {
    struct rpc_stream *stream;
    unsigned count;
    pthread_t thread;
};

static void *read_numbers(void *argument) {
    struct reader *reader = argument;
    for (unsigned i = 0; i < reader->count; i++) {
        cr_assert_eq(read_number(reader->stream), i);
    }
    return NULL;
}

Test(push, messages_of_any_batches_arrive_in_order) {
    enum { MESSAGES = 20000 };
    struct owner *owner = start(8);
    struct reader reader = {.count = MESSAGES};
    struct pushed *pushed = open_begun(owner, &reader.stream);
    pthread_create(&reader.thread, NULL, read_numbers, &reader);
    struct rpc_message *messages[RPC_PUSH_MAX_MESSAGES];
    unsigned seed = 3;
    for (unsigned sent = 0; sent < MESSAGES;) {
        unsigned count = 1 + (unsigned)rand_r(&seed) % RPC_PUSH_MAX_MESSAGES;
        count = count > MESSAGES - sent ? MESSAGES - sent : count;
        for (unsigned i = 0; i < count; i++) {
            messages[i] = numbered(sent + i);
        }
        send_all(owner, pushed, messages, count);
        for (unsigned i = 0; i < count; i++) {
            rpc_message_free(messages[i]);
        }
        sent += count;
    }
    pthread_join(reader.thread, NULL);
    finish(pushed, ERROR_OK, "");
    expect_end(reader.stream, ERROR_OK, "");
    stop(owner);
}

Test(push, one_message_goes_to_many_calls_and_outlives_its_owner) {
    struct owner *owner = start(CALLS);
    struct rpc_stream *streams[CALLS];
    for (unsigned i = 0; i < CALLS; i++) {
        open_begun(owner, &streams[i]);
    }
    struct rpc_message *messages[2] = {numbered(0), numbered(1)};
    cr_assert_eq(rpc_message_bytes(messages[0]).size, 3);
    for (unsigned i = 0; i < CALLS; i++) {
        rpc_push_send(owner->calls[i].push, messages, 2);
    }
    rpc_message_free(messages[0]);
    rpc_message_free(messages[1]);
    for (unsigned i = 0; i < CALLS; i++) {
        cr_assert_eq(read_number(streams[i]), 0);
        cr_assert_eq(read_number(streams[i]), 1);
        finish(&owner->calls[i], ERROR_OK, "");
        expect_end(streams[i], ERROR_OK, "");
    }
    stop(owner);
}

Test(push, its_owner_hears_that_the_client_is_gone) {
    struct owner *owner = start(8);
    struct rpc_stream *stream;
    struct pushed *pushed = open_begun(owner, &stream);
    rpc_stream_cancel(stream);
    wait_until(owner, pushed->gone);
    cr_assert_eq(pushed->why, ERROR_CANCELLED);
    cr_assert_not(pushed->freed, "it is the owner's until finished");
    finish(pushed, ERROR_CANCELLED, "WATCH_CANCELLED");
    wait_until(owner, pushed->freed);
    cr_assert_eq(observed(owner, 0), ERROR_CANCELLED);
    expect_end(stream, ERROR_CANCELLED, "CANCELLED");
    stop(owner);
}

Test(push, its_owner_hears_of_the_deadline) {
    struct owner *owner = start(8);
    struct rpc_stream *stream = NULL;
    /* Long enough to arrive, which a busy machine may need a few trials for. */
    for (int64_t timeout_ms = 100; call_count(owner) == 0; timeout_ms *= 2) {
        struct rpc_call_options options = {.timeout_ms = timeout_ms};
        stream = open_call(owner, "watch", &options);
        expect_end(stream, ERROR_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED");
    }
    wait_until(owner, owner->calls[0].gone);
    /* The client's own clock may be the first to ring. */
    enum error_code why = owner->calls[0].why;
    cr_assert(why == ERROR_DEADLINE_EXCEEDED || why == ERROR_CANCELLED);
    finish(&owner->calls[0], ERROR_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED");
    wait_until(owner, owner->calls[0].freed);
    stop(owner);
}

Test(push, sends_to_a_client_that_is_gone_are_taken_at_last) {
    struct owner *owner = start(8);
    struct rpc_stream *stream;
    struct pushed *pushed = open_begun(owner, &stream);
    struct rpc_message *messages[BIG_COUNT];
    for (unsigned i = 0; i < BIG_COUNT; i++) {
        messages[i] = big((uint8_t)i);
    }
    cr_assert_not(rpc_push_send(pushed->push, messages, BIG_COUNT), "more than a client takes that does not read");
    rpc_stream_cancel(stream);
    wait_until(owner, pushed->gone);
    wait_until(owner, pushed->taken == 1);
    cr_assert(rpc_push_send(pushed->push, messages, BIG_COUNT), "later ones go nowhere, at once");
    finish(pushed, ERROR_CANCELLED, "WATCH_CANCELLED");
    for (unsigned i = 0; i < BIG_COUNT; i++) {
        rpc_message_free(messages[i]);
    }
    expect_end(stream, ERROR_CANCELLED, "CANCELLED");
    stop(owner);
}

Test(push, a_status_comes_behind_what_waits_for_the_client) {
    struct owner *owner = start(8);
    struct rpc_stream *stream;
    struct pushed *pushed = open_begun(owner, &stream);
    struct rpc_message *messages[BIG_COUNT];
    for (unsigned i = 0; i < BIG_COUNT; i++) {
        messages[i] = big((uint8_t)i);
    }
    cr_assert_not(rpc_push_send(pushed->push, messages, BIG_COUNT));
    finish(pushed, ERROR_RESOURCE_EXHAUSTED, "TOO_SLOW");
    for (unsigned i = 0; i < BIG_COUNT; i++) {
        rpc_message_free(messages[i]);
    }
    for (unsigned i = 0; i < BIG_COUNT; i++) {
        struct bytes wire;
        struct error error = {0};
        cr_assert_eq(rpc_stream_read(stream, &wire, &error), RPC_READ_MESSAGE, "%u: %s", i, error.message);
        cr_assert_eq(wire.size, BIG_BYTES + 4);
        cr_assert_eq(wire.data[wire.size - 1], i);
    }
    expect_end(stream, ERROR_RESOURCE_EXHAUSTED, "TOO_SLOW");
    wait_until(owner, pushed->freed);
    cr_assert_eq(pushed->taken, 0, "no callback after the end");
    stop(owner);
}

Test(push, a_reset_ends_a_client_that_takes_nothing) {
    struct owner *owner = start(8);
    struct rpc_stream *stream;
    struct pushed *pushed = open_begun(owner, &stream);
    struct rpc_message *message = big(1);
    struct rpc_message *messages[BIG_COUNT];
    for (unsigned i = 0; i < BIG_COUNT; i++) {
        messages[i] = message;
    }
    cr_assert_not(rpc_push_send(pushed->push, messages, BIG_COUNT));
    rpc_message_free(message);
    finish(pushed, ERROR_RESOURCE_EXHAUSTED, "TOO_SLOW");
    struct error error = {0};
    error_set(&error, ERROR_RESOURCE_EXHAUSTED, "TOO_SLOW", "cut off");
    rpc_push_reset(pushed->push, &error);
    wait_until(owner, pushed->freed);
    cr_assert_not(rpc_stream_close(stream, &error));
    stop(owner);
}

static void *drain(void *server) {
    rpc_server_drain(server, 30000);
    return NULL;
}

Test(push, a_drain_tells_every_owner_and_waits_for_them) {
    struct owner *owner = start(CALLS);
    struct rpc_stream *streams[CALLS];
    for (unsigned i = 0; i < CALLS; i++) {
        open_begun(owner, &streams[i]);
    }
    pthread_t draining;
    pthread_create(&draining, NULL, drain, owner->server);
    for (unsigned i = 0; i < CALLS; i++) {
        wait_until(owner, owner->calls[i].gone);
        cr_assert_eq(owner->calls[i].why, ERROR_UNAVAILABLE);
        cr_assert_str_eq(owner->calls[i].reason, "DRAINING");
        finish(&owner->calls[i], ERROR_UNAVAILABLE, "DRAINING");
    }
    pthread_join(draining, NULL);
    for (unsigned i = 0; i < CALLS; i++) {
        expect_end(streams[i], ERROR_UNAVAILABLE, "DRAINING");
    }
    stop(owner);
}

Test(push, more_calls_than_the_limit_are_refused_until_one_ends) {
    struct owner *owner = start(2);
    struct rpc_stream *streams[2];
    open_begun(owner, &streams[0]);
    struct pushed *second = open_begun(owner, &streams[1]);
    struct rpc_stream *refused = open_call(owner, "watch", NULL);
    struct error error = {0};
    struct bytes wire;
    cr_assert_eq(rpc_stream_read(refused, &wire, &error), RPC_READ_ERROR);
    cr_assert_eq(error.code, ERROR_RESOURCE_EXHAUSTED);
    cr_assert_str_eq(error.reason, "TOO_MANY_STREAMS");
    cr_assert_gt(error.retry_after_ms, 0);
    cr_assert_not(rpc_stream_close(refused, &error));
    finish(second, ERROR_OK, "");
    expect_end(streams[1], ERROR_OK, "");
    wait_until(owner, second->freed);
    struct rpc_stream *third;
    struct pushed *another = open_begun(owner, &third);
    finish(another, ERROR_OK, "");
    expect_end(third, ERROR_OK, "");
    finish(&owner->calls[0], ERROR_OK, "");
    expect_end(streams[0], ERROR_OK, "");
    stop(owner);
}

Test(push, a_refusal_by_the_handler_carries_its_details) {
    struct owner *owner = start(2);
    struct rpc_stream *stream = open_call(owner, "refuse", NULL);
    struct error error = {0};
    struct bytes wire;
    cr_assert_eq(rpc_stream_read(stream, &wire, &error), RPC_READ_ERROR);
    cr_assert_not(rpc_stream_close(stream, &error));
    cr_assert_eq(error.code, ERROR_OUT_OF_RANGE);
    cr_assert_str_eq(error.reason, "NOT_THAT_ONE");
    cr_assert_str_eq(error.detail_key, "oldest");
    cr_assert_str_eq(error.detail_value, "7");
    cr_assert_eq(observed(owner, 0), ERROR_OUT_OF_RANGE);
    stop(owner);
}

Test(push, a_call_without_a_good_request_is_refused) {
    struct owner *owner = start(2);
    struct error error = {0};
    struct rpc_stream *empty = rpc_channel_open_stream(owner->channel, "/test.Push/Watch", NULL, &error);
    rpc_stream_writes_done(empty);
    expect_end(empty, ERROR_INVALID_ARGUMENT, "REQUEST_MISSING");
    struct rpc_stream *garbage = rpc_channel_open_stream(owner->channel, "/test.Push/Watch", NULL, &error);
    rpc_stream_write_bulk(garbage, bytes_of("\xff\xff\xff", 3), rpc_buffer_new(1), 0);
    rpc_stream_writes_done(garbage);
    expect_end(garbage, ERROR_INVALID_ARGUMENT, "MALFORMED_REQUEST");
    struct rpc_stream *large = rpc_channel_open_stream(owner->channel, "/test.Push/Watch", NULL, &error);
    rpc_stream_write_bulk(large, bytes_of(NULL, 0), rpc_buffer_new(FIXTURE_MAX_MESSAGE_BYTES + 1),
                          FIXTURE_MAX_MESSAGE_BYTES + 1);
    rpc_stream_writes_done(large);
    expect_end(large, ERROR_RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE");
    cr_assert_eq(call_count(owner), 0);
    stop(owner);
}
