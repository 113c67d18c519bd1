/* The hot store that keeps objects in hot volumes (hot_volume.h) and finds them by the object
 * index (object_index.h). */
#ifndef WAYBILL_HOT_VOLUME_STORE_H
#define WAYBILL_HOT_VOLUME_STORE_H

#include "common/base/clock.h"
#include "common/base/disk.h"
#include "object-svc/hot/hot_store.h"

struct volume_store_options {
    struct disk *disk;           /* whose root holds the volumes; borrowed until close */
    const char *index_directory; /* of the LevelDB; made where missing. Not below the disk's root
                                    unless in a directory of its own there */
    const struct clock *clock;   /* borrowed until close */
    const char *replica;         /* this replica's name, written into each volume; 1-128 bytes */
    uint64_t volume_bytes;       /* a volume is sealed at this size; 0: 1 GiB */
    unsigned max_appenders;      /* 1-64; 0: 4. As many volumes are open for writing */
    unsigned max_open_files;     /* volumes kept open; 0: 256. Those in use do not count */
    uint64_t sync_every_bytes;   /* a long stream is flushed this often; 0: 64 MiB */
    size_t index_cache_bytes;    /* 0: 64 MiB */
    uint64_t reserve_bytes;      /* kept free on the disk; 0: none. Compaction may use half of it */
};

/* Opens what the disk holds: reads the tails of unsealed volumes, and the headers of all
 * needles where the index is missing or damaged (progress is logged; the damaged index is kept
 * beside it as `<index_directory>.corrupt`). Errors: OBJECT_INDEX_FAILED where the index cannot be
 * opened for another reason than damage; FAILED_PRECONDITION, HOT_VOLUME_MISSING where the index
 * knows objects in a volume that is not there (mount it, or remove the index directory to go
 * on without it). */
struct hot_store *volume_store_open(const struct volume_store_options *options, struct error *error);

/* Has the volumes whose files the predicate names emptied: compaction moves what lives in them to others, and
 * they go. It replaces what was said before; volumes that come later stay. */
void volume_store_move_out(struct hot_store *store, bool (*is_leaving)(void *self, const char *name), void *self);
/* What is still to be moved out. */
struct volume_leaving {
    uint64_t volumes;
    uint64_t objects;
    uint64_t bytes;           /* of the objects' needles */
    uint64_t damaged_objects; /* of those, in volumes that are kept for damaged objects */
};
void volume_store_leaving(struct hot_store *store, struct volume_leaving *leaving);

#endif
