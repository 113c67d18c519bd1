#include "object-svc/hot/needle.h"

#include <assert.h>

#include "common/checksum/crc32c.h"

static const uint8_t volume_magic[8] = "WAYBHOTV";
static const uint8_t needle_magic[4] = "WBND";

enum { FORMAT_VERSION = 1, CRC_BYTES = 4, FLAG_SHA256 = 1 };

/* Offsets in the volume header. */
enum { VOLUME_VERSION = 8, VOLUME_ID = 16, VOLUME_SALT = 24, VOLUME_CREATED = 32, VOLUME_REPLICA = 40 };

/* Offsets in the fixed part of a needle's header. */
enum {
    AT_VERSION = 4,
    AT_KIND = 5,
    AT_FLAGS = 6,
    AT_BUCKET_LENGTH = 7,
    AT_SALT = 8,
    AT_OFFSET = 16,
    AT_FLUSHED = 24,
    AT_PAYLOAD_ID = 32,
    AT_OBJECT_VERSION = 48,
    AT_PAYLOAD_LENGTH = 56,
    AT_COMMITTED = 64,
    AT_STORED = 72,
    AT_PAYLOAD_CRC = 80,
    AT_BLOCK_BYTES = 84,
    AT_KEY_LENGTH = 88,
    AT_CONTENT_TYPE_LENGTH = 90,
    AT_DESCRIPTOR_LENGTH = 92,
    AT_SHA256 = 96,
};

static uint64_t aligned(uint64_t size) {
    return (size + NEEDLE_ALIGNMENT - 1) / NEEDLE_ALIGNMENT * NEEDLE_ALIGNMENT;
}

static size_t length_of(const char *string) {
    return string == NULL ? 0 : strlen(string);
}

void volume_header_encode(const struct volume_header *header, uint8_t out[VOLUME_HEADER_BYTES]) {
    memset(out, 0, VOLUME_HEADER_BYTES);
    memcpy(out, volume_magic, sizeof volume_magic);
    out[VOLUME_VERSION] = FORMAT_VERSION;
    put_le64(out + VOLUME_ID, header->id);
    put_le64(out + VOLUME_SALT, header->salt);
    put_le64(out + VOLUME_CREATED, (uint64_t)header->create_unix_us);
    memcpy(out + VOLUME_REPLICA, header->replica, strnlen(header->replica, VOLUME_REPLICA_MAX_BYTES));
    put_le32(out + VOLUME_HEADER_BYTES - CRC_BYTES, crc32c(bytes_of(out, VOLUME_HEADER_BYTES - CRC_BYTES)));
}

bool volume_header_decode(const uint8_t in[VOLUME_HEADER_BYTES], struct volume_header *header) {
    if (memcmp(in, volume_magic, sizeof volume_magic) != 0 || in[VOLUME_VERSION] != FORMAT_VERSION ||
        crc32c(bytes_of(in, VOLUME_HEADER_BYTES - CRC_BYTES)) != get_le32(in + VOLUME_HEADER_BYTES - CRC_BYTES)) {
        return false;
    }
    *header = (struct volume_header){.id = get_le64(in + VOLUME_ID),
                                     .salt = get_le64(in + VOLUME_SALT),
                                     .create_unix_us = (int64_t)get_le64(in + VOLUME_CREATED)};
    memcpy(header->replica, in + VOLUME_REPLICA, VOLUME_REPLICA_MAX_BYTES);
    return true;
}

uint32_t needle_block_bytes(uint64_t size_bytes) {
    return size_bytes > NEEDLE_LARGE_BYTES ? NEEDLE_LARGE_BLOCK_BYTES : NEEDLE_BLOCK_BYTES;
}

uint32_t needle_header_bytes(const struct needle *needle) {
    const struct provenance *provenance = &needle->provenance;
    return (uint32_t)aligned(NEEDLE_FIXED_BYTES + length_of(provenance->bucket) + length_of(provenance->key) +
                             length_of(provenance->content_type) + provenance->descriptor.size + CRC_BYTES);
}

