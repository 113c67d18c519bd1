#include "metadata-svc/store/record_store.h"

#include <string.h>

#include "metadata-svc/store/layout.h"
#include "metadata-svc/store/record_codec.h"

static bool get_from_kv(void *self, struct bytes key, struct arena *arena, struct bytes *value, bool *found,
                        struct error *error) {
    struct kv *kv = self;
    return kv->ops->get(kv, key, arena, value, found, error);
}

struct kv_lookup kv_lookup_of(struct kv *kv) {
    return (struct kv_lookup){get_from_kv, kv};
}

static bool corrupt(struct error *error, const char *what) {
    return error_set(error, ERROR_DATA_LOSS, "RECORD_CORRUPT", "a stored %s cannot be decoded", what);
}

/* Looks a value up and takes the version byte off. */
static bool get_value(struct kv_lookup lookup, struct bytes key, const char *what, struct arena *arena,
                      struct bytes *value, bool *found, struct error *error) {
    if (!lookup.get(lookup.self, key, arena, value, found, error)) {
        return false;
    }
    if (!*found) {
        return true;
    }
    if (value->size < 1 || value->data[0] != LAYOUT_FORMAT) {
        return corrupt(error, what);
    }
    value->data++;
    value->size--;
    return true;
}

/* A value of `head_size` bytes, whose start the caller fills, and a tail. */
static uint8_t *begin_value_of(uint8_t format, struct arena *arena, size_t head_size, struct bytes tail,
                               struct bytes *value) {
    uint8_t *out = arena_alloc(arena, 1 + head_size + tail.size);
    out[0] = format;
    if (tail.size > 0) {
        memcpy(out + 1 + head_size, tail.data, tail.size);
    }
    *value = bytes_of(out, 1 + head_size + tail.size);
    return out + 1;
}

static uint8_t *begin_value(struct arena *arena, size_t head_size, struct bytes tail, struct bytes *value) {
    return begin_value_of(LAYOUT_FORMAT, arena, head_size, tail, value);
}

bool record_store_get_bucket(struct kv_lookup lookup, const char *name, struct arena *arena, struct bucket *bucket,
                             struct error *error) {
    struct bytes value;
    bool found;
    if (!get_value(lookup, layout_bucket_key(arena, name), "bucket", arena, &value, &found, error)) {
        return false;
    }
    if (!found) {
        return error_set(error, ERROR_NOT_FOUND, "BUCKET_NOT_FOUND", "there is no bucket \"%s\"", name);
    }
    return bucket_decode(value, arena, bucket, error);
}

bool record_store_decode_bucket(struct bytes value, struct arena *arena, struct bucket *bucket, struct error *error) {
    if (value.size < 1 || value.data[0] != LAYOUT_FORMAT) {
        return corrupt(error, "bucket");
    }
    return bucket_decode(bytes_of(value.data + 1, value.size - 1), arena, bucket, error);
}

struct bytes record_store_bucket_value(const struct bucket *bucket, struct arena *arena) {
    struct bytes value;
    begin_value(arena, 0, bucket_encode(bucket, arena), &value);
    return value;
}

/* Head: the key's last revision, then the record. */
bool record_store_decode_head(struct bytes value, struct arena *arena, struct record_head *head, struct error *error) {
    if (value.size < 9 || value.data[0] != LAYOUT_FORMAT) {
        return corrupt(error, "record");
    }
    head->last_revision = (int64_t)get_le64(value.data + 1);
    return record_decode(bytes_of(value.data + 9, value.size - 9), arena, &head->record, error);
}

struct bytes record_store_head_wire(struct bytes value) {
    return value.size < 9 || value.data[0] != LAYOUT_FORMAT ? (struct bytes){0}
                                                            : bytes_of(value.data + 9, value.size - 9);
}

bool record_store_get_head(struct kv_lookup lookup, const char *bucket, const char *key, struct arena *arena,
                           struct record_head *head, bool *found, struct error *error) {
    struct bytes value;
    if (!lookup.get(lookup.self, layout_head_key(arena, bucket, key), arena, &value, found, error)) {
        return false;
    }
    return !*found || record_store_decode_head(value, arena, head, error);
}

struct bytes record_store_head_value_of(int64_t last_revision, struct bytes record_wire, struct arena *arena) {
    struct bytes value;
    uint8_t *out = begin_value(arena, 8, record_wire, &value);
    put_le64(out, (uint64_t)last_revision);
    return value;
}

struct bytes record_store_head_value(const struct record_head *head, struct arena *arena) {
    return record_store_head_value_of(head->last_revision, record_encode(&head->record, arena), arena);
}

