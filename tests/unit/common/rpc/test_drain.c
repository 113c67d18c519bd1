// rooms: waybill_rpc
#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "rpc_fixture.h"

TestSuite(drain, .timeout = 60);

/* A handler that holds its call until it is let go, and says that it began. */
struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool began;
    bool open;
};

#define GATE_INIT                                                                                                      \
    { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER }

static void gate_set(struct gate *gate, bool *flag) {
    pthread_mutex_lock(&gate->lock);
    *flag = true;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->lock);
}

static void gate_wait(struct gate *gate, bool *flag) {
    pthread_mutex_lock(&gate->lock);
    while (!*flag) {
        pthread_cond_wait(&gate->changed, &gate->lock);
    }
    pthread_mutex_unlock(&gate->lock);
}

static void held_echo(void *service, struct rpc_call *call) {
    struct gate *gate = service;
    gate_set(gate, &gate->began);
    gate_wait(gate, &gate->open);
    fixture_echo(NULL, call);
}

struct caller {
    struct rpc_channel *channel;
    const char *path;
    bool ok;
    struct error error;
};

static void *call_it(void *argument) {
    struct caller *caller = argument;
    struct arena arena;
    arena_init(&arena);
    caller->ok = fixture_call(caller->channel, caller->path, NULL, "x", &arena, &caller->error) != NULL;
    arena_free(&arena);
    return NULL;
}

struct drainer {
    struct rpc_server *server;
    int64_t grace_ms;
};

static void *drain_it(void *argument) {
    struct drainer *drainer = argument;
    rpc_server_drain(drainer->server, drainer->grace_ms);
    return NULL;
}

Test(drain, finishes_calls_under_way_and_takes_no_new_ones) {
    struct gate gate = GATE_INIT;
    struct rpc_server *server = rpc_server_new(&fixture_options);
    rpc_server_add_unary(server, "/test.Held/Held", RPC_BLOCKING, held_echo, &gate);
    rpc_server_add_unary(server, "/test.Echo/Echo", RPC_INLINE, fixture_echo, NULL);
    fixture_start(server);
    struct caller caller = {.channel = fixture_connect(rpc_server_port(server)), .path = "/test.Held/Held"};
    struct drainer drainer = {server, 30000};
    pthread_t calling, draining;
    pthread_create(&calling, NULL, call_it, &caller);
    gate_wait(&gate, &gate.began);
    pthread_create(&draining, NULL, drain_it, &drainer);
    struct rpc_channel *late = fixture_connect(rpc_server_port(server));
    struct caller refused = {.channel = late, .path = "/test.Echo/Echo", .ok = true};
    while (refused.ok) {
        call_it(&refused); /* the drain begins on its own thread */
    }
    cr_assert_eq(refused.error.code, ERROR_UNAVAILABLE, "%s", refused.error.message);
    gate_set(&gate, &gate.open);
    pthread_join(calling, NULL);
    cr_assert(caller.ok, "%s", caller.error.message);
    pthread_join(draining, NULL);
    rpc_channel_free(caller.channel);
    rpc_channel_free(late);
    rpc_server_free(server);
}

static void *call_until_refused(void *argument) {
    struct caller *caller = argument;
    do {
        call_it(caller);
    } while (caller->ok);
    return NULL;
}

Test(drain, under_load_is_never_anything_but_unavailable) {
    enum { CALLERS = 4 };
    struct rpc_server *server = rpc_server_new(&fixture_options);
    rpc_server_add_unary(server, "/test.Echo/Inline", RPC_INLINE, fixture_echo, NULL);
    rpc_server_add_unary(server, "/test.Echo/Blocking", RPC_BLOCKING, fixture_echo, NULL);
    fixture_start(server);
    struct caller callers[CALLERS] = {0};
    pthread_t threads[CALLERS];
    for (int i = 0; i < CALLERS; i++) {
        callers[i].channel = fixture_connect(rpc_server_port(server));
        callers[i].path = i % 2 == 0 ? "/test.Echo/Inline" : "/test.Echo/Blocking";
        call_it(&callers[i]);
        cr_assert(callers[i].ok);
    }
    for (int i = 0; i < CALLERS; i++) {
        pthread_create(&threads[i], NULL, call_until_refused, &callers[i]);
    }
    rpc_server_drain(server, 10000);
    rpc_server_free(server);
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(threads[i], NULL);
        cr_assert_eq(callers[i].error.code, ERROR_UNAVAILABLE, "%s", callers[i].error.message);
        bool told = strcmp(callers[i].error.reason, "DRAINING") == 0; /* else the connection was closed already */
        cr_assert(!told || callers[i].error.retry_after_ms == ERROR_RETRY_DRAINING_MS);
        rpc_channel_free(callers[i].channel);
    }
}

