#include "object-svc/hot/volume_compaction.h"

#include <stdlib.h>

#include "common/base/failpoint.h"
#include "common/base/log.h"
#include "object-svc/hot/volume_store_parts.h"

enum {
    BATCH_OBJECTS = 1024, /* moved with one flush */
    COPY_BYTES = 1024 * 1024,
    PRESSED_GARBAGE_PERCENT = 10, /* when new objects find no room */
};
#define BATCH_BYTES (UINT64_C(32) << 20)

struct compaction {
    struct volume_store *store;
    const struct volume_compaction_options *options;
    struct volume_compaction *sums;
    struct volume *volume; /* pinned */
    struct hot_appender *appender;
    uint8_t *chunk;
    struct volume_needle needle;
    /* Of the batch. */
    uint64_t batch_objects;
    uint64_t batch_bytes;
};

static bool pace(struct compaction *self, uint64_t bytes, struct error *error) {
    return self->options->pace == NULL || self->options->pace(self->options->self, bytes) ||
           error_set(error, ERROR_CANCELLED, "COMPACTION_STOPPED", "the compaction was stopped");
}

static bool commit_batch(struct compaction *self, struct error *error) {
    if (!FAILPOINT("compaction.commit.before") || !hot_appender_commit(self->appender, error) ||
        !FAILPOINT("compaction.commit.after")) {
        return false;
    }
    self->sums->moved_objects += self->batch_objects;
    self->sums->moved_bytes += self->batch_bytes;
    self->batch_objects = 0;
    self->batch_bytes = 0;
    return true;
}

/* Copies the payload of the object begun; `damaged` where it cannot be read whole. */
static bool copy_payload(struct compaction *self, bool *damaged, struct error *error) {
    const struct provenance *provenance = &self->needle.needle.provenance;
    struct volume_payload payload;
    struct block_reader reader;
    volume_payload_init(&payload, self->volume->file, self->volume->id, &self->needle);
    struct block_source source = volume_payload_source(&payload);
    block_reader_start(&reader, &source, provenance->size_bytes, provenance->crc32c, self->needle.needle.block_bytes);
    bool ok = true;
    *damaged = false;
    for (uint64_t offset = 0; ok && !*damaged && offset < provenance->size_bytes;) {
        int64_t got = block_reader_read(&reader, offset, self->chunk, COPY_BYTES, error);
        *damaged = got <= 0;
        if (!*damaged) {
            ok = pace(self, (uint64_t)got, error) &&
                 hot_appender_append(self->appender, bytes_of(self->chunk, (size_t)got), error);
            offset += (uint64_t)got;
        }
    }
    block_reader_stop(&reader);
    return ok;
}

static void note_damage(struct compaction *self, const struct hot_object *object, const struct error *error) {
    self->sums->damaged_objects++;
    log_error("hot_object_damaged", LOG_STR("bucket", object->bucket), LOG_STR("key", object->key),
              LOG_INT("version", object->version), LOG_INT("volume", self->volume->id), LOG_ERROR(error),
              LOG_STR("hint", "its volume is kept until a whole copy is stored"));
    if (self->options->damaged != NULL) {
        self->options->damaged(self->options->self, object);
    }
}

/* Copies the needle that was read, whose entry this is. */
static bool copy_object(struct compaction *self, const struct index_entry *entry, struct error *error) {
    bool damaged;
    if (!volume_appender_begin_move(self->appender, &self->needle.needle.provenance, entry, error)) {
        return false;
    }
    if (!copy_payload(self, &damaged, error)) {
        hot_appender_abort(self->appender);
        return false;
    }
    if (damaged) {
        hot_appender_abort(self->appender);
    } else if (!hot_appender_finish(self->appender, error)) {
        /* The blocks are right, the whole is not: so was it stored. */
        damaged = error->code == ERROR_DATA_LOSS;
        if (!damaged) {
            return false;
        }
    }
    if (damaged) {
        note_damage(self, &entry->object, error);
        return true;
    }
    self->batch_objects++;
    self->batch_bytes += entry->object.size_bytes;
    return (self->batch_objects < BATCH_OBJECTS && self->batch_bytes < BATCH_BYTES) || commit_batch(self, error);
}

/* Copies the needle that was read, if the index points to it. */
static bool visit_needle(struct compaction *self, struct error *error) {
    const struct needle *needle = &self->needle.needle;
    struct index_entry entry;
    bool found;
    if (needle->kind != NEEDLE_OBJECT) {
        return true;
    }
    if (!pace(self, self->needle.header_bytes, error) ||
        !object_index_get(self->store->index, &needle->provenance.payload_id, &entry, &found, error)) {
        return false;
    }
    bool alive = found && entry.volume == self->volume->id && entry.offset == needle->offset;
    return !alive || copy_object(self, &entry, error);
}

