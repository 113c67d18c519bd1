/* One bucket of an S3 server: single requests, signed (SigV4), tried again where that can
 * help. Knows nothing of what is stored.
 *
 * A request that gets no answer, 5xx, 429 or a code that asks for patience is tried
 * S3_ATTEMPTS times, with waits that double and are spread at random. At most
 * `connections` requests are under way at once; more wait. Credentials are read for each
 * request, so that they may be exchanged while the service runs; they are never logged.
 *
 * Any thread. Errors: UNAVAILABLE, COLD_STORE_UNAVAILABLE (no answer, or none but 5xx);
 * FAILED_PRECONDITION, COLD_STORE_CREDENTIALS, COLD_STORE_TLS or COLD_STORE_BUCKET_MISSING;
 * PERMISSION_DENIED, COLD_STORE_ACCESS_DENIED; FAILED_PRECONDITION, COLD_STORE_REFUSED for any
 * other refusal. Those of the configuration name its key as their field. */
#ifndef WAYBILL_S3_S3_CLIENT_H
#define WAYBILL_S3_S3_CLIENT_H

#include "common/base/bytes.h"
#include "common/base/error.h"

enum { S3_ATTEMPTS = 4, S3_CONNECTIONS_MAX = 64, S3_HEADERS_MAX = 16 };

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
};

struct s3_request {
    const char *method;         /* "GET", "HEAD", "PUT", "POST", "DELETE" */
    const char *key;            /* not escaped; "" for the bucket */
    const char *query;          /* escaped and sorted by name; "" for none */
    const char *const *headers; /* "name: value", NULL at the end; or NULL */
    struct bytes body;          /* of PUT and POST */
    uint8_t *into;              /* a ranged GET: where its bytes go; or NULL */
    uint64_t offset;            /* of the range, and */
    size_t size;                /* its length, at least 1 */
};

struct s3_answer {
    long status;
    struct buffer body;
    uint64_t content_length;
    char etag[128];
    char payload_id[64]; /* x-amz-meta-waybill-payload-id */
    char code[64];       /* of a refusal */
    int attempts;
};

struct s3_client *s3_client_new(const struct s3_options *options, struct error *error);
void s3_client_free(struct s3_client *client);

/* True with a status of 2xx, or 404 where that is about the key or the upload; else false. A
 * range is read whole or it is an error. The answer is zeroed first; s3_answer_free it in any case. */
bool s3_client_do(struct s3_client *client, const struct s3_request *request, struct s3_answer *answer,
                  struct error *error);
void s3_answer_free(struct s3_answer *answer);

#endif
