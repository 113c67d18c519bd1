#include "metadata-svc/store/layout.h"

#include <string.h>

enum { NUMBER_BYTES = 8 };

static uint8_t *begin(struct arena *arena, char prefix, size_t rest) {
    uint8_t *out = arena_alloc(arena, 1 + rest);
    out[0] = (uint8_t)prefix;
    return out;
}

static struct bytes bucket_key(struct arena *arena, char prefix, const char *bucket) {
    size_t size = strlen(bucket);
    uint8_t *out = begin(arena, prefix, size);
    memcpy(out + 1, bucket, size);
    return bytes_of(out, 1 + size);
}

struct bytes layout_bucket_key(struct arena *arena, const char *bucket) {
    return bucket_key(arena, LAYOUT_BUCKET_PREFIX, bucket);
}

struct bytes layout_floor_key(struct arena *arena, const char *bucket) {
    return bucket_key(arena, 'f', bucket);
}

struct bytes layout_sweep_key(struct arena *arena, const char *bucket) {
    return bucket_key(arena, 'w', bucket);
}

struct bytes layout_head_key(struct arena *arena, const char *bucket, const char *key) {
    size_t bucket_size = strlen(bucket) + 1;
    size_t key_size = strlen(key);
    uint8_t *out = begin(arena, LAYOUT_HEAD_PREFIX, bucket_size + key_size);
    memcpy(out + 1, bucket, bucket_size);
    memcpy(out + 1 + bucket_size, key, key_size);
    return bytes_of(out, 1 + bucket_size + key_size);
}

/* <bucket> 00 <key> 00 <version BE> */
static size_t name_bytes(const char *bucket, const char *key) {
    return strlen(bucket) + 1 + strlen(key) + 1 + NUMBER_BYTES;
}

static void put_name(uint8_t *out, const char *bucket, const char *key, int64_t version) {
    size_t bucket_size = strlen(bucket) + 1;
    size_t key_size = strlen(key) + 1;
    memcpy(out, bucket, bucket_size);
    memcpy(out + bucket_size, key, key_size);
    put_be64(out + bucket_size + key_size, (uint64_t)version);
}

struct bytes layout_version_key(struct arena *arena, const char *bucket, const char *key, int64_t version) {
    size_t size = name_bytes(bucket, key);
    uint8_t *out = begin(arena, LAYOUT_VERSION_PREFIX, size);
    put_name(out + 1, bucket, key, version);
    return bytes_of(out, 1 + size);
}

struct bytes layout_versions_prefix(struct arena *arena, const char *bucket) {
    struct bytes head = layout_head_key(arena, bucket, "");
    uint8_t *out = begin(arena, LAYOUT_VERSION_PREFIX, head.size - 1);
    memcpy(out + 1, head.data + 1, head.size - 1);
    return bytes_of(out, head.size);
}

bool layout_read_name(struct arena *arena, struct bytes key, struct layout_name *name) {
    bool older = key.size > 0 && key.data[0] == LAYOUT_VERSION_PREFIX;
    size_t number = older ? 1 + NUMBER_BYTES : 0; /* with the 00 before it */
    if (key.size < 2 + number || (!older && key.data[0] != LAYOUT_HEAD_PREFIX)) {
        return false;
    }
    char *text = arena_zalloc(arena, key.size + 1);
    memcpy(text, key.data, key.size);
    const char *end = text + key.size - number;
    const char *bucket_end = memchr(text + 1, '\0', (size_t)(end - text - 1));
    if (bucket_end == NULL || bucket_end + 1 >= end || *end != '\0') {
        return false;
    }
    *name = (struct layout_name){text + 1, bucket_end + 1,
                                 older ? (int64_t)get_be64(key.data + key.size - NUMBER_BYTES) : 0};
    return true;
}

struct bytes layout_timer_key(struct arena *arena, const struct timer *timer) {
    size_t size = NUMBER_BYTES + 1 + name_bytes(timer->bucket, timer->key);
    uint8_t *out = begin(arena, LAYOUT_TIMER_PREFIX, size);
    put_be64(out + 1, (uint64_t)timer->due_us);
    out[1 + NUMBER_BYTES] = (uint8_t)timer->kind;
    put_name(out + 1 + NUMBER_BYTES + 1, timer->bucket, timer->key, timer->version);
    return bytes_of(out, 1 + size);
}

bool layout_read_timer_key(struct arena *arena, struct bytes key, struct timer *timer) {
    enum { NAME_AT = 1 + NUMBER_BYTES + 1 };
    if (key.size <= NAME_AT + NUMBER_BYTES || key.data[0] != LAYOUT_TIMER_PREFIX) {
        return false;
    }
    struct bytes copy = arena_copy(arena, key);
    const char *bucket = (const char *)copy.data + NAME_AT;
    const char *end = (const char *)copy.data + copy.size - NUMBER_BYTES;
    const char *bucket_end = memchr(bucket, '\0', (size_t)(end - bucket));
    if (bucket_end == NULL || bucket_end + 1 >= end || end[-1] != '\0') {
        return false;
    }
    *timer = (struct timer){
        .due_us = (int64_t)get_be64(copy.data + 1),
        .kind = (enum timer_kind)copy.data[1 + NUMBER_BYTES],
        .bucket = bucket,
        .key = bucket_end + 1,
        .version = (int64_t)get_be64((const uint8_t *)end),
    };
    return true;
}