static void read_for_ever(void *service, struct rpc_stream *stream) {
    struct gate *gate = service;
    gate_set(gate, &gate->began);
    struct bytes message;
    struct error error = {0};
    while (rpc_stream_read(stream, &message, &error) == RPC_READ_MESSAGE) {
    }
    rpc_stream_finish(stream, &error);
}

Test(drain, cancels_what_is_left_after_the_grace) {
    struct gate gate = GATE_INIT;
    struct rpc_server *server = rpc_server_new(&fixture_options);
    rpc_server_add_stream(server, "/test.Stream/Read", read_for_ever, &gate);
    fixture_start(server);
    struct rpc_channel *channel = fixture_connect(rpc_server_port(server));
    struct error error = {0};
    struct rpc_stream *stream = rpc_channel_open_stream(channel, "/test.Stream/Read", NULL, &error);
    rpc_stream_begin(stream);
    gate_wait(&gate, &gate.began);
    rpc_server_drain(server, 50);
    rpc_server_free(server);
    cr_assert_not(rpc_stream_close(stream, &error));
    cr_assert_eq(error.code, ERROR_UNAVAILABLE, "%s: %s", error.reason, error.message);
    rpc_channel_free(channel);
}

static void wait_for_end(void *service, struct rpc_stream *stream) {
    struct gate *gate = service;
    gate_set(gate, &gate->began);
    while (rpc_stream_wait(stream, 60000)) {
    }
    rpc_stream_finish(stream, NULL);
}

Test(drain, wakes_handlers_that_wait_for_something_else) {
    struct gate gate = GATE_INIT;
    struct rpc_server *server = rpc_server_new(&fixture_options);
    rpc_server_add_stream(server, "/test.Stream/Wait", wait_for_end, &gate);
    fixture_start(server);
    struct rpc_channel *channel = fixture_connect(rpc_server_port(server));
    struct error error = {0};
    struct rpc_stream *stream = rpc_channel_open_stream(channel, "/test.Stream/Wait", NULL, &error);
    rpc_stream_begin(stream);
    gate_wait(&gate, &gate.began);
    rpc_server_drain(server, 30000);
    rpc_server_free(server);
    cr_assert(rpc_stream_close(stream, &error), "%s", error.message);
    rpc_channel_free(channel);
}

static void read_until_drain(void *service, struct rpc_stream *stream) {
    rpc_stream_end_reads_on_drain(stream);
    read_for_ever(service, stream);
}

Test(drain, ends_reads_of_streams_without_end) {
    struct gate gate = GATE_INIT;
    struct rpc_server *server = rpc_server_new(&fixture_options);
    rpc_server_add_stream(server, "/test.Stream/Read", read_until_drain, &gate);
    fixture_start(server);
    struct rpc_channel *channel = fixture_connect(rpc_server_port(server));
    struct error error = {0};
    struct rpc_stream *stream = rpc_channel_open_stream(channel, "/test.Stream/Read", NULL, &error);
    rpc_stream_begin(stream);
    gate_wait(&gate, &gate.began);
    rpc_server_drain(server, 30000);
    rpc_server_free(server);
    cr_assert_not(rpc_stream_close(stream, &error));
    cr_assert_str_eq(error.reason, "DRAINING");
    cr_assert_eq(error.retry_after_ms, ERROR_RETRY_DRAINING_MS);
    rpc_channel_free(channel);
}

Test(drain, a_server_never_started_or_never_called_can_be_freed) {
    struct rpc_server *server = rpc_server_new(&fixture_options);
    rpc_server_free(server);
    server = rpc_server_new(&fixture_options);
    rpc_server_add_unary(server, "/test.Echo/Echo", RPC_INLINE, fixture_echo, NULL);
    fixture_start(server);
    rpc_server_drain(server, 1000);
    rpc_server_free(server);
}

