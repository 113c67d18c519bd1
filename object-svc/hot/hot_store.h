/* The hot tier of one replica, as an interface: objects by payload id, written in batches,
 * read in verified ranges. volume_store.h is the backend that keeps them in hot volumes.
 *
 * Writing: an appender belongs to one thread. It takes objects one after the other (begin,
 * append..., finish) and makes all that it took durable and visible with one commit:
 *
 *   begin ▸ append* ▸ finish   begin ▸ append* ▸ finish   ...   commit   (report)   begin ...
 *
 * Nothing may be reported before commit returned true. Several appenders work side by side,
 * so that a long stream does not hold up small objects.
 *
 * Reading, looking up, removing, visiting: any thread. A reader keeps its object readable
 * until it is closed, even if the object is removed meanwhile.
 *
 * Errors, besides those named below: IO_ERROR, DISK_FULL (RESOURCE_EXHAUSTED) and
 * OBJECT_INDEX_FAILED. After a failed write the appender's whole batch is lost: every call
 * fails until commit, which fails too and empties the batch; then the appender can go on.
 * After a failed flush, or with an index that cannot be written, the store refuses to commit
 * and to remove (UNAVAILABLE, HOT_STORE_READ_ONLY) until it is opened again; reads go on.
 */
#ifndef WAYBILL_HOT_HOT_STORE_H
#define WAYBILL_HOT_HOT_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/bytes.h"
#include "common/base/error.h"
#include "common/base/names.h"
#include "common/base/uuid.h"
#include "object-svc/hot/provenance.h"

struct hot_store;
struct hot_appender;
struct hot_reader;

/* Objects that one appender may hold between two commits. */
enum { HOT_BATCH_MAX_OBJECTS = 4096 };

/* An object as the index knows it; a plain value. */
struct hot_object {
    char bucket[NAME_BUCKET_MAX_BYTES + 1];
    char key[NAME_KEY_MAX_BYTES + 1];
    int64_t version;
    struct uuid payload_id;
    uint64_t size_bytes;
    uint32_t crc32c;
    int64_t store_unix_us;
    bool cold_copy_known; /* see hot_store_note_cold_copy */
};

/* Sums over all volumes. */
struct hot_stats {
    uint64_t objects;
    uint64_t object_bytes;  /* payload bytes of those objects */
    uint64_t garbage_bytes; /* of removed, replaced and torn objects, still on the disk */
    uint64_t disk_bytes;    /* of all volumes */
    uint64_t volumes;
    uint64_t quarantined_volumes; /* kept for objects in them that are damaged */
    uint64_t free_bytes;          /* of the disk; 0 where that is not known */
    uint64_t reserve_bytes;       /* of those, kept free */
    bool full;                    /* the last object that came was refused for want of room */
};

/* Called per object; false ends the walk. The object is valid during the call, which may use
 * the store, also to remove. */
typedef bool hot_object_visitor(void *context, const struct hot_object *object);

struct hot_store_ops {
    const char *name;
    struct hot_appender *(*open_appender)(struct hot_store *store, struct error *error);
    bool (*begin)(struct hot_appender *appender, const struct provenance *provenance, struct error *error);
    bool (*append)(struct hot_appender *appender, struct bytes data, struct error *error);
    bool (*finish)(struct hot_appender *appender, struct error *error);
    void (*abort)(struct hot_appender *appender);
    bool (*commit)(struct hot_appender *appender, struct error *error);
    void (*close_appender)(struct hot_appender *appender);

    bool (*find)(struct hot_store *store, const struct uuid *payload_id, struct hot_object *object,
                 struct error *error);
    struct hot_reader *(*open_object)(struct hot_store *store, const struct uuid *payload_id, struct error *error);
    const struct provenance *(*reader_provenance)(const struct hot_reader *reader);
    int64_t (*read)(struct hot_reader *reader, uint64_t offset, void *out, size_t size, struct error *error);
    uint32_t (*block_bytes)(const struct hot_reader *reader);
    bool (*block_sums)(struct hot_reader *reader, uint64_t first, void *out, size_t count, struct error *error);
    void (*close_reader)(struct hot_reader *reader);

