/* The volume that an appender writes to: each has one of its own, so that they do not wait for
 * each other. */
#include <stdlib.h>
#include <sys/random.h>

#include "common/base/log.h"
#include "object-svc/hot/index_change.h"
#include "object-svc/hot/volume_appender.h"

void appender_release_volume(struct volume_appender *self) {
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

void appender_take_volume(struct volume_appender *self, struct volume *volume) {
    struct volume_store *store = self->store;
    struct volume_header header = {.id = volume->id, .salt = volume->salt};
    self->volume = volume;
    volume_writer_resume(&self->writer, store->disk, volume->file, &header, volume->size_bytes,
                         store->sync_every_bytes);
    self->writer.name_durable = volume->name_durable;
}

/* Goes on in a volume that is not full, or makes one. */
static bool take_volume(struct volume_appender *self, struct error *error) {
    struct volume *volume;
    if (!volume_set_take_unsealed(&self->store->volumes, &volume, error)) {
        return false;
    }
    if (volume == NULL) {
        return create_volume(self, error);
    }
    appender_take_volume(self, volume);
    return true;
}

bool appender_seal_volume(struct volume_appender *self, struct error *error) {
    if (self->count > 0 && !appender_commit_batch(self, error)) {
        return false;
    }
    if (!volume_writer_seal(&self->writer, error)) {
        return appender_lose_batch(self, error);
    }
    struct index_change change;
    index_change_start(&change, self->store);
    index_change_set_volume(&change, self->volume, self->writer.end, true);
    bool ok = index_change_apply(&change, error);
    index_change_end(&change);
    log_info("hot_volume_sealed", LOG_INT("volume", self->volume->id), LOG_INT("bytes", self->writer.end));
    appender_release_volume(self);
    return ok;
}

bool appender_make_room(struct volume_appender *self, uint64_t wanted, struct error *error) {
    for (;;) {
        if (self->volume == NULL && !take_volume(self, error)) {
            return false;
        }
        uint64_t end = self->writer.end;
        bool fits = end == VOLUME_HEADER_BYTES ||
                    (end < self->store->volume_bytes && wanted <= self->store->volume_bytes - end);
        if (fits && !volume_set_is_leaving(&self->store->volumes, self->volume)) {
            return true;
        }
        /* Each turn seals one volume; a new one always fits. */
        if (!appender_seal_volume(self, error)) {
            return false;
        }
    }
}
