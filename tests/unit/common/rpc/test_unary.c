// rooms: waybill_rpc
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "rpc_fixture.h"

TestSuite(unary, .timeout = 60);

Test(unary, inline_and_blocking_handlers_answer) {
    struct rpc_server *server = rpc_server_new(&fixture_options);
    rpc_server_add_unary(server, "/test.Echo/Inline", RPC_INLINE, fixture_echo, NULL);
    rpc_server_add_unary(server, "/test.Echo/Blocking", RPC_BLOCKING, fixture_echo, NULL);
    fixture_start(server);
    struct rpc_channel *channel = fixture_connect(rpc_server_port(server));
    struct arena arena;
    arena_init(&arena);
    struct error error = {0};
    for (int i = 0; i < 200; i++) {
        char text[32];
        snprintf(text, sizeof text, "hello %d", i);
        const char *path = i % 2 == 0 ? "/test.Echo/Inline" : "/test.Echo/Blocking";
        const char *answer = fixture_call(channel, path, NULL, text, &arena, &error);
        cr_assert_not_null(answer, "%s", error.message);
        cr_assert_str_eq(answer, text);
    }
    arena_free(&arena);
    fixture_stop(server, channel);
}

static void *answer_later(void *argument) {
    struct rpc_call *call = argument;
    fixture_echo(NULL, call);
    return NULL;
}

static void hand_to_thread(void *service, struct rpc_call *call) {
    pthread_t *thread = service;
    if (*thread != 0) {
        pthread_join(*thread, NULL);
    }
    pthread_create(thread, NULL, answer_later, call);
}

Test(unary, a_call_may_be_answered_by_another_thread) {
    pthread_t thread = 0;
    struct rpc_server *server = rpc_server_new(&fixture_options);
    rpc_server_add_unary(server, "/test.Echo/Later", RPC_INLINE, hand_to_thread, &thread);
    fixture_start(server);
    struct rpc_channel *channel = fixture_connect(rpc_server_port(server));
    struct arena arena;
    arena_init(&arena);
    struct error error = {0};
    for (int i = 0; i < 50; i++) {
        cr_assert_str_eq(fixture_call(channel, "/test.Echo/Later", NULL, "x", &arena, &error), "x");
    }
    arena_free(&arena);
    fixture_stop(server, channel);
    pthread_join(thread, NULL);
}

static void fail_with_everything(void *service, struct rpc_call *call) {
    rpc_call_fail(call, service);
}

Test(unary, errors_come_back_with_their_details) {
    struct error sent;
    error_set(&sent, ERROR_ABORTED, "VERSION_MISMATCH", "the record is at version %d, caf\xc3\xa9", 7);
    snprintf(sent.field, sizeof sent.field, "if_version_match");
    error_set_detail(&sent, "current_version", "%d", 7);
    sent.retry_after_ms = 1234;
    struct rpc_server *server = rpc_server_new(&fixture_options);
    rpc_server_add_unary(server, "/test.Echo/Fail", RPC_INLINE, fail_with_everything, &sent);
    fixture_start(server);
    struct rpc_channel *channel = fixture_connect(rpc_server_port(server));
    struct arena arena;
    arena_init(&arena);
    struct error error = {0};
    cr_assert_null(fixture_call(channel, "/test.Echo/Fail", NULL, "x", &arena, &error));
    cr_assert_eq(error.code, ERROR_ABORTED);
    cr_assert_str_eq(error.reason, "VERSION_MISMATCH");
    cr_assert_str_eq(error.message, sent.message);
    cr_assert_str_eq(error.field, "if_version_match");
    cr_assert_str_eq(error.detail_key, "current_version");
    cr_assert_str_eq(error.detail_value, "7");
    cr_assert_eq(error.retry_after_ms, 1234);
    arena_free(&arena);
    fixture_stop(server, channel);
}

static void echo_header(void *service, struct rpc_call *call) {
    (void)service;
    const char *value = rpc_call_header(call, "x-actor");
    Google__Protobuf__Any answer = fixture_message(value != NULL ? value : "none");
    rpc_call_reply(call, &answer.base);
}

