/* What the files of the spool share: payload_spool.c (uploads, reading, release),
 * spool_segments.c (segment files), spool_recovery.c (opening). */
#ifndef WAYBILL_SPOOL_SPOOL_PARTS_H
#define WAYBILL_SPOOL_SPOOL_PARTS_H

#include <pthread.h>

/* uthash aborts when memory is gone, as our own allocations do. */
#define uthash_fatal(message) abort()
#include <stdlib.h>
#include <uthash.h>

#include "metadata-svc/spool/payload_spool.h"
#include "metadata-svc/spool/spool_format.h"

/* One segment file in use. Freed to the list of spares when nothing needs it. */
struct segment {
    uint64_t number;
    struct disk_file *file;
    uint64_t end;         /* where the next frame goes */
    unsigned uses;        /* payloads with bytes here, readers, the appender, a flush */
    bool dirty;           /* written to since the last flush began */
    struct segment *next; /* in spool->segments */
};

/* A run of payload bytes: one DATA frame. */
struct extent {
    struct segment *segment;
    uint64_t data_at; /* in the file */
    uint64_t payload_offset;
    uint32_t data_bytes;
    uint32_t data_crc32c;
};

struct payload {
    UT_hash_handle hh;
    struct uuid id;
    char *bucket;
    char *key;
    struct extent *extents;
    size_t extent_count;
    size_t extent_capacity;
    struct segment **segments; /* each that has bytes of it, once */
    size_t segment_count;
    uint64_t size_bytes;
    uint32_t crc32c;
    bool complete;
    unsigned uses; /* readers, and one for being in the table */
};

struct payload_spool {
    struct disk *disk;
    struct payload_spool_options options;

    pthread_mutex_t append_lock; /* held while frames are written; taken before `lock` */

    pthread_mutex_t lock; /* all below */
    pthread_cond_t flushed;
    struct payload *payloads;
    struct segment *segments;
    struct segment *active; /* the one that is appended to; changed under both locks */
    uint64_t *spares;       /* numbers of the files `spare-<n>` */
    size_t spare_count;
    size_t file_count; /* segments and spares */
    uint64_t last_number;
    uint64_t live_bytes;
    uint64_t live_payloads;
    uint64_t appended; /* bytes ever appended; a position in the log */
    uint64_t durable;  /* the position up to which it is flushed */
    bool flushing;
    bool failed;
};

/* ---- spool_segments.c; called with the lock held unless said otherwise ---- */

/* Makes sure that a frame with at least some data fits into the active segment; called with
 * the append lock held, takes the other. SPOOL_FULL, or the disk's error. */
bool segments_make_room(struct payload_spool *spool, uint64_t data_bytes, struct error *error);
/* Drops one use; the last one makes the file a spare. */
void segment_unuse(struct payload_spool *spool, struct segment *segment);
bool segment_is_full(const struct payload_spool *spool, const struct segment *segment, uint64_t data_bytes);
void segment_file_name(uint64_t number, bool spare, char name[32]);
bool spool_set_full(const struct payload_spool *spool, struct error *error);

/* ---- payload_spool.c; called with the lock held ---- */

struct payload *payload_find(struct payload_spool *spool, const struct uuid *id);
struct payload *payload_add(struct payload_spool *spool, const struct uuid *id, const char *bucket, const char *key);
void payload_add_extent(struct payload *payload, const struct extent *extent);
/* Takes it out of the table; its memory and segments go with the last reader. */
void payload_remove(struct payload_spool *spool, struct payload *payload);

/* ---- spool_recovery.c ---- */

/* Reads all segments, oldest first, before other threads are there. */
bool spool_recover(struct payload_spool *spool, struct error *error);

#endif