    bool (*note_cold_copy)(struct hot_store *store, const struct uuid *payload_id, bool known, struct error *error);
    bool (*remove)(struct hot_store *store, const struct uuid *payload_ids, size_t count, struct error *error);
    bool (*visit_aged)(struct hot_store *store, const char *bucket, bool cold_copy_known, int64_t before_unix_us,
                       hot_object_visitor *visit, void *context, struct error *error);
    bool (*visit_all)(struct hot_store *store, hot_object_visitor *visit, void *context, struct error *error);
    bool (*check_room)(struct hot_store *store, uint64_t bytes, struct error *error);
    void (*stats)(struct hot_store *store, struct hot_stats *stats);
    void (*close)(struct hot_store *store);
};

struct hot_store {
    const struct hot_store_ops *ops;
};

struct hot_appender {
    const struct hot_store_ops *ops;
};

struct hot_reader {
    const struct hot_store_ops *ops;
};

/* RESOURCE_EXHAUSTED, HOT_APPENDERS_EXHAUSTED where all that the store allows are open. */
static inline struct hot_appender *hot_store_open_appender(struct hot_store *store, struct error *error) {
    return store->ops->open_appender(store, error);
}

/* Whether there is room for so many bytes of new objects: RESOURCE_EXHAUSTED, HOT_STORE_FULL where
 * they would take what the store keeps free. For asking before bytes are fetched. */
static inline bool hot_store_check_room(struct hot_store *store, uint64_t bytes, struct error *error) {
    return store->ops->check_room(store, bytes, error);
}

/* Starts an object; size_bytes and crc32c are those announced, and finish holds the bytes to
 * them. Borrows the provenance during the call. No check whether the store has the payload
 * id already: the new copy then replaces the old one, so a caller that gets a redelivery asks
 * hot_store_find first. ALREADY_EXISTS, PAYLOAD_ALREADY_APPENDED where this batch has it;
 * RESOURCE_EXHAUSTED, HOT_BATCH_FULL where it has HOT_BATCH_MAX_OBJECTS: commit first;
 * HOT_STORE_FULL as above. May
 * commit by itself what the batch holds, when a volume is full. On failure no object is begun. */
static inline bool hot_appender_begin(struct hot_appender *appender, const struct provenance *provenance,
                                      struct error *error) {
    return appender->ops->begin(appender, provenance, error);
}

/* The next bytes of the object begun, any number. DATA_LOSS, PAYLOAD_CORRUPT where they are
 * more than announced. On failure the object is aborted. */
static inline bool hot_appender_append(struct hot_appender *appender, struct bytes data, struct error *error) {
    return appender->ops->append(appender, data, error);
}

/* Ends the object. DATA_LOSS, PAYLOAD_CORRUPT where length or CRC32C is not what was
 * announced. On failure the object is aborted; those finished before it stay in the batch. */
static inline bool hot_appender_finish(struct hot_appender *appender, struct error *error) {
    return appender->ops->finish(appender, error);
}

/* Gives up the object begun, if there is one; those finished before it stay in the batch. */
static inline void hot_appender_abort(struct hot_appender *appender) {
    appender->ops->abort(appender);
}

/* Makes every finished object durable, then visible. No object may be open. With nothing to
 * commit it only lets a volume go that the store wants to move: so an appender that rests calls it now and then. On
 * failure none of them may be reported; each may nevertheless turn up after a restart, which is harmless, since a
 * redelivery finds it. */
static inline bool hot_appender_commit(struct hot_appender *appender, struct error *error) {
    return appender->ops->commit(appender, error);
}

/* Gives up what is not committed. */
static inline void hot_appender_close(struct hot_appender *appender) {
    appender->ops->close_appender(appender);
}

