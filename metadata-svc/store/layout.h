/* Which keys the record store uses, and the framing of its values. docs/formats/record-store.md
 * describes both with an example.
 *
 *   b <bucket>                           the bucket
 *   h <bucket> 00 <key>                  the latest version of a key (its head)
 *   v <bucket> 00 <key> 00 <version BE>  the versions before it
 *   l <revision BE>                      the change log: one encoded ChangeEvent
 *   p <payload id>                       a payload in flight: whose it is, and its bytes if inline
 *   q <request id>                       a request that took effect, and its answer
 *   x <time BE> <request id>             when a request may be forgotten
 *
 * A bucket name holds no 00 and a key no control character, so the separators cannot occur in
 * either. BE are 8 bytes big-endian, so that keys sort by number. Each value begins with the
 * version byte of its format; LevelDB checksums what it stores. */
#ifndef WAYBILL_STORE_LAYOUT_H
#define WAYBILL_STORE_LAYOUT_H

#include "common/base/arena.h"
#include "common/base/bytes.h"
#include "common/base/uuid.h"

enum { LAYOUT_FORMAT = 1 };

/* Keys, in the arena. */
struct bytes layout_bucket_key(struct arena *arena, const char *bucket);
struct bytes layout_head_key(struct arena *arena, const char *bucket, const char *key);
struct bytes layout_version_key(struct arena *arena, const char *bucket, const char *key, int64_t version);
struct bytes layout_change_key(struct arena *arena, int64_t revision);
struct bytes layout_payload_key(struct arena *arena, const struct uuid *payload_id);
struct bytes layout_request_key(struct arena *arena, const struct uuid *request_id);
struct bytes layout_request_expiry_key(struct arena *arena, int64_t unix_us, const struct uuid *request_id);

enum {
    LAYOUT_BUCKET_PREFIX = 'b',
    LAYOUT_HEAD_PREFIX = 'h',
    LAYOUT_CHANGE_PREFIX = 'l',
    LAYOUT_REQUEST_EXPIRY_PREFIX = 'x',
    LAYOUT_PAYLOAD_PREFIX = 'p'
};

/* The number that follows the prefix byte of a change or an expiry key. */
int64_t layout_number_of(struct bytes key);

#endif
