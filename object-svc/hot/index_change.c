#include "object-svc/hot/index_change.h"

#include <assert.h>
#include <stdlib.h>

#include "common/base/log.h"

void index_change_start(struct index_change *change, struct volume_store *store) {
    *change = (struct index_change){.store = store, .batch = object_index_batch_new()};
    pthread_mutex_lock(&store->index_lock);
}

void index_change_end(struct index_change *change) {
    pthread_mutex_unlock(&change->store->index_lock);
    object_index_batch_free(change->batch);
    free(change->deltas);
}

static struct volume_delta *delta_of(struct index_change *change, struct volume *volume) {
    /* Few volumes take part in one change; those that do come in runs. */
    for (size_t i = change->count; i > 0; i--) {
        if (change->deltas[i - 1].volume == volume) {
            return &change->deltas[i - 1];
        }
    }
    if (change->count == change->capacity) {
        change->capacity = change->capacity == 0 ? 8 : change->capacity * 2;
        change->deltas = realloc(change->deltas, change->capacity * sizeof *change->deltas);
        if (change->deltas == NULL) {
            abort();
        }
    }
    struct volume_delta *delta = &change->deltas[change->count++];
    *delta = (struct volume_delta){.volume = volume, .indexed_bytes = volume->indexed_bytes, .sealed = volume->sealed};
    return delta;
}

/* The volume of an entry; it stays while the entry does, and that needs the index lock. */
static struct volume *volume_of(struct index_change *change, uint64_t id) {
    struct volume_set *set = &change->store->volumes;
    pthread_mutex_lock(&set->lock);
    struct volume *volume = volume_set_find(set, id);
    pthread_mutex_unlock(&set->lock);
    return volume;
}

static void count(struct index_change *change, const struct index_entry *entry, int sign) {
    struct volume *volume = volume_of(change, entry->volume);
    if (volume != NULL) {
        struct volume_delta *delta = delta_of(change, volume);
        delta->objects += sign;
        delta->bytes += sign * (int64_t)entry->needle_bytes;
    }
    change->objects += sign;
    change->object_bytes += sign * (int64_t)entry->object.size_bytes;
}

static bool same_place(const struct index_entry *a, const struct index_entry *b) {
    return a->volume == b->volume && a->offset == b->offset;
}

/* Of two copies the one stored later counts; ties are broken the same way each time. */
static bool is_newer(const struct index_entry *a, const struct index_entry *b) {
    if (a->object.store_unix_us != b->object.store_unix_us) {
        return a->object.store_unix_us > b->object.store_unix_us;
    }
    return a->volume != b->volume ? a->volume > b->volume : a->offset > b->offset;
}

bool index_change_put(struct index_change *change, const struct index_entry *entry, bool if_newer,
                      struct error *error) {
    struct index_entry old;
    bool found;
    if (!object_index_get(change->store->index, &entry->object.payload_id, &old, &found, error)) {
        return false;
    }
    if (found) {
        if (same_place(&old, entry) || (if_newer && is_newer(&old, entry))) {
            return true;
        }
        object_index_batch_remove_age(change->batch, &old);
        count(change, &old, -1);
    }
    object_index_batch_put(change->batch, entry);
    count(change, entry, 1);
    return true;
}

bool index_change_remove(struct index_change *change, const struct uuid *payload_id, struct error *error) {
    struct index_entry old;
    bool found;
    if (!object_index_get(change->store->index, payload_id, &old, &found, error)) {
        return false;
    }
    if (found) {
        object_index_batch_remove(change->batch, &old);
        count(change, &old, -1);
    }
    return true;
}

void index_change_set_volume(struct index_change *change, struct volume *volume, uint64_t indexed_bytes, bool sealed) {
    struct volume_delta *delta = delta_of(change, volume);
    delta->indexed_bytes = indexed_bytes;
    delta->sealed = sealed;
}

static void add_volume_records(struct index_change *change) {
    for (size_t i = 0; i < change->count; i++) {
        const struct volume_delta *delta = &change->deltas[i];
        const struct volume *volume = delta->volume;
        struct index_volume record = {.id = volume->id,
                                      .salt = volume->salt,
                                      .indexed_bytes = delta->indexed_bytes,
                                      .live_objects = (uint64_t)((int64_t)volume->live_objects + delta->objects),
                                      .sealed = delta->sealed};
        object_index_batch_put_volume(change->batch, &record);
    }
}

static void take_over_figures(struct index_change *change) {
    struct volume_store *store = change->store;
    pthread_mutex_lock(&store->volumes.lock);
    for (size_t i = 0; i < change->count; i++) {
        const struct volume_delta *delta = &change->deltas[i];
        struct volume *volume = delta->volume;
        volume->live_objects = (uint64_t)((int64_t)volume->live_objects + delta->objects);
        volume->live_bytes = (uint64_t)((int64_t)volume->live_bytes + delta->bytes);
        volume->indexed_bytes = delta->indexed_bytes;
        volume->sealed = delta->sealed;
        if (volume->size_bytes < volume->indexed_bytes) {
            volume->size_bytes = volume->indexed_bytes;
        }
    }
    store->objects = (uint64_t)((int64_t)store->objects + change->objects);
    store->object_bytes = (uint64_t)((int64_t)store->object_bytes + change->object_bytes);
    pthread_mutex_unlock(&store->volumes.lock);
}

bool index_change_apply(struct index_change *change, struct error *error) {
    add_volume_records(change);
    if (!object_index_write(change->store->index, change->batch, false, error)) {
        atomic_store(&change->store->read_only, true);
        log_error("hot_index_write_failed", LOG_ERROR(error),
                  LOG_STR("hint", "hot storage is read-only until object-svc is restarted; check the index's disk"));
        return false;
    }
    take_over_figures(change);
    return true;
}