Test(unary, headers_reach_the_handler) {
    struct rpc_server *server = rpc_server_new(&fixture_options);
    rpc_server_add_unary(server, "/test.Echo/Header", RPC_INLINE, echo_header, NULL);
    fixture_start(server);
    struct rpc_channel *channel = fixture_connect(rpc_server_port(server));
    struct arena arena;
    arena_init(&arena);
    struct error error = {0};
    struct rpc_header headers[] = {{"x-actor", "me"}, {NULL, NULL}};
    struct rpc_call_options options = {.headers = headers};
    cr_assert_str_eq(fixture_call(channel, "/test.Echo/Header", &options, "", &arena, &error), "me");
    cr_assert_str_eq(fixture_call(channel, "/test.Echo/Header", NULL, "", &arena, &error), "none");
    headers[0].value = "a\nb";
    cr_assert_null(fixture_call(channel, "/test.Echo/Header", &options, "", &arena, &error));
    cr_assert_str_eq(error.reason, "BAD_HEADER");
    arena_free(&arena);
    fixture_stop(server, channel);
}

/* A handler that keeps calls until they are let go. */
struct keeper {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct rpc_call *kept[64];
    unsigned count;
};

#define KEEPER_INIT                                                                                                    \
    { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER }

static void keep(void *service, struct rpc_call *call) {
    struct keeper *keeper = service;
    pthread_mutex_lock(&keeper->lock);
    keeper->kept[keeper->count++] = call;
    pthread_cond_broadcast(&keeper->changed);
    pthread_mutex_unlock(&keeper->lock);
}

static unsigned kept_count(struct keeper *keeper) {
    pthread_mutex_lock(&keeper->lock);
    unsigned count = keeper->count;
    pthread_mutex_unlock(&keeper->lock);
    return count;
}

static void let_go(struct keeper *keeper) {
    pthread_mutex_lock(&keeper->lock);
    while (keeper->count > 0) {
        Google__Protobuf__Any answer = fixture_message("kept");
        rpc_call_reply(keeper->kept[--keeper->count], &answer.base);
    }
    pthread_mutex_unlock(&keeper->lock);
}

/* Counts the answers of started calls. */
struct answers {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned good;
    unsigned failed;
    struct error last;
};

#define ANSWERS_INIT                                                                                                   \
    { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER }

static void count_answer(void *context, struct bytes response, const struct error *error_or_null) {
    struct answers *answers = context;
    pthread_mutex_lock(&answers->lock);
    if (error_or_null == NULL && response.size > 0) {
        answers->good++;
    } else {
        answers->failed++;
        answers->last = *error_or_null;
    }
    pthread_cond_broadcast(&answers->changed);
    pthread_mutex_unlock(&answers->lock);
}

static void wait_for_answers(struct answers *answers, unsigned count) {
    pthread_mutex_lock(&answers->lock);
    while (answers->good + answers->failed < count) {
        pthread_cond_wait(&answers->changed, &answers->lock);
    }
    pthread_mutex_unlock(&answers->lock);
}

static void start_call(struct rpc_channel *channel, const char *path, struct answers *answers) {
    Google__Protobuf__Any request = fixture_message("x");
    struct error error = {0};
    cr_assert(rpc_channel_start(channel, path, NULL, &request.base, count_answer, answers, &error));
}

Test(unary, calls_beyond_the_limit_in_flight_are_told_to_come_later) {
    struct keeper keeper = KEEPER_INIT;
    struct answers answers = ANSWERS_INIT;
    struct rpc_server_options options = fixture_options;
    options.max_unary_in_flight = 8;
    struct rpc_server *server = rpc_server_new(&options);
    rpc_server_add_unary(server, "/test.Keep/Keep", RPC_INLINE, keep, &keeper);
    fixture_start(server);
    struct rpc_channel *channel = fixture_connect(rpc_server_port(server));
    for (int i = 0; i < 11; i++) {
        start_call(channel, "/test.Keep/Keep", &answers);
    }
    wait_for_answers(&answers, 3);
    cr_assert_eq(answers.failed, 3);
    cr_assert_eq(answers.last.code, ERROR_RESOURCE_EXHAUSTED);
    cr_assert_str_eq(answers.last.reason, "TOO_MANY_CALLS");
    cr_assert_gt(answers.last.retry_after_ms, 0);
    let_go(&keeper);
    wait_for_answers(&answers, 11);
    cr_assert_eq(answers.good, 8);
    fixture_stop(server, channel);
}

