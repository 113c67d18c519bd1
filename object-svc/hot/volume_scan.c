#include "object-svc/hot/volume_scan.h"

#include "common/base/failpoint.h"
#include "common/base/log.h"
#include "object-svc/hot/dead_list.h"
#include "object-svc/hot/index_change.h"

/* One volume being read. */
struct scan {
    struct volume_store *store;
    struct volume *volume;
    struct disk_file *file; /* pinned */
    struct error *error;
    struct dead_list dead;
    uint64_t flushed_bytes; /* proved to have been durable */
    uint64_t valid_end;     /* of the last undamaged needle */
    bool sealed;
    uint64_t objects;
    struct volume_needle needle;
};

/* Moves to the next undamaged needle at or after `*offset`; NONE at the end. */
static enum volume_read next_needle(struct scan *scan, uint64_t *offset) {
    struct error *error = scan->error;
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
    return read == VOLUME_READ_NONE;
}

/* Whether the bytes of the needle are whole. */
static bool check_payload(struct scan *scan, bool *whole) {
    const struct needle *needle = &scan->needle.needle;
    if (!hot_volume_check_payload(scan->file, scan->volume->id, &scan->needle, whole, scan->error)) {
        return false;
    }
    if (!*whole) {
        log_warn("hot_needle_torn", LOG_INT("volume", scan->volume->id), LOG_INT("offset", needle->offset));
    }
    return true;
}

/* Whether a copy that the index has is whole, to the last byte. */
static bool check_other(struct scan *scan, const struct index_entry *entry, bool *whole) {
    struct volume_set *set = &scan->store->volumes;
    struct volume_needle needle = {0};
    struct volume *volume;
    if (!volume_set_pin(set, entry->volume, &volume, whole, scan->error)) {
        return false;
    }
    if (!*whole) {
        return true;
    }
    enum volume_read read = hot_volume_read_needle(volume->file, volume->salt, entry->offset,
                                                   entry->offset + entry->needle_bytes, &needle, scan->error);
    *whole = read == VOLUME_READ_NEEDLE && uuid_equal(&needle.needle.provenance.payload_id, &entry->object.payload_id);
    bool ok = read != VOLUME_READ_FAILED &&
              (!*whole || hot_volume_check_payload(volume->file, volume->id, &needle, whole, scan->error));
    volume_needle_free(&needle);
    volume_set_unpin(set, volume);
    return ok;
}

enum fate { LEAVE, TAKE_IN, BURY };

/* Of two copies the one stored later counts, if it is whole: the other dies. */
static bool judge_copies(struct scan *scan, const struct index_entry *old, enum fate *fate) {
    bool whole;
    if (!check_payload(scan, &whole)) {
        return false;
    }
    *fate = whole ? TAKE_IN : LEAVE;
    if (whole && old->object.store_unix_us > scan->needle.needle.provenance.store_unix_us) {
        if (!check_other(scan, old, &whole)) {
            return false;
        }
        *fate = whole ? BURY : TAKE_IN;
    }
    return true;
}

/* What to do with a needle: those that are dead, or not proved durable and not whole, are left. */
static bool judge(struct scan *scan, enum fate *fate) {
    const struct needle *needle = &scan->needle.needle;
    const struct uuid *payload_id = &needle->provenance.payload_id;
    struct index_entry old;
    bool found;
    *fate = LEAVE;
    if (needle->kind != NEEDLE_OBJECT || dead_list_has(&scan->dead, needle->offset, payload_id)) {
        return true;
    }
    if (!object_index_get(scan->store->index, payload_id, &old, &found, scan->error)) {
        return false;
    }
    if (found && (old.volume != scan->volume->id || old.offset != needle->offset)) {
        return judge_copies(scan, &old, fate);
    }
    bool counts = needle->offset < scan->flushed_bytes;
    if (!counts && !check_payload(scan, &counts)) {
        return false;
    }
    *fate = counts ? TAKE_IN : LEAVE;
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

static bool index_up_to(struct scan *scan, enum fate fate, uint64_t indexed_bytes, bool sealed) {
    struct index_change change;
    struct index_entry entry;
    index_change_start(&change, scan->store);
    bool ok = true;
    if (fate != LEAVE) {
        describe(scan, &entry);
    }
    if (fate == TAKE_IN) {
        ok = index_change_put(&change, &entry, scan->error);
    } else if (fate == BURY) {
        index_change_mark(&change, &entry);
    }
    if (ok) {
        index_change_set_volume(&change, scan->volume, indexed_bytes, sealed);
        ok = index_change_apply(&change, scan->error);
    }
    index_change_end(&change);
    return ok;
}

/* Second walk: every needle that counts goes into the index. */
static bool index_needles(struct scan *scan) {
    uint64_t offset = scan->volume->indexed_bytes;
    enum volume_read read;
    while ((read = next_needle(scan, &offset)) == VOLUME_READ_NEEDLE) {
        enum fate fate;
        uint64_t next = offset + scan->needle.bytes;
        if (!judge(scan, &fate) || (fate != LEAVE && !index_up_to(scan, fate, next, false))) {
            return false;
        }
        scan->objects += fate == TAKE_IN ? 1 : 0;
        offset = next;
    }
    return read == VOLUME_READ_NONE;
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
    if (!FAILPOINT("volume.cut.before") || !scan->file->ops->truncate(scan->file, scan->valid_end, scan->error) ||
        !scan->file->ops->sync(scan->file, scan->error) || !FAILPOINT("volume.cut.after")) {
        return false;
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
    return index_up_to(scan, LEAVE, volume->indexed_bytes, true);
}

static bool scan_open_volume(struct scan *scan) {
    struct volume *volume = scan->volume;
    uint64_t from = volume->indexed_bytes;
    if (volume->size_bytes < from) {
        return check_length(scan);
    }
    /* What a killed process wrote may still be in memory only; once it is in the index it can be
     * reported as durable. */
    if (!scan->file->ops->sync(scan->file, scan->error)) {
        return false;
    }
    if (!find_extent(scan)) {
        return false;
    }
    bool ok = index_needles(scan) && cut_tail(scan) && index_up_to(scan, LEAVE, scan->valid_end, scan->sealed);
    if (ok && scan->valid_end > from) {
        log_info("hot_volume_scanned", LOG_INT("volume", volume->id), LOG_INT("from", from),
                 LOG_INT("to", scan->valid_end), LOG_INT("objects", scan->objects));
    }
    return ok;
}

bool volume_scan(struct volume_store *store, struct volume *volume, struct error *error) {
    struct scan scan = {.store = store, .volume = volume, .file = volume->file, .error = error};
    bool ok = volume->dead_bytes == 0 || dead_list_read(store->disk, volume->id, volume->salt, 0, &scan.dead, error);
    ok = ok && scan_open_volume(&scan);
    dead_list_free(&scan.dead);
    volume_needle_free(&scan.needle);
    return ok;
}
