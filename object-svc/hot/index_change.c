#include "object-svc/hot/index_change.h"

#include <assert.h>
#include <stdlib.h>

#include "common/base/failpoint.h"
#include "common/base/log.h"
#include "object-svc/hot/dead_list.h"

void index_change_start(struct index_change *change, struct volume_store *store) {
    *change = (struct index_change){.store = store, .batch = object_index_batch_new()};
    pthread_mutex_lock(&store->index_lock);
}

void index_change_end(struct index_change *change) {
    pthread_mutex_unlock(&change->store->index_lock);
    object_index_batch_free(change->batch);
    for (size_t i = 0; i < change->count; i++) {
        buffer_free(&change->deltas[i].marks);
    }
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
    *delta = (struct volume_delta){.volume = volume,
                                   .indexed_bytes = volume->indexed_bytes,
                                   .sealed = volume->sealed,
                                   .dead_bytes = volume->dead_bytes};
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
        delta->sum += (uint64_t)sign * index_entry_sum(entry);
    }
    change->objects += sign;
    change->object_bytes += sign * (int64_t)entry->object.size_bytes;
}

void index_change_mark(struct index_change *change, const struct index_entry *entry) {
    struct volume *volume = volume_of(change, entry->volume);
    struct dead_mark mark = {.offset = entry->offset, .payload_id = entry->object.payload_id};
    if (volume != NULL) {
        dead_mark_encode(volume->salt, &mark, &delta_of(change, volume)->marks);
    }
    change->deaths++;
}

static bool same_place(const struct index_entry *a, const struct index_entry *b) {
    return a->volume == b->volume && a->offset == b->offset;
}

/* The cold store keeps an object by these. */
static bool same_name(const struct hot_object *a, const struct hot_object *b) {
    return a->version == b->version && strcmp(a->key, b->key) == 0 && strcmp(a->bucket, b->bucket) == 0;
}

static void replace(struct index_change *change, const struct index_entry *old, const struct index_entry *entry) {
    object_index_batch_remove_age(change->batch, old);
    count(change, old, -1);
    index_change_mark(change, old);
    object_index_batch_put(change->batch, entry);
    count(change, entry, 1);
}

bool index_change_put(struct index_change *change, const struct index_entry *entry, struct error *error) {
    struct index_entry old;
    bool found;
    if (!object_index_get(change->store->index, &entry->object.payload_id, &old, &found, error)) {
        return false;
    }
    if (!found) {
        object_index_batch_put(change->batch, entry);
        count(change, entry, 1);
    } else if (!same_place(&old, entry)) {
        struct index_entry kept = *entry;
        kept.object.cold_copy_known |= old.object.cold_copy_known && same_name(&old.object, &entry->object);
        replace(change, &old, &kept);
    }
    return true;
}

bool index_change_move(struct index_change *change, uint64_t from_volume, uint64_t from_offset,
                       const struct index_entry *to, struct error *error) {
    struct index_entry now;
    bool found;
    if (!object_index_get(change->store->index, &to->object.payload_id, &now, &found, error)) {
        return false;
    }
    if (found && now.volume == from_volume && now.offset == from_offset) {
        struct index_entry moved = *to;
        moved.object = now.object;
        replace(change, &now, &moved);
    } else {
        index_change_mark(change, to);
    }
    return true;
}

void index_change_drop(struct index_change *change, const struct index_entry *entry) {
    object_index_batch_remove(change->batch, entry);
    count(change, entry, -1);
}

bool index_change_remove(struct index_change *change, const struct uuid *payload_id, struct error *error) {
    struct index_entry old;
    bool found;
    if (!object_index_get(change->store->index, payload_id, &old, &found, error)) {
        return false;
    }
    if (found) {
        index_change_drop(change, &old);
        index_change_mark(change, &old);
    }
    return true;
}

void index_change_set_volume(struct index_change *change, struct volume *volume, uint64_t indexed_bytes, bool sealed) {
    struct volume_delta *delta = delta_of(change, volume);
    delta->indexed_bytes = indexed_bytes;
    delta->sealed = sealed;
}

void index_change_set_dead(struct index_change *change, struct volume *volume, uint64_t dead_bytes) {
    delta_of(change, volume)->dead_bytes = dead_bytes;
}

static bool lists_failed(struct index_change *change, const struct volume *volume, const struct error *error) {
    if (!atomic_exchange(&change->store->read_only, true)) {
        log_error("hot_dead_list_failed", LOG_INT("volume", volume->id), LOG_ERROR(error),
                  LOG_STR("hint", "hot storage is read-only until object-svc is restarted; check its disk"));
    }
    return false;
}

/* Takes back what the first `count` lists got. Where that fails, the lists may tell of deaths
 * that did not happen: nothing may be built on that. */
static void cut_lists(struct index_change *change, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const struct volume_delta *delta = &change->deltas[i];
        struct error error;
        if (delta->marks.size > 0 &&
            !dead_list_cut(change->store->disk, delta->volume->id, delta->dead_bytes, &error)) {
            lists_failed(change, delta->volume, &error);
        }
    }
}

static bool write_lists(struct index_change *change, struct error *error) {
    for (size_t i = 0; i < change->count; i++) {
        const struct volume_delta *delta = &change->deltas[i];
        if (delta->marks.size > 0 && !(FAILPOINT("dead_list.write.before") &&
                                       dead_list_write(change->store->disk, delta->volume->id, delta->dead_bytes,
                                                       buffer_bytes(&delta->marks), error) &&
                                       FAILPOINT("dead_list.write.after"))) {
            cut_lists(change, i + 1);
            return false;
        }
    }
    return true;
}

static bool sync_lists(struct index_change *change, struct error *error) {
    struct disk *disk = change->store->disk;
    for (size_t i = 0; i < change->count; i++) {
        const struct volume_delta *delta = &change->deltas[i];
        if (delta->marks.size > 0 &&
            (!dead_list_sync(disk, delta->volume->id, error) || !disk->ops->sync_directory(disk, ".", error))) {
            return lists_failed(change, delta->volume, error);
        }
    }
    return true;
}

static void add_volume_records(struct index_change *change) {
    for (size_t i = 0; i < change->count; i++) {
        const struct volume_delta *delta = &change->deltas[i];
        const struct volume *volume = delta->volume;
        struct index_volume record = {.id = volume->id,
                                      .salt = volume->salt,
                                      .indexed_bytes = delta->indexed_bytes,
                                      .live_objects = (uint64_t)((int64_t)volume->live_objects + delta->objects),
                                      .live_sum = volume->live_sum + delta->sum,
                                      .dead_bytes = delta->dead_bytes + delta->marks.size,
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
        volume->live_sum += delta->sum;
        volume->dead_bytes = delta->dead_bytes + delta->marks.size;
        volume->dead_dirty = volume->dead_dirty || (delta->marks.size > 0 && !change->durable);
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
    if (!write_lists(change, error) || (change->durable && !sync_lists(change, error))) {
        return false;
    }
    add_volume_records(change);
    if (!FAILPOINT("index.write.before") ||
        !object_index_write(change->store->index, change->batch, change->durable, error) ||
        !FAILPOINT("index.write.after")) {
        atomic_store(&change->store->read_only, true);
        log_error("hot_index_write_failed", LOG_ERROR(error),
                  LOG_STR("hint", "hot storage is read-only until object-svc is restarted; check the index's disk"));
        return false;
    }
    take_over_figures(change);
    return true;
}
