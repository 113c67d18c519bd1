/* What may be a bucket, a key, a request id. One place for the rules, used wherever a name
 * comes in from outside. Each fills an INVALID_ARGUMENT error that names `field`. */
#ifndef WAYBILL_BASE_NAMES_H
#define WAYBILL_BASE_NAMES_H

#include <stdbool.h>

#include "common/base/arena.h"
#include "common/base/bytes.h"
#include "common/base/error.h"
#include "common/base/uuid.h"

enum {
    NAME_BUCKET_MIN_BYTES = 3,
    NAME_BUCKET_MAX_BYTES = 63,
    NAME_KEY_MAX_BYTES = 1024,
};

/* `[a-z0-9][a-z0-9-]{1,61}[a-z0-9]`: a NATS subject token and an S3 prefix. Reason BAD_BUCKET_NAME. */
bool name_check_bucket(const char *bucket, const char *field, struct error *error);
/* 1-1024 bytes of UTF-8, no control characters, no empty, "." or ".." segment. Reason BAD_KEY. */
bool name_check_key(const char *key, const char *field, struct error *error);
/* Empty, or a UUID; then `id` holds it (all zero when empty). Reason BAD_REQUEST_ID. */
bool name_check_request_id(const char *text, const char *field, struct uuid *id, struct error *error);

/* Whether the bytes are valid UTF-8 (RFC 3629: no surrogates, no overlong forms). */
bool utf8_valid(struct bytes text);
/* The text as a proto3 string, in the arena. What quotes a caller or was cut in the middle of a
 * character need not be UTF-8: then a cut end goes, or each byte that is not ASCII becomes '?'. */
char *utf8_clean(const char *text, struct arena *arena);

#endif
