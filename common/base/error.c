#include "common/base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void fill(struct error *error, enum error_code code, const char *reason, const char *format, va_list args) {
    memset(error, 0, sizeof *error);
    error->code = code;
    snprintf(error->reason, sizeof error->reason, "%s", reason);
    vsnprintf(error->message, sizeof error->message, format, args);
}

bool error_set(struct error *error, enum error_code code, const char *reason, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fill(error, code, reason, format, args);
    va_end(args);
    return false;
}

bool error_set_field(struct error *error, const char *field, const char *reason, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fill(error, ERROR_INVALID_ARGUMENT, reason, format, args);
    va_end(args);
    snprintf(error->field, sizeof error->field, "%s", field);
    return false;
}

bool error_retry_after(struct error *error, int64_t retry_after_ms) {
    error->retry_after_ms = retry_after_ms;
    return false;
}

bool error_set_errno(struct error *error, int saved_errno, const char *format, ...) {
    bool full = saved_errno == ENOSPC || saved_errno == EDQUOT;
    va_list args;
    va_start(args, format);
    fill(error, full ? ERROR_RESOURCE_EXHAUSTED : ERROR_INTERNAL, full ? "DISK_FULL" : "IO_ERROR", format, args);
    va_end(args);
    size_t used = strlen(error->message);
    char text[96];
    snprintf(error->message + used, sizeof error->message - used, ": %s (errno %d)",
             strerror_r(saved_errno, text, sizeof text), saved_errno);
    return full && error_retry_after(error, ERROR_RETRY_DISK_FULL_MS);
}

void error_set_detail(struct error *error, const char *key, const char *format, ...) {
    snprintf(error->detail_key, sizeof error->detail_key, "%s", key);
    va_list args;
    va_start(args, format);
    vsnprintf(error->detail_value, sizeof error->detail_value, format, args);
    va_end(args);
}

void error_prefix(struct error *error, const char *what) {
    char old[ERROR_MESSAGE_BYTES];
    memcpy(old, error->message, sizeof old);
    /* Cutting a long message is meant. */
    int length = snprintf(error->message, sizeof error->message, "%s: ", what);
    if (length > 0 && (size_t)length < sizeof error->message) {
        size_t room = sizeof error->message - (size_t)length - 1;
        size_t keep = strnlen(old, room);
        memcpy(error->message + length, old, keep);
        error->message[(size_t)length + keep] = '\0';
    }
}

const char *error_code_name(enum error_code code) {
    static const char *const names[] = {
        "OK",        "CANCELLED",       "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
        "NOT_FOUND", "ALREADY_EXISTS",  "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
        "ABORTED",   "OUT_OF_RANGE",    "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
        "DATA_LOSS", "UNAUTHENTICATED",
    };
    return (unsigned)code < sizeof names / sizeof names[0] ? names[code] : "UNKNOWN";
}
