#include "metadata-svc/store/cached_kv.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "common/base/stop_signal.h"
#include "metadata-svc/store/key_filter.h"
#include "metadata-svc/store/layout.h"

struct cached_kv {
    struct kv base;
    struct kv_ops ops;
    struct kv *inner;
    struct record_cache *cache;
    /* Batches with cached keys go one after the other, so that the cache sees them in the order
     * in which the store does. */
    pthread_mutex_t writing;

    struct key_filter *filter; /* of heads */
    pthread_t learner;
    atomic_bool stopping;
    struct stop_signal learned; /* raised when the learner is done */
};

/* Keys that the learner takes from one cursor, so that none keeps old data alive for long. */
enum { LEARN_STEP = 10000 };

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
    if (*found || (key.data[0] == LAYOUT_HEAD_PREFIX && !key_filter_may_have(self->filter, key))) {
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
    if (is_cached(key)) {
        record_cache_write_begins(self->cache, key);
    }
    if (value != NULL && key.data[0] == LAYOUT_HEAD_PREFIX) {
        key_filter_add(self->filter, key);
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

/* ---- the filter's keys ---- */

/* Adds heads from `next` on; then `next` is where to go on. Returns how many, or -1. */
static int learn_some(struct cached_kv *self, struct buffer *next, struct error *error) {
    int count = 0;
    struct kv_cursor *cursor = cached_cursor_open_bulk(&self->base);
    for (cursor->ops->cursor_seek(cursor, buffer_bytes(next)); count < LEARN_STEP && cursor->ops->cursor_valid(cursor);
         cursor->ops->cursor_next(cursor)) {
        struct bytes key = cursor->ops->cursor_key(cursor);
        if (key.data[0] != LAYOUT_HEAD_PREFIX) {
            break;
        }
        key_filter_add(self->filter, key);
        if (++count == LEARN_STEP) {
            buffer_clear(next);
            buffer_append_bytes(next, key);
        }
    }
    bool good = cursor->ops->cursor_check(cursor, error);
    cursor->ops->cursor_close(cursor);
    return good ? count : -1;
}

static void *learn_all(void *argument) {
    struct cached_kv *self = argument;
    struct error error = {0};
    struct buffer next = {0};
    int count;
    buffer_append_u8(&next, LAYOUT_HEAD_PREFIX);
    do {
        count = learn_some(self, &next, &error);
    } while (count == LEARN_STEP && !atomic_load(&self->stopping));
    if (count < 0) {
        log_warn("key_filter_not_filled", LOG_ERROR(&error), LOG_STR("hint", "look-ups of new keys are slower"));
    } else if (count < LEARN_STEP) {
        key_filter_complete(self->filter);
    }
    buffer_free(&next);
    stop_signal_raise(&self->learned);
    return NULL;
}

void cached_kv_await_filter(struct kv *kv) {
    while (!stop_signal_pause(&self_of(kv)->learned, 1000)) {
    }
}

static void cached_close(struct kv *kv) {
    struct cached_kv *self = self_of(kv);
    atomic_store(&self->stopping, true);
    pthread_join(self->learner, NULL);
    stop_signal_destroy(&self->learned);
    key_filter_free(self->filter);
    self->inner->ops->close(self->inner);
    pthread_mutex_destroy(&self->writing);
    free(self);
}

struct kv *cached_kv_new(struct kv *inner, struct record_cache *cache, size_t filter_bytes) {
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
    self->filter = key_filter_new(filter_bytes);
    stop_signal_init(&self->learned);
    if (pthread_create(&self->learner, NULL, learn_all, self) != 0) {
        abort();
    }
    pthread_setname_np(self->learner, "key-filter");
    return &self->base;
}
