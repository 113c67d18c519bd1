#include "common/rpc/server_status.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/rpc/rpc_status.h"

void server_status_init(struct server_status *status) {
    memset(status, 0, sizeof *status);
    status->text = grpc_empty_slice();
}

void server_status_destroy(struct server_status *status) {
    grpc_slice_unref(status->text);
    for (size_t i = 0; i < status->trailer_count; i++) {
        grpc_slice_unref(status->trailers[i].value);
    }
}

static void add_trailer(struct server_status *status, const char *name, struct bytes value) {
    grpc_metadata *trailer = &status->trailers[status->trailer_count++];
    trailer->key = grpc_slice_from_static_string(name);
    trailer->value = grpc_slice_from_copied_buffer((const char *)value.data, value.size);
}

void server_status_set(struct server_status *status, const struct error *error, struct arena *arena) {
    if (error == NULL) {
        return;
    }
    status->code = error->code;
    status->text = grpc_slice_from_copied_string(error->message);
    add_trailer(status, "grpc-status-details-bin", rpc_status_encode(error, arena));
    if (error->retry_after_ms > 0) {
        char pushback[24];
        snprintf(pushback, sizeof pushback, "%" PRId64, error->retry_after_ms);
        add_trailer(status, "grpc-retry-pushback-ms", bytes_of_string(pushback));
    }
}

void server_status_op(struct server_status *status, grpc_op *op) {
    memset(op, 0, sizeof *op);
    op->op = GRPC_OP_SEND_STATUS_FROM_SERVER;
    op->data.send_status_from_server.status = (grpc_status_code)status->code;
    if (status->code != ERROR_OK) {
        op->data.send_status_from_server.status_details = &status->text;
        op->data.send_status_from_server.trailing_metadata = status->trailers;
        op->data.send_status_from_server.trailing_metadata_count = status->trailer_count;
    }
}
