#include "object-svc/cold/s3/s3_verdict.h"

#include <stdio.h>
#include <string.h>

enum {
    FIRST_WAIT_MS = 100,
    LONGEST_WAIT_MS = 5000,
    THROTTLED_WAIT_MS = 1000, /* told to callers where the server names none */
};

static bool one_of(const char *code, const char *const *codes) {
    for (; *codes != NULL; codes++) {
        if (strcmp(code, *codes) == 0) {
            return true;
        }
    }
    return false;
}

static bool certificate_refused(CURLcode result) {
    return result == CURLE_PEER_FAILED_VERIFICATION || result == CURLE_SSL_CACERT_BADFILE ||
           result == CURLE_SSL_ISSUER_ERROR;
}

static bool asks_to_slow_down(const struct s3_answer *answer) {
    static const char *const codes[] = {"SlowDown",   "SlowDownRead",        "SlowDownWrite",        "TooManyRequests",
                                        "Throttling", "ThrottlingException", "RequestLimitExceeded", NULL};
    return answer->status == 429 || one_of(answer->code, codes) ||
           (answer->status == 503 && answer->retry_after_ms > 0);
}

/* Also codes that come with 4xx but blame the way there, or another request at the same time. */
static bool may_pass(const struct s3_answer *answer) {
    static const char *const codes[] = {"RequestTimeout",
                                        "InternalError",
                                        "ServiceUnavailable",
                                        "IncompleteBody",
                                        "BadDigest",
                                        "XAmzContentSHA256Mismatch",
                                        "XAmzContentChecksumMismatch",
                                        "OperationAborted",
                                        "ConditionalRequestConflict",
                                        "InvalidPart", /* an answer to a part was damaged */
                                        NULL};
    return answer->status >= 500 || answer->status == 408 || one_of(answer->code, codes);
}

/* A 404 may also be about the bucket, or an unknown access key. HEAD is answered without a code. */
static bool tells_missing(const struct s3_request *request, const struct s3_answer *answer) {
    static const char *const codes[] = {"", "NoSuchKey", "NoSuchUpload", NULL};
    return answer->status == 404 && *request->key != '\0' && one_of(answer->code, codes);
}

enum s3_verdict s3_verdict_of(CURLcode result, const struct s3_request *request, const struct s3_answer *answer) {
    if (result != CURLE_OK) {
        return certificate_refused(result) ? S3_PERMANENT : S3_TRANSIENT;
    }
    if ((answer->status / 100 == 2 && answer->code[0] == '\0') || tells_missing(request, answer)) {
        return S3_DONE;
    }
    if (asks_to_slow_down(answer)) {
        return S3_THROTTLED;
    }
    return may_pass(answer) ? S3_TRANSIENT : S3_PERMANENT;
}

/* ---- the error ---- */

static bool blame(struct error *error, enum error_code code, const char *reason, const char *field, const char *bucket,
                  const struct s3_answer *answer) {
    error_set(error, code, reason, "%s: bucket %s answered %ld %s: %s", field, bucket, answer->status, answer->code,
              answer->message);
    snprintf(error->field, sizeof error->field, "%s", field);
    return false;
}

static bool refused(const struct s3_answer *answer, const char *bucket, struct error *error) {
    static const struct {
        const char *code;
        const char *field;
    } credentials[] = {
        {"InvalidAccessKeyId", "s3_access_key_file"},    {"XAdminUserNotFound", "s3_access_key_file"}, /* versitygw */
        {"SignatureDoesNotMatch", "s3_secret_key_file"}, {"ExpiredToken", "s3_session_token_file"},
        {"InvalidToken", "s3_session_token_file"},       {"AuthorizationHeaderMalformed", "s3_region"}};
    for (size_t i = 0; i < sizeof credentials / sizeof credentials[0]; i++) {
        if (strcmp(answer->code, credentials[i].code) == 0) {
            return blame(error, ERROR_FAILED_PRECONDITION, "COLD_STORE_CREDENTIALS", credentials[i].field, bucket,
                         answer);
        }
    }
    if (strcmp(answer->code, "NoSuchBucket") == 0) {
        return blame(error, ERROR_FAILED_PRECONDITION, "COLD_STORE_BUCKET_MISSING", "s3_bucket", bucket, answer);
    }
    if (answer->status == 401 || answer->status == 403) {
        return blame(error, ERROR_PERMISSION_DENIED, "COLD_STORE_ACCESS_DENIED", "s3_access_key_file", bucket, answer);
    }
    return error_set(error, ERROR_FAILED_PRECONDITION, "COLD_STORE_REFUSED", "bucket %s answered %ld %s: %s", bucket,
                     answer->status, answer->code, answer->message);
}

static bool certificate_error(const struct s3_answer *answer, const char *base, struct error *error) {
    error_set(error, ERROR_FAILED_PRECONDITION, "COLD_STORE_TLS", "s3_ca_file: %s: %s", base, answer->message);
    snprintf(error->field, sizeof error->field, "s3_ca_file");
    return false;
}

bool s3_verdict_error(enum s3_verdict verdict, CURLcode result, const struct s3_answer *answer, const char *base,
                      const char *bucket, struct error *error) {
    if (verdict == S3_PERMANENT) {
        return result != CURLE_OK ? certificate_error(answer, base, error) : refused(answer, bucket, error);
    }
    if (verdict == S3_THROTTLED) {
        error_set(error, ERROR_RESOURCE_EXHAUSTED, "COLD_STORE_THROTTLED", "%s: answered %ld %s, %d attempts", base,
                  answer->status, answer->code, answer->attempts);
        error->retry_after_ms = answer->retry_after_ms > 0 ? answer->retry_after_ms : THROTTLED_WAIT_MS;
        return false;
    }
    if (result != CURLE_OK) {
        return error_set(error, ERROR_UNAVAILABLE, "COLD_STORE_UNAVAILABLE", "%s: %s, %d attempts", base,
                         answer->message, answer->attempts);
    }
    return error_set(error, ERROR_UNAVAILABLE, "COLD_STORE_UNAVAILABLE", "%s: answered %ld %s, %d attempts", base,
                     answer->status, answer->code, answer->attempts);
}

int64_t s3_verdict_wait_ms(int attempt, int64_t retry_after_ms, uint32_t random) {
    int64_t most_ms = LONGEST_WAIT_MS;
    if (retry_after_ms > LONGEST_WAIT_MS) {
        return -1;
    }
    if (attempt < 16 && ((int64_t)FIRST_WAIT_MS << attempt) < most_ms) {
        most_ms = (int64_t)FIRST_WAIT_MS << attempt;
    }
    int64_t wait_ms = most_ms / 2 + random % (most_ms / 2 + 1);
    /* All who were told the same must not come back at the same time. */
    return wait_ms > retry_after_ms ? wait_ms : retry_after_ms + random % FIRST_WAIT_MS;
}
