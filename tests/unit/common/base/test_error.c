// rooms: waybill_base
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "common/base/error.h"

Test(error, set_fills_all_of_it_and_returns_false) {
    struct error error;
    memset(&error, 0x5a, sizeof error);
    cr_assert_not(error_set(&error, ERROR_NOT_FOUND, "RECORD_NOT_FOUND", "no record \"%s\"", "a/b"));
    cr_assert_eq(error.code, ERROR_NOT_FOUND);
    cr_assert_str_eq(error.reason, "RECORD_NOT_FOUND");
    cr_assert_str_eq(error.message, "no record \"a/b\"");
    cr_assert_str_eq(error.field, "");
    cr_assert_str_eq(error.detail_key, "");
    cr_assert_eq(error.retry_after_ms, 0);
}

Test(error, a_field_is_blamed_as_an_invalid_argument) {
    struct error error = {0};
    cr_assert_not(error_set_field(&error, "record.size", "BAD_SIZE", "%d is less than 0", -1));
    cr_assert_eq(error.code, ERROR_INVALID_ARGUMENT);
    cr_assert_str_eq(error.field, "record.size");
    cr_assert_str_eq(error.message, "-1 is less than 0");
}

Test(error, an_errno_is_kept_with_what_was_being_done) {
    struct error error = {0};
    cr_assert_not(error_set_errno(&error, EIO, "writing %s", "file"));
    cr_assert_eq(error.code, ERROR_INTERNAL);
    cr_assert_str_eq(error.reason, "IO_ERROR");
    cr_assert_str_eq(error.message, "writing file: Input/output error (errno 5)");
    cr_assert_not(error_set_errno(&error, ENOSPC, "writing"));
    cr_assert_eq(error.code, ERROR_RESOURCE_EXHAUSTED);
    cr_assert_str_eq(error.reason, "DISK_FULL");
    cr_assert_eq(error.retry_after_ms, ERROR_RETRY_DISK_FULL_MS);
    cr_assert_not(error_set_errno(&error, EIO, "writing"));
    cr_assert_eq(error.retry_after_ms, 0, "nobody is asked to do again what fails again");
}

Test(error, what_does_not_fit_is_cut) {
    struct error error = {0};
    char text[2 * ERROR_MESSAGE_BYTES];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    error_set(&error, ERROR_INTERNAL, text, "%s", text);
    cr_assert_eq(strlen(error.message), ERROR_MESSAGE_BYTES - 1);
    cr_assert_eq(strlen(error.reason), ERROR_REASON_BYTES - 1);
    error_prefix(&error, "before");
    cr_assert_eq(strncmp(error.message, "before: xxx", 11), 0);
    cr_assert_eq(strlen(error.message), ERROR_MESSAGE_BYTES - 1);
    error_prefix(&error, text);
    cr_assert_eq(strlen(error.message), ERROR_MESSAGE_BYTES - 1);
    error_set_errno(&error, EIO, "%s", text);
    cr_assert_eq(strlen(error.message), ERROR_MESSAGE_BYTES - 1);
    error_set_detail(&error, text, "%s", text);
    cr_assert_eq(strlen(error.detail_key), ERROR_FIELD_BYTES - 1);
    cr_assert_eq(strlen(error.detail_value), ERROR_DETAIL_BYTES - 1);
}

Test(error, a_prefix_and_a_detail_leave_the_rest_alone) {
    struct error error = {0};
    error_set(&error, ERROR_ABORTED, "VERSION_MISMATCH", "at version 7");
    error_prefix(&error, "put");
    error_set_detail(&error, "current_version", "%d", 7);
    cr_assert_eq(error.code, ERROR_ABORTED);
    cr_assert_str_eq(error.reason, "VERSION_MISMATCH");
    cr_assert_str_eq(error.message, "put: at version 7");
    cr_assert_str_eq(error.detail_key, "current_version");
    cr_assert_str_eq(error.detail_value, "7");
}

Test(error, codes_have_the_names_of_grpc) {
    cr_assert_str_eq(error_code_name(ERROR_OK), "OK");
    cr_assert_str_eq(error_code_name(ERROR_RESOURCE_EXHAUSTED), "RESOURCE_EXHAUSTED");
    cr_assert_str_eq(error_code_name(ERROR_UNAUTHENTICATED), "UNAUTHENTICATED");
    cr_assert_str_eq(error_code_name((enum error_code)99), "UNKNOWN");
}
