#include "metadata-svc/spool/spool_scan.h"

#include <stdlib.h>
#include <string.h>

#include "common/checksum/crc32c.h"

enum { WINDOW_BYTES = 64 * 1024 };

/* ---- header ---- */

static bool is_zero(const uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    return true;
}

bool segment_read_header(struct disk_file *file, uint64_t name_number, enum segment_kind *kind,
                         struct spool_segment_header *header, struct error *error) {
    uint8_t first[SPOOL_HEADER_BYTES] = {0};
    uint8_t copy[SPOOL_HEADER_BYTES] = {0};
    uint64_t size;
    if (!file->ops->size(file, &size, error) || file->ops->read(file, 0, first, sizeof first, error) < 0 ||
        (size >= SPOOL_BLOCK_BYTES && file->ops->read(file, size - SPOOL_BLOCK_BYTES, copy, sizeof copy, error) < 0)) {
        return false;
    }
    bool whole = spool_segment_header_decode(first, header);
    if (!whole || header->number != name_number) {
        /* Where one of the two is of this name, the segment was begun, and the other is damaged
         * or was not written yet; either way what stands in it is checked frame by frame. */
        struct spool_segment_header other;
        if (spool_segment_header_decode(copy, &other) && (!whole || other.number == name_number)) {
            *header = other;
            whole = true;
        }
    }
    bool fits = whole && header->number == name_number && header->segment_bytes == size;
    if (fits) {
        *kind = SEGMENT_WRITTEN;
        return true;
    }
    bool empty = whole || (is_zero(first, sizeof first) && is_zero(copy, sizeof copy));
    *kind = empty ? SEGMENT_EMPTY : SEGMENT_UNREADABLE;
    if (!whole) {
        *header = (struct spool_segment_header){0};
    }
    header->segment_bytes = size;
    header->oldest_live = 0;
    return true;
}

/* ---- frames ---- */

void segment_scan_start(struct segment_scan *scan, struct disk_file *file, const struct spool_segment_header *header) {
    *scan = (struct segment_scan){.file = file, .header = header, .at = spool_first_frame()};
    scan->window = malloc(WINDOW_BYTES);
    if (scan->window == NULL) {
        abort();
    }
}

void segment_scan_end(struct segment_scan *scan) {
    free(scan->window);
    scan->window = NULL;
}

/* `size` bytes at that place, valid until the next call; NULL when the disk fails. What lies
 * past the file's end is zero. */
static const uint8_t *look(struct segment_scan *scan, uint64_t at, size_t size, struct error *error) {
    if (at < scan->window_at || at + size > scan->window_at + scan->window_bytes) {
        int64_t got = scan->file->ops->read(scan->file, at, scan->window, WINDOW_BYTES, error);
        if (got < 0) {
            return NULL;
        }
        memset(scan->window + got, 0, WINDOW_BYTES - (size_t)got);
        scan->window_at = at;
        scan->window_bytes = WINDOW_BYTES;
    }
    return scan->window + (at - scan->window_at);
}

/* False only when the disk fails. */
static bool try_frame(struct segment_scan *scan, uint64_t at, struct scanned_frame *scanned, bool *found,
                      struct error *error) {
    *found = false;
    if (at > spool_last_end(scan->header->segment_bytes)) {
        return true;
    }
    const uint8_t *header = look(scan, at, SPOOL_HEADER_BYTES, error);
    if (header == NULL) {
        return false;
    }
    *found = spool_frame_decode(header, scan->header, at, &scanned->frame);
    scanned->at = at;
    return true;
}

/* The frame that stands where one should: behind the last one, or at the next block with word
 * that it left the room between. */
static bool expect_frame(struct segment_scan *scan, struct scanned_frame *scanned, bool *found, struct error *error) {
    if (!try_frame(scan, scan->at, scanned, found, error) || *found) {
        return *found;
    }
    if (!try_frame(scan, spool_round_up(scan->at, SPOOL_BLOCK_BYTES), scanned, found, error)) {
        return false;
    }
    *found = *found && scanned->at - scanned->frame.lead_bytes == scan->at;
    return true;
}

/* The next frame behind damage, or behind the end. */
static bool search_frame(struct segment_scan *scan, struct scanned_frame *scanned, bool *found, struct error *error) {
    uint64_t at = scan->at;
    do {
        at += SPOOL_ALIGN_BYTES;
        if (!try_frame(scan, at, scanned, found, error)) {
            return false;
        }
    } while (!*found && at < spool_last_end(scan->header->segment_bytes));
    return true;
}

static bool read_names(struct segment_scan *scan, struct scanned_frame *scanned, struct error *error) {
    const struct spool_frame *frame = &scanned->frame;
    if (frame->body_bytes <= SPOOL_NAMES_MAX_BYTES) {
        uint64_t at = scanned->at + SPOOL_HEADER_BYTES + frame->gap_bytes;
        const uint8_t *body = look(scan, at, frame->body_bytes, error);
        if (body == NULL) {
            return false;
        }
        scanned->names = bytes_of(body, frame->body_bytes);
    }
    if (crc32c(scanned->names) != frame->crc32c) {
        scanned->names = (struct bytes){0};
        scanned->names_lost = true;
    }
    return true;
}

bool segment_scan_next(struct segment_scan *scan, struct scanned_frame *scanned, bool *found, struct error *error) {
    *scanned = (struct scanned_frame){0};
    if (!expect_frame(scan, scanned, found, error) || (!*found && !search_frame(scan, scanned, found, error))) {
        return false;
    }
    if (!*found) {
        return true;
    }
    const struct spool_frame *frame = &scanned->frame;
    scanned->after_hole = scanned->at - frame->lead_bytes != scan->at;
    scanned->hole_at = scan->at;
    uint64_t end = scanned->at + SPOOL_HEADER_BYTES + frame->gap_bytes + frame->body_bytes;
    scan->at = spool_round_up(end, SPOOL_ALIGN_BYTES);
    return frame->type != SPOOL_FRAME_BEGIN || read_names(scan, scanned, error);
}
