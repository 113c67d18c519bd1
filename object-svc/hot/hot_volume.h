/* One hot volume: an append-only file of needles, `volume-<16 hex digits>.wbv`.
 *
 * Reading what is there: any thread, while the file is open and the range is written.
 * Writing: a volume_writer, one thread. */
#ifndef WAYBILL_HOT_HOT_VOLUME_H
#define WAYBILL_HOT_HOT_VOLUME_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/disk.h"
#include "object-svc/hot/block_sums.h"
#include "object-svc/hot/needle.h"

enum { VOLUME_NAME_BYTES = 32 };

void hot_volume_name(uint64_t id, char name[VOLUME_NAME_BYTES]);
/* Whether the name is a volume's; then `id` is its id. */
bool hot_volume_parse_name(const char *name, uint64_t *id);

/* A needle as it was read; zero-initialize before the first use. */
struct volume_needle {
    struct needle needle;
    uint32_t header_bytes;
    uint64_t bytes; /* of the whole needle */
    struct buffer header;
    struct buffer names;
};

enum volume_read {
    VOLUME_READ_FAILED = -1, /* the disk failed; the error says how */
    VOLUME_READ_NONE,        /* no undamaged needle begins there */
    VOLUME_READ_NEEDLE,
};

/* Reads the header of the needle at `offset`; it must lie wholly below `end`. */
enum volume_read hot_volume_read_needle(struct disk_file *file, uint64_t salt, uint64_t offset, uint64_t end,
                                        struct volume_needle *out, struct error *error);
void volume_needle_free(struct volume_needle *needle);

/* Where the needle's payload is, for block_reader_start. */
struct volume_payload {
    struct disk_file *file;
    uint64_t payload_offset;
    uint64_t sums_offset;
    const struct provenance *provenance; /* for the words of an error; borrowed */
    uint64_t volume_id;
};

void volume_payload_init(struct volume_payload *payload, struct disk_file *file, uint64_t volume_id,
                         const struct volume_needle *needle);
struct block_source volume_payload_source(struct volume_payload *payload);

/* Reads the whole payload: `intact` says whether it, and its block checksums, are undamaged.
 * False: the disk failed. */
bool hot_volume_check_payload(struct disk_file *file, uint64_t volume_id, const struct volume_needle *needle,
                              bool *intact, struct error *error);

/* Finds the next undamaged needle at or after `offset`: `found` is where, or `end`. For volumes
 * with a damaged header in the middle. */
bool hot_volume_find_needle(struct disk_file *file, uint64_t salt, uint64_t offset, uint64_t end, uint64_t *found,
                            struct error *error);

/* DATA_LOSS, OBJECT_CORRUPT that names the object; returns false. */
bool object_corrupt(struct error *error, const char *bucket, const char *key, int64_t version, const char *how);

#endif
