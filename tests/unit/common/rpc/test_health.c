// rooms: waybill_rpc
#include "common/rpc/health.h"
#include "grpc/health/v1/health.pb-c.h"
#include "rpc_fixture.h"

TestSuite(health, .timeout = 60);

typedef Grpc__Health__V1__HealthCheckResponse__ServingStatus status;
#define STATUS(name) GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__##name

/* The status, or -1 and the error. */
static int check(struct rpc_channel *channel, const char *service, struct error *error) {
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    request.service = (char *)service;
    struct arena arena;
    arena_init(&arena);
    ProtobufCMessage *response;
    int found = -1;
    if (rpc_channel_call(channel, "/grpc.health.v1.Health/Check", NULL, &request.base,
                         &grpc__health__v1__health_check_response__descriptor, &arena, &response, error)) {
        found = (int)((Grpc__Health__V1__HealthCheckResponse *)response)->status;
    }
    arena_free(&arena);
    return found;
}

static struct rpc_stream *watch(struct rpc_channel *channel, const char *service) {
    struct error error;
    struct rpc_stream *stream = rpc_channel_open_stream(channel, "/grpc.health.v1.Health/Watch", NULL, &error);
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    request.service = (char *)service;
    /* A server that is full may have ended the call already: the read says so. */
    rpc_stream_write(stream, &request.base);
    rpc_stream_writes_done(stream);
    return stream;
}

static status next(struct rpc_stream *stream) {
    struct bytes wire;
    struct error error;
    cr_assert_eq(rpc_stream_read(stream, &wire, &error), RPC_READ_MESSAGE, "%s", error.message);
    Grpc__Health__V1__HealthCheckResponse *response =
        grpc__health__v1__health_check_response__unpack(NULL, wire.size, wire.data);
    status found = response->status;
    grpc__health__v1__health_check_response__free_unpacked(response, NULL);
    return found;
}

Test(health, the_whole_serves_while_every_name_does) {
    struct health *health = health_new();
    struct rpc_server *server = rpc_server_new(&fixture_options);
    health_add_to(health, server);
    fixture_start(server);
    struct rpc_channel *channel = fixture_connect(rpc_server_port(server));
    struct error error = {0};
    cr_assert_eq(check(channel, "", &error), STATUS(SERVING));
    health_set(health, "metadata.write", false);
    health_set(health, "metadata.read", true);
    cr_assert_eq(check(channel, "", &error), STATUS(NOT_SERVING));
    cr_assert_eq(check(channel, "metadata.read", &error), STATUS(SERVING));
    cr_assert_eq(check(channel, "metadata.write", &error), STATUS(NOT_SERVING));
    health_set(health, "metadata.write", true);
    cr_assert_eq(check(channel, "", &error), STATUS(SERVING));
    cr_assert(health_serving(health, "metadata.write"));
    cr_assert_eq(check(channel, "nobody", &error), -1);
    cr_assert_eq(error.code, ERROR_NOT_FOUND);
    cr_assert_not(health_serving(health, "nobody"));
    health_shut_down(health);
    health_set(health, "metadata.write", true);
    cr_assert_eq(check(channel, "metadata.write", &error), STATUS(NOT_SERVING));
    cr_assert_eq(check(channel, "", &error), STATUS(NOT_SERVING));
    fixture_stop(server, channel);
    health_free(health);
}

Test(health, a_watch_tells_each_change_and_ends_with_the_drain) {
    struct health *health = health_new();
    struct rpc_server *server = rpc_server_new(&fixture_options);
    health_add_to(health, server);
    fixture_start(server);
    struct rpc_channel *channel = fixture_connect(rpc_server_port(server));
    struct rpc_stream *stream = watch(channel, "events");
    cr_assert_eq(next(stream), STATUS(SERVICE_UNKNOWN));
    health_set(health, "events", true);
    cr_assert_eq(next(stream), STATUS(SERVING));
    health_set(health, "other", false);
    health_set(health, "events", true);
    health_set(health, "events", false);
    cr_assert_eq(next(stream), STATUS(NOT_SERVING));
    health_set(health, "events", true);
    cr_assert_eq(next(stream), STATUS(SERVING));
    health_shut_down(health);
    rpc_server_drain(server, 30000);
    cr_assert_eq(next(stream), STATUS(NOT_SERVING));
    struct bytes wire;
    struct error error = {0};
    cr_assert_eq(rpc_stream_read(stream, &wire, &error), RPC_READ_END);
    cr_assert(rpc_stream_close(stream, &error));
    rpc_channel_free(channel);
    rpc_server_free(server);
    health_free(health);
}

Test(health, a_watch_ends_when_its_client_goes) {
    struct health *health = health_new();
    struct rpc_server_options options = fixture_options;
    options.max_streams = 1;
    struct rpc_server *server = rpc_server_new(&options);
    health_add_to(health, server);
    health_set(health, "events", true);
    fixture_start(server);
    struct rpc_channel *channel = fixture_connect(rpc_server_port(server));
    struct error error = {0};
    for (int i = 0; i < 5;) {
        struct rpc_stream *stream = watch(channel, "events");
        struct bytes wire;
        /* The server may not have seen the last one go. */
        i += rpc_stream_read(stream, &wire, &error) == RPC_READ_MESSAGE;
        rpc_stream_cancel(stream);
        cr_assert_not(rpc_stream_close(stream, &error));
    }
    fixture_stop(server, channel);
    health_free(health);
}
