// rooms: waybill_rpc
#include <semaphore.h>
#include <stdlib.h>

#include "rpc_fixture.h"

TestSuite(stream_stall, .timeout = 60);

enum { STALL_MS = 200, PIECE_BYTES = 1 << 20, PIECES_MOST = 4096 };

static sem_t ended;

static bool write_piece(struct rpc_stream *stream) {
    static uint8_t piece[PIECE_BYTES];
    Google__Protobuf__Any message = fixture_message("piece");
    message.value = (ProtobufCBinaryData){sizeof piece, piece};
    return rpc_stream_write(stream, &message.base);
}

/* Writes without end, as long as somebody reads. */
static void write_on(void *service, struct rpc_stream *stream) {
    int pieces = *(int *)service;
    struct error error;
    rpc_stream_limit_stall(stream, STALL_MS);
    int written = 0;
    while (written < pieces && write_piece(stream)) {
        written++;
    }
    error_set(&error, ERROR_CANCELLED, "STOPPED", "after %d pieces", written);
    rpc_stream_finish(stream, written == pieces ? NULL : &error);
    sem_post(&ended);
}

static struct rpc_stream *open_stream(struct rpc_channel *channel) {
    struct error error = {0};
    struct rpc_stream *stream = rpc_channel_open_stream(channel, "/test/WriteOn", NULL, &error);
    cr_assert_not_null(stream, "%s", error.message);
    rpc_stream_begin(stream);
    return stream;
}

Test(stream_stall, a_client_that_does_not_read_is_ended) {
    int pieces = PIECES_MOST;
    struct error error = {0};
    struct rpc_server *server = rpc_server_new(&fixture_options);
    sem_init(&ended, 0, 0);
    rpc_server_add_stream(server, "/test/WriteOn", write_on, &pieces);
    fixture_start(server);
    struct rpc_channel *channel = fixture_connect(rpc_server_port(server));
    struct rpc_stream *stream = open_stream(channel);
    sem_wait(&ended);
    struct bytes message;
    int read = 0;
    while (rpc_stream_read(stream, &message, &error) == RPC_READ_MESSAGE) {
        read++;
    }
    cr_assert_lt(read, PIECES_MOST);
    cr_assert_not(rpc_stream_close(stream, &error));
    cr_assert_eq(error.code, ERROR_DEADLINE_EXCEEDED, "%s", error.message);
    fixture_stop(server, channel);
}

Test(stream_stall, a_client_that_reads_is_not) {
    int pieces = 64;
    struct error error = {0};
    struct rpc_server *server = rpc_server_new(&fixture_options);
    sem_init(&ended, 0, 0);
    rpc_server_add_stream(server, "/test/WriteOn", write_on, &pieces);
    fixture_start(server);
    struct rpc_channel *channel = fixture_connect(rpc_server_port(server));
    struct rpc_stream *stream = open_stream(channel);
    struct bytes message;
    int read = 0;
    while (rpc_stream_read(stream, &message, &error) == RPC_READ_MESSAGE) {
        read++;
    }
    cr_assert_eq(read, pieces);
    cr_assert(rpc_stream_close(stream, &error), "%s", error.message);
    fixture_stop(server, channel);
}

/* Sends one message and then nothing, until the client is gone. */
static void hang(void *service, struct rpc_stream *stream) {
    (void)service;
    write_piece(stream);
    while (rpc_stream_wait(stream, 60000)) {
    }
    rpc_stream_finish(stream, NULL);
    sem_post(&ended);
}

Test(stream_stall, a_read_from_a_server_that_hangs_ends_the_call) {
    struct error error = {0};
    struct rpc_server *server = rpc_server_new(&fixture_options);
    sem_init(&ended, 0, 0);
    rpc_server_add_stream(server, "/test/WriteOn", hang, NULL);
    fixture_start(server);
    struct rpc_channel *channel = fixture_connect(rpc_server_port(server));
    struct rpc_stream *stream = open_stream(channel);
    struct bytes message;
    cr_assert_eq(rpc_stream_read(stream, &message, &error), RPC_READ_MESSAGE, "%s", error.message);
    rpc_stream_limit_read(stream, STALL_MS);
    cr_assert_eq(rpc_stream_read(stream, &message, &error), RPC_READ_ERROR);
    cr_assert_eq(error.code, ERROR_DEADLINE_EXCEEDED, "%s", error.message);
    cr_assert_str_eq(error.reason, "SERVER_SILENT");
    sem_wait(&ended);
    cr_assert_not(rpc_stream_close(stream, &error));
    fixture_stop(server, channel);
}
