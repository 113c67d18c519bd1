#include "object-svc/hot/volume_store.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "object-svc/hot/index_change.h"

enum {
    DEFAULT_MAX_APPENDERS = 4,
    MAX_APPENDERS = 64,
    DEFAULT_MAX_OPEN_FILES = 256,
    REMOVE_CHUNK = 256, /* removals written with one batch */
};
#define DEFAULT_VOLUME_BYTES (UINT64_C(1) << 30)
#define DEFAULT_SYNC_EVERY_BYTES (UINT64_C(64) << 20)
#define DEFAULT_INDEX_CACHE_BYTES ((size_t)64 << 20)

bool volume_store_check_writable(struct volume_store *store, struct error *error) {
    return !atomic_load(&store->read_only) ||
           error_set(error, ERROR_UNAVAILABLE, "HOT_STORE_READ_ONLY",
                     "hot storage is read-only after a disk error; restart object-svc once its disk is well") ||
           error_retry_after(error, ERROR_RETRY_READ_ONLY_MS);
}

static bool volume_store_find(struct hot_store *base, const struct uuid *payload_id, struct hot_object *object,
                              struct error *error) {
    struct volume_store *store = volume_store_of(base);
    struct index_entry entry;
    bool found;
    if (!object_index_get(store->index, payload_id, &entry, &found, error)) {
        return false;
    }
    if (!found) {
        char text[UUID_TEXT_BYTES];
        uuid_print(payload_id, text);
        return error_set(error, ERROR_NOT_FOUND, "OBJECT_NOT_FOUND", "the hot store has no object with payload id %s",
                         text);
    }
    *object = entry.object;
    return true;
}

static bool volume_store_note_cold_copy(struct hot_store *base, const struct uuid *payload_id, bool known,
                                        struct error *error) {
    struct volume_store *store = volume_store_of(base);
    struct index_entry entry;
    bool found;
    if (!volume_store_check_writable(store, error)) {
        return false;
    }
    struct index_change change;
    index_change_start(&change, store);
    bool ok = object_index_get(store->index, payload_id, &entry, &found, error);
    if (ok && !found) {
        ok = error_set(error, ERROR_NOT_FOUND, "OBJECT_NOT_FOUND", "the object has left the hot store");
    } else if (ok && entry.object.cold_copy_known != known) {
        object_index_batch_remove_age(change.batch, &entry);
        entry.object.cold_copy_known = known;
        object_index_batch_put(change.batch, &entry);
        ok = index_change_apply(&change, error);
    }
    index_change_end(&change);
    return ok;
}

static bool named_before(const struct uuid *payload_ids, size_t at) {
    for (size_t i = 0; i < at; i++) {
        if (uuid_equal(&payload_ids[i], &payload_ids[at])) {
            return true;
        }
    }
    return false;
}

static bool remove_chunk(struct volume_store *store, const struct uuid *payload_ids, size_t count,
                         struct error *error) {
    struct index_change change;
    index_change_start(&change, store);
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++) {
        ok = named_before(payload_ids, i) || index_change_remove(&change, &payload_ids[i], error);
    }
    ok = ok && index_change_apply(&change, error);
    index_change_end(&change);
    return ok;
}

static bool volume_store_remove(struct hot_store *base, const struct uuid *payload_ids, size_t count,
                                struct error *error) {
    struct volume_store *store = volume_store_of(base);
    bool ok = volume_store_check_writable(store, error);
    for (size_t done = 0; ok && done < count; done += REMOVE_CHUNK) {
        size_t chunk = count - done < REMOVE_CHUNK ? count - done : REMOVE_CHUNK;
        ok = remove_chunk(store, payload_ids + done, chunk, error);
    }
    volume_store_reap(store);
    return ok;
}

static bool volume_store_check_room(struct hot_store *base, uint64_t bytes, struct error *error) {
    return volume_space_check(volume_store_of(base), bytes, false, error);
}

struct object_walk {
    hot_object_visitor *visit;
    void *context;
    /* For the age queue. */
    struct volume_store *store;
    bool cold_copy_known;
    bool failed;
    struct error error;
};

