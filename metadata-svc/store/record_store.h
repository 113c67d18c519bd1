/* What the record store holds, read by name: through anything that can look a key up, be it
 * the durable store (for readers) or a batch that is being made over it (for the committer).
 *
 * Results live in the arena that is handed in. Any thread, as far as the lookup allows. */
#ifndef WAYBILL_STORE_RECORD_STORE_H
#define WAYBILL_STORE_RECORD_STORE_H

#include "common/base/arena.h"
#include "common/base/error.h"
#include "common/checksum/fingerprint.h"
#include "metadata-svc/store/kv.h"
#include "metadata-svc/store/record.h"

/* Looks a key up; false only when the store failed. */
struct kv_lookup {
    bool (*get)(void *self, struct bytes key, struct arena *arena, struct bytes *value, bool *found,
                struct error *error);
    void *self;
};

/* The durable store. */
struct kv_lookup kv_lookup_of(struct kv *kv);

/* NOT_FOUND, reason BUCKET_NOT_FOUND. */
bool record_store_get_bucket(struct kv_lookup lookup, const char *name, struct arena *arena, struct bucket *bucket,
                             struct error *error);
/* A stored value, as a walk over the store finds it. */
bool record_store_decode_bucket(struct bytes value, struct arena *arena, struct bucket *bucket, struct error *error);
struct bytes record_store_bucket_value(const struct bucket *bucket, struct arena *arena);

/* The latest version of a key, be it a tombstone, and what only the store knows of the key. */
struct record_head {
    struct record record;
    int64_t last_revision; /* of the last change to any version of the key */
};

/* `found` tells whether the key ever existed. */
bool record_store_get_head(struct kv_lookup lookup, const char *bucket, const char *key, struct arena *arena,
                           struct record_head *head, bool *found, struct error *error);
struct bytes record_store_head_value(const struct record_head *head, struct arena *arena);
/* The same, of a record that is encoded already. */
struct bytes record_store_head_value_of(int64_t last_revision, struct bytes record_wire, struct arena *arena);
/* The record's wire form in a head's value; empty when the value is no head. */
struct bytes record_store_head_wire(struct bytes value);
bool record_store_decode_head(struct bytes value, struct arena *arena, struct record_head *head, struct error *error);

/* One version of a key, the latest included; its serving_version is the key's, and of a
 * payload that several versions share it tells the present state. */
bool record_store_get_version(struct kv_lookup lookup, const char *bucket, const char *key, int64_t version,
                              struct arena *arena, struct record *record, bool *found, struct error *error);
struct bytes record_store_version_value(const struct record *record, struct arena *arena);

/* A payload in flight, or given up and kept for another try. */
struct payload_entry {
    enum { PAYLOAD_AWAITED = 1, PAYLOAD_SPOOLED = 2, PAYLOAD_INLINE = 3 } place;
    const char *bucket;
    const char *key;
    int64_t version;
    int64_t size;
    uint32_t crc32c;
    int64_t due_us;    /* of its timer: one that is due at another time is not its own. 0: it has none */
    int redrives;      /* how often its event was published once more; at most 255 */
    struct bytes data; /* of an inline payload */
};

bool record_store_get_payload(struct kv_lookup lookup, const struct uuid *payload_id, struct arena *arena,
                              struct payload_entry *entry, bool *found, struct error *error);
struct bytes record_store_payload_value(const struct payload_entry *entry, struct arena *arena);

/* Why a payload was given up; kept as long as its entry. */
struct payload_failure {
    const char *reason; /* UPPER_SNAKE */
    const char *message;
    int32_t attempts;
    int64_t fail_us;
};

bool record_store_get_failure(struct kv_lookup lookup, const char *bucket, const struct uuid *payload_id,
                              struct arena *arena, struct payload_failure *failure, bool *found, struct error *error);
struct bytes record_store_failure_value(const struct payload_failure *failure, struct arena *arena);

/* A payload that several versions of a key share, since the content of one was taken over by
 * another. The latest version of the key is always right by itself; older ones are read
 * together with this, so that a change of the payload's state costs the same for any number
 * of versions. */
struct payload_share {
    int64_t newest_version; /* of those that share it */
    int64_t versions;       /* how many they are */
    struct record payload;  /* its payload fields; see record_share_payload */
};

bool record_store_get_share(struct kv_lookup lookup, const struct uuid *payload_id, struct arena *arena,
                            struct payload_share *share, bool *found, struct error *error);
struct bytes record_store_share_value(const struct payload_share *share, struct arena *arena);

/* An object that no version needs any more: the name it has in its tier. */
struct dropped_object {
    const char *bucket;
    const char *key;
    int64_t version; /* the one that brought it */
};
bool record_store_decode_drop(struct bytes value, struct arena *arena, struct dropped_object *object,
                              struct error *error);
struct bytes record_store_drop_value(const struct dropped_object *object, struct arena *arena);

/* The version_floor that a deleted bucket of that name left behind; 0 for none. */
bool record_store_get_floor(struct kv_lookup lookup, const char *bucket, struct arena *arena, int64_t *floor,
                            struct error *error);
struct bytes record_store_floor_value(int64_t floor, struct arena *arena);

/* How far a bucket's records have followed a change of its policy (commit/policy_sweep.h). */
struct policy_sweep {
    int64_t due_us; /* of its timer: one that is due at another time is not its own */
    bool versions;  /* the older versions are still to be gone through, */
    bool heads;     /* and then the latest ones */
    int64_t version;
    const char *key; /* up to this one, and version, the first of the two is done; "" at its start */
};

bool record_store_get_sweep(struct kv_lookup lookup, const char *bucket, struct arena *arena,
                            struct policy_sweep *sweep, bool *found, struct error *error);
struct bytes record_store_sweep_value(const struct policy_sweep *sweep, struct arena *arena);

/* The version that an object belongs to. Objects carry the number of the version that brought
 * the payload; that one may be gone while others still share it. With a zero payload id the
 * number alone decides, so a payload that is only shared is not found. */
bool record_store_find_object(struct kv_lookup lookup, const char *bucket, const char *key, int64_t version,
                              const struct uuid *payload_id, struct arena *arena, struct record *record, bool *found,
                              struct error *error);

/* The same, but where the payload is shared the newest version that has it. */
bool record_store_find_newest(struct kv_lookup lookup, const char *bucket, const char *key, int64_t version,
                              const struct uuid *payload_id, struct arena *arena, struct record *record, bool *found,
                              struct error *error);

/* A request that took effect. Its answer is what the change log has at its revision; the two
 * are forgotten together. */
struct request_entry {
    struct fingerprint fingerprint;
    int64_t revision;
};

bool record_store_get_request(struct kv_lookup lookup, const struct uuid *request_id, struct arena *arena,
                              struct request_entry *entry, bool *found, struct error *error);
struct bytes record_store_request_value(const struct request_entry *entry, struct arena *arena);

#endif
