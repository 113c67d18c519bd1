// rooms: object_s3
#include <criterion/criterion.h>

#include <stdio.h>

#include "object-svc/cold/s3/s3_verdict.h"

static struct s3_answer answered(long status, const char *code) {
    struct s3_answer answer = {.status = status, .attempts = 1};
    snprintf(answer.code, sizeof answer.code, "%s", code);
    return answer;
}

static enum s3_verdict verdict_of(long status, const char *code) {
    struct s3_request request = {.method = "GET", .key = "k", .query = ""};
    struct s3_answer answer = answered(status, code);
    return s3_verdict_of(CURLE_OK, &request, &answer);
}

Test(s3_verdict, an_answer_is_done_only_where_it_is_a_success_or_about_a_missing_key) {
    struct s3_request bucket = {.method = "GET", .key = "", .query = ""};
    struct s3_answer nothing = answered(404, "");
    cr_assert_eq(verdict_of(200, ""), S3_DONE);
    cr_assert_eq(verdict_of(206, ""), S3_DONE);
    cr_assert_eq(verdict_of(404, ""), S3_DONE);
    cr_assert_eq(verdict_of(404, "NoSuchKey"), S3_DONE);
    cr_assert_eq(verdict_of(404, "NoSuchUpload"), S3_DONE);
    cr_assert_eq(verdict_of(404, "NoSuchBucket"), S3_PERMANENT);
    cr_assert_eq(verdict_of(301, "PermanentRedirect"), S3_PERMANENT);
    cr_assert_eq(s3_verdict_of(CURLE_OK, &bucket, &nothing), S3_PERMANENT);
}

Test(s3_verdict, a_success_whose_body_is_an_error_is_none) {
    cr_assert_eq(verdict_of(200, "InternalError"), S3_TRANSIENT);
    cr_assert_eq(verdict_of(200, "SlowDown"), S3_THROTTLED);
    cr_assert_eq(verdict_of(200, "AccessDenied"), S3_PERMANENT);
}

Test(s3_verdict, what_may_pass_is_worth_another_try) {
    static const struct {
        long status;
        const char *code;
    } passing[] = {{500, ""},
                   {500, "InternalError"},
                   {502, ""},
                   {503, ""},
                   {503, "ServiceUnavailable"},
                   {504, ""},
                   {408, ""},
                   {400, "RequestTimeout"},
                   {400, "BadDigest"},
                   {400, "IncompleteBody"},
                   {400, "XAmzContentSHA256Mismatch"},
                   {400, "InvalidPart"},
                   {409, "OperationAborted"}};
    for (size_t i = 0; i < sizeof passing / sizeof passing[0]; i++) {
        cr_assert_eq(verdict_of(passing[i].status, passing[i].code), S3_TRANSIENT, "%ld %s", passing[i].status,
                     passing[i].code);
    }
    struct s3_request request = {.method = "GET", .key = "k", .query = ""};
    struct s3_answer none = {0};
    cr_assert_eq(s3_verdict_of(CURLE_COULDNT_CONNECT, &request, &none), S3_TRANSIENT);
    cr_assert_eq(s3_verdict_of(CURLE_PARTIAL_FILE, &request, &none), S3_TRANSIENT);
    cr_assert_eq(s3_verdict_of(CURLE_OPERATION_TIMEDOUT, &request, &none), S3_TRANSIENT);
}

Test(s3_verdict, a_server_that_asks_for_less_is_told_from_one_that_fails) {
    struct s3_request request = {.method = "HEAD", .key = "k", .query = ""};
    struct s3_answer later = answered(503, "");
    later.retry_after_ms = 1000;
    cr_assert_eq(verdict_of(503, "SlowDown"), S3_THROTTLED);
    cr_assert_eq(verdict_of(503, "SlowDownWrite"), S3_THROTTLED);
    cr_assert_eq(verdict_of(429, ""), S3_THROTTLED);
    cr_assert_eq(s3_verdict_of(CURLE_OK, &request, &later), S3_THROTTLED);
}

static void check_error(long status, const char *code, enum error_code expected, const char *reason,
                        const char *field) {
    struct error error = {0};
    struct s3_answer answer = answered(status, code);
    cr_assert_not(s3_verdict_error(verdict_of(status, code), CURLE_OK, &answer, "http://host/tier", "tier", &error));
    cr_assert_eq(error.code, expected, "%ld %s: %s", status, code, error_code_name(error.code));
    cr_assert_str_eq(error.reason, reason);
    cr_assert_str_eq(error.field, field);
}

