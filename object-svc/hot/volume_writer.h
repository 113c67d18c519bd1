/* Appends needles to one hot volume. One thread at a time.
 *
 *   begin ▸ append* ▸ finish ... ▸ flush        abort, or a failed finish, takes the needle back
 *
 * After a disk failure the writer has failed: every call but close fails with that error,
 * since what the volume holds past the last flush is not known. */
#ifndef WAYBILL_HOT_VOLUME_WRITER_H
#define WAYBILL_HOT_VOLUME_WRITER_H

#include "common/base/write_back.h"
#include "object-svc/hot/hot_volume.h"

struct volume_writer {
    struct disk *disk;
    struct disk_file *file;
    struct volume_header header;
    uint64_t flushed_bytes;    /* durable up to here */
    uint64_t end;              /* where the next needle begins */
    uint64_t synced_bytes;     /* handed to the disk and synced, within a long needle */
    uint64_t sync_every_bytes; /* of a long needle */
    bool name_durable;         /* whether the directory was synced since the file was made */

    struct buffer pending;   /* small writes wait here */
    uint64_t pending_offset; /* where they go */
    struct write_back write_back;
    uint64_t reserved_bytes; /* space is reserved up to here */

    bool in_needle;
    struct needle needle; /* its pointers are valid during begin only */
    struct block_sums sums;

    bool failed;
    bool sync_failed; /* what is durable is not known; rewind cannot mend that */
    struct error failure;
};

/* The needle that finish made. */
struct volume_place {
    uint64_t volume;
    uint64_t offset;
    uint64_t bytes;
    uint32_t header_bytes;
};

/* Makes a new volume; nothing of it is durable before the first flush. */
bool volume_writer_create(struct volume_writer *writer, struct disk *disk, const struct volume_header *header,
                          uint64_t sync_every_bytes, struct error *error);
/* Goes on at the end of one that is there: `file` is open and all before `end` is durable.
 * The writer does not own the file. */
void volume_writer_resume(struct volume_writer *writer, struct disk *disk, struct disk_file *file,
                          const struct volume_header *header, uint64_t end, uint64_t sync_every_bytes);

bool volume_writer_begin(struct volume_writer *writer, const struct provenance *provenance, struct error *error);
/* DATA_LOSS, PAYLOAD_CORRUPT where there are more bytes than announced; then, too, abort. */
bool volume_writer_append(struct volume_writer *writer, struct bytes data, struct error *error);
/* DATA_LOSS, PAYLOAD_CORRUPT; then the needle is taken back. */
bool volume_writer_finish(struct volume_writer *writer, struct volume_place *place, struct error *error);
void volume_writer_abort(struct volume_writer *writer);
/* Makes all finished needles durable. No needle may be open. */
bool volume_writer_flush(struct volume_writer *writer, struct error *error);
/* Takes back every needle since the last flush. Mends a failed write, not a failed sync. */
void volume_writer_rewind(struct volume_writer *writer);
/* Flushes, and ends the volume with a seal. */
bool volume_writer_seal(struct volume_writer *writer, struct error *error);
/* Frees memory; the file stays open. */
void volume_writer_release(struct volume_writer *writer);

#endif