/* NOT_FOUND, OBJECT_NOT_FOUND where the store has no such object. */
static inline bool hot_store_find(struct hot_store *store, const struct uuid *payload_id, struct hot_object *object,
                                  struct error *error) {
    return store->ops->find(store, payload_id, object, error);
}

/* Opens an object for reading; a reader belongs to one thread at a time. OBJECT_NOT_FOUND as
 * above; DATA_LOSS, OBJECT_CORRUPT where what the volume says of the object is damaged. */
static inline struct hot_reader *hot_store_open_object(struct hot_store *store, const struct uuid *payload_id,
                                                       struct error *error) {
    return store->ops->open_object(store, payload_id, error);
}

/* Valid until the reader is closed. */
static inline const struct provenance *hot_reader_provenance(const struct hot_reader *reader) {
    return reader->ops->reader_provenance(reader);
}

/* Reads up to `size` bytes from `offset`, fewer only at the object's end (0 at or past it).
 * Every byte is verified before it is returned; on failure (-1; DATA_LOSS, OBJECT_CORRUPT
 * naming bucket, key and version) what `out` holds is not to be used. Fastest in order, in
 * whole multiples of 64 KiB. */
static inline int64_t hot_reader_read(struct hot_reader *reader, uint64_t offset, void *out, size_t size,
                                      struct error *error) {
    return reader->ops->read(reader, offset, out, size, error);
}

/* The length of the object's blocks, the last one apart, for block_sums_count. */
static inline uint32_t hot_reader_block_bytes(const struct hot_reader *reader) {
    return reader->ops->block_bytes(reader);
}

/* `count` block checksums from block `first` on, little-endian, as they are stored: whoever
 * uses them joins them to the object's CRC32C first. */
static inline bool hot_reader_block_sums(struct hot_reader *reader, uint64_t first, void *out, size_t count,
                                         struct error *error) {
    return reader->ops->block_sums(reader, first, out, count, error);
}

static inline void hot_reader_close(struct hot_reader *reader) {
    reader->ops->close_reader(reader);
}

/* Remembers whether the cold store has the object too, as committed by metadata-svc; the
 * object changes from one age queue to the other. May be forgotten by a lost index, so what
 * follows from it must be repeatable. OBJECT_NOT_FOUND as above. */
static inline bool hot_store_note_cold_copy(struct hot_store *store, const struct uuid *payload_id, bool known,
                                            struct error *error) {
    return store->ops->note_cold_copy(store, payload_id, known, error);
}

/* Gives up these copies; ids that the store does not have are passed over. They are gone for
 * readers at once. Their bytes become garbage. Power loss within moments may undo a removal,
 * since the bytes are still there: the object is then listed again, and whoever reports it
 * anew learns that it is obsolete. */
static inline bool hot_store_remove(struct hot_store *store, const struct uuid *payload_ids, size_t count,
                                    struct error *error) {
    return store->ops->remove(store, payload_ids, count, error);
}

/* Walks a bucket's objects stored before `before_unix_us`, oldest first: those without a known
 * cold copy, or those with one. The walk sees the state at its begin; an object removed since
 * is passed over. */
static inline bool hot_store_visit_aged(struct hot_store *store, const char *bucket, bool cold_copy_known,
                                        int64_t before_unix_us, hot_object_visitor *visit, void *context,
                                        struct error *error) {
    return store->ops->visit_aged(store, bucket, cold_copy_known, before_unix_us, visit, context, error);
}

/* Walks all objects, in the order of their payload ids. */
static inline bool hot_store_visit_all(struct hot_store *store, hot_object_visitor *visit, void *context,
                                       struct error *error) {
    return store->ops->visit_all(store, visit, context, error);
}

static inline void hot_store_stats(struct hot_store *store, struct hot_stats *stats) {
    store->ops->stats(store, stats);
}

/* Every appender and reader must be closed before. */
static inline void hot_store_close(struct hot_store *store) {
    store->ops->close(store);
}

#endif
