#include "object-svc/hot/object_index.h"

#include <errno.h>
#include <leveldb/c.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "common/base/failpoint.h"
#include "object-svc/hot/index_codec.h"

enum {
    BLOOM_BITS_PER_KEY = 10,
    WRITE_BUFFER_BYTES = 16 * 1024 * 1024,
    MAX_OPEN_FILES = 200,
    DIRECTORY_MODE = 0750,
};

struct object_index {
    leveldb_t *db;
    leveldb_options_t *options;
    leveldb_cache_t *cache;
    leveldb_filterpolicy_t *bloom;
    leveldb_readoptions_t *read;
    leveldb_readoptions_t *walk; /* leaves the cache alone */
    leveldb_writeoptions_t *write_synced;
    leveldb_writeoptions_t *write_unsynced;
    bool failed; /* a write; the store's lock is held for each */
};

struct object_index_batch {
    leveldb_writebatch_t *operations;
    struct buffer key;
    struct buffer value;
};

uint64_t index_entry_sum(const struct index_entry *entry) {
    uint64_t sum = entry->offset + get_le64(entry->object.payload_id.raw + 8);
    sum = (sum ^ (sum >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    sum = (sum ^ (sum >> 27)) * UINT64_C(0x94d049bb133111eb);
    return sum ^ (sum >> 31);
}

/* A table that is shorter than its footer says is read past its end, which LevelDB calls an
 * invalid argument. */
static bool is_damage(const char *message) {
    return strncmp(message, "Corruption", strlen("Corruption")) == 0 ||
           strstr(message, ".ldb: Invalid argument") != NULL;
}

/* Takes LevelDB's message; damage is told apart, since only that calls for a rebuild. */
static bool fail(struct error *error, const char *what, char *message) {
    bool corrupt = is_damage(message);
    error_set(error, corrupt ? ERROR_DATA_LOSS : ERROR_INTERNAL,
              corrupt ? "OBJECT_INDEX_CORRUPT" : "OBJECT_INDEX_FAILED", "%s the object index: %s", what, message);
    leveldb_free(message);
    return false;
}

static bool corrupt_entry(struct error *error) {
    return error_set(error, ERROR_DATA_LOSS, "OBJECT_INDEX_CORRUPT",
                     "an entry of the object index is damaged; restart to have it rebuilt from the volumes");
}

static bool make_directories(const char *directory, struct error *error) {
    char path[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s", directory);
    if (length <= 0 || (size_t)length >= sizeof path) {
        return error_set(error, ERROR_INVALID_ARGUMENT, "BAD_PATH", "the object index's path is empty or too long");
    }
    for (char *at = path + 1;; at++) {
        if (*at != '/' && *at != '\0') {
            continue;
        }
        bool last = *at == '\0';
        *at = '\0';
        if (mkdir(path, DIRECTORY_MODE) != 0 && errno != EEXIST) {
            return error_set_errno(error, errno, "making the directory %s", path);
        }
        if (last) {
            return true;
        }
        *at = '/';
    }
}

/* A new index gets the format's version; one of another version is refused. */
static bool check_format(struct object_index *index, struct error *error) {
    char *message = NULL;
    size_t size = 0;
    char *value = leveldb_get(index->db, index->read, INDEX_FORMAT_KEY, strlen(INDEX_FORMAT_KEY), &size, &message);
    if (message != NULL) {
        return fail(error, "reading", message);
    }
    char current = INDEX_FORMAT_VERSION;
    if (value == NULL) {
        FAILPOINT("index.create.before");
        leveldb_put(index->db, index->write_synced, INDEX_FORMAT_KEY, strlen(INDEX_FORMAT_KEY), &current, 1, &message);
        FAILPOINT("index.create.after");
        return message == NULL || fail(error, "writing", message);
    }
    bool known = size == 1 && value[0] == current;
    leveldb_free(value);
    return known || error_set(error, ERROR_FAILED_PRECONDITION, "OBJECT_INDEX_FORMAT",
                              "the object index has a format that this version does not know; "
                              "remove its directory to have it rebuilt from the volumes");
}

struct object_index *object_index_open(const char *directory, size_t cache_bytes, struct error *error) {
    if (!make_directories(directory, error)) {
        return NULL;
    }
    struct object_index *index = calloc(1, sizeof *index);
    if (index == NULL) {
        abort();
    }
    index->cache = leveldb_cache_create_lru(cache_bytes);
    index->bloom = leveldb_filterpolicy_create_bloom(BLOOM_BITS_PER_KEY);
    index->options = leveldb_options_create();
    leveldb_options_set_create_if_missing(index->options, 1);
    /* Without it LevelDB skips damaged log records and says nothing. */
    leveldb_options_set_paranoid_checks(index->options, 1);
    leveldb_options_set_cache(index->options, index->cache);
    leveldb_options_set_filter_policy(index->options, index->bloom);
    leveldb_options_set_write_buffer_size(index->options, WRITE_BUFFER_BYTES);
    leveldb_options_set_max_open_files(index->options, MAX_OPEN_FILES);
    index->read = leveldb_readoptions_create();
    leveldb_readoptions_set_verify_checksums(index->read, 1);
    index->walk = leveldb_readoptions_create();
    leveldb_readoptions_set_verify_checksums(index->walk, 1);
    leveldb_readoptions_set_fill_cache(index->walk, 0);
    index->write_synced = leveldb_writeoptions_create();
    leveldb_writeoptions_set_sync(index->write_synced, 1);
    index->write_unsynced = leveldb_writeoptions_create();

    char *message = NULL;
    index->db = leveldb_open(index->options, directory, &message);
    if (message != NULL) {
        fail(error, "opening", message);
    } else if (check_format(index, error)) {
        return index;
    }
    object_index_close(index);
    return NULL;
}

bool object_index_set_aside(const char *directory, struct error *error) {
    char aside[PATH_MAX];
    if ((size_t)snprintf(aside, sizeof aside, "%s.corrupt", directory) >= sizeof aside) {
        return error_set(error, ERROR_INVALID_ARGUMENT, "BAD_PATH", "the object index's path is too long");
    }
    leveldb_options_t *options = leveldb_options_create();
    char *message = NULL;
    leveldb_destroy_db(options, aside, &message);
    leveldb_options_destroy(options);
    if (message != NULL) {
        return fail(error, "removing an earlier damaged copy of", message);
    }
    FAILPOINT("index.set_aside.before");
    if (rename(directory, aside) != 0) {
        return error_set_errno(error, errno, "moving the damaged object index to %s", aside);
    }
    return FAILPOINT("index.set_aside.after");
}

void object_index_close(struct object_index *index) {
    if (index->db != NULL) {
        leveldb_close(index->db);
    }
    leveldb_options_destroy(index->options);
    leveldb_cache_destroy(index->cache);
    leveldb_filterpolicy_destroy(index->bloom);
    leveldb_readoptions_destroy(index->read);
    leveldb_readoptions_destroy(index->walk);
    leveldb_writeoptions_destroy(index->write_synced);
    leveldb_writeoptions_destroy(index->write_unsynced);
    free(index);
}

bool object_index_get(struct object_index *index, const struct uuid *payload_id, struct index_entry *entry, bool *found,
                      struct error *error) {
    struct buffer key = {0};
    index_object_key(payload_id, &key);
    char *message = NULL;
    size_t size = 0;
    char *value = leveldb_get(index->db, index->read, (const char *)key.data, key.size, &size, &message);
    bool ok = message == NULL || fail(error, "reading", message);
    *found = ok && value != NULL;
    if (*found && !index_decode_object(buffer_bytes(&key), bytes_of(value, size), entry)) {
        ok = corrupt_entry(error);
    }
    if (value != NULL) {
        leveldb_free(value);
    }
    buffer_free(&key);
    return ok;
}

struct object_index_batch *object_index_batch_new(void) {
    struct object_index_batch *batch = calloc(1, sizeof *batch);
    if (batch == NULL) {
        abort();
    }
    batch->operations = leveldb_writebatch_create();
    return batch;
}

void object_index_batch_free(struct object_index_batch *batch) {
    leveldb_writebatch_destroy(batch->operations);
    buffer_free(&batch->key);
    buffer_free(&batch->value);
    free(batch);
}

void object_index_batch_clear(struct object_index_batch *batch) {
    leveldb_writebatch_clear(batch->operations);
}

static void add_put(struct object_index_batch *batch) {
    leveldb_writebatch_put(batch->operations, (const char *)batch->key.data, batch->key.size,
                           (const char *)batch->value.data, batch->value.size);
}

static void add_delete(struct object_index_batch *batch) {
    leveldb_writebatch_delete(batch->operations, (const char *)batch->key.data, batch->key.size);
}

void object_index_batch_put(struct object_index_batch *batch, const struct index_entry *entry) {
    index_object_key(&entry->object.payload_id, &batch->key);
    index_object_value(entry, &batch->value);
    add_put(batch);
    index_age_key(entry, &batch->key);
    buffer_clear(&batch->value);
    leveldb_writebatch_put(batch->operations, (const char *)batch->key.data, batch->key.size, "", 0);
}

void object_index_batch_remove_age(struct object_index_batch *batch, const struct index_entry *entry) {
    index_age_key(entry, &batch->key);
    add_delete(batch);
}

void object_index_batch_remove(struct object_index_batch *batch, const struct index_entry *entry) {
    index_object_key(&entry->object.payload_id, &batch->key);
    add_delete(batch);
    object_index_batch_remove_age(batch, entry);
}

void object_index_batch_put_volume(struct object_index_batch *batch, const struct index_volume *volume) {
    index_volume_key(volume->id, &batch->key);
    index_volume_value(volume, &batch->value);
    add_put(batch);
}

void object_index_batch_forget_volume(struct object_index_batch *batch, uint64_t id) {
    index_volume_key(id, &batch->key);
    add_delete(batch);
}

/* LevelDB would go on behind a record that may be torn, and what follows could not be read again. */
bool object_index_write(struct object_index *index, const struct object_index_batch *batch, bool sync,
                        struct error *error) {
    char *message = NULL;
    if (index->failed) {
        return error_set(error, ERROR_INTERNAL, "OBJECT_INDEX_FAILED",
                         "the object index takes no writes after one that failed, until it is opened again");
    }
    leveldb_write(index->db, sync ? index->write_synced : index->write_unsynced, batch->operations, &message);
    index->failed = message != NULL;
    return message == NULL || fail(error, "writing", message);
}

/* Called per key that begins with the prefix; false with `ok` untouched ends the walk. */
typedef bool key_visitor(void *context, struct bytes key, struct bytes value, bool *ok, struct error *error);

static bool visit_prefix(struct object_index *index, struct bytes prefix, key_visitor *visit, void *context,
                         struct error *error) {
    leveldb_iterator_t *iterator = leveldb_create_iterator(index->db, index->walk);
    bool ok = true;
    for (leveldb_iter_seek(iterator, (const char *)prefix.data, prefix.size); leveldb_iter_valid(iterator);
         leveldb_iter_next(iterator)) {
        struct bytes key;
        struct bytes value;
        key.data = (const uint8_t *)leveldb_iter_key(iterator, &key.size);
        value.data = (const uint8_t *)leveldb_iter_value(iterator, &value.size);
        if (!bytes_start_with(key, prefix) || !visit(context, key, value, &ok, error)) {
            break;
        }
    }
    char *message = NULL;
    leveldb_iter_get_error(iterator, &message);
    leveldb_iter_destroy(iterator);
    if (message != NULL) {
        return fail(error, "walking", message);
    }
    return ok;
}

struct object_walk {
    bool (*visit)(void *context, const struct index_entry *entry);
    void *context;
};

static bool visit_object(void *context, struct bytes key, struct bytes value, bool *ok, struct error *error) {
    const struct object_walk *walk = context;
    struct index_entry entry;
    *ok = index_decode_object(key, value, &entry) || corrupt_entry(error);
    return *ok && walk->visit(walk->context, &entry);
}

bool object_index_visit_objects(struct object_index *index,
                                bool (*visit)(void *context, const struct index_entry *entry), void *context,
                                struct error *error) {
    static const uint8_t prefix = INDEX_OBJECT_PREFIX;
    struct object_walk walk = {visit, context};
    return visit_prefix(index, bytes_of(&prefix, 1), visit_object, &walk, error);
}

struct volume_walk {
    bool (*visit)(void *context, const struct index_volume *volume);
    void *context;
};

static bool visit_volume(void *context, struct bytes key, struct bytes value, bool *ok, struct error *error) {
    const struct volume_walk *walk = context;
    struct index_volume volume;
    *ok = index_decode_volume(key, value, &volume) || corrupt_entry(error);
    return *ok && walk->visit(walk->context, &volume);
}

bool object_index_visit_volumes(struct object_index *index,
                                bool (*visit)(void *context, const struct index_volume *volume), void *context,
                                struct error *error) {
    static const uint8_t prefix = INDEX_VOLUME_PREFIX;
    struct volume_walk walk = {visit, context};
    return visit_prefix(index, bytes_of(&prefix, 1), visit_volume, &walk, error);
}

struct age_walk {
    bool (*visit)(void *context, const struct uuid *payload_id);
    void *context;
    size_t prefix_bytes;
    int64_t before_unix_us;
};

static bool visit_age(void *context, struct bytes key, struct bytes value, bool *ok, struct error *error) {
    (void)value;
    const struct age_walk *walk = context;
    struct bytes rest = bytes_of(key.data + walk->prefix_bytes, key.size - walk->prefix_bytes);
    struct uuid payload_id;
    int64_t store_unix_us;
    *ok = index_decode_age(rest, &store_unix_us, &payload_id) || corrupt_entry(error);
    return *ok && store_unix_us < walk->before_unix_us && walk->visit(walk->context, &payload_id);
}

bool object_index_visit_aged(struct object_index *index, const char *bucket, bool cold_copy_known,
                             int64_t before_unix_us, bool (*visit)(void *context, const struct uuid *payload_id),
                             void *context, struct error *error) {
    struct buffer prefix = {0};
    index_age_prefix(bucket, cold_copy_known, &prefix);
    struct age_walk walk = {visit, context, prefix.size, before_unix_us};
    bool ok = visit_prefix(index, buffer_bytes(&prefix), visit_age, &walk, error);
    buffer_free(&prefix);
    return ok;
}
