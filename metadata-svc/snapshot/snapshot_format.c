#include "metadata-svc/snapshot/snapshot_format.h"

#include <assert.h>
#include <stdio.h>

#include "common/checksum/crc32c.h"

enum { HEADER_SHARD_AT = 24, HEADER_CRC_AT = 60, CHUNK_CRC_AT = 28 };

static const uint8_t file_magic[4] = {'W', 'B', 'S', 'N'};
static const uint8_t chunk_magic[4] = {'W', 'B', 'C', 'H'};

/* ---- header ---- */

void snapshot_header_encode(const struct snapshot_header *header, uint8_t out[SNAPSHOT_HEADER_BYTES]) {
    memset(out, 0, SNAPSHOT_HEADER_BYTES);
    memcpy(out, file_magic, sizeof file_magic);
    out[4] = SNAPSHOT_FORMAT_VERSION;
    put_le64(out + 8, (uint64_t)header->revision);
    put_le64(out + 16, (uint64_t)header->take_unix_us);
    snprintf((char *)out + HEADER_SHARD_AT, SNAPSHOT_SHARD_BYTES, "%s", header->shard);
    put_le32(out + HEADER_CRC_AT, crc32c(bytes_of(out, HEADER_CRC_AT)));
}

bool snapshot_header_decode(const uint8_t in[SNAPSHOT_HEADER_BYTES], struct snapshot_header *header,
                            struct error *error) {
    if (memcmp(in, file_magic, sizeof file_magic) != 0) {
        return error_set(error, ERROR_DATA_LOSS, "NOT_A_SNAPSHOT",
                         "this is no snapshot, or its first bytes are damaged");
    }
    if (get_le32(in + HEADER_CRC_AT) != crc32c(bytes_of(in, HEADER_CRC_AT)) || in[HEADER_CRC_AT - 1] != 0) {
        return error_set(error, ERROR_DATA_LOSS, "SNAPSHOT_CORRUPT", "the header of the snapshot is damaged");
    }
    if (in[4] != SNAPSHOT_FORMAT_VERSION) {
        return error_set(error, ERROR_UNIMPLEMENTED, "SNAPSHOT_TOO_NEW",
                         "the snapshot has format %d, this program knows format %d: use a newer one", in[4],
                         SNAPSHOT_FORMAT_VERSION);
    }
    *header = (struct snapshot_header){
        .revision = (int64_t)get_le64(in + 8),
        .take_unix_us = (int64_t)get_le64(in + 16),
    };
    memcpy(header->shard, in + HEADER_SHARD_AT, SNAPSHOT_SHARD_BYTES);
    return true;
}

/* ---- chunks ---- */

void snapshot_chunk_header_encode(const struct snapshot_chunk_header *header,
                                  uint8_t out[SNAPSHOT_CHUNK_HEADER_BYTES]) {
    memset(out, 0, SNAPSHOT_CHUNK_HEADER_BYTES);
    memcpy(out, chunk_magic, sizeof chunk_magic);
    out[4] = (uint8_t)header->type;
    put_le64(out + 8, header->number);
    put_le32(out + 16, header->body_bytes);
    put_le32(out + 20, header->body_crc32c);
    put_le32(out + CHUNK_CRC_AT, crc32c(bytes_of(out, CHUNK_CRC_AT)));
}

bool snapshot_chunk_header_decode(const uint8_t in[SNAPSHOT_CHUNK_HEADER_BYTES], struct snapshot_chunk_header *header) {
    *header = (struct snapshot_chunk_header){
        .type = (enum snapshot_chunk_type)in[4],
        .number = get_le64(in + 8),
        .body_bytes = get_le32(in + 16),
        .body_crc32c = get_le32(in + 20),
    };
    return memcmp(in, chunk_magic, sizeof chunk_magic) == 0 &&
           get_le32(in + CHUNK_CRC_AT) == crc32c(bytes_of(in, CHUNK_CRC_AT)) && in[4] >= SNAPSHOT_PAYLOAD &&
           in[4] <= SNAPSHOT_END && header->body_bytes <= SNAPSHOT_BODY_MAX_BYTES;
}

/* ---- bodies ---- */

void snapshot_payload_append(struct buffer *body, const struct snapshot_payload *payload) {
    buffer_append(body, payload->id.raw, sizeof payload->id.raw);
    buffer_append_le64(body, payload->size_bytes);
    buffer_append_le32(body, payload->crc32c);
    buffer_append(body, payload->bucket, strlen(payload->bucket) + 1);
    buffer_append(body, payload->key, strlen(payload->key) + 1);
}

bool snapshot_payload_decode(struct bytes body, struct snapshot_payload *payload) {
    if (body.size < SNAPSHOT_PAYLOAD_FIXED_BYTES + 2 || body.data[body.size - 1] != 0) {
        return false;
    }
    memcpy(payload->id.raw, body.data, sizeof payload->id.raw);
    payload->size_bytes = get_le64(body.data + 16);
    payload->crc32c = get_le32(body.data + 24);
    payload->bucket = (const char *)body.data + SNAPSHOT_PAYLOAD_FIXED_BYTES;
    size_t bucket = strlen(payload->bucket) + 1;
    payload->key = payload->bucket + bucket;
    size_t names = body.size - SNAPSHOT_PAYLOAD_FIXED_BYTES;
    return bucket < names && bucket <= NAME_BUCKET_MAX_BYTES + 1 && names - bucket <= NAME_KEY_MAX_BYTES + 1 &&
           strlen(payload->key) + 1 == names - bucket;
}

void snapshot_entry_append(struct buffer *body, struct bytes key, struct bytes value) {
    assert(key.size < SNAPSHOT_BODY_MAX_BYTES && value.size < SNAPSHOT_BODY_MAX_BYTES);
    buffer_append_le32(body, (uint32_t)key.size);
    buffer_append_le32(body, (uint32_t)value.size);
    buffer_append_bytes(body, key);
    buffer_append_bytes(body, value);
}

bool snapshot_entry_take(struct bytes *body, struct bytes *key, struct bytes *value) {
    if (body->size < SNAPSHOT_ENTRY_HEAD_BYTES) {
        return false;
    }
    size_t left = body->size - SNAPSHOT_ENTRY_HEAD_BYTES;
    size_t key_size = get_le32(body->data);
    size_t value_size = get_le32(body->data + 4);
    if (key_size > left || value_size > left - key_size) {
        return false;
    }
    *key = bytes_of(body->data + SNAPSHOT_ENTRY_HEAD_BYTES, key_size);
    *value = bytes_of(key->data + key_size, value_size);
    *body = bytes_of(value->data + value_size, left - key_size - value_size);
    return true;
}

void snapshot_end_append(struct buffer *body, const struct snapshot_totals *totals, uint32_t crc) {
    buffer_append_le64(body, (uint64_t)totals->entries);
    buffer_append_le64(body, (uint64_t)totals->payloads);
    buffer_append_le64(body, (uint64_t)totals->payload_bytes);
    buffer_append_le64(body, (uint64_t)totals->lost_payloads);
    buffer_append_le32(body, crc);
}

bool snapshot_end_decode(struct bytes body, struct snapshot_totals *totals, uint32_t *crc) {
    if (body.size != SNAPSHOT_END_BYTES) {
        return false;
    }
    *totals = (struct snapshot_totals){
        .entries = (int64_t)get_le64(body.data),
        .payloads = (int64_t)get_le64(body.data + 8),
        .payload_bytes = (int64_t)get_le64(body.data + 16),
        .lost_payloads = (int64_t)get_le64(body.data + 24),
    };
    *crc = get_le32(body.data + 32);
    return true;
}