struct bytes layout_change_key(struct arena *arena, int64_t revision) {
    uint8_t *out = begin(arena, LAYOUT_CHANGE_PREFIX, NUMBER_BYTES);
    put_be64(out + 1, (uint64_t)revision);
    return bytes_of(out, 1 + NUMBER_BYTES);
}

static struct bytes uuid_key(struct arena *arena, char prefix, const struct uuid *id) {
    uint8_t *out = begin(arena, prefix, sizeof id->raw);
    memcpy(out + 1, id->raw, sizeof id->raw);
    return bytes_of(out, 1 + sizeof id->raw);
}

struct bytes layout_payload_key(struct arena *arena, const struct uuid *payload_id) {
    return uuid_key(arena, LAYOUT_PAYLOAD_PREFIX, payload_id);
}

struct bytes layout_share_key(struct arena *arena, const struct uuid *payload_id) {
    return uuid_key(arena, 's', payload_id);
}

struct bytes layout_failures_prefix(struct arena *arena, const char *bucket) {
    size_t size = *bucket != '\0' ? strlen(bucket) + 1 : 0;
    uint8_t *out = begin(arena, LAYOUT_FAILURE_PREFIX, size);
    memcpy(out + 1, bucket, size);
    return bytes_of(out, 1 + size);
}

struct bytes layout_failure_key(struct arena *arena, const char *bucket, const struct uuid *payload_id) {
    size_t size = strlen(bucket) + 1;
    uint8_t *out = begin(arena, LAYOUT_FAILURE_PREFIX, size + sizeof payload_id->raw);
    memcpy(out + 1, bucket, size);
    memcpy(out + 1 + size, payload_id->raw, sizeof payload_id->raw);
    return bytes_of(out, 1 + size + sizeof payload_id->raw);
}

bool layout_read_failure_key(struct bytes key, struct uuid *payload_id) {
    if (key.size <= 2 + sizeof payload_id->raw || key.data[0] != LAYOUT_FAILURE_PREFIX) {
        return false;
    }
    memcpy(payload_id->raw, key.data + key.size - sizeof payload_id->raw, sizeof payload_id->raw);
    return true;
}

struct bytes layout_request_key(struct arena *arena, const struct uuid *request_id) {
    return uuid_key(arena, 'q', request_id);
}

struct bytes layout_drops_prefix(struct arena *arena, uint8_t tier, const char *replica) {
    size_t size = strlen(replica) + 1;
    uint8_t *out = begin(arena, LAYOUT_DROP_PREFIX, 1 + size);
    out[1] = tier;
    memcpy(out + 2, replica, size);
    return bytes_of(out, 2 + size);
}

struct bytes layout_drop_key(struct arena *arena, const struct layout_drop *drop) {
    struct bytes prefix = layout_drops_prefix(arena, drop->tier, drop->replica);
    uint8_t *out = arena_alloc(arena, prefix.size + NUMBER_BYTES + sizeof drop->payload_id.raw);
    memcpy(out, prefix.data, prefix.size);
    put_be64(out + prefix.size, (uint64_t)drop->due_us);
    memcpy(out + prefix.size + NUMBER_BYTES, drop->payload_id.raw, sizeof drop->payload_id.raw);
    return bytes_of(out, prefix.size + NUMBER_BYTES + sizeof drop->payload_id.raw);
}

bool layout_read_drop_key(struct bytes key, struct bytes prefix, int64_t *due_us, struct uuid *payload_id) {
    if (key.size != prefix.size + NUMBER_BYTES + sizeof payload_id->raw || !bytes_start_with(key, prefix)) {
        return false;
    }
    *due_us = (int64_t)get_be64(key.data + prefix.size);
    memcpy(payload_id->raw, key.data + prefix.size + NUMBER_BYTES, sizeof payload_id->raw);
    return true;
}

bool layout_split_drop_key(struct bytes key, struct bytes *prefix, int64_t *due_us) {
    const size_t tail = NUMBER_BYTES + sizeof((struct uuid){0}).raw;
    if (key.size < 3 + tail || key.data[0] != LAYOUT_DROP_PREFIX || key.data[key.size - tail - 1] != 0) {
        return false;
    }
    *prefix = bytes_of(key.data, key.size - tail);
    *due_us = (int64_t)get_be64(key.data + prefix->size);
    return true;
}

int64_t layout_number_of(struct bytes key) {
    return key.size >= 1 + NUMBER_BYTES ? (int64_t)get_be64(key.data + 1) : -1;
}
