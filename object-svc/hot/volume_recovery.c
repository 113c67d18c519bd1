/* Opening: which volumes there are, and whether the index knows all that is in them.
 *
 *   1. The names on the disk, their headers, and what the index says of each volume.
 *   2. All index entries are counted per volume. Where the count is not what the index noted
 *      for the volume, LevelDB lost a piece from its middle (it does not sync one log before it
 *      begins the next): that volume is read from its start.
 *   3. Each volume that is not known to be sealed is read from where the index left off; its
 *      torn end is cut off.
 *
 * A needle that a later one proves to have been flushed is taken by its header alone, since
 * reads verify its bytes anyway. Of those after that, which may be torn, all bytes are read. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "object-svc/hot/index_change.h"

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
        return disk->ops->unlink(disk, name, &recovery->error) || note_failure(recovery);
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
        return store->disk->ops->unlink(store->disk, name, &recovery->error) || note_failure(recovery);
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
        if (volume != NULL && volume->live_objects != known->record.live_objects) {
            log_warn("hot_index_incomplete", LOG_INT("volume", volume->id),
                     LOG_INT("noted_objects", known->record.live_objects),
                     LOG_INT("found_objects", volume->live_objects),
                     LOG_STR("hint", "the volume is read from its start"));
            volume->indexed_bytes = VOLUME_HEADER_BYTES;
            volume->sealed = false;
        }
    }
    return true;
}

/* One volume being read. */
struct scan {
    struct recovery *recovery;
    struct volume *volume;
    struct disk_file *file; /* pinned */
    uint64_t flushed_bytes; /* proved to have been durable */
    uint64_t valid_end;     /* of the last undamaged needle */
    bool sealed;
    uint64_t objects;
    struct volume_needle needle;
};

/* Moves to the next undamaged needle at or after `*offset`; NONE at the end. */
static enum volume_read next_needle(struct scan *scan, uint64_t *offset) {
    struct error *error = &scan->recovery->error;
    uint64_t end = scan->volume->size_bytes;
    uint64_t salt = scan->volume->salt;
    enum volume_read read = hot_volume_read_needle(scan->file, salt, *offset, end, &scan->needle, error);
    if (read != VOLUME_READ_NONE || *offset >= end) {
        return read;
    }
    uint64_t found;
    if (!hot_volume_find_needle(scan->file, salt, *offset + NEEDLE_ALIGNMENT, end, &found, error)) {
        return VOLUME_READ_FAILED;
    }
    if (*offset < scan->flushed_bytes) {
        log_error("hot_volume_damaged", LOG_INT("volume", scan->volume->id), LOG_INT("offset", *offset),
                  LOG_INT("bytes", found - *offset),
                  LOG_STR("hint", "objects are missing here; a scrub repairs them from the cold store"));
    }
    *offset = found;
    return hot_volume_read_needle(scan->file, salt, found, end, &scan->needle, error);
}

/* First walk: how far the volume is proved durable, and where it ends. */
static bool find_extent(struct scan *scan) {
    uint64_t offset = scan->volume->indexed_bytes;
    uint64_t flushed = offset;
    scan->valid_end = offset < scan->volume->size_bytes ? offset : scan->volume->size_bytes;
    enum volume_read read;
    while ((read = next_needle(scan, &offset)) == VOLUME_READ_NEEDLE) {
        const struct needle *needle = &scan->needle.needle;
        flushed = needle->flushed_bytes > flushed ? needle->flushed_bytes : flushed;
        offset += scan->needle.bytes;
        scan->valid_end = offset;
        scan->sealed = needle->kind == NEEDLE_SEAL;
    }
    scan->flushed_bytes = flushed;
    return read == VOLUME_READ_NONE || note_failure(scan->recovery);
}

/* Whether the needle counts: proved durable, or whole to the last byte. */
static bool check_needle(struct scan *scan, bool *counts) {
    const struct needle *needle = &scan->needle.needle;
    *counts = needle->offset < scan->flushed_bytes;
    if (*counts) {
        return true;
    }
    if (!hot_volume_check_payload(scan->file, scan->volume->id, &scan->needle, counts, &scan->recovery->error)) {
        return note_failure(scan->recovery);
    }
    if (!*counts) {
        log_warn("hot_needle_torn", LOG_INT("volume", scan->volume->id), LOG_INT("offset", needle->offset));
    }
    return true;
}

static void describe(const struct scan *scan, struct index_entry *entry) {
    const struct provenance *provenance = &scan->needle.needle.provenance;
    *entry = (struct index_entry){
        .volume = scan->volume->id, .offset = scan->needle.needle.offset, .needle_bytes = scan->needle.bytes};
    struct hot_object *object = &entry->object;
    memcpy(object->bucket, provenance->bucket, strlen(provenance->bucket) + 1);
    memcpy(object->key, provenance->key, strlen(provenance->key) + 1);
    object->version = provenance->version;
    object->payload_id = provenance->payload_id;
    object->size_bytes = provenance->size_bytes;
    object->crc32c = provenance->crc32c;
    object->store_unix_us = provenance->store_unix_us;
}

