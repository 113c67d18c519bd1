/* The bytes of a spool segment. All integers little-endian.
 *
 * Segment: a header of 64 bytes, then frames, each beginning at a multiple of 8. The first
 * place where no valid frame of this segment's sequence number stands is its end: a recycled
 * segment has a new number, so that frames of its former life are not believed. */
#ifndef WAYBILL_SPOOL_SPOOL_FORMAT_H
#define WAYBILL_SPOOL_SPOOL_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/bytes.h"
#include "common/base/uuid.h"

enum {
    SPOOL_FORMAT_VERSION = 1,
    SPOOL_HEADER_BYTES = 64, /* of a segment's and of a frame's header */
    SPOOL_ALIGN_BYTES = 8,
};

enum spool_frame_type {
    SPOOL_FRAME_BEGIN = 1, /* data: bucket 00 key 00 */
    SPOOL_FRAME_DATA = 2,  /* data: payload bytes at payload_offset */
    SPOOL_FRAME_END = 3,   /* no data; payload_offset is the size, whole_crc32c of all bytes */
};

struct spool_frame {
    enum spool_frame_type type;
    uint64_t segment;
    struct uuid payload_id;
    uint64_t payload_offset;
    uint32_t data_bytes;
    uint32_t data_crc32c;
    uint32_t whole_crc32c;
};

void spool_segment_header_encode(uint64_t segment, uint64_t segment_bytes, uint8_t out[SPOOL_HEADER_BYTES]);
bool spool_segment_header_decode(const uint8_t in[SPOOL_HEADER_BYTES], uint64_t *segment, uint64_t *segment_bytes);
void spool_frame_encode(const struct spool_frame *frame, uint8_t out[SPOOL_HEADER_BYTES]);
/* False when these are no valid frame header. */
bool spool_frame_decode(const uint8_t in[SPOOL_HEADER_BYTES], struct spool_frame *frame);
/* Bytes that a frame with that much data takes. */
uint64_t spool_frame_bytes(uint64_t data_bytes);

#endif
