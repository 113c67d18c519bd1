/* What came of a try: done, worth another, or refused; and the error that callers see.
 *
 * | class | what | error |
 * |---|---|---|
 * | transient | no answer, 5xx, bytes damaged on their way | UNAVAILABLE, COLD_STORE_UNAVAILABLE |
 * | throttled | 429, SlowDown and its kin, 503 with Retry-After | RESOURCE_EXHAUSTED, COLD_STORE_THROTTLED, with
 *   retry_after_ms |
 * | permanent | wrong credentials | FAILED_PRECONDITION, COLD_STORE_CREDENTIALS |
 * | | no such bucket | FAILED_PRECONDITION, COLD_STORE_BUCKET_MISSING |
 * | | the server's certificate cannot be verified | FAILED_PRECONDITION, COLD_STORE_TLS |
 * | | not allowed | PERMISSION_DENIED, COLD_STORE_ACCESS_DENIED |
 * | | any other refusal | FAILED_PRECONDITION, COLD_STORE_REFUSED |
 *
 * So the code alone tells whether waiting can help: UNAVAILABLE and RESOURCE_EXHAUSTED, and no
 * other. Those that the configuration is to blame for name its key as their field.
 *
 * Pure functions; any thread. */
#ifndef WAYBILL_S3_S3_VERDICT_H
#define WAYBILL_S3_S3_VERDICT_H

#include <curl/curl.h>

#include "common/base/error.h"
#include "object-svc/cold/s3/s3_request.h"

enum s3_verdict { S3_DONE, S3_TRANSIENT, S3_THROTTLED, S3_PERMANENT };

/* Done is a status of 2xx, or 404 where that is about the key or the upload. */
enum s3_verdict s3_verdict_of(CURLcode result, const struct s3_request *request, const struct s3_answer *answer);

/* Fills the error for what is not done; returns false. `base` and `bucket` say whose answer it is. */
bool s3_verdict_error(enum s3_verdict verdict, CURLcode result, const struct s3_answer *answer, const char *base,
                      const char *bucket, struct error *error);

/* How long to wait before try `attempt` + 1 (the first is 0): waits that double, spread by `random`
 * (any number), and no shorter than the server asks for. -1: it asks for more than is worth waiting here. */
int64_t s3_verdict_wait_ms(int attempt, int64_t retry_after_ms, uint32_t random);

#endif