uint64_t needle_bytes(const struct needle *needle) {
    uint64_t payload = needle->provenance.size_bytes;
    uint64_t sums = payload == 0 ? 0 : (payload - 1) / needle->block_bytes + 1;
    return needle_header_bytes(needle) + aligned(payload + (sums > 1 ? sums * CRC_BYTES : 0));
}

static void encode_fixed(const struct needle *needle, uint8_t *out) {
    const struct provenance *provenance = &needle->provenance;
    memset(out, 0, NEEDLE_FIXED_BYTES);
    memcpy(out, needle_magic, sizeof needle_magic);
    out[AT_VERSION] = FORMAT_VERSION;
    out[AT_KIND] = (uint8_t)needle->kind;
    out[AT_FLAGS] = provenance->has_sha256 ? FLAG_SHA256 : 0;
    out[AT_BUCKET_LENGTH] = (uint8_t)length_of(provenance->bucket);
    put_le64(out + AT_SALT, needle->salt);
    put_le64(out + AT_OFFSET, needle->offset);
    put_le64(out + AT_FLUSHED, needle->flushed_bytes);
    memcpy(out + AT_PAYLOAD_ID, provenance->payload_id.raw, sizeof provenance->payload_id.raw);
    put_le64(out + AT_OBJECT_VERSION, (uint64_t)provenance->version);
    put_le64(out + AT_PAYLOAD_LENGTH, provenance->size_bytes);
    put_le64(out + AT_COMMITTED, (uint64_t)provenance->commit_unix_us);
    put_le64(out + AT_STORED, (uint64_t)provenance->store_unix_us);
    put_le32(out + AT_PAYLOAD_CRC, provenance->crc32c);
    put_le32(out + AT_BLOCK_BYTES, needle->block_bytes);
    put_le16(out + AT_KEY_LENGTH, (uint16_t)length_of(provenance->key));
    put_le16(out + AT_CONTENT_TYPE_LENGTH, (uint16_t)length_of(provenance->content_type));
    put_le32(out + AT_DESCRIPTOR_LENGTH, (uint32_t)provenance->descriptor.size);
    if (provenance->has_sha256) {
        memcpy(out + AT_SHA256, provenance->sha256, PROVENANCE_SHA256_BYTES);
    }
}

void needle_encode(const struct needle *needle, struct buffer *out) {
    const struct provenance *provenance = &needle->provenance;
    assert(provenance->descriptor.size <= PROVENANCE_DESCRIPTOR_MAX_BYTES);
    assert(length_of(provenance->content_type) <= PROVENANCE_CONTENT_TYPE_MAX_BYTES);
    size_t begin = out->size;
    size_t size = needle_header_bytes(needle);
    buffer_reserve(out, size);
    encode_fixed(needle, out->data + begin);
    out->size += NEEDLE_FIXED_BYTES;
    buffer_append(out, provenance->bucket, length_of(provenance->bucket));
    buffer_append(out, provenance->key, length_of(provenance->key));
    buffer_append(out, provenance->content_type, length_of(provenance->content_type));
    buffer_append_bytes(out, provenance->descriptor);
    buffer_append_le32(out, crc32c(bytes_of(out->data + begin, out->size - begin)));
    memset(out->data + out->size, 0, begin + size - out->size);
    out->size = begin + size;
}

