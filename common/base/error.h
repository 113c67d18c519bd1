/* What went wrong, as a value.
 *
 * Functions that can fail take a `struct error *` and return bool (or a pointer, or a
 * count): on failure they fill it and return false (NULL, -1); on success they leave it
 * alone. A handler turns it into a gRPC status with google.rpc details as it stands, so
 * the code is one that the caller may see. NULL is never passed.
 *
 * Reasons are UPPER_SNAKE tokens that clients may branch on; they are listed in
 * docs/errors.md and are part of the contract. */
#ifndef WAYBILL_BASE_ERROR_H
#define WAYBILL_BASE_ERROR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

/* The codes of gRPC, by the same numbers. */
enum error_code {
    ERROR_OK = 0,
    ERROR_CANCELLED = 1,
    ERROR_UNKNOWN = 2,
    ERROR_INVALID_ARGUMENT = 3,
    ERROR_DEADLINE_EXCEEDED = 4,
    ERROR_NOT_FOUND = 5,
    ERROR_ALREADY_EXISTS = 6,
    ERROR_PERMISSION_DENIED = 7,
    ERROR_RESOURCE_EXHAUSTED = 8,
    ERROR_FAILED_PRECONDITION = 9,
    ERROR_ABORTED = 10,
    ERROR_OUT_OF_RANGE = 11,
    ERROR_UNIMPLEMENTED = 12,
    ERROR_INTERNAL = 13,
    ERROR_UNAVAILABLE = 14,
    ERROR_DATA_LOSS = 15,
    ERROR_UNAUTHENTICATED = 16,
};

enum {
    ERROR_REASON_BYTES = 48,
    ERROR_MESSAGE_BYTES = 384,
    ERROR_FIELD_BYTES = 64,
    ERROR_DETAIL_BYTES = 128,
};

struct error {
    enum error_code code;
    char reason[ERROR_REASON_BYTES];   /* UPPER_SNAKE, e.g. "VERSION_MISMATCH" */
    char message[ERROR_MESSAGE_BYTES]; /* for people: what happened and what to do */
    char field[ERROR_FIELD_BYTES];     /* request field to blame, or "" */
    /* One fact for programs, sent as ErrorInfo.metadata: e.g. current_version = "7". */
    char detail_key[ERROR_FIELD_BYTES];
    char detail_value[ERROR_DETAIL_BYTES];
    int64_t retry_after_ms; /* > 0: sent as RetryInfo and as pushback to gRPC's own retries */
};

/* When what may pass is worth another try. */
enum {
    ERROR_RETRY_DRAINING_MS = 200,   /* another replica answers, or the next start */
    ERROR_RETRY_READ_ONLY_MS = 3000, /* it takes a restart, and whoever sees to that */
    ERROR_RETRY_DISK_FULL_MS = 5000, /* somebody makes room */
};

/* Fills the error and returns false, so that `return error_set(...)` reads well.
 * A message that does not fit is cut. */
bool error_set(struct error *error, enum error_code code, const char *reason, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* INVALID_ARGUMENT that names the request field to blame. */
bool error_set_field(struct error *error, const char *field, const char *reason, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* INTERNAL (ENOSPC: RESOURCE_EXHAUSTED, reason DISK_FULL, to be tried again) that keeps the errno and what was
 * being done. `saved_errno` is errno as the failed call left it. */
bool error_set_errno(struct error *error, int saved_errno, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Asks to come again after so long. False, so that it can follow error_set:
 * `return error_set(...) || error_retry_after(error, ERROR_RETRY_DRAINING_MS)`. */
bool error_retry_after(struct error *error, int64_t retry_after_ms);
/* Adds the fact for programs. */
void error_set_detail(struct error *error, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Puts "what: " before the message, for context on the way up. */
void error_prefix(struct error *error, const char *what);

/* "NOT_FOUND" and so on. */
const char *error_code_name(enum error_code code);

#endif