/* Share: newest version (8), versions (8), a record of which only the payload matters. */
enum { SHARE_FIXED_BYTES = 16 };

bool record_store_get_share(struct kv_lookup lookup, const struct uuid *payload_id, struct arena *arena,
                            struct payload_share *share, bool *found, struct error *error) {
    struct bytes value;
    *found = false;
    if (uuid_is_zero(payload_id)) {
        return true;
    }
    if (!get_value(lookup, layout_share_key(arena, payload_id), "payload", arena, &value, found, error)) {
        return false;
    }
    if (!*found) {
        return true;
    }
    if (value.size < SHARE_FIXED_BYTES) {
        return corrupt(error, "payload");
    }
    share->newest_version = (int64_t)get_le64(value.data);
    share->versions = (int64_t)get_le64(value.data + 8);
    return record_decode(bytes_of(value.data + SHARE_FIXED_BYTES, value.size - SHARE_FIXED_BYTES), arena,
                         &share->payload, error);
}

struct bytes record_store_share_value(const struct payload_share *share, struct arena *arena) {
    struct record payload = record_make("", "");
    struct bytes value;
    record_share_payload(&payload, &share->payload);
    uint8_t *out = begin_value(arena, SHARE_FIXED_BYTES, record_encode(&payload, arena), &value);
    put_le64(out, (uint64_t)share->newest_version);
    put_le64(out + 8, (uint64_t)share->versions);
    return value;
}

static bool read_shared(struct kv_lookup lookup, struct record *record, struct arena *arena, struct error *error) {
    struct payload_share share;
    bool found;
    if (!record_store_get_share(lookup, &record->payload_id, arena, &share, &found, error)) {
        return false;
    }
    if (found) {
        record_share_payload(record, &share.payload);
    }
    return true;
}

bool record_store_get_floor(struct kv_lookup lookup, const char *bucket, struct arena *arena, int64_t *floor,
                            struct error *error) {
    struct bytes value;
    bool found;
    *floor = 0;
    if (!get_value(lookup, layout_floor_key(arena, bucket), "bucket", arena, &value, &found, error)) {
        return false;
    }
    if (found && value.size != sizeof(uint64_t)) {
        return corrupt(error, "bucket");
    }
    *floor = found ? (int64_t)get_le64(value.data) : 0;
    return true;
}

struct bytes record_store_floor_value(int64_t floor, struct arena *arena) {
    struct bytes value;
    put_le64(begin_value(arena, sizeof(uint64_t), (struct bytes){0}, &value), (uint64_t)floor);
    return value;
}

bool record_store_get_version(struct kv_lookup lookup, const char *bucket, const char *key, int64_t version,
                              struct arena *arena, struct record *record, bool *found, struct error *error) {
    struct record_head head;
    if (!record_store_get_head(lookup, bucket, key, arena, &head, found, error)) {
        return false;
    }
    if (!*found || head.record.version == version) {
        if (*found) {
            *record = head.record;
        }
        return true;
    }
    struct bytes value;
    if (!get_value(lookup, layout_version_key(arena, bucket, key, version), "record", arena, &value, found, error)) {
        return false;
    }
    if (!*found) {
        return true;
    }
    if (!record_decode(value, arena, record, error)) {
        return false;
    }
    record->serving_version = head.record.serving_version;
    return read_shared(lookup, record, arena, error);
}

struct bytes record_store_version_value(const struct record *record, struct arena *arena) {
    struct bytes value;
    begin_value(arena, 0, record_encode(record, arena), &value);
    return value;
}

bool record_store_find_object(struct kv_lookup lookup, const char *bucket, const char *key, int64_t version,
                              const struct uuid *payload_id, struct arena *arena, struct record *record, bool *found,
                              struct error *error) {
    struct payload_share share;
    if (!record_store_get_version(lookup, bucket, key, version, arena, record, found, error)) {
        return false;
    }
    if (*found) {
        *found =
            uuid_is_zero(payload_id) ? record->payload_version == version : uuid_equal(&record->payload_id, payload_id);
        return true;
    }
    if (!record_store_get_share(lookup, payload_id, arena, &share, found, error)) {
        return false;
    }
    return !*found || record_store_get_version(lookup, bucket, key, share.newest_version, arena, record, found, error);
}

bool record_store_find_newest(struct kv_lookup lookup, const char *bucket, const char *key, int64_t version,
                              const struct uuid *payload_id, struct arena *arena, struct record *record, bool *found,
                              struct error *error) {
    struct payload_share share;
    if (!record_store_get_share(lookup, payload_id, arena, &share, found, error)) {
        return false;
    }
    return record_store_find_object(lookup, bucket, key, *found ? share.newest_version : version, payload_id, arena,
                                    record, found, error);
}

