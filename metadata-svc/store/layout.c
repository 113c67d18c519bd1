#include "metadata-svc/store/layout.h"

#include <string.h>

enum { NUMBER_BYTES = 8 };

static uint8_t *begin(struct arena *arena, char prefix, size_t rest) {
    uint8_t *out = arena_alloc(arena, 1 + rest);
    out[0] = (uint8_t)prefix;
    return out;
}

struct bytes layout_bucket_key(struct arena *arena, const char *bucket) {
    size_t size = strlen(bucket);
    uint8_t *out = begin(arena, LAYOUT_BUCKET_PREFIX, size);
    memcpy(out + 1, bucket, size);
    return bytes_of(out, 1 + size);
}

struct bytes layout_head_key(struct arena *arena, const char *bucket, const char *key) {
    size_t bucket_size = strlen(bucket) + 1;
    size_t key_size = strlen(key);
    uint8_t *out = begin(arena, LAYOUT_HEAD_PREFIX, bucket_size + key_size);
    memcpy(out + 1, bucket, bucket_size);
    memcpy(out + 1 + bucket_size, key, key_size);
    return bytes_of(out, 1 + bucket_size + key_size);
}

struct bytes layout_version_key(struct arena *arena, const char *bucket, const char *key, int64_t version) {
    size_t bucket_size = strlen(bucket) + 1;
    size_t key_size = strlen(key) + 1;
    uint8_t *out = begin(arena, 'v', bucket_size + key_size + NUMBER_BYTES);
    memcpy(out + 1, bucket, bucket_size);
    memcpy(out + 1 + bucket_size, key, key_size);
    put_be64(out + 1 + bucket_size + key_size, (uint64_t)version);
    return bytes_of(out, 1 + bucket_size + key_size + NUMBER_BYTES);
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

struct bytes layout_request_key(struct arena *arena, const struct uuid *request_id) {
    return uuid_key(arena, 'q', request_id);
}

struct bytes layout_request_expiry_key(struct arena *arena, int64_t unix_us, const struct uuid *request_id) {
    uint8_t *out = begin(arena, LAYOUT_REQUEST_EXPIRY_PREFIX, NUMBER_BYTES + sizeof request_id->raw);
    put_be64(out + 1, (uint64_t)unix_us);
    memcpy(out + 1 + NUMBER_BYTES, request_id->raw, sizeof request_id->raw);
    return bytes_of(out, 1 + NUMBER_BYTES + sizeof request_id->raw);
}

int64_t layout_number_of(struct bytes key) {
    return key.size >= 1 + NUMBER_BYTES ? (int64_t)get_be64(key.data + 1) : -1;
}
