/* An ordered key-value store with atomic synced batches, as an interface: LevelDB in the
 * service, a simulated disk in a simulator.
 *
 * Any thread may read; writes may come from any thread and are applied one after the other.
 * A reader sees a batch wholly or not at all, and a synced batch only once it is durable. */
#ifndef WAYBILL_STORE_KV_H
#define WAYBILL_STORE_KV_H

#include <stdbool.h>

#include "common/base/arena.h"
#include "common/base/bytes.h"
#include "common/base/error.h"

/* Puts and deletes, applied together in the order in which they were added.
 * Zero-initialized is empty. */
struct kv_batch {
    struct buffer operations; /* see kv_batch_each */
    unsigned count;
};

void kv_batch_put(struct kv_batch *batch, struct bytes key, struct bytes value);
void kv_batch_delete(struct kv_batch *batch, struct bytes key);
/* Empties it but keeps the memory. */
void kv_batch_clear(struct kv_batch *batch);
void kv_batch_free(struct kv_batch *batch);
/* Calls `visit` for each operation; `value` is NULL for a delete. */
void kv_batch_each(const struct kv_batch *batch,
                   void (*visit)(void *context, struct bytes key, const struct bytes *value), void *context);

struct kv;
struct kv_cursor;

struct kv_ops {
    /* The value, in the arena; `found` says whether there is one. False: the store failed. */
    bool (*get)(struct kv *kv, struct bytes key, struct arena *arena, struct bytes *value, bool *found,
                struct error *error);
    /* Applies the batch; with `sync` it is durable on return. After a failure what is durable
     * is unknown and every later write fails too. */
    bool (*write)(struct kv *kv, const struct kv_batch *batch, bool sync, struct error *error);
    /* A cursor over the state of this moment. */
    struct kv_cursor *(*cursor_open)(struct kv *kv);
    /* The same, for a walk over much: what it reads pushes nothing out of the cache. */
    struct kv_cursor *(*cursor_open_bulk)(struct kv *kv);
    void (*cursor_seek)(struct kv_cursor *cursor, struct bytes key);        /* first key >= it */
    void (*cursor_seek_before)(struct kv_cursor *cursor, struct bytes key); /* last key < it */
    void (*cursor_next)(struct kv_cursor *cursor);
    bool (*cursor_valid)(const struct kv_cursor *cursor);
    /* Both valid until the cursor moves. */
    struct bytes (*cursor_key)(const struct kv_cursor *cursor);
    struct bytes (*cursor_value)(const struct kv_cursor *cursor);
    /* Whether it ended because the store failed. */
    bool (*cursor_check)(const struct kv_cursor *cursor, struct error *error);
    void (*cursor_close)(struct kv_cursor *cursor);
    void (*close)(struct kv *kv);
};

struct kv {
    const struct kv_ops *ops;
};

struct kv_cursor {
    const struct kv_ops *ops;
};

struct leveldb_kv_options {
    size_t cache_bytes;
    size_t write_buffer_bytes;
    /* Zeroed ahead of the log (log_runway.h), then every write is synced; 0: nothing. */
    size_t log_runway_bytes;
    /* Values of keys that begin with this byte may be long, and are read once: they push nothing out of the cache.
     * 0: there are none. */
    uint8_t bulk_prefix;
};

/* LevelDB in `directory`, created where it is missing. */
struct kv *leveldb_kv_open(const char *directory, const struct leveldb_kv_options *options, struct error *error);
/* Lets LevelDB save what it can of a store that it does not open. Not while it is open. */
bool leveldb_kv_repair(const char *directory, struct error *error);

#endif
