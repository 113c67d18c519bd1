/* What the tests of the rpc room share: a server on a free port, a channel to it, and one
 * message type with a text and bytes (google.protobuf.Any). */
#ifndef WAYBILL_TESTS_RPC_FIXTURE_H
#define WAYBILL_TESTS_RPC_FIXTURE_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/rpc/rpc_channel.h"
#include "common/rpc/rpc_server.h"
#include "common/rpc/rpc_stream.h"
#include "google/protobuf/any.pb-c.h"

enum { FIXTURE_MAX_MESSAGE_BYTES = 4 << 20 };

static const struct rpc_server_options fixture_options = {
    .name = "test",
    .listen = "127.0.0.1:0",
    .queue_threads = 1,
    .blocking_threads = 4,
    .max_waiting = 64,
    .max_unary_in_flight = 1024,
    .max_streams = 16,
    .max_message_bytes = FIXTURE_MAX_MESSAGE_BYTES,
};

__attribute__((unused)) static void fixture_start(struct rpc_server *server) {
    struct error error = {0};
    cr_assert(rpc_server_start(server, &error), "%s", error.message);
}

__attribute__((unused)) static struct rpc_channel *fixture_connect(int port) {
    char target[32];
    snprintf(target, sizeof target, "127.0.0.1:%d", port);
    return rpc_channel_new(target, FIXTURE_MAX_MESSAGE_BYTES);
}

__attribute__((unused)) static void fixture_stop(struct rpc_server *server, struct rpc_channel *channel) {
    rpc_channel_free(channel);
    rpc_server_drain(server, 5000);
    rpc_server_free(server);
}

__attribute__((unused)) static Google__Protobuf__Any fixture_message(const char *text) {
    Google__Protobuf__Any message = GOOGLE__PROTOBUF__ANY__INIT;
    message.type_url = (char *)text;
    return message;
}

/* Calls with a text; the answer's text, or NULL and the error. */
__attribute__((unused)) static const char *fixture_call(struct rpc_channel *channel, const char *path,
                                                        const struct rpc_call_options *options, const char *text,
                                                        struct arena *arena, struct error *error) {
    Google__Protobuf__Any request = fixture_message(text);
    ProtobufCMessage *response = NULL;
    if (!rpc_channel_call(channel, path, options, &request.base, &google__protobuf__any__descriptor, arena, &response,
                          error)) {
        return NULL;
    }
    return ((Google__Protobuf__Any *)response)->type_url;
}

/* Answers with the request's text. */
__attribute__((unused)) static void fixture_echo(void *service, struct rpc_call *call) {
    (void)service;
    ProtobufCMessage *request = rpc_call_decode(call, &google__protobuf__any__descriptor);
    if (request != NULL) {
        rpc_call_reply(call, request);
    }
}

#endif
