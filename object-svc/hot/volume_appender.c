/* Appending: a batch of objects that are in the appender's volume but not yet in the index. */
#include "object-svc/hot/volume_appender.h"

#include <assert.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "object-svc/hot/index_change.h"

/* What shares of garbage in its volume make an appender give it to the compactor when the disk
 * is full. */
enum { FULL_GARBAGE_PERCENT = 10 };

static struct volume_appender *self_of(struct hot_appender *appender) {
    return (struct volume_appender *)appender;
}

static struct volume_appender *appender_new(struct volume_store *store, bool moves) {
    struct volume_appender *self = calloc(1, sizeof *self);
    if (self == NULL) {
        abort();
    }
    self->base.ops = store->base.ops;
    self->store = store;
    self->moves = moves;
    return self;
}

struct hot_appender *volume_appender_open(struct hot_store *base, struct error *error) {
    struct volume_store *store = volume_store_of(base);
    pthread_mutex_lock(&store->volumes.lock);
    bool room = store->appenders < store->max_appenders;
    store->appenders += room ? 1 : 0;
    pthread_mutex_unlock(&store->volumes.lock);
    if (!room) {
        error_set(error, ERROR_RESOURCE_EXHAUSTED, "HOT_APPENDERS_EXHAUSTED",
                  "all %u appenders of the hot store are in use", store->max_appenders);
        return NULL;
    }
    return &appender_new(store, false)->base;
}

struct hot_appender *volume_appender_open_for_moves(struct volume_store *store) {
    return &appender_new(store, true)->base;
}

/* What of the object begun was promised and is not written will not be. */
static void settle_object(struct volume_appender *self) {
    volume_space_settle(self->store, self->promised_bytes);
    self->promised_bytes = 0;
    self->in_object = false;
}

bool appender_lose_batch(struct volume_appender *self, struct error *error) {
    if (!self->lost) {
        self->lost = true;
        self->loss = *error;
    }
    if (self->writer.sync_failed && !atomic_exchange(&self->store->read_only, true)) {
        log_error("hot_volume_flush_failed", LOG_INT("volume", self->writer.header.id), LOG_ERROR(error),
                  LOG_STR("hint", "hot storage is read-only until object-svc is restarted; check its disk"));
    }
    settle_object(self);
    return false;
}

static bool check_batch(const struct volume_appender *self, struct error *error) {
    if (self->lost) {
        *error = self->loss;
    }
    return !self->lost && volume_store_check_writable(self->store, error);
}

static bool index_object(struct volume_appender *self, struct index_change *change, const struct appended *object,
                         struct error *error) {
    if (self->moves) {
        return index_change_move(change, object->from_volume, object->from_offset, &object->entry, error);
    }
    return index_change_put(change, &object->entry, error);
}

bool appender_commit_batch(struct volume_appender *self, struct error *error) {
    if (!volume_writer_flush(&self->writer, error)) {
        return appender_lose_batch(self, error);
    }
    struct index_change change;
    index_change_start(&change, self->store);
    /* The volume that a move leaves is deleted soon, so the new places must be durable before. */
    change.durable = self->moves;
    bool ok = true;
    for (size_t i = 0; ok && i < self->count; i++) {
        ok = index_object(self, &change, &self->objects[i], error);
    }
    if (ok) {
        index_change_set_volume(&change, self->volume, self->writer.end, false);
        ok = index_change_apply(&change, error);
    }
    bool deaths = ok && change.deaths > 0;
    if (!ok && !atomic_load(&self->store->read_only)) {
        /* The index does not have them for sure: they are taken back. */
        self->writer.flushed_bytes = self->volume->size_bytes;
    }
    index_change_end(&change);
    self->count = 0;
    if (deaths) {
        volume_store_reap(self->store);
    }
    /* What is not in the index must not be reported, though a restart may find it. */
    return ok || appender_lose_batch(self, error);
}

