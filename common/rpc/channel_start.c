/* Unary calls that do not wait: the channel's thread brings the answer. */
#include <stdlib.h>
#include <string.h>

#include "common/rpc/channel_parts.h"
#include "common/rpc/wire_message.h"

struct started_call {
    struct queue_event event;
    struct rpc_channel *channel;
    rpc_done *done;
    void *context;
    grpc_call *core;
    struct channel_headers headers;
    grpc_metadata_array leaders;
    grpc_metadata_array trailers;
    grpc_byte_buffer *response;
    grpc_status_code status;
    grpc_slice text;
};

static void started_call_free(struct started_call *call) {
    if (call->core != NULL) {
        grpc_call_unref(call->core);
    }
    if (call->response != NULL) {
        grpc_byte_buffer_destroy(call->response);
    }
    channel_headers_destroy(&call->headers);
    grpc_metadata_array_destroy(&call->leaders);
    grpc_metadata_array_destroy(&call->trailers);
    grpc_slice_unref(call->text);
    atomic_fetch_sub(&call->channel->started, 1);
    free(call);
}

static void hand_over_response(struct started_call *call) {
    grpc_slice slice = grpc_empty_slice();
    struct bytes wire = {0};
    if (!wire_message_borrow(call->response, &slice, &wire)) {
        slice = grpc_slice_malloc(grpc_byte_buffer_length(call->response));
        wire_message_copy(call->response, GRPC_SLICE_START_PTR(slice));
        wire = bytes_of(GRPC_SLICE_START_PTR(slice), GRPC_SLICE_LENGTH(slice));
    }
    call->done(call->context, wire, NULL);
    wire_slice_release(slice);
}

static void answered(struct queue_event *event, bool ok) {
    (void)ok; /* the status says it */
    struct started_call *call = event_owner(event, struct started_call, event);
    struct error error;
    if (call->status == GRPC_STATUS_OK && call->response != NULL) {
        hand_over_response(call);
    } else if (call->status == GRPC_STATUS_OK) {
        error_set(&error, ERROR_INTERNAL, "MALFORMED_RESPONSE", "the answer came without a message");
        call->done(call->context, (struct bytes){0}, &error);
    } else {
        channel_status_error(call->status, call->text, &call->trailers, &error);
        call->done(call->context, (struct bytes){0}, &error);
    }
    started_call_free(call);
}

static void send(struct started_call *call, const ProtobufCMessage *request) {
    grpc_byte_buffer *message = wire_message_pack(request);
    grpc_op ops[6];
    memset(ops, 0, sizeof ops);
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[0].data.send_initial_metadata.count = call->headers.count;
    ops[0].data.send_initial_metadata.metadata = call->headers.metadata;
    ops[1].op = GRPC_OP_SEND_MESSAGE;
    ops[1].data.send_message.send_message = message;
    ops[2].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    ops[3].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &call->leaders;
    ops[4].op = GRPC_OP_RECV_MESSAGE;
    ops[4].data.recv_message.recv_message = &call->response;
    ops[5].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[5].data.recv_status_on_client.trailing_metadata = &call->trailers;
    ops[5].data.recv_status_on_client.status = &call->status;
    ops[5].data.recv_status_on_client.status_details = &call->text;
    event_start_batch(call->core, ops, 6, &call->event);
    grpc_byte_buffer_destroy(message);
}

bool rpc_channel_start(struct rpc_channel *channel, const char *path, const struct rpc_call_options *options,
                       const ProtobufCMessage *request, rpc_done *done, void *context, struct error *error) {
    grpc_completion_queue *queue = channel_queue(channel, error);
    if (queue == NULL) {
        return false;
    }
    struct started_call *call = calloc(1, sizeof *call);
    if (call == NULL) {
        abort();
    }
    call->event.complete = answered;
    call->channel = channel;
    call->done = done;
    call->context = context;
    call->text = grpc_empty_slice();
    grpc_metadata_array_init(&call->leaders);
    grpc_metadata_array_init(&call->trailers);
    unsigned before = atomic_fetch_add(&channel->started, 1);
    if (before >= RPC_CHANNEL_MAX_STARTED) {
        error_set(error, ERROR_RESOURCE_EXHAUSTED, "TOO_MANY_CALLS", "%u calls are under way on this channel", before);
        started_call_free(call);
        return false;
    }
    if (!channel_headers_init(&call->headers, options, error)) {
        started_call_free(call);
        return false;
    }
    call->core = channel_make_call(channel, path, queue, channel_deadline(options, CHANNEL_TIMEOUT_MS));
    send(call, request);
    return true;
}
