/* The bytes of a spool segment (docs/formats/spool.md). All integers little-endian.
 *
 * Segment: a header in the first 4 KiB and a copy of it in the last, between them frames. A
 * frame header's checksum covers the segment's salt and the place where the frame stands: what
 * a recycled segment still holds of its former life, or what a client sends to look like a
 * frame, is not believed. */
#ifndef WAYBILL_SPOOL_SPOOL_FORMAT_H
#define WAYBILL_SPOOL_SPOOL_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/bytes.h"
#include "common/base/uuid.h"

enum {
    SPOOL_FORMAT_VERSION = 2, /* 1, whose BEGIN frames have no upload id, is read too */
    SPOOL_HEADER_BYTES = 64,  /* of a segment's and of a frame's header */
    SPOOL_ALIGN_BYTES = 64,   /* where a frame may begin */
    SPOOL_BLOCK_BYTES = 4096,
    SPOOL_LARGE_BYTES = 16 * 1024,      /* data of this size begins at a block */
    SPOOL_DATA_MAX_BYTES = 1024 * 1024, /* of one frame */
    SPOOL_PIECE_MIN_BYTES = 4096,       /* data is not cut into less at a segment's end */
    SPOOL_NAMES_MAX_BYTES = 2048,
};

enum spool_frame_type {
    SPOOL_FRAME_BEGIN = 1, /* body: bucket 00 key 00, the upload id if it can be resumed; number: when it began, us
                              since 1970 */
    SPOOL_FRAME_DATA = 2,  /* body: payload bytes; number: their offset in the payload */
    SPOOL_FRAME_END = 3,   /* no body; number: length of the payload; crc32c: of all of it */
    SPOOL_FRAME_SEAL = 4,  /* no body; nothing follows in this segment */
};

struct spool_segment_header {
    uint64_t number;
    uint64_t salt;
    uint64_t segment_bytes;
    uint64_t oldest_live; /* segments with lower numbers held nothing live when this one began */
    uint64_t next_upload; /* uploads that begin in or after this segment are numbered from here on */
    int64_t create_unix_us;
};

struct spool_frame {
    enum spool_frame_type type;
    struct uuid payload_id;
    uint64_t upload; /* tells two uploads of one payload id apart; the higher is the later */
    uint64_t number;
    uint16_t lead_bytes; /* left free before the header, since the frame before; a multiple of 64 */
    uint16_t gap_bytes;  /* between the header and the body; a multiple of 64 */
    uint32_t body_bytes;
    uint32_t crc32c;  /* of the body; END: of the whole payload */
    uint64_t flushed; /* what stands before this place in the segment was durable when the frame
                         was made, and if > 0 then all earlier segments were; a multiple of 64 */
};

void spool_segment_header_encode(const struct spool_segment_header *header, uint8_t out[SPOOL_HEADER_BYTES]);
bool spool_segment_header_decode(const uint8_t in[SPOOL_HEADER_BYTES], struct spool_segment_header *header);

/* `at` is where in the segment the frame's header stands. */
void spool_frame_encode(const struct spool_frame *frame, const struct spool_segment_header *segment, uint64_t at,
                        uint8_t out[SPOOL_HEADER_BYTES]);
/* False when these are no valid frame header of that segment and place, or the body would not
 * end in time. */
bool spool_frame_decode(const uint8_t in[SPOOL_HEADER_BYTES], const struct spool_segment_header *segment, uint64_t at,
                        struct spool_frame *frame);

uint64_t spool_round_up(uint64_t value, uint64_t multiple);
/* Where the frames begin, and before where they all end; the block after it is the seal's. */
uint64_t spool_first_frame(void);
uint64_t spool_last_end(uint64_t segment_bytes);

/* What is to be written for one upload, and how it lies in a segment. */
struct spool_parts {
    size_t names_bytes; /* > 0: a BEGIN frame */
    size_t data_bytes;  /* > 0: a DATA frame */
    bool end;           /* an END frame after all the data */
};

struct spool_layout {
    uint64_t begin_at;
    uint64_t data_header_at;
    uint64_t data_at;
    size_t data_bytes; /* may be fewer than asked */
    bool with_end;     /* not where data is left over, or room lacks */
    uint64_t end_at;
    uint64_t next; /* where the next frame may stand */
};

/* Lays as much as fits between `at` and `limit`; false when that is too little. */
bool spool_layout_make(const struct spool_parts *parts, uint64_t at, uint64_t limit, struct spool_layout *layout);

#endif
