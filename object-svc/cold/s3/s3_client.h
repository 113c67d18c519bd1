/* One bucket of an S3 server: single requests, signed, tried again where that can help. Knows
 * nothing of what is stored.
 *
 * What may pass (s3_verdict.h) is tried S3_ATTEMPTS times, with waits that double, are spread at
 * random and no shorter than the server asks for; none begins more than S3_TRY_AGAIN_MS after the first. At most
 * `connections` requests are under way at once; more wait. Credentials are read for each request.
 *
 * The client's given_up, or a request's own, ends a request within about a second whatever it waits for, with
 * UNAVAILABLE, DRAINING.
 *
 * Any thread. Errors: those of s3_verdict.h and s3_credentials.h. */
#ifndef WAYBILL_S3_S3_CLIENT_H
#define WAYBILL_S3_S3_CLIENT_H

#include "common/base/bytes.h"
#include "common/base/error.h"
#include "object-svc/cold/s3/s3_request.h"

enum { S3_ATTEMPTS = 5, S3_TRY_AGAIN_MS = 20000, S3_CONNECTIONS_MAX = 64 };

struct s3_client;

/* Strings are copied; "" where an optional one is not given. */
struct s3_options {
    const char *endpoint;
    const char *bucket;
    const char *region;
    bool path_style; /* http://host/bucket/key; else http://bucket.host/key */
    /* Files of one line each; "": AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN. */
    const char *access_key_file;
    const char *secret_key_file;
    const char *session_token_file;
    const char *ca_file; /* "": the system's */
    int64_t connect_timeout_ms;
    int64_t stall_timeout_ms; /* without a byte */
    int64_t connections;
    const atomic_bool *given_up; /* once true every request ends, those under way too; borrowed; or NULL */
};

struct s3_client *s3_client_new(const struct s3_options *options, struct error *error);
void s3_client_free(struct s3_client *client);

/* True with a status of 2xx, or 404 where that is about the key or the upload; else false. A
 * range is read whole or it is an error. The answer is zeroed first; s3_answer_free it in any case. */
bool s3_client_do(struct s3_client *client, const struct s3_request *request, struct s3_answer *answer,
                  struct error *error);
void s3_answer_free(struct s3_answer *answer);

#endif
