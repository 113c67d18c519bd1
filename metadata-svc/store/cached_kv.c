#include "metadata-svc/store/cached_kv.h"

#include <pthread.h>
#include <stdlib.h>

#include "metadata-svc/store/layout.h"

struct cached_kv {
    struct kv base;
    struct kv_ops ops;
    struct kv *inner;
    struct record_cache *cache;
    /* Batches with cached keys go one after the other, so that the cache sees them in the order
     * in which the store does. */
    pthread_mutex_t writing;
};

static struct cached_kv *self_of(struct kv *kv) {
    return (struct cached_kv *)kv;
}

static bool is_cached(struct bytes key) {
    return key.size > 0 && (key.data[0] == LAYOUT_HEAD_PREFIX || key.data[0] == LAYOUT_BUCKET_PREFIX);
}

static bool cached_get(struct kv *kv, struct bytes key, struct arena *arena, struct bytes *value, bool *found,
                       struct error *error) {
    struct cached_kv *self = self_of(kv);
    struct kv *inner = self->inner;
    if (!is_cached(key)) {
        return inner->ops->get(inner, key, arena, value, found, error);
    }
    uint64_t ticket;
    *found = record_cache_get(self->cache, key, arena, value, &ticket);
    if (*found) {
        return true;
    }
    bool good = inner->ops->get(inner, key, arena, value, found, error);
    if (good && *found) {
        record_cache_fill(self->cache, key, *value, ticket);
    }
    return good;
}

static void begin_one(void *context, struct bytes key, const struct bytes *value) {
    struct cached_kv *self = context;
    (void)value;
    if (is_cached(key)) {
        record_cache_write_begins(self->cache, key);
    }
}

static void end_one(void *context, struct bytes key, const struct bytes *value) {
    struct cached_kv *self = context;
    if (is_cached(key)) {
        record_cache_write_ends(self->cache, key, value);
    }
}

static void end_failed(void *context, struct bytes key, const struct bytes *value) {
    (void)value;
    end_one(context, key, NULL);
}

static void look_for_cached(void *context, struct bytes key, const struct bytes *value) {
    bool *any = context;
    (void)value;
    *any = *any || is_cached(key);
}

static bool cached_write(struct kv *kv, const struct kv_batch *batch, bool sync, struct error *error) {
    struct cached_kv *self = self_of(kv);
    struct kv *inner = self->inner;
    bool any = false;
    kv_batch_each(batch, look_for_cached, &any);
    if (!any) {
        return inner->ops->write(inner, batch, sync, error);
    }
    pthread_mutex_lock(&self->writing);
    kv_batch_each(batch, begin_one, self);
    bool good = inner->ops->write(inner, batch, sync, error);
    kv_batch_each(batch, good ? end_one : end_failed, self);
    pthread_mutex_unlock(&self->writing);
    return good;
}

static struct kv_cursor *cached_cursor_open(struct kv *kv) {
    struct kv *inner = self_of(kv)->inner;
    return inner->ops->cursor_open(inner);
}

static struct kv_cursor *cached_cursor_open_bulk(struct kv *kv) {
    struct kv *inner = self_of(kv)->inner;
    return inner->ops->cursor_open_bulk(inner);
}

static void cached_close(struct kv *kv) {
    struct cached_kv *self = self_of(kv);
    self->inner->ops->close(self->inner);
    pthread_mutex_destroy(&self->writing);
    free(self);
}

struct kv *cached_kv_new(struct kv *inner, struct record_cache *cache) {
    struct cached_kv *self = calloc(1, sizeof *self);
    if (self == NULL) {
        abort();
    }
    self->inner = inner;
    self->cache = cache;
    pthread_mutex_init(&self->writing, NULL);
    self->ops = *inner->ops; /* cursors are the inner kv's own */
    self->ops.get = cached_get;
    self->ops.write = cached_write;
    self->ops.cursor_open = cached_cursor_open;
    self->ops.cursor_open_bulk = cached_cursor_open_bulk;
    self->ops.close = cached_close;
    self->base.ops = &self->ops;
    return &self->base;
}