Test(s3_verdict, the_error_says_whether_waiting_can_help_and_whom_to_blame) {
    check_error(500, "", ERROR_UNAVAILABLE, "COLD_STORE_UNAVAILABLE", "");
    check_error(403, "InvalidAccessKeyId", ERROR_FAILED_PRECONDITION, "COLD_STORE_CREDENTIALS", "s3_access_key_file");
    check_error(404, "XAdminUserNotFound", ERROR_FAILED_PRECONDITION, "COLD_STORE_CREDENTIALS", "s3_access_key_file");
    check_error(403, "SignatureDoesNotMatch", ERROR_FAILED_PRECONDITION, "COLD_STORE_CREDENTIALS",
                "s3_secret_key_file");
    check_error(400, "ExpiredToken", ERROR_FAILED_PRECONDITION, "COLD_STORE_CREDENTIALS", "s3_session_token_file");
    check_error(400, "AuthorizationHeaderMalformed", ERROR_FAILED_PRECONDITION, "COLD_STORE_CREDENTIALS", "s3_region");
    check_error(404, "NoSuchBucket", ERROR_FAILED_PRECONDITION, "COLD_STORE_BUCKET_MISSING", "s3_bucket");
    check_error(403, "AccessDenied", ERROR_PERMISSION_DENIED, "COLD_STORE_ACCESS_DENIED", "s3_access_key_file");
    check_error(400, "EntityTooLarge", ERROR_FAILED_PRECONDITION, "COLD_STORE_REFUSED", "");
    check_error(503, "SlowDown", ERROR_RESOURCE_EXHAUSTED, "COLD_STORE_THROTTLED", "");
}

Test(s3_verdict, a_throttled_caller_hears_when_to_come_back) {
    struct error error = {0};
    struct s3_answer answer = answered(503, "SlowDown");
    s3_verdict_error(S3_THROTTLED, CURLE_OK, &answer, "http://host/tier", "tier", &error);
    cr_assert_gt(error.retry_after_ms, 0);
    answer.retry_after_ms = 90000;
    s3_verdict_error(S3_THROTTLED, CURLE_OK, &answer, "http://host/tier", "tier", &error);
    cr_assert_eq(error.retry_after_ms, 90000);
}

Test(s3_verdict, a_certificate_that_cannot_be_verified_is_not_tried_again) {
    struct s3_request request = {.method = "GET", .key = "k", .query = ""};
    struct s3_answer none = {0};
    struct error error = {0};
    enum s3_verdict verdict = s3_verdict_of(CURLE_PEER_FAILED_VERIFICATION, &request, &none);
    cr_assert_eq(verdict, S3_PERMANENT);
    s3_verdict_error(verdict, CURLE_PEER_FAILED_VERIFICATION, &none, "https://host/tier", "tier", &error);
    cr_assert_eq(error.code, ERROR_FAILED_PRECONDITION);
    cr_assert_str_eq(error.reason, "COLD_STORE_TLS");
    cr_assert_str_eq(error.field, "s3_ca_file");
}

Test(s3_verdict, waits_double_within_bounds_and_are_spread) {
    for (int attempt = 0; attempt < 40; attempt++) {
        int64_t most_ms = attempt < 6 ? INT64_C(100) << attempt : 5000;
        most_ms = most_ms < 5000 ? most_ms : 5000;
        cr_assert_eq(s3_verdict_wait_ms(attempt, 0, 0), most_ms / 2);
        for (uint32_t random = 1; random < 4000000000u; random += 199999999u) {
            int64_t wait_ms = s3_verdict_wait_ms(attempt, 0, random);
            cr_assert(wait_ms >= most_ms / 2 && wait_ms <= most_ms, "attempt %d: %lld", attempt, (long long)wait_ms);
        }
    }
    cr_assert_neq(s3_verdict_wait_ms(5, 0, 12345), s3_verdict_wait_ms(5, 0, 54321));
}

Test(s3_verdict, a_wait_is_no_shorter_than_the_server_asks_for_and_not_begun_where_that_is_too_long) {
    for (uint32_t random = 0; random < 4000000000u; random += 199999999u) {
        int64_t wait_ms = s3_verdict_wait_ms(0, 2000, random);
        cr_assert(wait_ms >= 2000 && wait_ms < 2100, "%lld", (long long)wait_ms);
    }
    cr_assert_eq(s3_verdict_wait_ms(0, 6000, 7), -1);
}