static void block_until_released(void *service, struct rpc_call *call) {
    struct keeper *keeper = service;
    pthread_mutex_lock(&keeper->lock);
    keeper->count++;
    pthread_cond_broadcast(&keeper->changed);
    while (keeper->count < 1000) {
        pthread_cond_wait(&keeper->changed, &keeper->lock);
    }
    pthread_mutex_unlock(&keeper->lock);
    fixture_echo(NULL, call);
}

static void release_blocked(struct keeper *keeper) {
    pthread_mutex_lock(&keeper->lock);
    keeper->count = 1000;
    pthread_cond_broadcast(&keeper->changed);
    pthread_mutex_unlock(&keeper->lock);
}

Test(unary, blocking_calls_beyond_the_queue_are_told_to_come_later) {
    struct keeper keeper = KEEPER_INIT;
    struct answers answers = ANSWERS_INIT;
    struct rpc_server_options options = fixture_options;
    options.blocking_threads = 2;
    options.max_waiting = 3;
    struct rpc_server *server = rpc_server_new(&options);
    rpc_server_add_unary(server, "/test.Block/Block", RPC_BLOCKING, block_until_released, &keeper);
    fixture_start(server);
    struct rpc_channel *channel = fixture_connect(rpc_server_port(server));
    for (int i = 0; i < 9; i++) {
        start_call(channel, "/test.Block/Block", &answers);
    }
    wait_for_answers(&answers, 4);
    cr_assert_eq(answers.failed, 4);
    cr_assert_str_eq(answers.last.reason, "TOO_MANY_WAITING");
    release_blocked(&keeper);
    wait_for_answers(&answers, 9);
    cr_assert_eq(answers.good, 5);
    fixture_stop(server, channel);
}

Test(unary, a_passed_deadline_ends_the_call) {
    struct keeper keeper = KEEPER_INIT;
    struct rpc_server *server = rpc_server_new(&fixture_options);
    rpc_server_add_unary(server, "/test.Keep/Keep", RPC_INLINE, keep, &keeper);
    fixture_start(server);
    struct rpc_channel *channel = fixture_connect(rpc_server_port(server));
    struct arena arena;
    arena_init(&arena);
    struct error error = {0};
    /* Long enough to arrive, which a busy machine may need a few trials for. */
    for (int64_t timeout_ms = 50; kept_count(&keeper) == 0; timeout_ms *= 2) {
        struct rpc_call_options options = {.timeout_ms = timeout_ms};
        cr_assert_null(fixture_call(channel, "/test.Keep/Keep", &options, "", &arena, &error));
        cr_assert_eq(error.code, ERROR_DEADLINE_EXCEEDED);
    }
    /* The deadline travels rounded up, so the server's ends a little later. */
    cr_assert_lt(rpc_call_time_left_us(keeper.kept[0]), 50000);
    let_go(&keeper);
    arena_free(&arena);
    fixture_stop(server, channel);
}

Test(unary, a_message_too_long_is_refused_and_names_the_limit) {
    struct rpc_server_options options = fixture_options;
    options.max_message_bytes = 1000;
    struct rpc_server *server = rpc_server_new(&options);
    rpc_server_add_unary(server, "/test.Echo/Inline", RPC_INLINE, fixture_echo, NULL);
    fixture_start(server);
    struct rpc_channel *channel = fixture_connect(rpc_server_port(server));
    struct arena arena;
    arena_init(&arena);
    struct error error = {0};
    char *text = malloc(1 << 20);
    memset(text, 'a', 1 << 20);
    text[900] = '\0';
    cr_assert_not_null(fixture_call(channel, "/test.Echo/Inline", NULL, text, &arena, &error));
    text[900] = 'a';
    text[1100] = '\0';
    cr_assert_null(fixture_call(channel, "/test.Echo/Inline", NULL, text, &arena, &error));
    cr_assert_eq(error.code, ERROR_RESOURCE_EXHAUSTED);
    cr_assert_str_eq(error.reason, "MESSAGE_TOO_LARGE");
    cr_assert_str_eq(error.detail_value, "1000");
    text[1100] = 'a';
    text[(1 << 20) - 1] = '\0';
    cr_assert_null(fixture_call(channel, "/test.Echo/Inline", NULL, text, &arena, &error));
    cr_assert_eq(error.code, ERROR_RESOURCE_EXHAUSTED);
    free(text);
    arena_free(&arena);
    fixture_stop(server, channel);
}