/* Payload: place (1), version (8), size (8), CRC32C (4), due (8), redrives (1), bucket NUL, key
 * NUL, inline bytes. Format 1 had neither due nor redrives. */
enum { PAYLOAD_FORMAT = 2, PAYLOAD_FIXED_BYTES = 30, PAYLOAD_FIXED_BYTES_1 = 21 };

static bool decode_payload(struct bytes value, struct payload_entry *entry, struct error *error) {
    size_t fixed = value.size < 1                    ? 0
                   : value.data[0] == PAYLOAD_FORMAT ? PAYLOAD_FIXED_BYTES
                   : value.data[0] == LAYOUT_FORMAT  ? PAYLOAD_FIXED_BYTES_1
                                                     : 0;
    if (fixed == 0 || value.size <= 1 + fixed) {
        return corrupt(error, "payload");
    }
    const uint8_t *in = value.data + 1;
    const uint8_t *end = value.data + value.size;
    const uint8_t *bucket = in + fixed;
    const uint8_t *bucket_end = memchr(bucket, 0, (size_t)(end - bucket));
    const uint8_t *key_end = bucket_end != NULL ? memchr(bucket_end + 1, 0, (size_t)(end - bucket_end - 1)) : NULL;
    if (key_end == NULL) {
        return corrupt(error, "payload");
    }
    entry->place = in[0];
    entry->version = (int64_t)get_le64(in + 1);
    entry->size = (int64_t)get_le64(in + 9);
    entry->crc32c = get_le32(in + 17);
    entry->due_us = fixed == PAYLOAD_FIXED_BYTES ? (int64_t)get_le64(in + 21) : 0;
    entry->redrives = fixed == PAYLOAD_FIXED_BYTES ? in[29] : 0;
    entry->bucket = (const char *)bucket;
    entry->key = (const char *)bucket_end + 1;
    entry->data = bytes_of(key_end + 1, (size_t)(end - key_end - 1));
    return true;
}

bool record_store_get_payload(struct kv_lookup lookup, const struct uuid *payload_id, struct arena *arena,
                              struct payload_entry *entry, bool *found, struct error *error) {
    struct bytes value;
    if (!lookup.get(lookup.self, layout_payload_key(arena, payload_id), arena, &value, found, error)) {
        return false;
    }
    return !*found || decode_payload(value, entry, error);
}

struct bytes record_store_payload_value(const struct payload_entry *entry, struct arena *arena) {
    size_t bucket_size = strlen(entry->bucket) + 1;
    size_t key_size = strlen(entry->key) + 1;
    struct bytes value;
    uint8_t *out =
        begin_value_of(PAYLOAD_FORMAT, arena, PAYLOAD_FIXED_BYTES + bucket_size + key_size, entry->data, &value);
    out[0] = (uint8_t)entry->place;
    put_le64(out + 1, (uint64_t)entry->version);
    put_le64(out + 9, (uint64_t)entry->size);
    put_le32(out + 17, entry->crc32c);
    put_le64(out + 21, (uint64_t)entry->due_us);
    out[29] = (uint8_t)entry->redrives;
    memcpy(out + PAYLOAD_FIXED_BYTES, entry->bucket, bucket_size);
    memcpy(out + PAYLOAD_FIXED_BYTES + bucket_size, entry->key, key_size);
    return value;
}

/* Failure: when (8), attempts (4), reason NUL, message. */
enum { FAILURE_FIXED_BYTES = 12 };

bool record_store_get_failure(struct kv_lookup lookup, const char *bucket, const struct uuid *payload_id,
                              struct arena *arena, struct payload_failure *failure, bool *found, struct error *error) {
    struct bytes value;
    if (!get_value(lookup, layout_failure_key(arena, bucket, payload_id), "payload", arena, &value, found, error)) {
        return false;
    }
    if (!*found) {
        return true;
    }
    const uint8_t *reason = value.data + FAILURE_FIXED_BYTES;
    size_t rest = value.size > FAILURE_FIXED_BYTES ? value.size - FAILURE_FIXED_BYTES : 0;
    const uint8_t *reason_end = rest > 0 ? memchr(reason, 0, rest) : NULL;
    if (reason_end == NULL) {
        return corrupt(error, "payload");
    }
    failure->fail_us = (int64_t)get_le64(value.data);
    failure->attempts = (int32_t)get_le32(value.data + 8);
    failure->reason = (const char *)reason;
    failure->message = arena_printf(arena, "%.*s", (int)(reason + rest - reason_end - 1), (const char *)reason_end + 1);
    return true;
}

