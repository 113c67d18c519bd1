/* Writing a long file without a large flush at its end: what is written begins its way to the disk
 * at once, and no more than a MiB or two of it wait in memory, so that whoever flushes something else
 * on the same disk does not wait behind it. No promise: only a sync makes durable.
 *
 * Bytes that are no longer read soon, where there are many of them, leave the page cache some time
 * after they were written. So the next ones go into the same pages, which costs a fraction of what it does
 * to have ever new ones. */
#ifndef WAYBILL_BASE_WRITE_BACK_H
#define WAYBILL_BASE_WRITE_BACK_H

#include "common/base/disk.h"

enum {
    WRITE_BACK_STEP_BYTES = 512 << 10, /* begins its way together */
    WRITE_BACK_WINDOW_BYTES = 1 << 20, /* may be on its way */
    WRITE_BACK_KEPT_BYTES = 256 << 20, /* on the disk and still in memory, of a file that forgets */
};

/* Where one file is; all begin at the offset of its first write. One thread at a time. */
struct write_back {
    uint64_t begun;   /* on its way to here */
    uint64_t written; /* on the disk to here */
    uint64_t kept;    /* to be forgotten from here on */
    bool forgets;     /* what is written now and what was before it goes in its time; may change */
};

static inline struct write_back write_back_from(uint64_t offset) {
    return (struct write_back){.begun = offset, .written = offset, .kept = offset};
}

/* The file is written up to `end`; what lies before stays as it is. The disk's error: then what
 * the file holds is not known. */
bool write_back_advance(struct write_back *self, struct disk_file *file, uint64_t end, struct error *error);

/* The file is flushed, and no more is written to it: what is to be forgotten goes now. */
bool write_back_end(struct write_back *self, struct disk_file *file, uint64_t end, struct error *error);

#endif