Test(unary, unknown_and_not_yet_served_methods_are_told_apart) {
    struct rpc_server *server = rpc_server_new(&fixture_options);
    ProtobufCMethodDescriptor methods[] = {
        {"Here", &google__protobuf__any__descriptor, &google__protobuf__any__descriptor},
        {"Later", &google__protobuf__any__descriptor, &google__protobuf__any__descriptor},
    };
    unsigned by_name[] = {0, 1};
    ProtobufCServiceDescriptor service = {
        PROTOBUF_C__SERVICE_DESCRIPTOR_MAGIC, "test.Half", "Half", "Test__Half", "test", 2, methods, by_name};
    rpc_server_add_service(server, &service);
    rpc_server_add_unary(server, "/test.Half/Here", RPC_INLINE, fixture_echo, NULL);
    fixture_start(server);
    struct rpc_channel *channel = fixture_connect(rpc_server_port(server));
    struct arena arena;
    arena_init(&arena);
    struct error error = {0};
    cr_assert_not_null(fixture_call(channel, "/test.Half/Here", NULL, "", &arena, &error));
    cr_assert_null(fixture_call(channel, "/test.Half/Later", NULL, "", &arena, &error));
    cr_assert_eq(error.code, ERROR_UNIMPLEMENTED);
    cr_assert_str_eq(error.reason, "NOT_SERVED_YET");
    for (int i = 0; i < 50; i++) {
        cr_assert_null(fixture_call(channel, "/test.Half/Never", NULL, "", &arena, &error));
        cr_assert_eq(error.code, ERROR_UNIMPLEMENTED);
        cr_assert_str_eq(error.reason, "UNKNOWN_METHOD");
    }
    arena_free(&arena);
    fixture_stop(server, channel);
}

static void *start_after_refusals(void *argument) {
    struct rpc_server *server = argument;
    fixture_start(server);
    return NULL;
}

struct flaky {
    atomic_uint calls;
    struct error error;
};

static void fail_twice(void *service, struct rpc_call *call) {
    struct flaky *flaky = service;
    if (atomic_fetch_add(&flaky->calls, 1) < 2) {
        rpc_call_fail(call, &flaky->error);
    } else {
        fixture_echo(NULL, call);
    }
}

Test(unary, only_what_may_pass_is_tried_again) {
    struct flaky flaky = {0};
    error_set(&flaky.error, ERROR_UNAVAILABLE, "DRAINING", "not now");
    struct rpc_server *server = rpc_server_new(&fixture_options);
    rpc_server_add_unary(server, "/test.Flaky/Flaky", RPC_INLINE, fail_twice, &flaky);
    fixture_start(server);
    struct rpc_channel *channel = fixture_connect(rpc_server_port(server));
    struct arena arena;
    arena_init(&arena);
    struct error error = {0};
    struct rpc_call_options options = {.max_attempts = 5};
    cr_assert_not_null(fixture_call(channel, "/test.Flaky/Flaky", &options, "", &arena, &error));
    cr_assert_eq(atomic_load(&flaky.calls), 3);

    error_set(&flaky.error, ERROR_RESOURCE_EXHAUSTED, "FULL", "later");
    flaky.error.retry_after_ms = 5;
    atomic_store(&flaky.calls, 0);
    cr_assert_not_null(fixture_call(channel, "/test.Flaky/Flaky", &options, "", &arena, &error));
    cr_assert_eq(atomic_load(&flaky.calls), 3);

    flaky.error.retry_after_ms = 0;
    atomic_store(&flaky.calls, 0);
    cr_assert_null(fixture_call(channel, "/test.Flaky/Flaky", &options, "", &arena, &error));
    cr_assert_eq(atomic_load(&flaky.calls), 1);
    arena_free(&arena);
    fixture_stop(server, channel);
}

