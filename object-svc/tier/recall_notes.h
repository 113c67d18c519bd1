/* Which storage class the objects of each bucket have followed (recall.h), remembered over a restart.
 * docs/formats/recall-notes.md describes the file. One thread. */
#ifndef WAYBILL_TIER_RECALL_NOTES_H
#define WAYBILL_TIER_RECALL_NOTES_H

#include "common/base/disk.h"
#include "common/base/uuid.h"

/* A bucket, by its uid, and a storage class by its number in proto/waybill/v1. */
struct recall_note {
    struct uuid bucket_uid;
    uint8_t storage_class;
};

/* In memory that the caller frees with free(). A file that is missing or damaged counts as empty:
 * then the buckets are new to this replica. */
struct recall_note *recall_notes_read(struct disk *disk, size_t *count);
/* Writes the file anew, whole or not at all; durable on return. */
bool recall_notes_write(struct disk *disk, const struct recall_note *notes, size_t count, struct error *error);

#endif
