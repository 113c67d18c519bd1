/* Opening: which volumes there are, and whether the index knows all that is in them.
 *
 *   1. The names on the disk, their headers, and what the index says of each volume.
 *   2. All index entries are counted per volume. Where they are not those that the index noted
 *      for the volume, LevelDB lost a piece from its middle (it does not sync one log before it
 *      begins the next): that volume, and its dead list, are read from their start.
 *   3. Index and dead lists are brought together (dead_recovery.h). This comes before any needle
 *      is taken in, so that no dead copy wins over a live one.
 *   4. Each volume that is not known to be sealed is read from where the index left off
 *      (volume_scan.h). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/failpoint.h"
#include "common/base/log.h"
#include "object-svc/hot/dead_recovery.h"
#include "object-svc/hot/index_change.h"
#include "object-svc/hot/volume_scan.h"

/* Entries whose volume was deleted, dropped per batch. */
enum { DROP_CHUNK = 1024 };

struct known_volume {
    struct index_volume record;
    bool on_disk;
};

struct recovery {
    struct volume_store *store;
    bool rebuild;
    /* What the index knows, by id, ascending. */
    struct known_volume *known;
    size_t known_count;
    size_t known_capacity;
    /* Names found on the disk. */
    uint64_t *ids;
    size_t id_count;
    size_t id_capacity;
    uint64_t *lists; /* of dead lists, by volume */
    size_t list_count;
    size_t list_capacity;
    /* Entries of deleted volumes. */
    struct object_index_batch *drops;
    size_t drop_count;
    bool failed;
    struct error error;
};

static bool note_failure(struct recovery *recovery) {
    recovery->failed = true;
    return false;
}

static void *grown(void *array, size_t count, size_t *capacity, size_t item_bytes) {
    if (count < *capacity) {
        return array;
    }
    *capacity = *capacity == 0 ? 64 : *capacity * 2;
    array = realloc(array, *capacity * item_bytes);
    if (array == NULL) {
        abort();
    }
    return array;
}

static bool add_known(void *context, const struct index_volume *record) {
    struct recovery *recovery = context;
    recovery->known = grown(recovery->known, recovery->known_count, &recovery->known_capacity, sizeof *recovery->known);
    recovery->known[recovery->known_count++] = (struct known_volume){.record = *record};
    return true;
}

static bool add_id(void *context, const char *name) {
    struct recovery *recovery = context;
    uint64_t id;
    if (hot_volume_parse_name(name, &id)) {
        recovery->ids = grown(recovery->ids, recovery->id_count, &recovery->id_capacity, sizeof *recovery->ids);
        recovery->ids[recovery->id_count++] = id;
    } else if (dead_list_parse_name(name, &id)) {
        recovery->lists = grown(recovery->lists, recovery->list_count, &recovery->list_capacity, sizeof id);
        recovery->lists[recovery->list_count++] = id;
    }
    return true;
}