Test(unary, retries_bridge_the_restart_of_a_server) {
    struct rpc_server *server = rpc_server_new(&fixture_options);
    rpc_server_add_unary(server, "/test.Echo/Inline", RPC_INLINE, fixture_echo, NULL);
    fixture_start(server);
    int port = rpc_server_port(server);
    struct rpc_channel *channel = fixture_connect(port);
    struct arena arena;
    arena_init(&arena);
    struct error error = {0};
    cr_assert_not_null(fixture_call(channel, "/test.Echo/Inline", NULL, "", &arena, &error));
    rpc_server_drain(server, 1000);
    rpc_server_free(server);
    cr_assert_null(fixture_call(channel, "/test.Echo/Inline", NULL, "", &arena, &error));
    cr_assert_eq(error.code, ERROR_UNAVAILABLE);

    char listen[32];
    snprintf(listen, sizeof listen, "127.0.0.1:%d", port);
    struct rpc_server_options options = fixture_options;
    options.listen = listen;
    struct rpc_server *again = rpc_server_new(&options);
    rpc_server_add_unary(again, "/test.Echo/Inline", RPC_INLINE, fixture_echo, NULL);
    pthread_t thread;
    pthread_create(&thread, NULL, start_after_refusals, again);
    struct rpc_call_options patient = {.timeout_ms = 20000, .max_attempts = 1000};
    const char *answer = fixture_call(channel, "/test.Echo/Inline", &patient, "back", &arena, &error);
    cr_assert_not_null(answer, "%s", error.message);
    cr_assert_str_eq(answer, "back");
    pthread_join(thread, NULL);
    arena_free(&arena);
    fixture_stop(again, channel);
}

/* The core waits longer and longer between connections; a call must not fail by that alone. */
Test(unary, a_server_that_was_away_for_long_is_found_at_once) {
    struct rpc_server *server = rpc_server_new(&fixture_options);
    fixture_start(server);
    int port = rpc_server_port(server);
    struct rpc_channel *channel = fixture_connect(port);
    rpc_server_drain(server, 1000);
    rpc_server_free(server);
    struct arena arena;
    arena_init(&arena);
    struct error error = {0};
    int64_t until_us = clock_monotonic_us(&system_clock) + 1500000;
    while (clock_monotonic_us(&system_clock) < until_us) {
        cr_assert_null(fixture_call(channel, "/test.Echo/Inline", NULL, "", &arena, &error));
        usleep(20000);
    }

    char listen[32];
    snprintf(listen, sizeof listen, "127.0.0.1:%d", port);
    struct rpc_server_options options = fixture_options;
    options.listen = listen;
    struct rpc_server *again = rpc_server_new(&options);
    rpc_server_add_unary(again, "/test.Echo/Inline", RPC_INLINE, fixture_echo, NULL);
    fixture_start(again);
    struct rpc_call_options few = {.timeout_ms = 20000, .max_attempts = 5};
    cr_assert_not_null(fixture_call(channel, "/test.Echo/Inline", &few, "", &arena, &error), "%s", error.message);
    arena_free(&arena);
    fixture_stop(again, channel);
}

/* A server in a process of its own, which goes and comes back when it is told to. */
static _Noreturn void serve_in_turns(int orders, int answers) {
    struct rpc_server_options options = fixture_options;
    char listen[32] = "127.0.0.1:0";
    options.listen = listen;
    int port = 0;
    char order;
    do {
        struct rpc_server *server = rpc_server_new(&options);
        rpc_server_add_unary(server, "/test.Echo/Inline", RPC_INLINE, fixture_echo, NULL);
        fixture_start(server);
        port = rpc_server_port(server);
        snprintf(listen, sizeof listen, "127.0.0.1:%d", port);
        bool told = write(answers, &port, sizeof port) == sizeof port && read(orders, &order, 1) == 1;
        rpc_server_drain(server, 1000);
        rpc_server_free(server);
        if (!told || write(answers, &port, sizeof port) != sizeof port) {
            break;
        }
    } while (read(orders, &order, 1) == 1);
    _exit(0);
}

static int next_turn(int orders, int answers) {
    int port = 0;
    cr_assert_eq(write(orders, "x", 1), 1);
    cr_assert_eq(read(answers, &port, sizeof port), sizeof port);
    return port;
}

