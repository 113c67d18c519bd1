/* What the files of the spool share: payload_table.c (what is known of payloads),
 * partial_table.c (of unfinished ones that can be resumed), spool_segments.c (segment files),
 * spool_log.c (append and flush), spool_recovery.c (opening), payload_upload.c, payload_resume.c
 * and payload_spool.c (the calls).
 *
 * Three locks, taken in this order:
 *   append_lock  held while frames are written and a segment is begun. As frames are written
 *                one after the other, a crash leaves no gap before a flushed one.
 *   lock         the tables and figures; never held during I/O.
 *   files_lock   opening and closing segment files. */
#ifndef WAYBILL_SPOOL_SPOOL_PARTS_H
#define WAYBILL_SPOOL_SPOOL_PARTS_H

#include <pthread.h>
#include <stdlib.h>

/* uthash aborts when memory is gone, as our own allocations do. */
#define uthash_fatal(message) abort()
#include <uthash.h>

#include "common/base/fair_share.h"
#include "common/base/write_back.h"
#include "metadata-svc/spool/extent_list.h"
#include "metadata-svc/spool/payload_spool.h"
#include "metadata-svc/spool/spool_format.h"

enum { SEGMENT_NAME_BYTES = 32 };

/* One segment file. Number, salt and bytes change only when it is begun anew, which needs that
 * nobody uses it. */
struct segment {
    struct spool_segment_header header;
    struct segment *next;         /* in spool->segments, or in spool->free_segments */
    unsigned uses;                /* payloads with frames here, the appender, a flush, the recovery */
    uint64_t end;                 /* where the next frame may stand; changes under append_lock and lock */
    struct write_back write_back; /* append_lock */
    bool dirty;                   /* written to since the last flush began */
    uint64_t flushing;            /* the end that the flush under way makes durable */
    uint64_t durable;             /* the end that is durable */
    bool held;                    /* kept open, from its begin until it is sealed and flushed: a flush must see the
                                     errors of writes to the same open file */

    struct disk_file *file; /* NULL while closed; files_lock */
    unsigned file_users;    /* files_lock */
};

/* An upload that can be resumed, from its begin until its payload is settled. */
struct partial {
    UT_hash_handle hh;
    struct uuid upload_id;
    struct payload *payload;
    bool suspended;  /* nobody uploads: it is in the list of those that are idle */
    bool unverified; /* its bytes are from before the start */
    uint32_t crc32c; /* while suspended: of its bytes */
    int64_t idle_from_us;
    struct partial *previous, *next; /* in the list, the longest idle first */
};

struct payload {
    UT_hash_handle hh;
    struct uuid id;
    struct uuid upload_id; /* zero: it cannot be resumed */
    struct partial *partial;
    uint64_t upload;
    char *bucket;
    char *key;
    int64_t create_unix_us;
    struct extent_list extents; /* they no longer change once it is complete */
    struct segment **segments;  /* each that has a frame of it, once */
    size_t segment_count;
    uint64_t size_bytes;
    uint64_t spooled_bytes; /* of its extents */
    uint64_t bucket_key;    /* whose share of the spool they are; 0: it was not known when they came */
    uint32_t crc32c;
    bool complete; /* finished and durable */
    bool damaged;
    bool given_up; /* out of the table and without segments, while somebody still uploads it */
    unsigned uses; /* readers, who uploads it, and one for being in the table */
    bool released; /* held back; it goes with the hold */
    struct payload *next_released;
};

struct payload_spool {
    struct disk *disk;
    struct payload_spool_options options; /* with the defaults filled in */
    const struct clock *clock;

    pthread_mutex_t append_lock;
    struct buffer scratch; /* headers and small data on their way to the disk; append_lock */

    pthread_mutex_t lock;       /* all down to files_lock */
    pthread_cond_t flushed[2];  /* those who wait for flush n at n % 2: who needs the next one sleeps on meanwhile */
    uint64_t flush_number;      /* of the flush under way, or the next */
    uint64_t flushing_position; /* what the flush under way covers */
    struct payload *payloads;
    struct segment *segments;      /* in use; the newest first */
    struct segment *free_segments; /* files to be begun anew */
    struct segment *active;        /* the one that is appended to; changed under append_lock too */
    uint64_t segment_count;
    uint64_t free_count;
    uint64_t file_bytes; /* of all segment files */
    uint64_t last_number;
    uint64_t next_upload;
    uint64_t live_bytes;
    struct fair_share *bucket_bytes; /* the same by buckets */
    uint64_t live_payloads;
    struct partial *partials; /* by upload id */
    struct partial *idle_first, *idle_last;
    uint64_t idle_uploads;
    uint64_t idle_bytes;
    unsigned holds;           /* of releases */
    struct payload *released; /* and held back */
    uint64_t appended;        /* bytes ever appended; a position in the log */
    uint64_t durable;         /* the position up to which it is flushed */
    bool flushing;
    bool failed;

    pthread_mutex_t files_lock;
    unsigned open_files;
};

/* realloc that aborts when memory is gone. */
void *spool_grow(void *array, size_t count, size_t item_bytes);

/* ---- payload_table.c; called with the lock held ---- */

struct payload *payload_find(struct payload_spool *spool, const struct uuid *id);
struct payload *payload_add(struct payload_spool *spool, const struct uuid *id, uint64_t upload);
void payload_name(struct payload *payload, struct bytes bucket, struct bytes key, int64_t create_unix_us);
/* A frame of it stands in the segment. */
void payload_use_segment(struct payload *payload, struct segment *segment);
void payload_add_extent(struct payload_spool *spool, struct payload *payload, const struct extent *extent);
/* Takes it out of the table; its memory and segments go with the last reader. */
void payload_remove(struct payload_spool *spool, struct payload *payload);
/* The same for an unfinished one: its segments go at once, unless it is being verified, and
 * whoever uploads it finds it given up. */
