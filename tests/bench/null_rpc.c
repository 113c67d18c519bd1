#include "tests/bench/null_rpc.h"

#include "google/protobuf/any.pb-c.h"

#define TEN "0123456789"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

static void echo(void *service, struct rpc_call *call) {
    (void)service;
    ProtobufCMessage *request = rpc_call_decode(call, &google__protobuf__any__descriptor);
    if (request != NULL) {
        rpc_call_reply(call, request);
    }
}

void null_rpc_serve(struct rpc_server *server) {
    rpc_server_add_unary(server, NULL_RPC_PATH, RPC_INLINE, echo, NULL);
}

static const Google__Protobuf__Any request_message = {
    PROTOBUF_C_MESSAGE_INIT(&google__protobuf__any__descriptor),
    .type_url = HUNDRED HUNDRED HUNDRED,
};

const ProtobufCMessage *null_rpc_request(void *self, uint64_t number) {
    (void)self;
    (void)number;
    return &request_message.base;
}

bool null_rpc_check(void *self, uint64_t number, struct bytes response) {
    (void)self;
    (void)number;
    return response.size > 300;
}
