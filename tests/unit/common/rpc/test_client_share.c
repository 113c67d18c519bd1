// rooms: waybill_rpc
#include "rpc_fixture.h"

#include <pthread.h>
#include <stdlib.h>

TestSuite(client_share, .timeout = 60);

enum { CALLS = 40 };

/* A service that answers when it is told to, and one caller's view of it. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct rpc_call *kept[CALLS * 2];
static unsigned kept_count;
static struct error refused;
static unsigned refused_count;

static void keep(void *service, struct rpc_call *call) {
    (void)service;
    pthread_mutex_lock(&lock);
    kept[kept_count++] = call;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void count_refusals(void *context, struct bytes response, const struct error *error) {
    (void)context;
    (void)response;
    pthread_mutex_lock(&lock);
    if (error != NULL) {
        refused = *error;
        refused_count++;
    }
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void start_calls(struct rpc_channel *channel, const char *path, int count, size_t bytes) {
    char *text = calloc(1, bytes + 1);
    memset(text, 'x', bytes);
    Google__Protobuf__Any request = fixture_message(text);
    struct error error = {0};
    for (int i = 0; i < count; i++) {
        cr_assert(rpc_channel_start(channel, path, NULL, &request.base, count_refusals, NULL, &error));
    }
    free(text);
}

static void wait_for(unsigned *number, unsigned value) {
    pthread_mutex_lock(&lock);
    while (*number < value) {
        pthread_cond_wait(&changed, &lock);
    }
    pthread_mutex_unlock(&lock);
}

static void answer_all(void) {
    Google__Protobuf__Any answer = fixture_message("kept");
    while (kept_count > 0) {
        rpc_call_reply(kept[--kept_count], &answer.base);
    }
}

static struct rpc_server *serve(unsigned max_unary_in_flight) {
    struct rpc_server_options options = fixture_options;
    options.max_unary_in_flight = max_unary_in_flight;
    options.client_share_percent = 75;
    options.blocking_threads = 1;
    struct rpc_server *server = rpc_server_new(&options);
    rpc_server_add_unary(server, "/test.Keep/Keep", RPC_INLINE, keep, NULL);
    rpc_server_add_unary_apart(server, "/test.Keep/Apart", RPC_INLINE, keep, NULL, 2);
    return server;
}

Test(client_share, one_client_full_of_calls_leaves_places_for_others) {
    struct rpc_server *server = serve(CALLS);
    fixture_start(server);
    struct rpc_channel *greedy = fixture_connect(rpc_server_port(server));
    struct rpc_channel *other = fixture_connect(rpc_server_port(server));
    start_calls(greedy, "/test.Keep/Keep", CALLS, 1);
    wait_for(&refused_count, CALLS - CALLS * 3 / 4);
    cr_assert_eq(refused.code, ERROR_RESOURCE_EXHAUSTED);
    cr_assert_str_eq(refused.reason, "CLIENT_OVER_SHARE");
    cr_assert_gt(refused.retry_after_ms, 0);
    start_calls(other, "/test.Keep/Keep", 1, 1);
    wait_for(&kept_count, CALLS * 3 / 4 + 1);
    cr_assert_neq(rpc_call_client(kept[0]), rpc_call_client(kept[CALLS * 3 / 4]));
    cr_assert_eq(rpc_call_client(kept[0]), rpc_call_client(kept[1]));
    answer_all();
    rpc_channel_free(other);
    fixture_stop(server, greedy);
}

Test(client_share, methods_apart_are_not_kept_out_by_any_others) {
    struct rpc_server *server = serve(2);
    fixture_start(server);
    struct rpc_channel *channel = fixture_connect(rpc_server_port(server));
    start_calls(channel, "/test.Keep/Keep", 3, 1);
    wait_for(&refused_count, 1);
    cr_assert_str_eq(refused.reason, "TOO_MANY_CALLS");
    start_calls(channel, "/test.Keep/Apart", 2, 1);
    wait_for(&kept_count, 4);
    start_calls(channel, "/test.Keep/Apart", 1, 1);
    wait_for(&refused_count, 2);
    answer_all();
    fixture_stop(server, channel);
}

Test(client_share, a_large_request_takes_many_places) {
    struct rpc_server *server = serve(CALLS);
    fixture_start(server);
    struct rpc_channel *channel = fixture_connect(rpc_server_port(server));
    start_calls(channel, "/test.Keep/Keep", 1, CALLS * 32 * 1024); /* more than all: it is alone */
    wait_for(&kept_count, 1);
    start_calls(channel, "/test.Keep/Keep", 1, 1);
    wait_for(&refused_count, 1);
    cr_assert_str_eq(refused.reason, "TOO_MANY_CALLS");
    answer_all();
    fixture_stop(server, channel);
}

static void wait_for_end(void *service, struct rpc_stream *stream) {
    (void)service;
    struct bytes message;
    struct error error = {0};
    while (rpc_stream_read(stream, &message, &error) == RPC_READ_MESSAGE) {
        Google__Protobuf__Any hello = fixture_message("hello");
        rpc_stream_write(stream, &hello.base);
    }
    rpc_stream_finish(stream, NULL);
}

/* Whether the stream gets a handler. */
static bool is_served(struct rpc_stream *stream, struct error *error) {
    Google__Protobuf__Any hello = fixture_message("hello");
    struct bytes message;
    rpc_stream_write(stream, &hello.base);
    return rpc_stream_read(stream, &message, error) == RPC_READ_MESSAGE;
}

Test(client_share, one_client_full_of_streams_leaves_some_for_others) {
    enum { STREAMS = 16, SHARE = 12 };
    struct rpc_server_options options = fixture_options;
    options.client_share_percent = 75;
    struct rpc_server *server = rpc_server_new(&options);
    rpc_server_add_stream(server, "/test.Stream/Wait", wait_for_end, NULL);
    fixture_start(server);
    struct rpc_channel *greedy = fixture_connect(rpc_server_port(server));
    struct rpc_channel *other = fixture_connect(rpc_server_port(server));
    struct rpc_stream *streams[STREAMS];
    struct error error = {0};
    for (int i = 0; i < STREAMS; i++) {
        streams[i] = rpc_channel_open_stream(greedy, "/test.Stream/Wait", NULL, &error);
        cr_assert_eq(is_served(streams[i], &error), i < SHARE, "stream %d", i);
    }
    cr_assert_str_eq(error.reason, "CLIENT_OVER_SHARE");
    struct rpc_stream *one = rpc_channel_open_stream(other, "/test.Stream/Wait", NULL, &error);
    cr_assert(is_served(one, &error), "%s", error.message);
    cr_assert(rpc_stream_close(one, &error), "%s", error.message);
    for (int i = 0; i < STREAMS; i++) {
        rpc_stream_close(streams[i], &error);
    }
    rpc_channel_free(other);
    fixture_stop(server, greedy);
}