static bool check_provenance(const struct provenance *provenance, struct error *error) {
    if (!name_check_bucket(provenance->bucket, "bucket", error) || !name_check_key(provenance->key, "key", error)) {
        return false;
    }
    if (provenance->version < 1) {
        return error_set_field(error, "version", "BAD_VERSION", "an object's version is at least 1");
    }
    if (provenance->content_type != NULL && strlen(provenance->content_type) > PROVENANCE_CONTENT_TYPE_MAX_BYTES) {
        return error_set_field(error, "content_type", "BAD_CONTENT_TYPE", "at most %d bytes",
                               PROVENANCE_CONTENT_TYPE_MAX_BYTES);
    }
    if (provenance->descriptor.size > PROVENANCE_DESCRIPTOR_MAX_BYTES) {
        return error_set_field(error, "descriptor", "DESCRIPTOR_TOO_LARGE", "at most %d bytes",
                               PROVENANCE_DESCRIPTOR_MAX_BYTES);
    }
    if (provenance->size_bytes > NEEDLE_PAYLOAD_MAX_BYTES) {
        return error_set_field(error, "size", "PAYLOAD_TOO_LARGE", "a hot volume takes no object that large");
    }
    return true;
}

static bool check_batch_takes(const struct volume_appender *self, const struct uuid *payload_id, struct error *error) {
    if (self->count >= HOT_BATCH_MAX_OBJECTS) {
        return error_set(error, ERROR_RESOURCE_EXHAUSTED, "HOT_BATCH_FULL", "%d objects wait for a commit already",
                         HOT_BATCH_MAX_OBJECTS);
    }
    for (size_t i = 0; i < self->count; i++) {
        if (uuid_equal(&self->payload_ids[i], payload_id)) {
            return error_set(error, ERROR_ALREADY_EXISTS, "PAYLOAD_ALREADY_APPENDED",
                             "this batch has that payload already");
        }
    }
    return true;
}

static void describe(struct volume_appender *self, const struct provenance *provenance) {
    struct hot_object *object = &self->object.entry.object;
    memcpy(object->bucket, provenance->bucket, strlen(provenance->bucket) + 1);
    memcpy(object->key, provenance->key, strlen(provenance->key) + 1);
    object->version = provenance->version;
    object->payload_id = provenance->payload_id;
    object->size_bytes = provenance->size_bytes;
    object->crc32c = provenance->crc32c;
    object->store_unix_us = provenance->store_unix_us;
    object->cold_copy_known = false;
}

/* A disk that is full may be so of garbage, some of it in this very volume: the compactor takes
 * sealed ones only. */
static void give_up_garbage(struct volume_appender *self) {
    if (self->volume == NULL || self->moves || self->count > 0) {
        return;
    }
    pthread_mutex_lock(&self->store->volumes.lock);
    uint64_t garbage = volume_garbage_bytes(self->volume);
    bool much = garbage > 0 && garbage >= self->volume->size_bytes / 100 * FULL_GARBAGE_PERCENT;
    pthread_mutex_unlock(&self->store->volumes.lock);
    struct error error;
    if (much) {
        appender_seal_volume(self, &error); /* a failure shows again at the next commit */
    }
}

static bool begin_needle(struct volume_appender *self, const struct provenance *provenance, uint64_t bytes,
                         struct error *error) {
    if (!appender_make_room(self, bytes, error)) {
        return false;
    }
    return volume_writer_begin(&self->writer, provenance, error) || appender_lose_batch(self, error);
}

static bool begin_object(struct volume_appender *self, const struct provenance *provenance, struct error *error) {
    assert(!self->in_object);
    if (!check_batch(self, error) || !check_provenance(provenance, error) ||
        !check_batch_takes(self, &provenance->payload_id, error)) {
        return false;
    }
    struct needle needle = {.block_bytes = needle_block_bytes(provenance->size_bytes), .provenance = *provenance};
    uint64_t bytes = needle_bytes(&needle);
    if (!volume_space_promise(self->store, bytes, self->moves, error)) {
        give_up_garbage(self);
        return false;
    }
    self->promised_bytes = bytes;
    if (!begin_needle(self, provenance, bytes, error)) {
        settle_object(self);
        return false;
    }
    describe(self, provenance);
    self->in_object = true;
    return true;
}

