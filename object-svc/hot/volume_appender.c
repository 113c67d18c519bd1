/* Appending: each appender has a volume of its own, so that they do not wait for each other,
 * and a batch of objects that are in the volume but not yet in the index. */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/random.h>

#include "common/base/log.h"
#include "object-svc/hot/index_change.h"
#include "object-svc/hot/volume_writer.h"

struct volume_appender {
    struct hot_appender base;
    struct volume_store *store;
    struct volume *volume; /* NULL until the first object */
    struct volume_writer writer;
    bool in_object;
    bool lost; /* a write failed: the batch is gone, and commit has to say so */
    struct error loss;
    struct index_entry object; /* the one begun */
    /* The batch: what was finished since the last commit. */
    struct index_entry *entries;
    struct uuid *payload_ids; /* of the entries, close together for quick search */
    size_t count;
    size_t capacity;
};

static struct volume_appender *self_of(struct hot_appender *appender) {
    return (struct volume_appender *)appender;
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
    struct volume_appender *self = calloc(1, sizeof *self);
    if (self == NULL) {
        abort();
    }
    self->base.ops = base->ops;
    self->store = store;
    return &self->base;
}

/* Lets the volume go, as far as it is committed. One whose end is not known gets no more. */
static void release_volume(struct volume_appender *self) {
    if (self->volume == NULL) {
        return;
    }
    struct volume_store *store = self->store;
    volume_writer_rewind(&self->writer);
    pthread_mutex_lock(&store->index_lock);
    pthread_mutex_lock(&store->volumes.lock);
    self->volume->appending = false;
    self->volume->name_durable = self->writer.name_durable;
    self->volume->sealed = self->volume->sealed || self->writer.failed;
    pthread_mutex_unlock(&store->volumes.lock);
    pthread_mutex_unlock(&store->index_lock);
    volume_writer_release(&self->writer);
    bool garbage = volume_set_unpin(&store->volumes, self->volume);
    self->volume = NULL;
    if (garbage) {
        volume_store_reap(store);
    }
}

static bool create_volume(struct volume_appender *self, struct error *error) {
    struct volume_store *store = self->store;
    struct volume_header header = {.id = volume_set_next_id(&store->volumes),
                                   .create_unix_us = clock_unix_us(store->clock)};
    memcpy(header.replica, store->replica, sizeof header.replica);
    if (getrandom(&header.salt, sizeof header.salt, 0) != (ssize_t)sizeof header.salt) {
        return error_set(error, ERROR_INTERNAL, "NO_RANDOM", "the kernel gave no random bytes for a new hot volume");
    }
    if (!volume_writer_create(&self->writer, store->disk, &header, store->sync_every_bytes, error)) {
        return false;
    }
    self->volume = volume_set_add(&store->volumes, &(struct volume){.id = header.id,
                                                                    .salt = header.salt,
                                                                    .size_bytes = VOLUME_HEADER_BYTES,
                                                                    .indexed_bytes = VOLUME_HEADER_BYTES,
                                                                    .appending = true,
                                                                    .file = self->writer.file});
    log_info("hot_volume_created", LOG_INT("volume", header.id));
    return true;
}

/* Goes on in a volume that is not full, or makes one. */
static bool take_volume(struct volume_appender *self, struct error *error) {
    struct volume_store *store = self->store;
    if (!volume_set_take_unsealed(&store->volumes, &self->volume, error)) {
        self->volume = NULL;
        return false;
    }
    if (self->volume == NULL) {
        return create_volume(self, error);
    }
    struct volume_header header = {.id = self->volume->id, .salt = self->volume->salt};
    volume_writer_resume(&self->writer, store->disk, self->volume->file, &header, self->volume->size_bytes,
                         store->sync_every_bytes);
    self->writer.name_durable = self->volume->name_durable;
    return true;
}

/* After a failed write nothing of the batch may be reported. */
static bool lose_batch(struct volume_appender *self, struct error *error) {
    if (!self->lost) {
        self->lost = true;
        self->loss = *error;
    }
    if (self->writer.sync_failed && !atomic_exchange(&self->store->read_only, true)) {
        log_error("hot_volume_flush_failed", LOG_INT("volume", self->writer.header.id), LOG_ERROR(error),
                  LOG_STR("hint", "hot storage is read-only until object-svc is restarted; check its disk"));
    }
    self->in_object = false;
    return false;
}

static bool check_batch(const struct volume_appender *self, struct error *error) {
    if (self->lost) {
        *error = self->loss;
    }
    return !self->lost && volume_store_check_writable(self->store, error);
}

/* Durable first, then in the index. */
static bool commit_batch(struct volume_appender *self, struct error *error) {
    if (!volume_writer_flush(&self->writer, error)) {
        return lose_batch(self, error);
    }
    struct index_change change;
    index_change_start(&change, self->store);
    bool ok = true;
    for (size_t i = 0; ok && i < self->count; i++) {
        ok = index_change_put(&change, &self->entries[i], false, error);
    }
    if (ok) {
        index_change_set_volume(&change, self->volume, self->writer.end, false);
        ok = index_change_apply(&change, error);
    }
    index_change_end(&change);
    self->count = 0;
    /* What is not in the index must not be reported, though a restart will find it. */
    return ok || lose_batch(self, error);
}

