#include "tests/simulation/sim_index.h"

#include <stdlib.h>
#include <string.h>

#include "object-svc/hot/index_codec.h"
#include "object-svc/hot/object_index.h"

enum { PLACES_MAX = 8 };

static struct {
    const char *directory;
    struct sim_kv *store;
} places[PLACES_MAX];

struct object_index {
    struct kv *kv;
};

struct object_index_batch {
    struct kv_batch operations;
    struct buffer key;
    struct buffer value;
};

void sim_index_place(const char *directory, struct sim_kv *store) {
    size_t at = 0;
    while (at < PLACES_MAX && (places[at].directory == NULL || strcmp(places[at].directory, directory) != 0)) {
        at++;
    }
    for (size_t i = 0; at == PLACES_MAX && i < PLACES_MAX; i++) {
        at = places[i].directory == NULL ? i : at;
    }
    if (at == PLACES_MAX) {
        abort();
    }
    places[at].directory = store != NULL ? directory : NULL;
    places[at].store = store;
}

struct sim_kv *sim_index_find(const char *directory) {
    for (size_t i = 0; i < PLACES_MAX; i++) {
        if (places[i].directory != NULL && strcmp(places[i].directory, directory) == 0) {
            return places[i].store;
        }
    }
    return NULL;
}

/* As the real one has it. */
uint64_t index_entry_sum(const struct index_entry *entry) {
    uint64_t sum = entry->offset + get_le64(entry->object.payload_id.raw + 8);
    sum = (sum ^ (sum >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    sum = (sum ^ (sum >> 27)) * UINT64_C(0x94d049bb133111eb);
    return sum ^ (sum >> 31);
}

struct object_index *object_index_open(const char *directory, size_t cache_bytes, struct error *error) {
    struct sim_kv *store = sim_index_find(directory);
    (void)cache_bytes;
    if (store == NULL) {
        error_set(error, ERROR_INTERNAL, "OBJECT_INDEX_FAILED", "there is no index \"%s\"", directory);
        return NULL;
    }
    struct object_index *index = calloc(1, sizeof *index);
    if (index == NULL) {
        abort();
    }
    index->kv = sim_kv_open(store);
    return index;
}

bool object_index_set_aside(const char *directory, struct error *error) {
    return error_set(error, ERROR_INTERNAL, "OBJECT_INDEX_FAILED", "the index \"%s\" is never damaged", directory);
}

void object_index_close(struct object_index *index) {
    index->kv->ops->close(index->kv);
    free(index);
}

static bool corrupt_entry(struct error *error) {
    return error_set(error, ERROR_DATA_LOSS, "OBJECT_INDEX_CORRUPT", "an entry of the index cannot be decoded");
}

bool object_index_get(struct object_index *index, const struct uuid *payload_id, struct index_entry *entry, bool *found,
                      struct error *error) {
    struct buffer key = {0};
    struct bytes value;
    struct arena arena;
    arena_init(&arena);
    index_object_key(payload_id, &key);
    bool good = index->kv->ops->get(index->kv, buffer_bytes(&key), &arena, &value, found, error);
    if (good && *found && !index_decode_object(buffer_bytes(&key), value, entry)) {
        good = corrupt_entry(error);
    }
    buffer_free(&key);
    arena_free(&arena);
    return good;
}

struct object_index_batch *object_index_batch_new(void) {
    struct object_index_batch *batch = calloc(1, sizeof *batch);
    if (batch == NULL) {
        abort();
    }
    return batch;
}

void object_index_batch_free(struct object_index_batch *batch) {
    kv_batch_free(&batch->operations);
    buffer_free(&batch->key);
    buffer_free(&batch->value);
    free(batch);
}

void object_index_batch_clear(struct object_index_batch *batch) {
    kv_batch_clear(&batch->operations);
}

void object_index_batch_put(struct object_index_batch *batch, const struct index_entry *entry) {
    index_object_key(&entry->object.payload_id, &batch->key);
    index_object_value(entry, &batch->value);
    kv_batch_put(&batch->operations, buffer_bytes(&batch->key), buffer_bytes(&batch->value));
    index_age_key(entry, &batch->key);
    kv_batch_put(&batch->operations, buffer_bytes(&batch->key), (struct bytes){0});
}

void object_index_batch_remove_age(struct object_index_batch *batch, const struct index_entry *entry) {
    index_age_key(entry, &batch->key);
    kv_batch_delete(&batch->operations, buffer_bytes(&batch->key));
}

void object_index_batch_remove(struct object_index_batch *batch, const struct index_entry *entry) {
    index_object_key(&entry->object.payload_id, &batch->key);
    kv_batch_delete(&batch->operations, buffer_bytes(&batch->key));
    object_index_batch_remove_age(batch, entry);
}

void object_index_batch_put_volume(struct object_index_batch *batch, const struct index_volume *volume) {
    index_volume_key(volume->id, &batch->key);
    index_volume_value(volume, &batch->value);
    kv_batch_put(&batch->operations, buffer_bytes(&batch->key), buffer_bytes(&batch->value));
}

void object_index_batch_forget_volume(struct object_index_batch *batch, uint64_t id) {
    index_volume_key(id, &batch->key);
    kv_batch_delete(&batch->operations, buffer_bytes(&batch->key));
}

bool object_index_write(struct object_index *index, const struct object_index_batch *batch, bool sync,
                        struct error *error) {
    return index->kv->ops->write(index->kv, &batch->operations, sync, error);
}

/* ---- walks ---- */

/* Called per entry; false with `ok` untouched ends the walk. */
typedef bool entry_visitor(void *context, struct bytes key, struct bytes value, bool *ok, struct error *error);

static bool visit_prefix(struct object_index *index, struct bytes prefix, entry_visitor *visit, void *context,
                         struct error *error) {
    struct kv_cursor *cursor = index->kv->ops->cursor_open(index->kv);
    const struct kv_ops *ops = cursor->ops;
    bool ok = true;
    for (ops->cursor_seek(cursor, prefix); ops->cursor_valid(cursor); ops->cursor_next(cursor)) {
        struct bytes key = ops->cursor_key(cursor);
        if (!bytes_start_with(key, prefix) || !visit(context, key, ops->cursor_value(cursor), &ok, error)) {
            break;
        }
    }
    ops->cursor_close(cursor);
    return ok;
}

struct walk {
    bool (*visit_object)(void *context, const struct index_entry *entry);
    bool (*visit_volume)(void *context, const struct index_volume *volume);
    bool (*visit_aged)(void *context, const struct uuid *payload_id);
    void *context;
    size_t prefix_bytes;
    int64_t before_unix_us;
};

static bool visit_object(void *context, struct bytes key, struct bytes value, bool *ok, struct error *error) {
    const struct walk *walk = context;
    struct index_entry entry;
    *ok = index_decode_object(key, value, &entry) || corrupt_entry(error);
    return *ok && walk->visit_object(walk->context, &entry);
}

bool object_index_visit_objects(struct object_index *index,
                                bool (*visit)(void *context, const struct index_entry *entry), void *context,
                                struct error *error) {
    static const uint8_t prefix = INDEX_OBJECT_PREFIX;
    struct walk walk = {.visit_object = visit, .context = context};
    return visit_prefix(index, bytes_of(&prefix, 1), visit_object, &walk, error);
}

static bool visit_volume(void *context, struct bytes key, struct bytes value, bool *ok, struct error *error) {
    const struct walk *walk = context;
    struct index_volume volume;
    *ok = index_decode_volume(key, value, &volume) || corrupt_entry(error);
    return *ok && walk->visit_volume(walk->context, &volume);
}

bool object_index_visit_volumes(struct object_index *index,
                                bool (*visit)(void *context, const struct index_volume *volume), void *context,
                                struct error *error) {
    static const uint8_t prefix = INDEX_VOLUME_PREFIX;
    struct walk walk = {.visit_volume = visit, .context = context};
    return visit_prefix(index, bytes_of(&prefix, 1), visit_volume, &walk, error);
}

static bool visit_aged(void *context, struct bytes key, struct bytes value, bool *ok, struct error *error) {
    const struct walk *walk = context;
    struct bytes rest = bytes_of(key.data + walk->prefix_bytes, key.size - walk->prefix_bytes);
    struct uuid payload_id;
    int64_t store_unix_us;
    (void)value;
    *ok = index_decode_age(rest, &store_unix_us, &payload_id) || corrupt_entry(error);
    return *ok && store_unix_us < walk->before_unix_us && walk->visit_aged(walk->context, &payload_id);
}

bool object_index_visit_aged(struct object_index *index, const char *bucket, bool cold_copy_known,
                             int64_t before_unix_us, bool (*visit)(void *context, const struct uuid *payload_id),
                             void *context, struct error *error) {
    struct buffer prefix = {0};
    index_age_prefix(bucket, cold_copy_known, &prefix);
    struct walk walk = {
        .visit_aged = visit, .context = context, .prefix_bytes = prefix.size, .before_unix_us = before_unix_us};
    bool ok = visit_prefix(index, buffer_bytes(&prefix), visit_aged, &walk, error);
    buffer_free(&prefix);
    return ok;
}