static bool visit_entry(void *context, const struct index_entry *entry) {
    struct object_walk *walk = context;
    return walk->visit(walk->context, &entry->object);
}

static bool volume_store_visit_all(struct hot_store *base, hot_object_visitor *visit, void *context,
                                   struct error *error) {
    struct object_walk walk = {.visit = visit, .context = context};
    return object_index_visit_objects(volume_store_of(base)->index, visit_entry, &walk, error);
}

/* The queue is walked as it was at the begin; the object may have changed since. */
static bool visit_aged_entry(void *context, const struct uuid *payload_id) {
    struct object_walk *walk = context;
    struct index_entry entry;
    bool found;
    if (!object_index_get(walk->store->index, payload_id, &entry, &found, &walk->error)) {
        walk->failed = true;
        return false;
    }
    return !found || entry.object.cold_copy_known != walk->cold_copy_known || walk->visit(walk->context, &entry.object);
}

static bool volume_store_visit_aged(struct hot_store *base, const char *bucket, bool cold_copy_known,
                                    int64_t before_unix_us, hot_object_visitor *visit, void *context,
                                    struct error *error) {
    struct volume_store *store = volume_store_of(base);
    struct object_walk walk = {.visit = visit, .context = context, .store = store, .cold_copy_known = cold_copy_known};
    if (!object_index_visit_aged(store->index, bucket, cold_copy_known, before_unix_us, visit_aged_entry, &walk,
                                 error)) {
        return false;
    }
    if (walk.failed) {
        *error = walk.error;
    }
    return !walk.failed;
}

static void volume_store_stats(struct hot_store *base, struct hot_stats *stats) {
    struct volume_store *store = volume_store_of(base);
    struct volume_set *set = &store->volumes;
    pthread_mutex_lock(&set->lock);
    *stats = (struct hot_stats){.objects = store->objects, .object_bytes = store->object_bytes, .volumes = set->count};
    for (size_t i = 0; i < set->count; i++) {
        const struct volume *volume = set->volumes[i];
        stats->disk_bytes += volume->size_bytes;
        stats->garbage_bytes += volume_garbage_bytes(volume);
        stats->quarantined_volumes += volume->quarantined ? 1 : 0;
    }
    pthread_mutex_unlock(&set->lock);
    struct disk_space space;
    struct error error;
    if (store->disk->ops->space(store->disk, &space, &error)) {
        stats->free_bytes = space.free_bytes;
    }
    stats->reserve_bytes = store->reserve_bytes;
    stats->full = atomic_load(&store->full);
}

static void volume_store_close(struct hot_store *base) {
    struct volume_store *store = volume_store_of(base);
    struct error error;
    volume_store_sync_dead_lists(store, &error); /* a failure was logged, and costs nothing yet */
    if (store->index != NULL) {
        object_index_close(store->index);
    }
    volume_set_destroy(&store->volumes);
    pthread_mutex_destroy(&store->index_lock);
    pthread_mutex_destroy(&store->known_lock);
    free(store);
}

static const struct hot_store_ops volume_store_ops = {
    .name = "volumes",
    .open_appender = volume_appender_open,
    .begin = volume_appender_begin,
    .append = volume_appender_append,
    .finish = volume_appender_finish,
    .abort = volume_appender_abort,
    .commit = volume_appender_commit,
    .close_appender = volume_appender_close,
    .find = volume_store_find,
    .open_object = volume_reader_open,
    .reader_provenance = volume_reader_provenance,
    .read = volume_reader_read,
    .block_bytes = volume_reader_block_bytes,
    .block_sums = volume_reader_block_sums,
    .close_reader = volume_reader_close,
    .note_cold_copy = volume_store_note_cold_copy,
    .remove = volume_store_remove,
    .visit_aged = volume_store_visit_aged,
    .visit_all = volume_store_visit_all,
    .check_room = volume_store_check_room,
    .stats = volume_store_stats,
    .close = volume_store_close,
};

