/* Which keys the record store uses, and the framing of its values. docs/formats/record-store.md
 * describes both with an example.
 *
 *   b <bucket>                           the bucket
 *   h <bucket> 00 <key>                  the latest version of a key (its head)
 *   v <bucket> 00 <key> 00 <version BE>  the versions before it
 *   l <revision BE>                      the change log: one encoded ChangeEvent
 *   p <payload id>                       a payload in flight: whose it is, and its bytes if inline
 *   x <bucket> 00 <payload id>           a payload that was given up, and why
 *   s <payload id>                       a payload that several versions share, and what became of it
 *   d <tier> <replica> 00 <time BE> <payload id>  an object that no version needs any more, to be dropped there
 *   f <bucket>                           what a deleted bucket leaves: the version its keys begin above
 *   t <time BE> <kind> <bucket> 00 <key> 00 <version BE>  what falls due, and when
 *   q <request id>                       a request that took effect, and its revision
 *   w <bucket>                           how far a bucket's records have followed a change of its policy
 *
 * A bucket name holds no 00 and a key no control character, so the separators cannot occur in
 * either (a payload id comes last). BE are 8 bytes big-endian, so that keys sort by number. Each value begins with the
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
struct bytes layout_share_key(struct arena *arena, const struct uuid *payload_id);
struct bytes layout_floor_key(struct arena *arena, const char *bucket);
struct bytes layout_sweep_key(struct arena *arena, const char *bucket);
struct bytes layout_failure_key(struct arena *arena, const char *bucket, const struct uuid *payload_id);
/* What every failed payload of a bucket begins with; of all buckets where it is "". */
struct bytes layout_failures_prefix(struct arena *arena, const char *bucket);
/* False when it is no failed payload's key. */
bool layout_read_failure_key(struct bytes key, struct uuid *payload_id);

/* An object to be dropped from a tier: whose it is, when that is due, and which. */
struct layout_drop {
    uint8_t tier;
    const char *replica; /* "" for the cold tier */
    int64_t due_us;
    struct uuid payload_id;
};
struct bytes layout_drop_key(struct arena *arena, const struct layout_drop *drop);
/* What every one of a tier, or of a replica's, begins with. */
struct bytes layout_drops_prefix(struct arena *arena, uint8_t tier, const char *replica);
/* Reads what follows the prefix; false when the key is no drop's. */
bool layout_read_drop_key(struct bytes key, struct bytes prefix, int64_t *due_us, struct uuid *payload_id);
/* The prefix of its place, borrowed from the key, and when it is due; false when the key is no drop's. */
bool layout_split_drop_key(struct bytes key, struct bytes *prefix, int64_t *due_us);

/* What every older version of a bucket begins with. */
struct bytes layout_versions_prefix(struct arena *arena, const char *bucket);

/* The version that a head or an older version is stored for. */
struct layout_name {
    const char *bucket;
    const char *key;
    int64_t version; /* 0: the latest */
};
/* False when the key is neither. */
bool layout_read_name(struct arena *arena, struct bytes key, struct layout_name *name);

/* What falls due. */
enum timer_kind {
    TIMER_MARK = 0,        /* nothing: ends the walk over those that are due (lifecycle/due_timers.h) */
    TIMER_EXPIRE = 1,      /* the record's expire_time */
    TIMER_PURGE = 2,       /* the end of a tombstone's retention */
    TIMER_VERSION_AGE = 3, /* the end of a superseded version's retention */
    TIMER_TRIM = 4,        /* a version beyond max_versions that could not go at once */
    TIMER_PAYLOAD = 5,     /* the payload that this version brought is looked at */
    TIMER_SWEEP = 6,       /* the next of a bucket's records follow a change of its policy; no key, no version */
};

struct timer {
    int64_t due_us;
    enum timer_kind kind;
    const char *bucket;
    const char *key;
    int64_t version;
};

struct bytes layout_timer_key(struct arena *arena, const struct timer *timer);
/* False when it is no timer's key. */
bool layout_read_timer_key(struct arena *arena, struct bytes key, struct timer *timer);

enum {
    LAYOUT_BUCKET_PREFIX = 'b',
    LAYOUT_HEAD_PREFIX = 'h',
    LAYOUT_VERSION_PREFIX = 'v',
    LAYOUT_TIMER_PREFIX = 't',
    LAYOUT_CHANGE_PREFIX = 'l',
    LAYOUT_PAYLOAD_PREFIX = 'p',
    LAYOUT_DROP_PREFIX = 'd',
    LAYOUT_FAILURE_PREFIX = 'x'
};

/* The number that follows the prefix byte of a change's key. */
int64_t layout_number_of(struct bytes key);

#endif