uint32_t needle_header_size(struct bytes fixed) {
    assert(fixed.size >= NEEDLE_FIXED_BYTES);
    const uint8_t *in = fixed.data;
    bool known = memcmp(in, needle_magic, sizeof needle_magic) == 0 && in[AT_VERSION] == FORMAT_VERSION &&
                 (in[AT_KIND] == NEEDLE_OBJECT || in[AT_KIND] == NEEDLE_SEAL) && (in[AT_FLAGS] & ~FLAG_SHA256) == 0;
    bool fits = in[AT_BUCKET_LENGTH] <= NAME_BUCKET_MAX_BYTES && get_le16(in + AT_KEY_LENGTH) <= NAME_KEY_MAX_BYTES &&
                get_le16(in + AT_CONTENT_TYPE_LENGTH) <= PROVENANCE_CONTENT_TYPE_MAX_BYTES &&
                get_le32(in + AT_DESCRIPTOR_LENGTH) <= PROVENANCE_DESCRIPTOR_MAX_BYTES &&
                get_le64(in + AT_PAYLOAD_LENGTH) <= NEEDLE_PAYLOAD_MAX_BYTES && get_le32(in + AT_BLOCK_BYTES) > 0 &&
                get_le32(in + AT_BLOCK_BYTES) <= NEEDLE_LARGE_BLOCK_BYTES;
    if (!known || !fits) {
        return 0;
    }
    return (uint32_t)aligned(NEEDLE_FIXED_BYTES + in[AT_BUCKET_LENGTH] + get_le16(in + AT_KEY_LENGTH) +
                             get_le16(in + AT_CONTENT_TYPE_LENGTH) + get_le32(in + AT_DESCRIPTOR_LENGTH) + CRC_BYTES);
}

static void append_string(struct buffer *names, const uint8_t **from, size_t length) {
    buffer_append(names, *from, length);
    buffer_append_u8(names, 0);
    *from += length;
}

bool needle_decode(struct bytes header, struct buffer *names, struct needle *needle) {
    const uint8_t *in = header.data;
    size_t bucket_length = in[AT_BUCKET_LENGTH];
    size_t key_length = get_le16(in + AT_KEY_LENGTH);
    size_t type_length = get_le16(in + AT_CONTENT_TYPE_LENGTH);
    size_t descriptor_length = get_le32(in + AT_DESCRIPTOR_LENGTH);
    size_t covered = NEEDLE_FIXED_BYTES + bucket_length + key_length + type_length + descriptor_length;
    assert(header.size == aligned(covered + CRC_BYTES));
    if (crc32c(bytes_of(in, covered)) != get_le32(in + covered)) {
        return false;
    }
    const uint8_t *from = in + NEEDLE_FIXED_BYTES;
    buffer_clear(names);
    append_string(names, &from, bucket_length);
    append_string(names, &from, key_length);
    append_string(names, &from, type_length);
    buffer_append(names, from, descriptor_length);

    const char *strings = (const char *)names->data;
    *needle = (struct needle){
        .kind = in[AT_KIND],
        .salt = get_le64(in + AT_SALT),
        .offset = get_le64(in + AT_OFFSET),
        .flushed_bytes = get_le64(in + AT_FLUSHED),
        .block_bytes = get_le32(in + AT_BLOCK_BYTES),
        .provenance =
            {
                .bucket = strings,
                .key = strings + bucket_length + 1,
                .content_type = strings + bucket_length + key_length + 2,
                .descriptor = bytes_of(names->data + bucket_length + key_length + type_length + 3, descriptor_length),
                .version = (int64_t)get_le64(in + AT_OBJECT_VERSION),
                .size_bytes = get_le64(in + AT_PAYLOAD_LENGTH),
                .crc32c = get_le32(in + AT_PAYLOAD_CRC),
                .has_sha256 = (in[AT_FLAGS] & FLAG_SHA256) != 0,
                .commit_unix_us = (int64_t)get_le64(in + AT_COMMITTED),
                .store_unix_us = (int64_t)get_le64(in + AT_STORED),
            },
    };
    memcpy(needle->provenance.payload_id.raw, in + AT_PAYLOAD_ID, sizeof needle->provenance.payload_id.raw);
    memcpy(needle->provenance.sha256, in + AT_SHA256, PROVENANCE_SHA256_BYTES);
    return true;
}