static bool check_options(const struct volume_store_options *options, struct error *error) {
    size_t length = strlen(options->replica);
    if (length == 0 || length > VOLUME_REPLICA_MAX_BYTES) {
        return error_set_field(error, "replica", "BAD_REPLICA", "a replica's name has 1 to %d bytes",
                               VOLUME_REPLICA_MAX_BYTES);
    }
    if (options->max_appenders > MAX_APPENDERS) {
        return error_set_field(error, "max_appenders", "BAD_MAX_APPENDERS", "at most %d", MAX_APPENDERS);
    }
    return true;
}

static struct volume_store *volume_store_new(const struct volume_store_options *options) {
    struct volume_store *store = calloc(1, sizeof *store);
    if (store == NULL) {
        abort();
    }
    store->base.ops = &volume_store_ops;
    store->disk = options->disk;
    store->clock = options->clock;
    memcpy(store->replica, options->replica, strlen(options->replica));
    store->volume_bytes = options->volume_bytes == 0 ? DEFAULT_VOLUME_BYTES : options->volume_bytes;
    store->sync_every_bytes = options->sync_every_bytes == 0 ? DEFAULT_SYNC_EVERY_BYTES : options->sync_every_bytes;
    store->max_appenders = options->max_appenders == 0 ? DEFAULT_MAX_APPENDERS : options->max_appenders;
    store->reserve_bytes = options->reserve_bytes;
    unsigned files = options->max_open_files == 0 ? DEFAULT_MAX_OPEN_FILES : options->max_open_files;
    volume_set_init(&store->volumes, options->disk, files);
    pthread_mutex_init(&store->index_lock, NULL);
    pthread_mutex_init(&store->known_lock, NULL);
    return store;
}

/* A damaged index is moved aside and rebuilt; damage may show at opening or while it is read. */
static bool open_and_recover(struct volume_store *store, const struct volume_store_options *options,
                             struct error *error) {
    size_t cache = options->index_cache_bytes == 0 ? DEFAULT_INDEX_CACHE_BYTES : options->index_cache_bytes;
    struct error damage = {0}; /* mended, it is no error */
    store->index = object_index_open(options->index_directory, cache, &damage);
    if (store->index != NULL && volume_store_recover(store, false, &damage)) {
        return true;
    }
    if (strcmp(damage.reason, "OBJECT_INDEX_CORRUPT") != 0) {
        *error = damage;
        return false;
    }
    log_warn("hot_index_damaged", LOG_ERROR(&damage), LOG_STR("hint", "it is rebuilt from the hot volumes"));
    if (store->index != NULL) {
        object_index_close(store->index);
        store->index = NULL;
    }
    if (!object_index_set_aside(options->index_directory, error)) {
        return false;
    }
    store->index = object_index_open(options->index_directory, cache, error);
    return store->index != NULL && volume_store_recover(store, true, error);
}

struct hot_store *volume_store_open(const struct volume_store_options *options, struct error *error) {
    if (!check_options(options, error)) {
        return NULL;
    }
    struct volume_store *store = volume_store_new(options);
    if (!open_and_recover(store, options, error)) {
        volume_store_close(&store->base);
        return NULL;
    }
    volume_store_reap(store);
    return &store->base;
}

void volume_store_move_out(struct hot_store *base, bool (*is_leaving)(void *self, const char *name), void *self) {
    volume_set_mark_leaving(&volume_store_of(base)->volumes, is_leaving, self);
}

void volume_store_leaving(struct hot_store *base, struct volume_leaving *leaving) {
    struct volume_set *set = &volume_store_of(base)->volumes;
    *leaving = (struct volume_leaving){0};
    pthread_mutex_lock(&set->lock);
    for (size_t i = 0; i < set->count; i++) {
        const struct volume *volume = set->volumes[i];
        if (volume->leaving) {
            leaving->volumes++;
            leaving->objects += volume->live_objects;
            leaving->bytes += volume->live_bytes;
            leaving->damaged_objects += volume->quarantined ? volume->live_objects : 0;
        }
    }
    pthread_mutex_unlock(&set->lock);
}