/* Ends the volume: what the batch holds is committed, then it is sealed and let go. */
static bool seal_volume(struct volume_appender *self, struct error *error) {
    if (self->count > 0 && !commit_batch(self, error)) {
        return false;
    }
    if (!volume_writer_seal(&self->writer, error)) {
        return lose_batch(self, error);
    }
    struct index_change change;
    index_change_start(&change, self->store);
    index_change_set_volume(&change, self->volume, self->writer.end, true);
    bool ok = index_change_apply(&change, error);
    index_change_end(&change);
    log_info("hot_volume_sealed", LOG_INT("volume", self->volume->id), LOG_INT("bytes", self->writer.end));
    release_volume(self);
    return ok;
}

/* Has a volume with room for the object. One that is larger than a volume gets a fresh one. */
static bool make_room(struct volume_appender *self, const struct provenance *provenance, struct error *error) {
    struct needle needle = {.block_bytes = needle_block_bytes(provenance->size_bytes), .provenance = *provenance};
    uint64_t wanted = needle_bytes(&needle);
    for (;;) {
        if (self->volume == NULL && !take_volume(self, error)) {
            return false;
        }
        uint64_t end = self->writer.end;
        bool fits = end == VOLUME_HEADER_BYTES ||
                    (end < self->store->volume_bytes && wanted <= self->store->volume_bytes - end);
        if (fits) {
            return true;
        }
        /* Each turn seals one volume; a new one always fits. */
        if (!seal_volume(self, error)) {
            return false;
        }
    }
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
    struct hot_object *object = &self->object.object;
    memcpy(object->bucket, provenance->bucket, strlen(provenance->bucket) + 1);
    memcpy(object->key, provenance->key, strlen(provenance->key) + 1);
    object->version = provenance->version;
    object->payload_id = provenance->payload_id;
    object->size_bytes = provenance->size_bytes;
    object->crc32c = provenance->crc32c;
    object->store_unix_us = provenance->store_unix_us;
    object->cold_copy_known = false;
}

bool volume_appender_begin(struct hot_appender *appender, const struct provenance *provenance, struct error *error) {
    struct volume_appender *self = self_of(appender);
    assert(!self->in_object);
    if (!check_batch(self, error) || !check_provenance(provenance, error) ||
        !check_batch_takes(self, &provenance->payload_id, error)) {
        return false;
    }
    struct provenance stamped = *provenance;
    if (stamped.store_unix_us == 0) {
        stamped.store_unix_us = clock_unix_us(self->store->clock);
    }
    if (!make_room(self, &stamped, error)) {
        return false;
    }
    if (!volume_writer_begin(&self->writer, &stamped, error)) {
        return lose_batch(self, error);
    }
    describe(self, &stamped);
    self->in_object = true;
    return true;
}

/* After a failure: the object alone is given up where its bytes were wrong, the batch where
 * the disk was. */
static bool give_up_object(struct volume_appender *self, struct error *error) {
    if (self->writer.failed) {
        return lose_batch(self, error);
    }
    volume_writer_abort(&self->writer);
    self->in_object = false;
    return false;
}

bool volume_appender_append(struct hot_appender *appender, struct bytes data, struct error *error) {
    struct volume_appender *self = self_of(appender);
    if (self->lost) {
        *error = self->loss;
        return false;
    }
    assert(self->in_object);
    return volume_writer_append(&self->writer, data, error) || give_up_object(self, error);
}

static void add_to_batch(struct volume_appender *self) {
    if (self->count == self->capacity) {
        self->capacity = self->capacity == 0 ? 64 : self->capacity * 2;
        self->entries = realloc(self->entries, self->capacity * sizeof *self->entries);
        self->payload_ids = realloc(self->payload_ids, self->capacity * sizeof *self->payload_ids);
        if (self->entries == NULL || self->payload_ids == NULL) {
            abort();
        }
    }
    self->entries[self->count] = self->object;
    self->payload_ids[self->count] = self->object.object.payload_id;
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
    self->object.volume = place.volume;
    self->object.offset = place.offset;
    self->object.needle_bytes = place.bytes;
    self->in_object = false;
    add_to_batch(self);
    return true;
}

void volume_appender_abort(struct hot_appender *appender) {
    struct volume_appender *self = self_of(appender);
    if (self->in_object) {
        volume_writer_abort(&self->writer);
        self->in_object = false;
    }
}

bool volume_appender_commit(struct hot_appender *appender, struct error *error) {
    struct volume_appender *self = self_of(appender);
    assert(!self->in_object);
    bool ok = check_batch(self, error) && (self->count == 0 || commit_batch(self, error));
    if (!ok) {
        self->lost = false;
        self->count = 0;
        release_volume(self);
    }
    return ok;
}

void volume_appender_close(struct hot_appender *appender) {
    struct volume_appender *self = self_of(appender);
    struct volume_store *store = self->store;
    volume_appender_abort(appender);
    release_volume(self);
    pthread_mutex_lock(&store->volumes.lock);
    store->appenders--;
    pthread_mutex_unlock(&store->volumes.lock);
    free(self->entries);
    free(self->payload_ids);
    free(self);
}
