#include "common/rpc/server_status.h"

#include <string.h>

#include "common/rpc/rpc_status.h"

void server_status_init(struct server_status *status) {
    memset(status, 0, sizeof *status);
    status->text = grpc_empty_slice();
    status->details.value = grpc_empty_slice();
}

void server_status_destroy(struct server_status *status) {
    grpc_slice_unref(status->text);
    grpc_slice_unref(status->details.value);
}

void server_status_set(struct server_status *status, const struct error *error, struct arena *arena) {
    if (error == NULL) {
        return;
    }
    struct bytes details = rpc_status_encode(error, arena);
    status->code = error->code;
    status->details.key = grpc_slice_from_static_string("grpc-status-details-bin");
    status->details.value = grpc_slice_from_copied_buffer((const char *)details.data, details.size);
    status->text = grpc_slice_from_copied_string(error->message);
}

void server_status_op(struct server_status *status, grpc_op *op) {
    memset(op, 0, sizeof *op);
    op->op = GRPC_OP_SEND_STATUS_FROM_SERVER;
    op->data.send_status_from_server.status = (grpc_status_code)status->code;
    if (status->code != ERROR_OK) {
        op->data.send_status_from_server.status_details = &status->text;
        op->data.send_status_from_server.trailing_metadata = &status->details;
        op->data.send_status_from_server.trailing_metadata_count = 1;
    }
}
