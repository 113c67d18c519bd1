#include "metadata-svc/spool/spool_format.h"

#include <string.h>

#include "common/checksum/crc32c.h"

static const uint8_t segment_magic[4] = {'W', 'B', 'S', 'G'};
static const uint8_t frame_magic[4] = {'W', 'B', 'F', 'R'};

enum { CHECK_AT = SPOOL_HEADER_BYTES - 4 }; /* CRC32C of the header before it */

static void seal(uint8_t header[SPOOL_HEADER_BYTES]) {
    put_le32(header + CHECK_AT, crc32c(bytes_of(header, CHECK_AT)));
}

static bool is_sealed(const uint8_t header[SPOOL_HEADER_BYTES], const uint8_t magic[4]) {
    return memcmp(header, magic, 4) == 0 && header[4] == SPOOL_FORMAT_VERSION &&
           get_le32(header + CHECK_AT) == crc32c(bytes_of(header, CHECK_AT));
}

void spool_segment_header_encode(uint64_t segment, uint64_t segment_bytes, uint8_t out[SPOOL_HEADER_BYTES]) {
    memset(out, 0, SPOOL_HEADER_BYTES);
    memcpy(out, segment_magic, 4);
    out[4] = SPOOL_FORMAT_VERSION;
    put_le64(out + 8, segment);
    put_le64(out + 16, segment_bytes);
    seal(out);
}

bool spool_segment_header_decode(const uint8_t in[SPOOL_HEADER_BYTES], uint64_t *segment, uint64_t *segment_bytes) {
    *segment = get_le64(in + 8);
    *segment_bytes = get_le64(in + 16);
    return is_sealed(in, segment_magic);
}

void spool_frame_encode(const struct spool_frame *frame, uint8_t out[SPOOL_HEADER_BYTES]) {
    memset(out, 0, SPOOL_HEADER_BYTES);
    memcpy(out, frame_magic, 4);
    out[4] = SPOOL_FORMAT_VERSION;
    out[5] = (uint8_t)frame->type;
    put_le64(out + 8, frame->segment);
    memcpy(out + 16, frame->payload_id.raw, sizeof frame->payload_id.raw);
    put_le64(out + 32, frame->payload_offset);
    put_le32(out + 40, frame->data_bytes);
    put_le32(out + 44, frame->data_crc32c);
    put_le32(out + 48, frame->whole_crc32c);
    seal(out);
}

bool spool_frame_decode(const uint8_t in[SPOOL_HEADER_BYTES], struct spool_frame *frame) {
    if (!is_sealed(in, frame_magic) || in[5] < SPOOL_FRAME_BEGIN || in[5] > SPOOL_FRAME_END) {
        return false;
    }
    frame->type = (enum spool_frame_type)in[5];
    frame->segment = get_le64(in + 8);
    memcpy(frame->payload_id.raw, in + 16, sizeof frame->payload_id.raw);
    frame->payload_offset = get_le64(in + 32);
    frame->data_bytes = get_le32(in + 40);
    frame->data_crc32c = get_le32(in + 44);
    frame->whole_crc32c = get_le32(in + 48);
    return true;
}

uint64_t spool_frame_bytes(uint64_t data_bytes) {
    uint64_t whole = SPOOL_HEADER_BYTES + data_bytes;
    return (whole + SPOOL_ALIGN_BYTES - 1) / SPOOL_ALIGN_BYTES * SPOOL_ALIGN_BYTES;
}
