/* The metadata of one key at one version, and a bucket with its policy, as plain values.
 *
 * Pointers are borrowed from the arena that the value was decoded or built in. Numbers of
 * the enums are those of proto/waybill/v1. Times are microseconds since 1970; 0 is unset. */
#ifndef WAYBILL_STORE_RECORD_H
#define WAYBILL_STORE_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/bytes.h"
#include "common/base/uuid.h"

#define PAYLOAD_MAX_BYTES ((uint64_t)5 << 40)

enum record_state {
    RECORD_COMMITTED = 1,
    RECORD_AWAITING_PAYLOAD = 2,
    RECORD_STAGED = 3,
    RECORD_STORED = 4,
    RECORD_FAILED = 5,
    RECORD_DELETED = 6,
};

enum tier { TIER_HOT = 1, TIER_COLD = 2 };

enum durability { DURABILITY_FLUSHED = 1, DURABILITY_STORED = 2 };

enum system_cause {
    SYSTEM_CAUSE_CLIENT = 1,
    SYSTEM_CAUSE_UPLOAD = 2,
    SYSTEM_CAUSE_OBJECT_REPORT = 3,
    SYSTEM_CAUSE_TIER_POLICY = 4,
    SYSTEM_CAUSE_DEADLINE = 5,
    SYSTEM_CAUSE_OPERATOR = 6,
    SYSTEM_CAUSE_RETENTION = 7,
    SYSTEM_CAUSE_COMPENSATION = 8,
    SYSTEM_CAUSE_REDRIVE = 9,
};

enum change_type {
    CHANGE_COMMITTED = 1,
    CHANGE_STAGED = 2,
    CHANGE_STORED = 3,
    CHANGE_TIERED = 4,
    CHANGE_FAILED = 5,
    CHANGE_REVERTED = 6,
    CHANGE_DELETED = 7,
    CHANGE_BUCKET_CREATED = 8,
    CHANGE_BUCKET_UPDATED = 9,
    CHANGE_BUCKET_DELETED = 10,
};

enum {
    RECORD_MAX_LOCATIONS = 16,
    RECORD_MAX_ATTRIBUTES = 64,
    RECORD_ATTRIBUTE_NAME_MAX_BYTES = 128,
    RECORD_CONTENT_TYPE_MAX_BYTES = 255,
    RECORD_DESCRIPTOR_MAX_BYTES = 32 * 1024,
    RECORD_REASON_MAX_BYTES = 256,
    RECORD_SHA256_BYTES = 32,
};

struct attribute {
    const char *name;
    enum {
        ATTRIBUTE_STRING = 1,
        ATTRIBUTE_INT,
        ATTRIBUTE_DOUBLE,
        ATTRIBUTE_BOOL,
        ATTRIBUTE_TIMESTAMP,
        ATTRIBUTE_BYTES
    } kind;
    union {
        const char *text;
        int64_t whole; /* ATTRIBUTE_INT, ATTRIBUTE_BOOL */
        double real;
        struct {
            int64_t seconds;
            int32_t nanos;
        } time;
        struct bytes raw;
    };
};

struct location {
    enum tier tier;
    const char *replica; /* "" for the cold tier */
    int64_t store_us;
};

struct cause {
    const char *actor;
    const char *reason;
    enum system_cause system;
};

struct record {
    const char *bucket;
    const char *key;
    struct uuid uid;
    int64_t version;
    int64_t revision;
    enum record_state state;
    int64_t serving_version; /* right in a key's latest version only */

    const char *content_type;
    struct attribute *attributes;
    size_t attribute_count;

    bool has_size;
    bool has_crc32c;
    uint32_t crc32c;
    int64_t size;
    struct bytes sha256;     /* 32 bytes or none */
    struct uuid payload_id;  /* zero without a payload */
    int64_t payload_version; /* the one that brought it; 0 without */
    struct location locations[RECORD_MAX_LOCATIONS];
    size_t location_count;

    int64_t create_us;
    int64_t update_us;
    int64_t store_us;
    int64_t expire_us;   /* 0: never */
    bool expire_given;   /* by a request; else a change of the bucket's policy moves it */
    int64_t deadline_us; /* by when the payload is to be stored; 0: none */
    struct cause cause;
    enum durability durability;
};

/* An empty record: no string is NULL. */
struct record record_make(const char *bucket, const char *key);
/* Whether a reader can get bytes, or the knowledge that there are none, from this state. */
bool record_state_serves(enum record_state state);
/* Whether a version of this state waits for its payload, or its payload for being stored. */
bool record_state_in_flight(enum record_state state);
/* Takes over what is known of the payload and its object, with the state that follows from it:
 * for versions that share one payload. */
void record_share_payload(struct record *record, const struct record *with);
/* The index of a location, -1 where there is none. `replica` is "" for the cold tier. */
int record_find_location(const struct record *record, enum tier tier, const char *replica);
bool record_in_tier(const struct record *record, enum tier tier);

enum storage_class { STORAGE_HOT = 1, STORAGE_HOT_AND_COLD = 2, STORAGE_COLD = 3 };

/* What becomes of a key whose latest version failed. */
enum on_failure { ON_FAILURE_KEEP_FAILED = 1, ON_FAILURE_REVERT = 2 };

#define BUCKET_DELETE_RETENTION_DEFAULT_US (7LL * 24 * 3600 * 1000000)
#define BUCKET_PAYLOAD_DEADLINE_DEFAULT_US (24LL * 3600 * 1000000)

struct bucket {
    const char *name;
    enum storage_class storage_class;
    int64_t cold_after_us;
    int64_t expire_after_us;      /* 0: never */
    int64_t version_retention_us; /* 0: for ever */
    int64_t delete_retention_us;
    int64_t payload_deadline_us; /* from the commit, where the request names none */
    enum on_failure on_failure;
    int64_t inline_max_bytes;
    int32_t max_versions;        /* 0: all */
    int32_t promote_after_reads; /* 0: never */
    bool overflow_to_cold;
    int64_t version_floor;
    struct uuid uid;
    int64_t version;
    int64_t revision;
    int64_t create_us;
    int64_t update_us;
};

/* Whether the tiers that hold the object are all that the bucket's policy asks for at once:
 * then the spool may give the payload up. With cold_after 0 that takes the cold copy, since
 * one replica's disk was not meant to be the only one for any time. */
bool bucket_policy_satisfied(const struct bucket *bucket, const struct record *record);

/* When a latest version expires by what it says itself and by the bucket as it is now; 0 for never. */
int64_t bucket_expiry_of(const struct bucket *bucket, const struct record *record);

#endif