static struct known_volume *find_known(const struct recovery *recovery, uint64_t id) {
    for (size_t low = 0, high = recovery->known_count; low < high;) {
        size_t middle = low + (high - low) / 2;
        uint64_t there = recovery->known[middle].record.id;
        if (there == id) {
            return &recovery->known[middle];
        }
        if (there < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

static int compare_ids(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

/* A volume that was made but never flushed, or one with a damaged header that nothing else
 * helps with. The former goes; the latter is kept under a name that is no volume's. */
static bool put_away(struct recovery *recovery, const char *name, const uint8_t *header, size_t size) {
    struct disk *disk = recovery->store->disk;
    bool blank = true;
    for (size_t i = 0; i < size; i++) {
        blank = blank && header[i] == 0;
    }
    if (size < VOLUME_HEADER_BYTES || blank) {
        log_warn("hot_volume_unborn_removed", LOG_STR("name", name));
        return (FAILPOINT("volume.unborn.before") && disk->ops->unlink(disk, name, &recovery->error) &&
                FAILPOINT("volume.unborn.after")) ||
               note_failure(recovery);
    }
    char aside[VOLUME_NAME_BYTES + sizeof ".corrupt"];
    snprintf(aside, sizeof aside, "%s.corrupt", name);
    log_error("hot_volume_header_damaged", LOG_STR("name", name), LOG_STR("kept_as", aside),
              LOG_STR("hint", "its objects are missing here; a scrub repairs them from the cold store"));
    return disk->ops->rename(disk, name, aside, &recovery->error) || note_failure(recovery);
}

/* Adds the volume with what its own header, or else the index, says of it. */
static bool add_volume(struct recovery *recovery, uint64_t id) {
    struct volume_store *store = recovery->store;
    struct known_volume *known = find_known(recovery, id);
    uint8_t raw[VOLUME_HEADER_BYTES] = {0};
    struct volume_header header;
    uint64_t size = 0;
    char name[VOLUME_NAME_BYTES];
    hot_volume_name(id, name);
    if (known != NULL && known->record.deleted) {
        return volume_store_unlink(store, id, &recovery->error) || note_failure(recovery);
    }
    struct disk_file *file = store->disk->ops->open(store->disk, name, false, &recovery->error);
    if (file == NULL) {
        return note_failure(recovery);
    }
    int64_t got = file->ops->read(file, 0, raw, sizeof raw, &recovery->error);
    bool ok = got >= 0 && file->ops->size(file, &size, &recovery->error);
    file->ops->close(file);
    if (!ok) {
        return note_failure(recovery);
    }
    bool readable = volume_header_decode(raw, &header) && header.id == id;
    if (!readable && known == NULL) {
        return put_away(recovery, name, raw, (size_t)got);
    }
    if (!readable) {
        log_error("hot_volume_header_damaged", LOG_STR("name", name),
                  LOG_STR("hint", "the index still finds its objects"));
    }
    struct volume volume = {.id = id,
                            .salt = readable ? header.salt : known->record.salt,
                            .size_bytes = size,
                            .indexed_bytes = VOLUME_HEADER_BYTES,
                            .name_durable = true};
    if (known != NULL) {
        known->on_disk = true;
        volume.indexed_bytes = known->record.indexed_bytes;
        volume.sealed = known->record.sealed;
        volume.dead_bytes = known->record.dead_bytes;
    }
    volume_set_add(&store->volumes, &volume);
    return true;
}

static bool load_volumes(struct recovery *recovery) {
    struct volume_store *store = recovery->store;
    struct disk *disk = store->disk;
    if (!object_index_visit_volumes(store->index, add_known, recovery, &recovery->error) ||
        !disk->ops->make_directory(disk, ".", &recovery->error) ||
        !disk->ops->list(disk, ".", add_id, recovery, &recovery->error)) {
        return note_failure(recovery);
    }
    if (recovery->id_count > 0) {
        qsort(recovery->ids, recovery->id_count, sizeof *recovery->ids, compare_ids);
    }
    if (recovery->list_count > 0) {
        qsort(recovery->lists, recovery->list_count, sizeof *recovery->lists, compare_ids);
    }
    for (size_t i = 0; i < recovery->id_count; i++) {
        if (!add_volume(recovery, recovery->ids[i])) {
            return false;
        }
    }
    for (size_t i = 0; i < recovery->known_count; i++) {
        uint64_t id = recovery->known[i].record.id;
        store->volumes.last_id = id > store->volumes.last_id ? id : store->volumes.last_id;
    }
    recovery->rebuild = recovery->rebuild || (recovery->known_count == 0 && recovery->id_count > 0);
    return disk->ops->sync_directory(disk, ".", &recovery->error) || note_failure(recovery);
}

static bool write_drops(struct recovery *recovery) {
    bool ok = object_index_write(recovery->store->index, recovery->drops, false, &recovery->error);
    object_index_batch_clear(recovery->drops);
    recovery->drop_count = 0;
    return ok || note_failure(recovery);
}

static bool count_entry(void *context, const struct index_entry *entry) {
    struct recovery *recovery = context;
    struct volume *volume = volume_set_find(&recovery->store->volumes, entry->volume);
    if (volume != NULL) {
        volume->live_objects++;
        volume->live_bytes += entry->needle_bytes;
        volume->live_sum += index_entry_sum(entry);
        recovery->store->objects++;
        recovery->store->object_bytes += entry->object.size_bytes;
        return true;
    }
    const struct known_volume *known = find_known(recovery, entry->volume);
    if (known != NULL && known->record.deleted) {
        object_index_batch_remove(recovery->drops, entry);
        return ++recovery->drop_count < DROP_CHUNK || write_drops(recovery);
    }
    error_set(&recovery->error, ERROR_FAILED_PRECONDITION, "HOT_VOLUME_MISSING",
              "the object index knows objects in volume-%016" PRIx64 ".wbv, which is not there: mount it, or remove "
              "the index directory to go on without it",
              entry->volume);
    return note_failure(recovery);
}

/* Volumes that are gone for good need not be remembered any longer. */
static bool forget_gone_volumes(struct recovery *recovery) {
    for (size_t i = 0; i < recovery->known_count; i++) {
        const struct known_volume *known = &recovery->known[i];
        if (known->on_disk) {
            continue;
        }
        if (!known->record.deleted) {
            log_warn("hot_volume_gone", LOG_INT("volume", known->record.id), LOG_STR("hint", "it held no objects"));
        }
        object_index_batch_forget_volume(recovery->drops, known->record.id);
    }
    return write_drops(recovery);
}

static bool count_entries(struct recovery *recovery) {
    struct volume_store *store = recovery->store;
    store->objects = 0;
    store->object_bytes = 0;
    if (!object_index_visit_objects(store->index, count_entry, recovery, &recovery->error)) {
        return note_failure(recovery);
    }
    if (recovery->failed || !forget_gone_volumes(recovery)) {
        return false;
    }
    for (size_t i = 0; i < recovery->known_count; i++) {
        const struct known_volume *known = &recovery->known[i];
        struct volume *volume = known->on_disk ? volume_set_find(&store->volumes, known->record.id) : NULL;
        if (volume != NULL &&
            (volume->live_objects != known->record.live_objects || volume->live_sum != known->record.live_sum)) {
            log_warn("hot_index_incomplete", LOG_INT("volume", volume->id),
                     LOG_INT("noted_objects", known->record.live_objects),
                     LOG_INT("found_objects", volume->live_objects),
                     LOG_STR("hint", "the volume is read from its start"));
            volume->indexed_bytes = VOLUME_HEADER_BYTES;
            volume->sealed = false;
            volume->dead_bytes = 0;
        }
    }
    return true;
}

static bool apply_dead_lists(struct recovery *recovery) {
    return dead_recovery_run(recovery->store, recovery->lists, recovery->list_count, &recovery->error) ||
           note_failure(recovery);
}

static bool scan_volume(struct recovery *recovery, struct volume *volume) {
    struct volume_set *set = &recovery->store->volumes;
    bool found;
    if (!volume_set_pin(set, volume->id, &volume, &found, &recovery->error)) {
        return note_failure(recovery);
    }
    bool ok = volume_scan(recovery->store, volume, &recovery->error) || note_failure(recovery);
    volume_set_unpin(set, volume);
    return ok;
}

static bool scan_volumes(struct recovery *recovery) {
    struct volume_set *set = &recovery->store->volumes;
    if (recovery->rebuild) {
        log_warn("hot_index_rebuild_started", LOG_INT("volumes", set->count));
    }
    for (size_t i = 0; i < set->count; i++) {
        struct volume *volume = set->volumes[i];
        bool unread = !volume->sealed && volume->size_bytes != volume->indexed_bytes;
        if (unread && !scan_volume(recovery, volume)) {
            return false;
        }
        if (unread && recovery->rebuild) {
            log_info("hot_index_rebuild_progress", LOG_INT("volumes_done", i + 1), LOG_INT("volumes", set->count),
                     LOG_INT("objects", recovery->store->objects));
        }
    }
    if (recovery->rebuild) {
        log_info("hot_index_rebuild_finished", LOG_INT("objects", recovery->store->objects),
                 LOG_INT("object_bytes", recovery->store->object_bytes));
    }
    return true;
}

bool volume_store_recover(struct volume_store *store, bool rebuild, struct error *error) {
    unsigned max_open_files = store->volumes.max_open_files;
    volume_set_destroy(&store->volumes);
    volume_set_init(&store->volumes, store->disk, max_open_files);
    struct recovery recovery = {.store = store, .rebuild = rebuild, .drops = object_index_batch_new()};
    bool ok =
        load_volumes(&recovery) && count_entries(&recovery) && apply_dead_lists(&recovery) && scan_volumes(&recovery);
    if (!ok) {
        *error = recovery.error;
    }
    object_index_batch_free(recovery.drops);
    free(recovery.known);
    free(recovery.ids);
    free(recovery.lists);
    return ok;
}
