/* Reading one segment from front to back, as the recovery does. Knows frames, not payloads. */
#ifndef WAYBILL_SPOOL_SPOOL_SCAN_H
#define WAYBILL_SPOOL_SPOOL_SCAN_H

#include "common/base/disk.h"
#include "metadata-svc/spool/spool_format.h"

enum segment_kind {
    SEGMENT_WRITTEN,    /* its headers are those of its name */
    SEGMENT_EMPTY,      /* never begun, or the begin of a recycled one broke off: nothing in it counts */
    SEGMENT_UNREADABLE, /* neither header is whole, but it is not empty */
};

/* Reads the header, or its copy. `header` gets what is there; its number differs from that of
 * the file's name, and segment_bytes is the file's, where the segment is not SEGMENT_WRITTEN. */
bool segment_read_header(struct disk_file *file, uint64_t name_number, enum segment_kind *kind,
                         struct spool_segment_header *header, struct error *error);

struct segment_scan {
    struct disk_file *file;
    const struct spool_segment_header *header; /* borrowed */
    uint64_t at;                               /* where the next frame may stand */
    uint8_t *window;
    uint64_t window_at;
    size_t window_bytes;
};

struct scanned_frame {
    uint64_t at;
    struct spool_frame frame;
    bool after_hole;    /* frames between the last one and this are lost */
    uint64_t hole_at;   /* where the first of them stood */
    struct bytes names; /* of a BEGIN frame; valid until the next one. Empty where lost */
    bool names_lost;
};

void segment_scan_start(struct segment_scan *scan, struct disk_file *file, const struct spool_segment_header *header);
/* The next frame; `found` is false where none follows. False only when the disk fails. */
bool segment_scan_next(struct segment_scan *scan, struct scanned_frame *scanned, bool *found, struct error *error);
void segment_scan_end(struct segment_scan *scan);

#endif