void payload_give_up(struct payload_spool *spool, struct payload *payload);
/* How many extents from the first on follow on each other. */
size_t payload_whole_extents(const struct payload *payload);
/* Forgets the extents behind the first `count`. */
void payload_cut(struct payload_spool *spool, struct payload *payload, size_t count);
/* CRC32C of all its extents, from what their frames say. */
uint32_t payload_join_crc32c(const struct payload *payload);
void payload_unuse(struct payload_spool *spool, struct payload *payload);
/* Takes it out, or as soon as releases are no longer held back. */
void payload_release(struct payload_spool *spool, struct payload *payload);
/* Takes out what was released and held back. */
void payload_drop_released(struct payload_spool *spool);
void payload_describe(const struct payload *payload, struct payload_info *info);
/* Without payloads and segments; for close. */
void payload_table_free(struct payload_spool *spool);

/* ---- payload_spool.c ---- */

/* The extent's data; `whole` tells whether it is what its frame says. False only when the disk
 * fails. No lock held. */
bool spool_read_extent(struct payload_spool *spool, const struct extent *extent, uint8_t *out, bool *whole,
                       struct error *error);

/* ---- partial_table.c; called with the lock held ---- */

struct partial *partial_find(struct payload_spool *spool, const struct uuid *upload_id);
/* The payload's upload can be resumed under its upload_id, of which there is no other. */
struct partial *partial_add(struct payload_spool *spool, struct payload *payload);
/* It can no longer, or need not. */
void partial_end(struct payload_spool *spool, struct partial *partial);
/* Nobody uploads it any more, or somebody does again. */
void partial_suspend(struct payload_spool *spool, struct partial *partial);
void partial_resume(struct payload_spool *spool, struct partial *partial);
/* Gives up the one that is idle for the longest time; false when there is none. */
bool partial_give_up_oldest(struct payload_spool *spool);
/* The same among those of a bucket. */
bool partial_give_up_oldest_of(struct payload_spool *spool, uint64_t bucket_key);

/* ---- payload_upload.c ---- */

/* With the lock held: whether the bucket may have more of the spool's bytes; BUCKET_OVER_SHARE. */
bool spool_check_share(struct payload_spool *spool, const char *bucket, struct error *error);
/* With the lock held: whether another payload may begin. */
bool spool_takes_payload(struct payload_spool *spool);
/* Goes on at the payload's end, of which crc32c is the checksum; `begun`: its BEGIN frame is written. */
struct payload_upload *payload_upload_new(struct payload_spool *spool, struct payload *payload, bool begun,
                                          uint32_t crc32c);
/* Adds the payload, in use by who uploads it; with the lock held. */
struct payload *payload_begin(struct payload_spool *spool, const struct uuid *id, const char *bucket, const char *key);

/* ---- spool_segments.c ---- */

void segment_file_name(uint64_t number, char name[SEGMENT_NAME_BYTES]);
bool segment_parse_name(const char *name, uint64_t *number);
/* The open file, until given back; NULL and the error where it cannot be opened. No lock held. */
struct disk_file *segment_file_take(struct payload_spool *spool, struct segment *segment, struct error *error);
void segment_file_give(struct payload_spool *spool, struct segment *segment);
void segment_file_close(struct payload_spool *spool, struct segment *segment);
/* Drops one use; the last one makes the segment free. With the lock held. */
void segment_unuse(struct payload_spool *spool, struct segment *segment);
/* Makes the next segment the active one; with append_lock held. SPOOL_FULL, or the disk's error. */
bool segments_advance(struct payload_spool *spool, struct error *error);
/* Whether an append may find room; with the lock held. */
bool segments_have_room(const struct payload_spool *spool);
bool spool_set_full(const struct payload_spool *spool, struct error *error);

/* ---- spool_log.c ---- */

/* What one upload has to write. */
struct spool_entry {
    struct payload *payload;
    struct bytes names; /* empty: begun already */
    struct bytes data;  /* empty: none */
    uint32_t data_crc32c;
    uint64_t payload_offset;
    bool end;
    uint64_t size_bytes; /* with end: of the whole payload */
    uint32_t crc32c;
};

/* What of it was written. */
struct spool_written {
    bool names;
    size_t data_bytes;
    bool end;
    uint64_t position; /* of its end in the log, for spool_flush */
};

/* Writes as much as fits into one segment, at least something. No lock held. */
bool spool_append(struct payload_spool *spool, const struct spool_entry *entry, struct spool_written *written,
                  struct error *error);
/* Waits until the log is durable up to the position. No lock held. */
bool spool_flush(struct payload_spool *spool, uint64_t position, struct error *error);
/* Flushes when much is not yet durable. No lock held. */
bool spool_bound_dirty(struct payload_spool *spool, struct error *error);
/* Ends a segment with a SEAL frame; with append_lock held, or alone. */
bool spool_seal(struct payload_spool *spool, struct segment *segment, struct error *error);
/* Remembers that the disk failed, and turns the error into SPOOL_READ_ONLY; returns false. No
 * lock held. */
bool spool_fail(struct payload_spool *spool, struct error *error);
bool spool_set_read_only(struct error *error);

/* ---- spool_recovery.c ---- */

/* Reads all segments, oldest first, before other threads are there. */
bool spool_recover(struct payload_spool *spool, struct error *error);

#endif
