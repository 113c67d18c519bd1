#include "object-svc/hot/dead_recovery.h"

#include "common/base/log.h"
#include "object-svc/hot/index_change.h"

/* A list without its volume: that one was deleted. */
static bool remove_list(struct volume_store *store, uint64_t id, struct error *error) {
    char name[VOLUME_NAME_BYTES];
    dead_list_name(id, name);
    return store->disk->ops->unlink(store->disk, name, error);
}

/* A mark takes out the entry that still points to its needle. */
static bool apply_mark(struct volume_store *store, struct volume *volume, const struct dead_mark *mark,
                       struct error *error) {
    struct index_entry entry;
    bool found;
    if (!object_index_get(store->index, &mark->payload_id, &entry, &found, error)) {
        return false;
    }
    if (!found || entry.volume != volume->id || entry.offset != mark->offset) {
        return true;
    }
    struct index_change change;
    index_change_start(&change, store);
    index_change_drop(&change, &entry);
    bool ok = index_change_apply(&change, error);
    index_change_end(&change);
    return ok;
}

static bool note_dead_bytes(struct volume_store *store, struct volume *volume, uint64_t dead_bytes,
                            struct error *error) {
    struct index_change change;
    index_change_start(&change, store);
    index_change_set_dead(&change, volume, dead_bytes);
    bool ok = index_change_apply(&change, error);
    index_change_end(&change);
    return ok;
}

static bool apply_news(struct volume_store *store, struct volume *volume, struct error *error) {
    struct dead_list news;
    if (!dead_list_read(store->disk, volume->id, volume->salt, volume->dead_bytes, &news, error)) {
        return false;
    }
    bool ok = true;
    for (size_t i = 0; ok && i < news.count; i++) {
        ok = apply_mark(store, volume, &news.marks[i], error);
    }
    ok = ok && (news.end <= volume->dead_bytes || note_dead_bytes(store, volume, news.end, error));
    dead_list_free(&news);
    return ok;
}

/* Marks of all needles that the index has read and does not point to. */
static bool gather_dead(struct volume_store *store, const struct volume *volume, struct buffer *marks,
                        struct error *error) {
    struct volume_needle needle = {0};
    uint64_t end = volume->indexed_bytes < volume->size_bytes ? volume->indexed_bytes : volume->size_bytes;
    bool ok = true;
    for (uint64_t offset = VOLUME_HEADER_BYTES; ok && offset < end;) {
        enum volume_read read = hot_volume_read_needle(volume->file, volume->salt, offset, end, &needle, error);
        if (read != VOLUME_READ_NEEDLE) {
            ok = read == VOLUME_READ_NONE &&
                 hot_volume_find_needle(volume->file, volume->salt, offset + NEEDLE_ALIGNMENT, end, &offset, error);
            continue;
        }
        struct dead_mark mark = {.offset = offset, .payload_id = needle.needle.provenance.payload_id};
        struct index_entry entry;
        bool found;
        ok = object_index_get(store->index, &mark.payload_id, &entry, &found, error);
        bool alive = ok && found && entry.volume == volume->id && entry.offset == offset;
        if (needle.needle.kind == NEEDLE_OBJECT && !alive) {
            dead_mark_encode(volume->salt, &mark, marks);
        }
        offset += needle.bytes;
    }
    volume_needle_free(&needle);
    return ok;
}

/* Old marks and new ones are all true, so that any mixture of them does no harm; should this be
 * cut short, the next start does it again. */
static bool renew_list(struct volume_store *store, struct volume *volume, struct error *error) {
    struct buffer marks = {0};
    bool found;
    if (!volume_set_pin(&store->volumes, volume->id, &volume, &found, error)) {
        return false;
    }
    bool ok = gather_dead(store, volume, &marks, error) &&
              dead_list_write(store->disk, volume->id, 0, buffer_bytes(&marks), error) &&
              dead_list_sync(store->disk, volume->id, error) &&
              dead_list_cut(store->disk, volume->id, marks.size, error) &&
              note_dead_bytes(store, volume, marks.size, error);
    if (ok) {
        log_warn("hot_dead_list_renewed", LOG_INT("volume", volume->id), LOG_INT("marks", marks.size / DEAD_MARK_BYTES),
                 LOG_STR("hint", "power loss or damage took some of its marks"));
    }
    buffer_free(&marks);
    volume_set_unpin(&store->volumes, volume);
    return ok;
}

static bool check_list(struct volume_store *store, struct volume *volume, bool listed, struct error *error) {
    uint64_t noted = volume->dead_bytes;
    struct dead_list list = {0};
    if (listed && (!dead_list_read(store->disk, volume->id, volume->salt, 0, &list, error))) {
        return false;
    }
    bool whole = list.damaged == 0 && list.end >= noted;
    dead_list_free(&list);
    volume->dead_dirty = true; /* what a killed process wrote may be in memory only */
    /* Where the index noted nothing it is made anew, and cannot tell what is dead. */
    return (!listed || apply_news(store, volume, error)) && (whole || noted == 0 || renew_list(store, volume, error));
}

bool dead_recovery_run(struct volume_store *store, const uint64_t *lists, size_t count, struct error *error) {
    size_t next = 0;
    bool ok = true;
    for (size_t i = 0; ok && i < store->volumes.count; i++) {
        struct volume *volume = store->volumes.volumes[i];
        for (; ok && next < count && lists[next] < volume->id; next++) {
            ok = remove_list(store, lists[next], error);
        }
        bool listed = next < count && lists[next] == volume->id;
        next += listed ? 1 : 0;
        if (ok && (listed || volume->dead_bytes > 0)) {
            ok = check_list(store, volume, listed, error);
        }
    }
    for (; ok && next < count; next++) {
        ok = remove_list(store, lists[next], error);
    }
    return ok;
}