struct bytes record_store_failure_value(const struct payload_failure *failure, struct arena *arena) {
    struct bytes value;
    size_t reason_size = strlen(failure->reason) + 1;
    uint8_t *out = begin_value(arena, FAILURE_FIXED_BYTES + reason_size, bytes_of_string(failure->message), &value);
    put_le64(out, (uint64_t)failure->fail_us);
    put_le32(out + 8, (uint32_t)failure->attempts);
    memcpy(out + FAILURE_FIXED_BYTES, failure->reason, reason_size);
    return value;
}

/* Drop: version (8), bucket NUL, key. */
bool record_store_decode_drop(struct bytes value, struct arena *arena, struct dropped_object *object,
                              struct error *error) {
    if (value.size < 1 + 8 || value.data[0] != LAYOUT_FORMAT) {
        return corrupt(error, "drop");
    }
    const char *bucket = arena_printf(arena, "%.*s", (int)(value.size - 9), (const char *)value.data + 9);
    size_t used = 9 + strlen(bucket) + 1;
    if (used > value.size) {
        return corrupt(error, "drop");
    }
    object->version = (int64_t)get_le64(value.data + 1);
    object->bucket = bucket;
    object->key = arena_printf(arena, "%.*s", (int)(value.size - used), (const char *)value.data + used);
    return true;
}

struct bytes record_store_drop_value(const struct dropped_object *object, struct arena *arena) {
    size_t bucket_size = strlen(object->bucket) + 1;
    struct bytes value;
    uint8_t *out = begin_value(arena, 8 + bucket_size, bytes_of_string(object->key), &value);
    put_le64(out, (uint64_t)object->version);
    memcpy(out + 8, object->bucket, bucket_size);
    return value;
}

/* Sweep: due (8), what is left (1), version (8), key. */
enum { SWEEP_FIXED_BYTES = 17, SWEEP_VERSIONS = 1, SWEEP_HEADS = 2 };

bool record_store_get_sweep(struct kv_lookup lookup, const char *bucket, struct arena *arena,
                            struct policy_sweep *sweep, bool *found, struct error *error) {
    struct bytes value;
    if (!get_value(lookup, layout_sweep_key(arena, bucket), "sweep", arena, &value, found, error)) {
        return false;
    }
    if (!*found) {
        return true;
    }
    if (value.size < SWEEP_FIXED_BYTES) {
        return corrupt(error, "sweep");
    }
    *sweep = (struct policy_sweep){
        .due_us = (int64_t)get_le64(value.data),
        .versions = (value.data[8] & SWEEP_VERSIONS) != 0,
        .heads = (value.data[8] & SWEEP_HEADS) != 0,
        .version = (int64_t)get_le64(value.data + 9),
        .key = arena_printf(arena, "%.*s", (int)(value.size - SWEEP_FIXED_BYTES),
                            (const char *)value.data + SWEEP_FIXED_BYTES),
    };
    return true;
}

struct bytes record_store_sweep_value(const struct policy_sweep *sweep, struct arena *arena) {
    struct bytes value;
    uint8_t *out = begin_value(arena, SWEEP_FIXED_BYTES, bytes_of_string(sweep->key), &value);
    put_le64(out, (uint64_t)sweep->due_us);
    out[8] = (uint8_t)((sweep->versions ? SWEEP_VERSIONS : 0) | (sweep->heads ? SWEEP_HEADS : 0));
    put_le64(out + 9, (uint64_t)sweep->version);
    return value;
}

/* Request: fingerprint (16), revision (8). */
enum { REQUEST_BYTES = 24 };

bool record_store_get_request(struct kv_lookup lookup, const struct uuid *request_id, struct arena *arena,
                              struct request_entry *entry, bool *found, struct error *error) {
    struct bytes value;
    if (!get_value(lookup, layout_request_key(arena, request_id), "request", arena, &value, found, error)) {
        return false;
    }
    if (!*found) {
        return true;
    }
    if (value.size != REQUEST_BYTES) {
        return corrupt(error, "request");
    }
    memcpy(entry->fingerprint.raw, value.data, sizeof entry->fingerprint.raw);
    entry->revision = (int64_t)get_le64(value.data + 16);
    return true;
}

struct bytes record_store_request_value(const struct request_entry *entry, struct arena *arena) {
    struct bytes value;
    uint8_t *out = begin_value(arena, REQUEST_BYTES, (struct bytes){0}, &value);
    memcpy(out, entry->fingerprint.raw, sizeof entry->fingerprint.raw);
    put_le64(out + 16, (uint64_t)entry->revision);
    return value;
}
