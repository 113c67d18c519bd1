/* Where the bytes of one payload lie: its DATA frames, in the order of their offsets, in little memory,
 * since a payload of 5 TiB has five million of them. Frames that follow on each other in a segment, all of one size but
 * for the last, make a run; beside what the run says a frame takes 8 bytes.
 *
 * Nobody may read a list while it changes. */
#ifndef WAYBILL_SPOOL_EXTENT_LIST_H
#define WAYBILL_SPOOL_EXTENT_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct segment;

/* A run of payload bytes: one DATA frame. */
struct extent {
    struct segment *segment;
    uint64_t data_at; /* in the file; a multiple of SPOOL_ALIGN_BYTES, below 256 GiB */
    uint64_t payload_offset;
    uint32_t data_bytes; /* at least 1 */
    uint32_t data_crc32c;
};

/* Zero-initialize before the first use. */
struct extent_list {
    struct extent_run *runs;
    struct extent_frame *frames;
    size_t run_count;
    size_t run_capacity;
    size_t count; /* of extents */
    size_t capacity;
};

/* Adds one that begins where the last one ends, or behind that. */
void extent_list_add(struct extent_list *list, const struct extent *extent);
/* `index` is below the count. */
struct extent extent_list_get(const struct extent_list *list, size_t index);
/* The first extent that reaches beyond the offset; the count where none does. */
size_t extent_list_find(const struct extent_list *list, uint64_t payload_offset);
/* Forgets all but the first `count`, which are there. */
void extent_list_cut(struct extent_list *list, size_t count);
void extent_list_free(struct extent_list *list);

#endif