static bool walk_needles(struct compaction *self, struct error *error) {
    struct volume *volume = self->volume;
    uint64_t end = volume->size_bytes;
    for (uint64_t offset = VOLUME_HEADER_BYTES; offset < end;) {
        enum volume_read read = hot_volume_read_needle(volume->file, volume->salt, offset, end, &self->needle, error);
        if (read == VOLUME_READ_NEEDLE) {
            if (!visit_needle(self, error)) {
                return false;
            }
            offset += self->needle.bytes;
        } else if (!hot_volume_find_needle(volume->file, volume->salt, offset + NEEDLE_ALIGNMENT, end, &offset,
                                           error)) {
            return false;
        }
    }
    return commit_batch(self, error);
}

struct leftovers {
    struct compaction *compaction;
    uint64_t count;
};

/* An object of this volume that the walk did not meet: its header is damaged. */
static bool note_leftover(void *context, const struct index_entry *entry) {
    struct leftovers *leftovers = context;
    struct compaction *self = leftovers->compaction;
    struct error error;
    if (entry->volume != self->volume->id) {
        return true;
    }
    leftovers->count++;
    if (hot_volume_read_needle(self->volume->file, self->volume->salt, entry->offset,
                               entry->offset + entry->needle_bytes, &self->needle, &error) != VOLUME_READ_NEEDLE) {
        object_corrupt(&error, entry->object.bucket, entry->object.key, entry->object.version, "damaged header");
        note_damage(self, &entry->object, &error);
    }
    return true;
}

static uint64_t live_objects(const struct compaction *self) {
    struct volume_set *set = &self->store->volumes;
    pthread_mutex_lock(&set->lock);
    uint64_t count = self->volume->live_objects;
    pthread_mutex_unlock(&set->lock);
    return count;
}

/* What is left after the walk could not be read. */
static bool finish_volume(struct compaction *self, struct error *error) {
    struct leftovers leftovers = {.compaction = self};
    self->sums->volumes++;
    if (live_objects(self) == 0) {
        self->sums->freed_bytes += self->volume->size_bytes;
        return true;
    }
    if (!object_index_visit_objects(self->store->index, note_leftover, &leftovers, error)) {
        return false;
    }
    if (leftovers.count > 0) {
        pthread_mutex_lock(&self->store->volumes.lock);
        self->volume->quarantined = true;
        pthread_mutex_unlock(&self->store->volumes.lock);
        log_error("hot_volume_quarantined", LOG_INT("volume", self->volume->id),
                  LOG_INT("damaged_objects", leftovers.count),
                  LOG_STR("hint", "it goes once whole copies of these objects are stored, or they are removed"));
    }
    return true;
}

/* How little garbage is worth the work. */
static unsigned garbage_percent(struct volume_store *store, const struct volume_compaction_options *options) {
    struct disk_space space;
    struct error error;
    bool pressed = atomic_load(&store->full) ||
                   (store->reserve_bytes > 0 && store->disk->ops->space(store->disk, &space, &error) &&
                    space.free_bytes < store->reserve_bytes);
    return pressed && options->garbage_percent > PRESSED_GARBAGE_PERCENT ? PRESSED_GARBAGE_PERCENT
                                                                         : options->garbage_percent;
}

bool volume_compaction_run(struct hot_store *base, const struct volume_compaction_options *options,
                           struct volume_compaction *sums, bool *found, struct error *error) {
    struct volume_store *store = volume_store_of(base);
    struct compaction self = {.store = store, .options = options, .sums = sums};
    struct volume_wish wish = {.garbage_percent = garbage_percent(store, options), .sealed = true};
    *found = false;
    if (!volume_store_check_writable(store, error) || !volume_space_for_moves(store, &wish.live_max_bytes, error) ||
        !volume_set_take_garbage(&store->volumes, &wish, &self.volume, error)) {
        return false;
    }
    if (self.volume == NULL) {
        return true;
    }
    *found = true;
    self.appender = volume_appender_open_for_moves(store);
    self.chunk = malloc(COPY_BYTES);
    if (self.chunk == NULL) {
        abort();
    }
    bool ok = walk_needles(&self, error) && finish_volume(&self, error);
    hot_appender_close(self.appender);
    free(self.chunk);
    volume_needle_free(&self.needle);
    if (volume_set_unpin(&store->volumes, self.volume)) {
        volume_store_reap(store);
    }
    return ok;
}

/* A volume that nobody appends to may rest half full for long. */
static bool seal_resting(struct volume_store *store, unsigned percent, struct error *error) {
    struct volume_wish wish = {.garbage_percent = percent, .live_max_bytes = UINT64_MAX};
    for (;;) {
        struct volume *volume;
        if (!volume_set_take_garbage(&store->volumes, &wish, &volume, error)) {
            return false;
        }
        if (volume == NULL) {
            return true;
        }
        struct hot_appender *appender = volume_appender_open_for_moves(store);
        bool ok = volume_appender_seal(appender, volume, error);
        hot_appender_close(appender);
        if (!ok) {
            return false;
        }
    }
}

bool volume_compaction_prepare(struct hot_store *base, const struct volume_compaction_options *options,
                               struct error *error) {
    struct volume_store *store = volume_store_of(base);
    return volume_store_check_writable(store, error) && volume_store_sync_dead_lists(store, error) &&
           seal_resting(store, garbage_percent(store, options), error);
}
