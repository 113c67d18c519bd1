/* All volumes of a store, and their open files.
 *
 * Any thread. A pinned volume stays, with its file open; files of the others are closed when
 * too many are open. The figures of a volume change under the set's lock, and, all but pins,
 * under the store's index lock too: holding either is enough to read them. */
#ifndef WAYBILL_HOT_VOLUME_SET_H
#define WAYBILL_HOT_VOLUME_SET_H

#include <pthread.h>

#include "object-svc/hot/hot_volume.h"

struct volume {
    uint64_t id;
    uint64_t salt;
    uint64_t size_bytes;    /* committed: nobody but its appender looks past it */
    uint64_t indexed_bytes; /* as the index has it */
    uint64_t live_objects;
    uint64_t live_sum;   /* as the index has it */
    uint64_t live_bytes; /* their needles */
    uint64_t dead_bytes; /* of the dead list, as the index has it */
    bool dead_dirty;     /* the dead list was written to since it was last synced */
    bool sealed;         /* nothing is appended any more */
    bool appending;      /* an appender has it */
    bool name_durable;
    bool quarantined;       /* its live objects cannot be read: kept, and not compacted again */
    bool doomed;            /* being deleted: cannot be pinned any more */
    bool leaving;           /* to be emptied, whatever its garbage: nothing is appended, what lives is moved */
    unsigned pins;          /* under the set's lock */
    struct disk_file *file; /* NULL: closed; under the set's lock, unless pinned */
    uint64_t last_use;
};

struct volume_set {
    pthread_mutex_t lock;
    struct disk *disk;
    struct volume **volumes; /* by id, ascending */
    size_t count;
    size_t capacity;
    unsigned open_files;
    unsigned max_open_files;
    uint64_t uses;
    uint64_t last_id; /* the highest ever seen */
};

void volume_set_init(struct volume_set *set, struct disk *disk, unsigned max_open_files);
/* Closes all files. */
void volume_set_destroy(struct volume_set *set);

/* Adds a volume, which the set then owns; with a file it is pinned once. */
struct volume *volume_set_add(struct volume_set *set, const struct volume *volume);
/* NULL where there is none. With the set's lock held, or while no other thread has the set. */
struct volume *volume_set_find(const struct volume_set *set, uint64_t id);
/* The next free id. */
uint64_t volume_set_next_id(struct volume_set *set);

/* Opens the file where needed. `found` says whether there is such a volume. */
bool volume_set_pin(struct volume_set *set, uint64_t id, struct volume **volume, bool *found, struct error *error);
/* True where the volume holds nothing but garbage and nobody uses it: time to reap. */
bool volume_set_unpin(struct volume_set *set, struct volume *volume);

/* Bytes that no object needs. With the set's lock held. */
uint64_t volume_garbage_bytes(const struct volume *volume);

/* What to look for in a volume worth rewriting. */
struct volume_wish {
    unsigned garbage_percent; /* at least, of its bytes */
    uint64_t live_max_bytes;  /* at most so much is to be copied */
    bool sealed;              /* or else: unsealed, and no appender has it */
};
/* Pins the volume with the highest share of garbage that meets the wish, and marks an unsealed
 * one as appending; `volume` is NULL where there is none. */
bool volume_set_take_garbage(struct volume_set *set, const struct volume_wish *wish, struct volume **volume,
                             struct error *error);
/* Pins a volume whose dead list is to be synced and takes that mark away; as above. */
bool volume_set_take_dirty(struct volume_set *set, struct volume **volume, struct error *error);

/* Marks the volumes whose files the predicate names as leaving, and the others as staying. */
void volume_set_mark_leaving(struct volume_set *set, bool (*is_leaving)(void *self, const char *name), void *self);
bool volume_set_is_leaving(struct volume_set *set, const struct volume *volume);

/* Pins an unsealed volume that no appender has, and that is not leaving, and marks it as appending; `volume`
 * is NULL where there is none. */
bool volume_set_take_unsealed(struct volume_set *set, struct volume **volume, struct error *error);
/* Dooms one sealed, unpinned volume without live objects; NULL where there is none. */
struct volume *volume_set_doom(struct volume_set *set);
/* Closes and forgets a doomed volume; its file is still there. */
void volume_set_drop(struct volume_set *set, struct volume *volume);

#endif
