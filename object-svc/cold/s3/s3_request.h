/* A request to the server, and its answer.
 *
 * Plain values; a request borrows all that it names until it is done. */
#ifndef WAYBILL_S3_S3_REQUEST_H
#define WAYBILL_S3_S3_REQUEST_H

#include <stdatomic.h>
#include <stdbool.h>

#include "common/base/bytes.h"

/* How the server is to find that the body was damaged on its way, besides the SHA-256 that
 * each signature covers. */
enum s3_body_check {
    S3_CHECK_MD5,   /* Content-MD5 */
    S3_CHECK_CRC32C /* x-amz-checksum-crc32c, which a server that knows it keeps with the object */
};

struct s3_request {
    const char *method;          /* "GET", "HEAD", "PUT", "POST", "DELETE" */
    const char *key;             /* not escaped; "" for the bucket */
    const char *query;           /* escaped and sorted by name; "" for none */
    const char *const *headers;  /* "name: value", NULL at the end; or NULL */
    struct bytes body;           /* of PUT and POST */
    enum s3_body_check check;    /* of the body */
    uint8_t *into;               /* a ranged GET: where its bytes go; or NULL */
    uint64_t offset;             /* of the range, and */
    size_t size;                 /* its length, at least 1 */
    bool patient;                /* the server works before it answers: several times the usual stall */
    const atomic_bool *given_up; /* once true, the request ends; or NULL */
};

struct s3_answer {
    long status;
    struct buffer body;
    uint64_t content_length;
    char etag[128];
    char payload_id[64];    /* x-amz-meta-waybill-payload-id */
    char code[64];          /* of a refusal */
    char message[256];      /* of a refusal or a failure, for people */
    int64_t retry_after_ms; /* Retry-After; 0: none */
    int attempts;
};

#endif