Test(drain, a_taken_port_is_refused) {
    struct rpc_server *server = rpc_server_new(&fixture_options);
    fixture_start(server);
    char listen[32];
    snprintf(listen, sizeof listen, "127.0.0.1:%d", rpc_server_port(server));
    struct rpc_server_options options = fixture_options;
    options.listen = listen;
    struct rpc_server *second = rpc_server_new(&options);
    struct error error = {0};
    cr_assert_not(rpc_server_start(second, &error));
    cr_assert_eq(error.code, ERROR_UNAVAILABLE);
    rpc_server_free(second);
    rpc_server_drain(server, 1000);
    rpc_server_free(server);
}

/* ---- garbage at the port ---- */

static int connect_to(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
static const char settings[9] = "\0\0\0\4\0\0\0\0\0";

Test(drain, is_not_held_up_by_a_client_that_does_not_look) {
    struct rpc_server *server = rpc_server_new(&fixture_options);
    fixture_start(server);
    int fd = connect_to(rpc_server_port(server));
    send(fd, preface, sizeof preface - 1, MSG_NOSIGNAL);
    send(fd, settings, sizeof settings, MSG_NOSIGNAL);
    uint8_t answer[9];
    cr_assert_gt(recv(fd, answer, sizeof answer, 0), 0);
    time_t begin = time(NULL);
    rpc_server_drain(server, 60000);
    cr_assert_lt(time(NULL) - begin, 20);
    rpc_server_free(server);
    close(fd);
}

/* Sends, and reads until the server closes or has nothing to say for a while. */
static void send_garbage(int port, const uint8_t *data, size_t size) {
    int fd = connect_to(port);
    send(fd, data, size, MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    struct timeval most = {.tv_sec = 2};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
    uint8_t answer[512];
    while (recv(fd, answer, sizeof answer, 0) > 0) {
    }
    close(fd);
}

Test(drain, random_bytes_at_the_port_do_no_harm) {
    struct rpc_server *server = rpc_server_new(&fixture_options);
    rpc_server_add_unary(server, "/test.Echo/Echo", RPC_INLINE, fixture_echo, NULL);
    fixture_start(server);
    int port = rpc_server_port(server);
    unsigned seed = 42;
    uint8_t data[4096];
    for (int round = 0; round < 100; round++) {
        size_t size = (size_t)rand_r(&seed) % sizeof data;
        for (size_t i = 0; i < size; i++) {
            data[i] = (uint8_t)rand_r(&seed);
        }
        if (round % 2 == 0 && size > 64) {
            /* A good start, a good empty SETTINGS frame, then noise. */
            memcpy(data, preface, sizeof preface - 1);
            memcpy(data + sizeof preface - 1, settings, sizeof settings);
        }
        send_garbage(port, data, size);
    }
    struct rpc_channel *channel = fixture_connect(port);
    struct arena arena;
    arena_init(&arena);
    struct error error = {0};
    cr_assert_not_null(fixture_call(channel, "/test.Echo/Echo", NULL, "well", &arena, &error), "%s", error.message);
    arena_free(&arena);
    fixture_stop(server, channel);
}

Test(drain, random_messages_in_good_frames_do_no_harm) {
    struct rpc_server *server = rpc_server_new(&fixture_options);
    rpc_server_add_unary(server, "/test.Echo/Echo", RPC_INLINE, fixture_echo, NULL);
    fixture_start(server);
    struct rpc_channel *channel = fixture_connect(rpc_server_port(server));
    unsigned seed = 7;
    struct error error = {0};
    for (int round = 0; round < 300; round++) {
        struct rpc_stream *stream = rpc_channel_open_stream(channel, "/test.Echo/Echo", NULL, &error);
        uint8_t data[64];
        size_t size = (size_t)rand_r(&seed) % sizeof data;
        for (size_t i = 0; i < size; i++) {
            data[i] = (uint8_t)rand_r(&seed);
        }
        rpc_stream_write_bulk(stream, bytes_of(data, size), rpc_buffer_new(1), 0);
        rpc_stream_writes_done(stream);
        struct bytes message;
        while (rpc_stream_read(stream, &message, &error) == RPC_READ_MESSAGE) {
        }
        if (!rpc_stream_close(stream, &error)) {
            cr_assert_eq(error.code, ERROR_INVALID_ARGUMENT, "%s", error.message);
        }
    }
    fixture_stop(server, channel);
}