bool volume_appender_begin(struct hot_appender *appender, const struct provenance *provenance, struct error *error) {
    struct volume_appender *self = self_of(appender);
    struct provenance stamped = *provenance;
    if (stamped.store_unix_us == 0) {
        stamped.store_unix_us = clock_unix_us(self->store->clock);
    }
    return begin_object(self, &stamped, error);
}

bool volume_appender_begin_move(struct hot_appender *appender, const struct provenance *provenance,
                                const struct index_entry *from, struct error *error) {
    struct volume_appender *self = self_of(appender);
    self->object.from_volume = from->volume;
    self->object.from_offset = from->offset;
    return begin_object(self, provenance, error);
}

bool volume_appender_seal(struct hot_appender *appender, struct volume *volume, struct error *error) {
    struct volume_appender *self = self_of(appender);
    appender_take_volume(self, volume);
    return appender_seal_volume(self, error);
}

/* After a failure: the object alone is given up where its bytes were wrong, the batch where
 * the disk was. */
static bool give_up_object(struct volume_appender *self, struct error *error) {
    if (self->writer.failed) {
        return appender_lose_batch(self, error);
    }
    volume_writer_abort(&self->writer);
    settle_object(self);
    return false;
}

bool volume_appender_append(struct hot_appender *appender, struct bytes data, struct error *error) {
    struct volume_appender *self = self_of(appender);
    if (self->lost) {
        *error = self->loss;
        return false;
    }
    assert(self->in_object);
    if (!volume_writer_append(&self->writer, data, error)) {
        return give_up_object(self, error);
    }
    volume_space_settle(self->store, data.size);
    self->promised_bytes -= data.size;
    return true;
}

static void add_to_batch(struct volume_appender *self) {
    if (self->count == self->capacity) {
        self->capacity = self->capacity == 0 ? 64 : self->capacity * 2;
        self->objects = realloc(self->objects, self->capacity * sizeof *self->objects);
        self->payload_ids = realloc(self->payload_ids, self->capacity * sizeof *self->payload_ids);
        if (self->objects == NULL || self->payload_ids == NULL) {
            abort();
        }
    }
    self->objects[self->count] = self->object;
    self->payload_ids[self->count] = self->object.entry.object.payload_id;
    self->count++;
}

bool volume_appender_finish(struct hot_appender *appender, struct error *error) {
    struct volume_appender *self = self_of(appender);
    if (self->lost) {
        *error = self->loss;
        return false;
    }
    assert(self->in_object);
    struct volume_place place;
    if (!volume_writer_finish(&self->writer, &place, error)) {
        return give_up_object(self, error);
    }
    self->object.entry.volume = place.volume;
    self->object.entry.offset = place.offset;
    self->object.entry.needle_bytes = place.bytes;
    settle_object(self);
    add_to_batch(self);
    return true;
}

void volume_appender_abort(struct hot_appender *appender) {
    struct volume_appender *self = self_of(appender);
    if (self->in_object) {
        volume_writer_abort(&self->writer);
        settle_object(self);
    }
}

bool volume_appender_commit(struct hot_appender *appender, struct error *error) {
    struct volume_appender *self = self_of(appender);
    assert(!self->in_object);
    bool ok = check_batch(self, error) && (self->count == 0 || appender_commit_batch(self, error));
    if (!ok) {
        self->lost = false;
        self->count = 0;
        appender_release_volume(self);
    } else if (self->volume != NULL && volume_set_is_leaving(&self->store->volumes, self->volume)) {
        struct error later;
        appender_seal_volume(self, &later); /* a failure shows again at the next commit */
    }
    return ok;
}

void volume_appender_close(struct hot_appender *appender) {
    struct volume_appender *self = self_of(appender);
    struct volume_store *store = self->store;
    volume_appender_abort(appender);
    appender_release_volume(self);
    if (!self->moves) {
        pthread_mutex_lock(&store->volumes.lock);
        store->appenders--;
        pthread_mutex_unlock(&store->volumes.lock);
    }
    free(self->objects);
    free(self->payload_ids);
    free(self);
}