/* As in a command: no thread of this process polls but the one that calls. */
Test(unary, attempts_find_a_server_that_is_back_where_nothing_else_polls) {
#ifdef __SANITIZE_THREAD__
    cr_skip_test("ThreadSanitizer lets a fork of a process with threads make none");
#endif
    int orders[2];
    int answers[2];
    cr_assert_eq(pipe(orders), 0);
    cr_assert_eq(pipe(answers), 0);
    pid_t child = fork();
    if (child == 0) {
        close(orders[1]);
        close(answers[0]);
        serve_in_turns(orders[0], answers[1]);
    }
    close(orders[0]);
    close(answers[1]);
    int port = 0;
    cr_assert_eq(read(answers[0], &port, sizeof port), sizeof port);
    struct rpc_channel *channel = fixture_connect(port);
    struct arena arena;
    arena_init(&arena);
    struct error error = {0};
    for (int i = 0; i < 3; i++) {
        cr_assert_not_null(fixture_call(channel, "/test.Echo/Inline", NULL, "", &arena, &error), "%s", error.message);
        next_turn(orders[1], answers[0]);
        struct rpc_call_options few = {.timeout_ms = 20000, .max_attempts = 3};
        cr_assert_null(fixture_call(channel, "/test.Echo/Inline", &few, "", &arena, &error));
        next_turn(orders[1], answers[0]);
        few.max_attempts = 8;
        cr_assert_not_null(fixture_call(channel, "/test.Echo/Inline", &few, "", &arena, &error), "%s", error.message);
    }
    rpc_channel_free(channel);
    arena_free(&arena);
    close(orders[1]);
    int status = 0;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
}

Test(unary, a_call_to_nobody_fails_within_its_deadline) {
    struct rpc_channel *channel = fixture_connect(1);
    struct arena arena;
    arena_init(&arena);
    struct error error = {0};
    struct rpc_call_options options = {.timeout_ms = 500, .max_attempts = 100};
    cr_assert_null(fixture_call(channel, "/test.Echo/Inline", &options, "", &arena, &error));
    /* The last attempt may be the one that the deadline ends. */
    cr_assert(error.code == ERROR_UNAVAILABLE || error.code == ERROR_DEADLINE_EXCEEDED);
    rpc_channel_free(channel);
    arena_free(&arena);
}

struct observed {
    atomic_uint finished;
    struct {
        enum error_code code;
        char method[64];
    } calls[2];
};

static void observe(void *self, const char *method, enum error_code code, int64_t duration_us) {
    struct observed *observed = self;
    cr_assert_geq(duration_us, 0);
    unsigned number = atomic_load(&observed->finished);
    cr_assert_lt(number, 2);
    observed->calls[number].code = code;
    snprintf(observed->calls[number].method, sizeof observed->calls[number].method, "%s", method);
    atomic_fetch_add(&observed->finished, 1);
}

Test(unary, the_observer_has_seen_a_call_before_its_client_has_the_answer) {
    struct observed observed = {0};
    struct rpc_server *server = rpc_server_new(&fixture_options);
    rpc_server_observe(server, (struct rpc_observer){observe, &observed});
    rpc_server_add_unary(server, "/test.Echo/Inline", RPC_INLINE, fixture_echo, NULL);
    fixture_start(server);
    struct rpc_channel *channel = fixture_connect(rpc_server_port(server));
    struct arena arena;
    arena_init(&arena);
    struct error error = {0};
    fixture_call(channel, "/test.Echo/Inline", NULL, "", &arena, &error);
    cr_assert_eq(atomic_load(&observed.finished), 1);
    cr_assert_str_eq(observed.calls[0].method, "/test.Echo/Inline");
    cr_assert_eq(observed.calls[0].code, ERROR_OK);
    fixture_call(channel, "/test.Echo/Unknown", NULL, "", &arena, &error);
    cr_assert_eq(atomic_load(&observed.finished), 2);
    cr_assert_str_eq(observed.calls[1].method, "unknown");
    cr_assert_eq(observed.calls[1].code, ERROR_UNIMPLEMENTED);
    arena_free(&arena);
    fixture_stop(server, channel);
}

Test(unary, a_text_that_is_not_utf8_is_refused_with_its_field) {
    struct rpc_server *server = rpc_server_new(&fixture_options);
    rpc_server_add_unary(server, "/test.Echo/Inline", RPC_INLINE, fixture_echo, NULL);
    fixture_start(server);
    struct rpc_channel *channel = fixture_connect(rpc_server_port(server));
    struct arena arena;
    arena_init(&arena);
    struct error error = {0};
    cr_assert_null(fixture_call(channel, "/test.Echo/Inline", NULL, "\xff", &arena, &error));
    cr_assert_eq(error.code, ERROR_INVALID_ARGUMENT);
    cr_assert_str_eq(error.reason, "BAD_UTF8");
    cr_assert_str_eq(error.field, "type_url");
    arena_free(&arena);
    fixture_stop(server, channel);
}
