#include "object-svc/hot/index_codec.h"

enum {
    OBJECT_FLAG_COLD = 1,
    VOLUME_FLAG_SEALED = 1,
    VOLUME_FLAG_DELETED = 2,
    OBJECT_FIXED_BYTES = 55, /* of an object's value, before bucket and key */
    VOLUME_VERSION = 2,
    VOLUME_VALUE_BYTES = 42,
};

static void start(struct buffer *out, uint8_t first) {
    buffer_clear(out);
    buffer_append_u8(out, first);
}

/* Times before 1970 do not occur; they would sort last. */
static uint64_t sortable(int64_t unix_us) {
    return unix_us < 0 ? 0 : (uint64_t)unix_us;
}

void index_object_key(const struct uuid *payload_id, struct buffer *out) {
    start(out, INDEX_OBJECT_PREFIX);
    buffer_append(out, payload_id->raw, sizeof payload_id->raw);
}

void index_object_value(const struct index_entry *entry, struct buffer *out) {
    const struct hot_object *object = &entry->object;
    size_t bucket_length = strlen(object->bucket);
    start(out, INDEX_FORMAT_VERSION);
    buffer_append_u8(out, object->cold_copy_known ? OBJECT_FLAG_COLD : 0);
    buffer_append_le64(out, entry->volume);
    buffer_append_le64(out, entry->offset);
    buffer_append_le64(out, entry->needle_bytes);
    buffer_append_le64(out, object->size_bytes);
    buffer_append_le32(out, object->crc32c);
    buffer_append_le64(out, (uint64_t)object->version);
    buffer_append_le64(out, (uint64_t)object->store_unix_us);
    buffer_append_u8(out, (uint8_t)bucket_length);
    buffer_append(out, object->bucket, bucket_length);
    buffer_append(out, object->key, strlen(object->key));
}

/* A bucket's name has no byte below '-', so the NUL keeps one bucket's queue together. */
void index_age_prefix(const char *bucket, bool cold_copy_known, struct buffer *out) {
    start(out, INDEX_AGE_PREFIX);
    buffer_append(out, bucket, strlen(bucket) + 1);
    buffer_append_u8(out, cold_copy_known ? OBJECT_FLAG_COLD : 0);
}

void index_age_key(const struct index_entry *entry, struct buffer *out) {
    index_age_prefix(entry->object.bucket, entry->object.cold_copy_known, out);
    buffer_append_be64(out, sortable(entry->object.store_unix_us));
    buffer_append(out, entry->object.payload_id.raw, sizeof entry->object.payload_id.raw);
}

void index_volume_key(uint64_t id, struct buffer *out) {
    start(out, INDEX_VOLUME_PREFIX);
    buffer_append_be64(out, id);
}

void index_volume_value(const struct index_volume *volume, struct buffer *out) {
    start(out, VOLUME_VERSION);
    buffer_append_u8(
        out, (uint8_t)((volume->sealed ? VOLUME_FLAG_SEALED : 0) | (volume->deleted ? VOLUME_FLAG_DELETED : 0)));
    buffer_append_le64(out, volume->salt);
    buffer_append_le64(out, volume->indexed_bytes);
    buffer_append_le64(out, volume->live_objects);
    buffer_append_le64(out, volume->live_sum);
    buffer_append_le64(out, volume->dead_bytes);
}

/* Copies a name of at most `limit` bytes without NUL. */
static bool copy_name(char *out, size_t limit, const uint8_t *from, size_t length) {
    if (length == 0 || length > limit || memchr(from, 0, length) != NULL) {
        return false;
    }
    memcpy(out, from, length);
    out[length] = '\0';
    return true;
}

bool index_decode_object(struct bytes key, struct bytes value, struct index_entry *entry) {
    *entry = (struct index_entry){0};
    struct hot_object *object = &entry->object;
    const uint8_t *in = value.data;
    if (key.size != 1 + sizeof object->payload_id.raw || value.size < OBJECT_FIXED_BYTES + 2 ||
        in[0] != INDEX_FORMAT_VERSION) {
        return false;
    }
    memcpy(object->payload_id.raw, key.data + 1, sizeof object->payload_id.raw);
    object->cold_copy_known = (in[1] & OBJECT_FLAG_COLD) != 0;
    entry->volume = get_le64(in + 2);
    entry->offset = get_le64(in + 10);
    entry->needle_bytes = get_le64(in + 18);
    object->size_bytes = get_le64(in + 26);
    object->crc32c = get_le32(in + 34);
    object->version = (int64_t)get_le64(in + 38);
    object->store_unix_us = (int64_t)get_le64(in + 46);
    size_t bucket_length = in[54];
    const uint8_t *names = in + OBJECT_FIXED_BYTES;
    size_t names_length = value.size - OBJECT_FIXED_BYTES;
    return bucket_length < names_length && copy_name(object->bucket, NAME_BUCKET_MAX_BYTES, names, bucket_length) &&
           copy_name(object->key, NAME_KEY_MAX_BYTES, names + bucket_length, names_length - bucket_length);
}

bool index_decode_volume(struct bytes key, struct bytes value, struct index_volume *volume) {
    const uint8_t *in = value.data;
    if (key.size != 9 || value.size != VOLUME_VALUE_BYTES || in[0] != VOLUME_VERSION) {
        return false;
    }
    *volume = (struct index_volume){.id = get_be64(key.data + 1),
                                    .salt = get_le64(in + 2),
                                    .indexed_bytes = get_le64(in + 10),
                                    .live_objects = get_le64(in + 18),
                                    .live_sum = get_le64(in + 26),
                                    .dead_bytes = get_le64(in + 34),
                                    .sealed = (in[1] & VOLUME_FLAG_SEALED) != 0,
                                    .deleted = (in[1] & VOLUME_FLAG_DELETED) != 0};
    return true;
}

bool index_decode_age(struct bytes rest, int64_t *store_unix_us, struct uuid *payload_id) {
    if (rest.size != 8 + sizeof payload_id->raw) {
        return false;
    }
    *store_unix_us = (int64_t)get_be64(rest.data);
    memcpy(payload_id->raw, rest.data + 8, sizeof payload_id->raw);
    return true;
}
