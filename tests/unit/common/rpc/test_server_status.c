// rooms: waybill_rpc
#include <criterion/criterion.h>
#include <string.h>

#include "common/base/arena.h"
#include "common/rpc/server_status.h"

/* What the client gets of a trailer; "" without it. */
static const char *trailer(const grpc_op *op, const char *name, struct arena *arena) {
    for (size_t i = 0; i < op->data.send_status_from_server.trailing_metadata_count; i++) {
        const grpc_metadata *metadata = &op->data.send_status_from_server.trailing_metadata[i];
        if (grpc_slice_str_cmp(metadata->key, name) == 0) {
            size_t size = GRPC_SLICE_LENGTH(metadata->value);
            char *text = arena_zalloc(arena, size + 1);
            memcpy(text, GRPC_SLICE_START_PTR(metadata->value), size);
            return text;
        }
    }
    return "";
}

static void set(struct server_status *status, const struct error *error, grpc_op *op, struct arena *arena) {
    server_status_init(status);
    server_status_set(status, error, arena);
    server_status_op(status, op);
}

Test(server_status, who_may_come_again_is_told_when_also_for_retries_by_grpc_itself) {
    struct arena arena;
    arena_init(&arena);
    struct server_status status;
    grpc_op op;
    struct error error = {0};
    error_set(&error, ERROR_RESOURCE_EXHAUSTED, "QUEUE_FULL", "full");
    error.retry_after_ms = 1500;
    set(&status, &error, &op, &arena);
    cr_assert_str_eq(trailer(&op, "grpc-retry-pushback-ms", &arena), "1500");
    cr_assert_neq(trailer(&op, "grpc-status-details-bin", &arena)[0], '\0');
    server_status_destroy(&status);
    error.retry_after_ms = 0;
    set(&status, &error, &op, &arena);
    cr_assert_str_eq(trailer(&op, "grpc-retry-pushback-ms", &arena), "");
    cr_assert_neq(trailer(&op, "grpc-status-details-bin", &arena)[0], '\0');
    server_status_destroy(&status);
    set(&status, NULL, &op, &arena);
    cr_assert_eq(op.data.send_status_from_server.trailing_metadata_count, 0);
    server_status_destroy(&status);
    arena_free(&arena);
}
