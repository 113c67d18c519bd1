// rooms: waybill_client
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/checksum/crc32c.h"
#include "common/client/waybill_client.h"
#include "common/rpc/rpc_server.h"
#include "common/rpc/rpc_stream.h"

TestSuite(client_snapshot, .timeout = 60);

enum { PIECES = 3, PIECE_BYTES = 1000 };

/* A service whose snapshot is PIECES pieces, and what it does wrong; set before it starts. */
struct service {
    struct rpc_server *server;
    unsigned calls;
    unsigned busy_calls;    /* answered with SNAPSHOT_RUNNING first */
    unsigned break_after;   /* pieces; 0: never */
    unsigned corrupt_piece; /* from 1; 0: none */
    bool drop_piece;        /* the last */
    bool no_summary;
    bool wrong_crc32c;
};

struct fixture {
    struct service service;
    struct waybill_client *client;
    struct arena arena;
    struct buffer got;
    bool sink_fails;
};

static void send_piece(struct service *service, struct rpc_stream *stream, unsigned piece, uint32_t *whole) {
    uint8_t data[PIECE_BYTES];
    memset(data, 'a' + (int)piece, sizeof data);
    *whole = crc32c_extend(*whole, bytes_of(data, sizeof data));
    Waybill__V1__SnapshotResponse response = WAYBILL__V1__SNAPSHOT_RESPONSE__INIT;
    response.revision = piece == 0 ? 42 : 0;
    response.crc32c = crc32c(bytes_of(data, sizeof data));
    data[7] ^= piece + 1 == service->corrupt_piece;
    response.data = (ProtobufCBinaryData){sizeof data, data};
    rpc_stream_write(stream, &response.base);
}

static bool send_all(struct service *service, struct rpc_stream *stream, struct error *error) {
    uint32_t whole = 0;
    if (service->calls++ < service->busy_calls) {
        error_set(error, ERROR_RESOURCE_EXHAUSTED, "SNAPSHOT_RUNNING", "one at a time");
        error->retry_after_ms = 1;
        return false;
    }
    for (unsigned piece = 0; piece < (service->drop_piece ? PIECES - 1u : PIECES); piece++) {
        if (piece > 0 && piece == service->break_after) {
            return error_set(error, ERROR_UNAVAILABLE, "DRAINING", "broken off");
        }
        send_piece(service, stream, piece, &whole);
    }
    Waybill__V1__SnapshotSummary summary = WAYBILL__V1__SNAPSHOT_SUMMARY__INIT;
    summary.shard = (char *)"main";
    summary.size = PIECES * PIECE_BYTES;
    summary.crc32c = whole ^ service->wrong_crc32c;
    Waybill__V1__SnapshotResponse response = WAYBILL__V1__SNAPSHOT_RESPONSE__INIT;
    response.summary = &summary;
    if (!service->no_summary) {
        rpc_stream_write(stream, &response.base);
    }
    return true;
}

static void serve(void *self, struct rpc_stream *stream) {
    struct error error = {0};
    struct bytes wire;
    rpc_stream_read(stream, &wire, &error);
    rpc_stream_finish(stream, send_all(self, stream, &error) ? NULL : &error);
}

static struct fixture *start(struct service service) {
    static struct fixture fixture;
    struct rpc_server_options options = {
        .name = "fake",
        .listen = "127.0.0.1:0",
        .queue_threads = 1,
        .blocking_threads = 1,
        .max_waiting = 4,
        .max_unary_in_flight = 4,
        .max_streams = 4,
        .max_message_bytes = 1 << 20,
    };
    struct error error = {0};
    char address[32];
    fixture = (struct fixture){.service = service};
    fixture.service.server = rpc_server_new(&options);
    rpc_server_add_stream(fixture.service.server, "/waybill.v1.AdminService/Snapshot", serve, &fixture.service);
    cr_assert(rpc_server_start(fixture.service.server, &error), "%s", error.message);
    snprintf(address, sizeof address, "127.0.0.1:%d", rpc_server_port(fixture.service.server));
    struct waybill_client_options client_options = {.bulk = address, .max_attempts = 4};
    fixture.client = waybill_client_new(&client_options);
    arena_init(&fixture.arena);
    return &fixture;
}

static void stop(struct fixture *fixture) {
    waybill_client_free(fixture->client);
    rpc_server_drain(fixture->service.server, 1000);
    rpc_server_free(fixture->service.server);
    arena_free(&fixture->arena);
    buffer_free(&fixture->got);
}

static bool keep(void *self, struct bytes data, struct error *error) {
    struct fixture *fixture = self;
    buffer_append_bytes(&fixture->got, data);
    return !fixture->sink_fails || error_set(error, ERROR_RESOURCE_EXHAUSTED, "DISK_FULL", "no room");
}

static bool take(struct fixture *fixture, Waybill__V1__SnapshotResponse **response, struct error *error) {
    struct waybill_snapshot_sink sink = {keep, fixture};
    *error = (struct error){0};
    return waybill_take_snapshot(fixture->client, &sink, &fixture->arena, response, error);
}

static void check_fails(struct fixture *fixture, enum error_code code, const char *reason) {
    Waybill__V1__SnapshotResponse *response;
    struct error error;
    cr_assert_not(take(fixture, &response, &error));
    cr_assert_eq(error.code, code, "%s", error.message);
    cr_assert_str_eq(error.reason, reason, "%s", error.message);
    stop(fixture);
}

Test(client_snapshot, gives_the_bytes_in_order_and_what_they_are) {
    struct fixture *fixture = start((struct service){.busy_calls = 2}); /* it waits for another one to end */
    Waybill__V1__SnapshotResponse *response;
    struct error error;
    cr_assert(take(fixture, &response, &error), "%s", error.message);
    cr_assert_eq(response->revision, 42);
    cr_assert_str_eq(response->summary->shard, "main");
    cr_assert_eq(fixture->got.size, PIECES * PIECE_BYTES);
    cr_assert_eq(fixture->got.data[PIECE_BYTES], 'b');
    stop(fixture);
    cr_assert_eq(fixture->service.calls, 3);
}

Test(client_snapshot, does_not_begin_again_behind_bytes) {
    struct fixture *fixture = start((struct service){.break_after = 1});
    check_fails(fixture, ERROR_UNAVAILABLE, "DRAINING");
    cr_assert_eq(fixture->service.calls, 1);
}

Test(client_snapshot, sees_a_damaged_piece) {
    struct fixture *fixture = start((struct service){.corrupt_piece = 2});
    check_fails(fixture, ERROR_DATA_LOSS, "CHECKSUM_MISMATCH");
}

Test(client_snapshot, sees_a_missing_piece) {
    struct fixture *fixture = start((struct service){.drop_piece = true});
    check_fails(fixture, ERROR_DATA_LOSS, "SIZE_MISMATCH");
}

Test(client_snapshot, holds_the_whole_to_its_checksum) {
    struct fixture *fixture = start((struct service){.wrong_crc32c = true});
    check_fails(fixture, ERROR_DATA_LOSS, "CHECKSUM_MISMATCH");
}

Test(client_snapshot, needs_the_end_to_be_told) {
    struct fixture *fixture = start((struct service){.no_summary = true});
    check_fails(fixture, ERROR_INTERNAL, "MALFORMED_RESPONSE");
}

Test(client_snapshot, ends_with_the_error_of_its_sink) {
    struct fixture *fixture = start((struct service){0});
    fixture->sink_fails = true;
    check_fails(fixture, ERROR_RESOURCE_EXHAUSTED, "DISK_FULL");
}
