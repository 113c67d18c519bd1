/* What the parts of the volume store share; for volume_*.c and index_change.c only.
 *
 * Locks, in the order in which they are taken: index_lock (one thread changes the index),
 * volumes.lock (the table of volumes, their pins and figures), known_lock (what is known of the disk's room). */
#ifndef WAYBILL_HOT_VOLUME_STORE_PARTS_H
#define WAYBILL_HOT_VOLUME_STORE_PARTS_H

#include <pthread.h>
#include <stdatomic.h>

#include "object-svc/hot/dead_list.h"
#include "object-svc/hot/object_index.h"
#include "object-svc/hot/volume_set.h"
#include "object-svc/hot/volume_store.h"

/* What the disk had free a moment ago (volume_space.c). */
struct known_space {
    uint64_t free_bytes;     /* less what was promised then and since */
    uint64_t good_for_bytes; /* that may be promised without a new look */
    int64_t until_us;        /* monotonic */
};

struct volume_store {
    struct hot_store base;
    struct disk *disk;
    const struct clock *clock;
    char replica[VOLUME_REPLICA_MAX_BYTES + 1];
    uint64_t volume_bytes;
    uint64_t sync_every_bytes;
    unsigned max_appenders;
    uint64_t reserve_bytes;

    struct object_index *index;
    pthread_mutex_t index_lock;
    struct volume_set volumes;
    uint64_t objects;                /* guarded as the figures of a volume are */
    uint64_t object_bytes;           /* likewise */
    unsigned appenders;              /* under volumes.lock */
    atomic_bool read_only;           /* after a failed flush or index write */
    atomic_bool full;                /* an object was refused for want of room, and none taken since */
    _Atomic uint64_t promised_bytes; /* of objects begun: announced, but not written yet */
    pthread_mutex_t known_lock;      /* known */
    struct known_space known;
};

static inline struct volume_store *volume_store_of(struct hot_store *store) {
    return (struct volume_store *)store;
}

/* volume_recovery.c: fills the set of volumes from the disk and brings the index up to it.
 * `rebuild`: the index was damaged and begun anew. */
bool volume_store_recover(struct volume_store *store, bool rebuild, struct error *error);

/* volume_reap.c: deletes volumes that hold nothing but garbage. */
void volume_store_reap(struct volume_store *store);
/* Removes the files of a volume. */
bool volume_store_unlink(struct volume_store *store, uint64_t id, struct error *error);
/* Makes removals durable that a lost index would else undo after power loss. */
bool volume_store_sync_dead_lists(struct volume_store *store, struct error *error);

/* volume_space.c: how much of the disk's room an object may take. Moves may use a part of the
 * reserve, since they are what makes room. */
bool volume_space_check(struct volume_store *store, uint64_t bytes, bool for_move, struct error *error);
/* As check; what is granted is promised until it is taken back or written. */
bool volume_space_promise(struct volume_store *store, uint64_t bytes, bool for_move, struct error *error);
void volume_space_settle(struct volume_store *store, uint64_t bytes);
/* Room that moves may take now; UINT64_MAX where there is no reserve to keep. */
bool volume_space_for_moves(struct volume_store *store, uint64_t *bytes, struct error *error);

/* volume_store.c: UNAVAILABLE, HOT_STORE_READ_ONLY after a failure; else true. */
bool volume_store_check_writable(struct volume_store *store, struct error *error);

/* volume_appender.c: one that moves objects between volumes, besides those that the store allows. */
struct hot_appender *volume_appender_open_for_moves(struct volume_store *store);
/* Begins a copy of the object that is at `from`; commit moves its entry, durably. */
bool volume_appender_begin_move(struct hot_appender *appender, const struct provenance *provenance,
                                const struct index_entry *from, struct error *error);
/* What is appended next, and sealed, goes to this volume, which is pinned and marked as appending. */
bool volume_appender_seal(struct hot_appender *appender, struct volume *volume, struct error *error);

struct hot_appender *volume_appender_open(struct hot_store *store, struct error *error);
bool volume_appender_begin(struct hot_appender *appender, const struct provenance *provenance, struct error *error);
bool volume_appender_append(struct hot_appender *appender, struct bytes data, struct error *error);
bool volume_appender_finish(struct hot_appender *appender, struct error *error);
void volume_appender_abort(struct hot_appender *appender);
bool volume_appender_commit(struct hot_appender *appender, struct error *error);
void volume_appender_close(struct hot_appender *appender);

/* volume_reader.c */
struct hot_reader *volume_reader_open(struct hot_store *store, const struct uuid *payload_id, struct error *error);
const struct provenance *volume_reader_provenance(const struct hot_reader *reader);
int64_t volume_reader_read(struct hot_reader *reader, uint64_t offset, void *out, size_t size, struct error *error);
uint32_t volume_reader_block_bytes(const struct hot_reader *reader);
bool volume_reader_block_sums(struct hot_reader *reader, uint64_t first, void *out, size_t count, struct error *error);
void volume_reader_close(struct hot_reader *reader);

#endif
