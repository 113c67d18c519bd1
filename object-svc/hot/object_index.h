/* Where each object is: a LevelDB that can be lost and rebuilt from the volumes.
 * docs/formats/object-index.md describes its keys and values.
 *
 * Any thread may read. Changes are made by one thread at a time (the store's index lock), in
 * batches that take effect as a whole. They are not synced, unless asked: after power loss
 * the index may have forgotten the newest ones, and opening the store finds them again in the
 * volumes' tails.
 *
 * Errors: INTERNAL, OBJECT_INDEX_FAILED with LevelDB's words; DATA_LOSS, OBJECT_INDEX_CORRUPT
 * where it is damaged and has to be rebuilt. */
#ifndef WAYBILL_HOT_OBJECT_INDEX_H
#define WAYBILL_HOT_OBJECT_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "object-svc/hot/hot_store.h"

struct object_index;
struct object_index_batch;

/* An object and where it is; a plain value. */
struct index_entry {
    struct hot_object object;
    uint64_t volume;
    uint64_t offset;       /* of the needle */
    uint64_t needle_bytes; /* of the whole needle */
};

/* What the index knows of a volume. */
struct index_volume {
    uint64_t id;
    uint64_t salt;
    uint64_t indexed_bytes; /* all needles before are durable and have been indexed */
    uint64_t live_objects;  /* entries that point to it: how a hole in the index shows, */
    uint64_t live_sum;      /* even where it took and gave as many: sum of their index_entry_sum */
    uint64_t dead_bytes;    /* the volume's dead list up to here is known to the index */
    bool sealed;
    bool deleted; /* all was garbage; the file is gone or about to go */
};

/* A number that tells apart the entries of one volume. */
uint64_t index_entry_sum(const struct index_entry *entry);

/* Opens or makes it. `directory` and those above are made where missing. */
struct object_index *object_index_open(const char *directory, size_t cache_bytes, struct error *error);
/* Moves a damaged index aside, to `<directory>.corrupt`, replacing an earlier one there. */
bool object_index_set_aside(const char *directory, struct error *error);
void object_index_close(struct object_index *index);

/* `found` says whether there is one. */
bool object_index_get(struct object_index *index, const struct uuid *payload_id, struct index_entry *entry, bool *found,
                      struct error *error);

struct object_index_batch *object_index_batch_new(void);
void object_index_batch_free(struct object_index_batch *batch);
void object_index_batch_clear(struct object_index_batch *batch);
/* Adds the object and its place in the age queue. */
void object_index_batch_put(struct object_index_batch *batch, const struct index_entry *entry);
/* Takes both away; `entry` is as object_index_get told it. */
void object_index_batch_remove(struct object_index_batch *batch, const struct index_entry *entry);
/* Takes away only the place in the age queue, for an entry that is put anew. */
void object_index_batch_remove_age(struct object_index_batch *batch, const struct index_entry *entry);
void object_index_batch_put_volume(struct object_index_batch *batch, const struct index_volume *volume);
void object_index_batch_forget_volume(struct object_index_batch *batch, uint64_t id);
bool object_index_write(struct object_index *index, const struct object_index_batch *batch, bool sync,
                        struct error *error);

/* Each walks the state at its begin; a visitor's false ends it. The visitor may use the index. */
bool object_index_visit_objects(struct object_index *index,
                                bool (*visit)(void *context, const struct index_entry *entry), void *context,
                                struct error *error);
bool object_index_visit_volumes(struct object_index *index,
                                bool (*visit)(void *context, const struct index_volume *volume), void *context,
                                struct error *error);
/* Payload ids of a bucket's objects stored before that time, oldest first. */
bool object_index_visit_aged(struct object_index *index, const char *bucket, bool cold_copy_known,
                             int64_t before_unix_us, bool (*visit)(void *context, const struct uuid *payload_id),
                             void *context, struct error *error);

#endif
