#include "metadata-svc/commit/overlay.h"

/* uthash aborts when memory is gone, as our own allocations do. */
#define uthash_fatal(message) abort()
#include <stdlib.h>
#include <uthash.h>

struct overlay_entry {
    UT_hash_handle hh;
    bool deleted;
    struct bytes value;
    size_t key_size;
    uint8_t key[];
};

void overlay_init(struct overlay *overlay, struct kv *kv) {
    *overlay = (struct overlay){.kv = kv};
    arena_init(&overlay->arena);
}

void overlay_clear(struct overlay *overlay) {
    HASH_CLEAR(hh, overlay->entries);
    kv_batch_clear(&overlay->batch);
    arena_free(&overlay->arena);
}

void overlay_free(struct overlay *overlay) {
    overlay_clear(overlay);
    kv_batch_free(&overlay->batch);
}

static struct overlay_entry *find(struct overlay *overlay, struct bytes key) {
    struct overlay_entry *entry = NULL;
    HASH_FIND(hh, overlay->entries, key.data, key.size, entry);
    return entry;
}

static struct overlay_entry *find_or_add(struct overlay *overlay, struct bytes key) {
    struct overlay_entry *entry = find(overlay, key);
    if (entry == NULL) {
        entry = arena_zalloc(&overlay->arena, sizeof *entry + key.size);
        entry->key_size = key.size;
        memcpy(entry->key, key.data, key.size);
        HASH_ADD_KEYPTR(hh, overlay->entries, entry->key, key.size, entry);
    }
    return entry;
}

void overlay_put(struct overlay *overlay, struct bytes key, struct bytes value) {
    struct overlay_entry *entry = find_or_add(overlay, key);
    entry->deleted = false;
    entry->value = arena_copy(&overlay->arena, value);
    kv_batch_put(&overlay->batch, key, value);
}

void overlay_append(struct overlay *overlay, struct bytes key, struct bytes value) {
    kv_batch_put(&overlay->batch, key, value);
}

void overlay_delete(struct overlay *overlay, struct bytes key) {
    struct overlay_entry *entry = find_or_add(overlay, key);
    entry->deleted = true;
    kv_batch_delete(&overlay->batch, key);
}

static bool overlay_get(void *self, struct bytes key, struct arena *arena, struct bytes *value, bool *found,
                        struct error *error) {
    struct overlay *overlay = self;
    const struct overlay_entry *entry = find(overlay, key);
    if (entry == NULL) {
        return overlay->kv->ops->get(overlay->kv, key, arena, value, found, error);
    }
    *found = !entry->deleted;
    if (*found) {
        *value = arena_copy(arena, entry->value);
    }
    return true;
}

static bool any_in_batch(const struct overlay *overlay, struct bytes prefix) {
    for (const struct overlay_entry *entry = overlay->entries; entry != NULL; entry = entry->hh.next) {
        if (!entry->deleted && bytes_start_with(bytes_of(entry->key, entry->key_size), prefix)) {
            return true;
        }
    }
    return false;
}

bool overlay_any_under(struct overlay *overlay, struct bytes prefix, bool *any, struct error *error) {
    *any = any_in_batch(overlay, prefix);
    if (*any) {
        return true;
    }
    const struct kv_ops *ops = overlay->kv->ops;
    struct kv_cursor *cursor = ops->cursor_open(overlay->kv);
    for (cursor->ops->cursor_seek(cursor, prefix); !*any && cursor->ops->cursor_valid(cursor);
         cursor->ops->cursor_next(cursor)) {
        struct bytes key = cursor->ops->cursor_key(cursor);
        if (!bytes_start_with(key, prefix)) {
            break;
        }
        const struct overlay_entry *entry = find(overlay, key);
        *any = entry == NULL || !entry->deleted;
    }
    bool good = cursor->ops->cursor_check(cursor, error);
    cursor->ops->cursor_close(cursor);
    return good;
}

struct kv_lookup overlay_lookup(struct overlay *overlay) {
    return (struct kv_lookup){overlay_get, overlay};
}