static bool index_up_to(struct scan *scan, const struct index_entry *entry, uint64_t indexed_bytes, bool sealed) {
    struct index_change change;
    index_change_start(&change, scan->recovery->store);
    bool ok = entry == NULL || index_change_put(&change, entry, true, &scan->recovery->error);
    if (ok) {
        index_change_set_volume(&change, scan->volume, indexed_bytes, sealed);
        ok = index_change_apply(&change, &scan->recovery->error);
    }
    index_change_end(&change);
    return ok || note_failure(scan->recovery);
}

/* Second walk: every needle that counts goes into the index. */
static bool index_needles(struct scan *scan) {
    uint64_t offset = scan->volume->indexed_bytes;
    enum volume_read read;
    while ((read = next_needle(scan, &offset)) == VOLUME_READ_NEEDLE) {
        bool counts = false;
        uint64_t next = offset + scan->needle.bytes;
        if (scan->needle.needle.kind == NEEDLE_OBJECT && !check_needle(scan, &counts)) {
            return false;
        }
        if (counts) {
            struct index_entry entry;
            describe(scan, &entry);
            if (!index_up_to(scan, &entry, next, false)) {
                return false;
            }
            scan->objects++;
        }
        offset = next;
    }
    return read == VOLUME_READ_NONE || note_failure(scan->recovery);
}

/* Cuts off what comes after the last undamaged needle: it was never flushed, or it is nothing
 * that could be read. */
static bool cut_tail(struct scan *scan) {
    struct volume *volume = scan->volume;
    if (volume->size_bytes <= scan->valid_end || scan->sealed) {
        return true;
    }
    log_warn("hot_volume_tail_cut", LOG_INT("volume", volume->id), LOG_INT("from", scan->valid_end),
             LOG_INT("bytes", volume->size_bytes - scan->valid_end));
    if (!scan->file->ops->truncate(scan->file, scan->valid_end, &scan->recovery->error) ||
        !scan->file->ops->sync(scan->file, &scan->recovery->error)) {
        return note_failure(scan->recovery);
    }
    volume->size_bytes = scan->valid_end;
    return true;
}

/* A volume shorter than what was flushed has lost bytes; nothing may be appended to it, since
 * the index has entries there. */
static bool check_length(struct scan *scan) {
    struct volume *volume = scan->volume;
    if (volume->size_bytes >= volume->indexed_bytes) {
        return true;
    }
    log_error("hot_volume_short", LOG_INT("volume", volume->id), LOG_INT("bytes", volume->size_bytes),
              LOG_INT("expected_bytes", volume->indexed_bytes),
              LOG_STR("hint", "reads of its last objects fail with OBJECT_CORRUPT; a scrub repairs them"));
    return index_up_to(scan, NULL, volume->indexed_bytes, true);
}

static bool scan_open_volume(struct scan *scan) {
    struct volume *volume = scan->volume;
    uint64_t from = volume->indexed_bytes;
    if (volume->size_bytes < from) {
        return check_length(scan);
    }
    /* What a killed process wrote may still be in memory only; once it is in the index it can be
     * reported as durable. */
    if (!scan->file->ops->sync(scan->file, &scan->recovery->error)) {
        return note_failure(scan->recovery);
    }
    if (!find_extent(scan)) {
        return false;
    }
    bool ok = index_needles(scan) && cut_tail(scan) && index_up_to(scan, NULL, scan->valid_end, scan->sealed);
    if (ok && scan->valid_end > from) {
        log_info("hot_volume_scanned", LOG_INT("volume", volume->id), LOG_INT("from", from),
                 LOG_INT("to", scan->valid_end), LOG_INT("objects", scan->objects));
    }
    return ok;
}

static bool scan_volume(struct recovery *recovery, struct volume *volume) {
    struct volume_set *set = &recovery->store->volumes;
    bool found;
    if (!volume_set_pin(set, volume->id, &volume, &found, &recovery->error)) {
        return note_failure(recovery);
    }
    struct scan scan = {.recovery = recovery, .volume = volume, .file = volume->file};
    bool ok = scan_open_volume(&scan);
    volume_needle_free(&scan.needle);
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
    bool ok = load_volumes(&recovery) && count_entries(&recovery) && scan_volumes(&recovery);
    if (!ok) {
        *error = recovery.error;
    }
    object_index_batch_free(recovery.drops);
    free(recovery.known);
    free(recovery.ids);
    return ok;
}
