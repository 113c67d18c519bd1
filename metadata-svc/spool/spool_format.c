#include "metadata-svc/spool/spool_format.h"

#include <assert.h>
#include <string.h>

#include "common/checksum/crc32c.h"

static const uint8_t segment_magic[4] = {'W', 'B', 'S', 'G'};
static const uint8_t frame_magic[4] = {'W', 'B', 'F', 'R'};

enum { CHECK_AT = SPOOL_HEADER_BYTES - 4 }; /* the header's own CRC32C */

static bool is_known_version(uint8_t version) {
    return version >= 1 && version <= SPOOL_FORMAT_VERSION;
}

uint64_t spool_round_up(uint64_t value, uint64_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

uint64_t spool_first_frame(void) {
    return SPOOL_BLOCK_BYTES;
}

uint64_t spool_last_end(uint64_t segment_bytes) {
    return segment_bytes - 2 * SPOOL_BLOCK_BYTES;
}

/* ---- segment header ---- */

void spool_segment_header_encode(const struct spool_segment_header *header, uint8_t out[SPOOL_HEADER_BYTES]) {
    memset(out, 0, SPOOL_HEADER_BYTES);
    memcpy(out, segment_magic, sizeof segment_magic);
    out[4] = SPOOL_FORMAT_VERSION;
    put_le64(out + 8, header->number);
    put_le64(out + 16, header->salt);
    put_le64(out + 24, header->segment_bytes);
    put_le64(out + 32, header->oldest_live);
    put_le64(out + 40, header->next_upload);
    put_le64(out + 48, (uint64_t)header->create_unix_us);
    put_le32(out + CHECK_AT, crc32c(bytes_of(out, CHECK_AT)));
}

bool spool_segment_header_decode(const uint8_t in[SPOOL_HEADER_BYTES], struct spool_segment_header *header) {
    if (memcmp(in, segment_magic, sizeof segment_magic) != 0 || !is_known_version(in[4]) ||
        get_le32(in + CHECK_AT) != crc32c(bytes_of(in, CHECK_AT))) {
        return false;
    }
    *header = (struct spool_segment_header){
        .number = get_le64(in + 8),
        .salt = get_le64(in + 16),
        .segment_bytes = get_le64(in + 24),
        .oldest_live = get_le64(in + 32),
        .next_upload = get_le64(in + 40),
        .create_unix_us = (int64_t)get_le64(in + 48),
    };
    return true;
}

/* ---- frame header ---- */

static uint32_t frame_check(const uint8_t header[SPOOL_HEADER_BYTES], uint64_t salt, uint64_t at) {
    uint8_t place[16];
    put_le64(place, salt);
    put_le64(place + 8, at);
    return crc32c_extend(crc32c(bytes_of(place, sizeof place)), bytes_of(header, CHECK_AT));
}

void spool_frame_encode(const struct spool_frame *frame, const struct spool_segment_header *segment, uint64_t at,
                        uint8_t out[SPOOL_HEADER_BYTES]) {
    assert(at % SPOOL_ALIGN_BYTES == 0 && frame->flushed % SPOOL_ALIGN_BYTES == 0);
    assert(frame->lead_bytes < SPOOL_BLOCK_BYTES && frame->gap_bytes < SPOOL_BLOCK_BYTES);
    memset(out, 0, SPOOL_HEADER_BYTES);
    memcpy(out, frame_magic, sizeof frame_magic);
    out[4] = SPOOL_FORMAT_VERSION;
    out[5] = (uint8_t)frame->type;
    out[6] = (uint8_t)(frame->lead_bytes / SPOOL_ALIGN_BYTES);
    out[7] = (uint8_t)(frame->gap_bytes / SPOOL_ALIGN_BYTES);
    put_le64(out + 8, segment->number);
    memcpy(out + 16, frame->payload_id.raw, sizeof frame->payload_id.raw);
    put_le64(out + 32, frame->upload);
    put_le64(out + 40, frame->number);
    put_le32(out + 48, frame->body_bytes);
    put_le32(out + 52, frame->crc32c);
    put_le32(out + 56, (uint32_t)(frame->flushed / SPOOL_ALIGN_BYTES));
    put_le32(out + CHECK_AT, frame_check(out, segment->salt, at));
}

bool spool_frame_decode(const uint8_t in[SPOOL_HEADER_BYTES], const struct spool_segment_header *segment, uint64_t at,
                        struct spool_frame *frame) {
    if (memcmp(in, frame_magic, sizeof frame_magic) != 0 || !is_known_version(in[4]) ||
        get_le64(in + 8) != segment->number || get_le32(in + CHECK_AT) != frame_check(in, segment->salt, at) ||
        in[5] < SPOOL_FRAME_BEGIN || in[5] > SPOOL_FRAME_SEAL) {
        return false;
    }
    frame->type = (enum spool_frame_type)in[5];
    frame->lead_bytes = (uint16_t)(in[6] * SPOOL_ALIGN_BYTES);
    frame->gap_bytes = (uint16_t)(in[7] * SPOOL_ALIGN_BYTES);
    memcpy(frame->payload_id.raw, in + 16, sizeof frame->payload_id.raw);
    frame->upload = get_le64(in + 32);
    frame->number = get_le64(in + 40);
    frame->body_bytes = get_le32(in + 48);
    frame->crc32c = get_le32(in + 52);
    frame->flushed = (uint64_t)get_le32(in + 56) * SPOOL_ALIGN_BYTES;
    return at + SPOOL_HEADER_BYTES + frame->gap_bytes + frame->body_bytes <= segment->segment_bytes;
}

/* ---- layout ---- */

/* False when too little data fits. */
static bool lay_data(size_t data_bytes, uint64_t *at, uint64_t limit, struct spool_layout *layout) {
    layout->data_header_at = *at;
    layout->data_at = *at + SPOOL_HEADER_BYTES;
    if (data_bytes >= SPOOL_LARGE_BYTES) {
        layout->data_at = spool_round_up(layout->data_at, SPOOL_BLOCK_BYTES);
    }
    uint64_t room = layout->data_at < limit ? limit - layout->data_at : 0;
    if (data_bytes > room) {
        data_bytes = (size_t)(room / SPOOL_PIECE_MIN_BYTES * SPOOL_PIECE_MIN_BYTES);
    }
    layout->data_bytes = data_bytes;
    *at = spool_round_up(layout->data_at + data_bytes, SPOOL_ALIGN_BYTES);
    return data_bytes > 0;
}

bool spool_layout_make(const struct spool_parts *parts, uint64_t at, uint64_t limit, struct spool_layout *layout) {
    *layout = (struct spool_layout){0};
    bool something = false;
    if (parts->names_bytes > 0) {
        layout->begin_at = at;
        at = spool_round_up(at + SPOOL_HEADER_BYTES + parts->names_bytes, SPOOL_ALIGN_BYTES);
        something = true;
    }
    if (parts->data_bytes > 0) {
        if (!lay_data(parts->data_bytes, &at, limit, layout)) {
            return false;
        }
        something = true;
    }
    if (parts->end && layout->data_bytes == parts->data_bytes && at + SPOOL_HEADER_BYTES <= limit) {
        layout->with_end = true;
        layout->end_at = at;
        at += SPOOL_HEADER_BYTES;
        something = true;
    }
    layout->next = at;
    return something && at <= limit;
}
