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

struct kv_lookup overlay_lookup(struct overlay *overlay) {
    return (struct kv_lookup){overlay_get, overlay};
}
