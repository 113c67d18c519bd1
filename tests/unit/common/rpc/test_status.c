// rooms: waybill_rpc
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/base/names.h"
#include "common/rpc/proto_message.h"
#include "common/rpc/rpc_status.h"
#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"

static const Google__Rpc__Status *encode(const struct error *error, struct arena *arena, struct bytes *wire) {
    *wire = rpc_status_encode(error, arena);
    struct error failure = {0};
    const Google__Rpc__Status *status =
        (const Google__Rpc__Status *)proto_decode(&google__rpc__status__descriptor, *wire, arena, &failure);
    cr_assert_not_null(status, "%s", failure.message);
    return status;
}

static const Google__Protobuf__Any *detail(const Google__Rpc__Status *status, const char *type) {
    for (size_t i = 0; i < status->n_details; i++) {
        if (strcmp(status->details[i]->type_url + strlen("type.googleapis.com/"), type) == 0) {
            return status->details[i];
        }
    }
    return NULL;
}

Test(status, a_plain_error_has_its_reason_in_the_domain_waybill) {
    struct arena arena;
    arena_init(&arena);
    struct error error;
    struct bytes wire;
    error_set(&error, ERROR_NOT_FOUND, "NO_SUCH_RECORD", "there is none");
    const Google__Rpc__Status *status = encode(&error, &arena, &wire);
    cr_assert_eq(status->code, ERROR_NOT_FOUND);
    cr_assert_str_eq(status->message, "there is none");
    cr_assert_eq(status->n_details, 1);
    const Google__Protobuf__Any *any = detail(status, "google.rpc.ErrorInfo");
    Google__Rpc__ErrorInfo *info = google__rpc__error_info__unpack(NULL, any->value.len, any->value.data);
    cr_assert_str_eq(info->domain, "waybill");
    cr_assert_str_eq(info->reason, "NO_SUCH_RECORD");
    google__rpc__error_info__free_unpacked(info, NULL);
    arena_free(&arena);
}

Test(status, each_detail_comes_where_it_applies) {
    struct arena arena;
    arena_init(&arena);
    struct error error;
    struct bytes wire;
    error_set_field(&error, "record.key", "BAD_KEY", "empty");
    const Google__Rpc__Status *status = encode(&error, &arena, &wire);
    cr_assert_not_null(detail(status, "google.rpc.BadRequest"));
    cr_assert_null(detail(status, "google.rpc.PreconditionFailure"));
    cr_assert_null(detail(status, "google.rpc.RetryInfo"));
    error_set(&error, ERROR_ABORTED, "VERSION_MISMATCH", "no");
    error_set_detail(&error, "current_version", "7");
    status = encode(&error, &arena, &wire);
    cr_assert_not_null(detail(status, "google.rpc.PreconditionFailure"));
    cr_assert_null(detail(status, "google.rpc.BadRequest"));
    error_set(&error, ERROR_RESOURCE_EXHAUSTED, "QUEUE_FULL", "no");
    error.retry_after_ms = 2500;
    status = encode(&error, &arena, &wire);
    cr_assert_not_null(detail(status, "google.rpc.RetryInfo"));
    struct error back = {0};
    cr_assert(rpc_status_decode(wire, &back));
    cr_assert_eq(back.retry_after_ms, 2500);
    cr_assert_str_eq(back.reason, "QUEUE_FULL");
    arena_free(&arena);
}

Test(status, text_that_is_not_utf8_is_made_so) {
    struct arena arena;
    arena_init(&arena);
    struct error error;
    struct bytes wire;
    error_set(&error, ERROR_INVALID_ARGUMENT, "BAD", "caf\xc3");
    cr_assert_str_eq(encode(&error, &arena, &wire)->message, "caf");
    error_set(&error, ERROR_INVALID_ARGUMENT, "BAD", "\xff in the middle");
    cr_assert_str_eq(encode(&error, &arena, &wire)->message, "? in the middle");
    arena_free(&arena);
}

Test(status, what_cannot_be_read_changes_nothing) {
    struct error error;
    error_set(&error, ERROR_UNKNOWN, "OLD", "as before");
    cr_assert_not(rpc_status_decode(bytes_of_string("\xff\xff\xff"), &error));
    cr_assert_str_eq(error.reason, "OLD");
}
