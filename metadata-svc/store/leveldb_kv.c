/* kv over LevelDB's C interface.
 *
 * paranoid_checks is on: without it LevelDB skips corrupt log records silently. After a failed log
 * sync LevelDB refuses every write until it is opened again, which is what our interface promises. But
 * after a failed append it goes on, behind a record that may be torn, and what follows cannot be read again:
 * so writes go one after the other here, and none goes after one that failed. The other options
 * were chosen by measurement: docs/decisions. */
#include <leveldb/c.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "metadata-svc/store/kv.h"
#include "metadata-svc/store/log_runway.h"
#include "metadata-svc/store/log_tail.h"
#include "metadata-svc/store/table_write_back.h"

enum {
    BLOOM_BITS_PER_KEY = 10,
    /* LevelDB keeps a thousand files open: a store of ten million records has some 600. Larger
     * ones take the disk for longer when they are flushed, beside which commits flush, too. */
    FILE_BYTES = 16 << 20,
    /* LevelDB's form of a batch and of one operation in it, less what ours has: a header, and
     * lengths of up to five bytes where ours are of four. */
    BATCH_OVERHEAD_BYTES = 12,
    OPERATION_OVERHEAD_BYTES = 2,
};

struct leveldb_kv {
    struct kv base;
    leveldb_t *db;
    leveldb_options_t *options;
    leveldb_cache_t *cache;
    leveldb_filterpolicy_t *bloom;
    leveldb_readoptions_t *read;
    leveldb_readoptions_t *read_bulk;
    uint8_t bulk_prefix;
    leveldb_writeoptions_t *write_synced;
    leveldb_writeoptions_t *write_unsynced;
    struct log_runway *runway;       /* NULL: none */
    struct table_write_back *tables; /* NULL: none */
    pthread_mutex_t writing;         /* failed, and the runway's */
    bool failed;
};

struct leveldb_cursor {
    struct kv_cursor base;
    leveldb_iterator_t *iterator;
};

static struct leveldb_kv *self_of(struct kv *kv) {
    return (struct leveldb_kv *)kv;
}

static leveldb_iterator_t *iterator_of(const struct kv_cursor *cursor) {
    return ((const struct leveldb_cursor *)cursor)->iterator;
}

/* Takes LevelDB's message. */
static bool fail(struct error *error, const char *what, char *message) {
    error_set(error, ERROR_INTERNAL, "RECORD_STORE_FAILED", "%s: %s", what, message);
    leveldb_free(message);
    return false;
}

static bool leveldb_kv_get(struct kv *kv, struct bytes key, struct arena *arena, struct bytes *value, bool *found,
                           struct error *error) {
    struct leveldb_kv *self = self_of(kv);
    char *message = NULL;
    size_t size = 0;
    bool bulk = self->bulk_prefix != 0 && key.size > 0 && key.data[0] == self->bulk_prefix;
    char *data =
        leveldb_get(self->db, bulk ? self->read_bulk : self->read, (const char *)key.data, key.size, &size, &message);
    if (message != NULL) {
        return fail(error, "reading the record store", message);
    }
    *found = data != NULL;
    if (data != NULL) {
        *value = arena_copy(arena, bytes_of(data, size));
        leveldb_free(data);
    }
    return true;
}

static void add_operation(void *context, struct bytes key, const struct bytes *value) {
    leveldb_writebatch_t *batch = context;
    if (value != NULL) {
        leveldb_writebatch_put(batch, (const char *)key.data, key.size, (const char *)value->data, value->size);
    } else {
        leveldb_writebatch_delete(batch, (const char *)key.data, key.size);
    }
}

static char *write_batch(struct leveldb_kv *self, leveldb_writebatch_t *batch, bool sync) {
    char *message = NULL;
    leveldb_write(self->db, sync ? self->write_synced : self->write_unsynced, batch, &message);
    return message;
}

/* With a runway every batch is flushed before the next one is written. */
static char *write_on_runway(struct leveldb_kv *self, leveldb_writebatch_t *batch, const struct kv_batch *operations) {
    log_runway_expect(self->runway, BATCH_OVERHEAD_BYTES + operations->operations.size +
                                        (size_t)operations->count * OPERATION_OVERHEAD_BYTES);
    return write_batch(self, batch, true);
}

static bool leveldb_kv_write(struct kv *kv, const struct kv_batch *operations, bool sync, struct error *error) {
    struct leveldb_kv *self = self_of(kv);
    leveldb_writebatch_t *batch = leveldb_writebatch_create();
    kv_batch_each(operations, add_operation, batch);
    char *message = NULL;
    pthread_mutex_lock(&self->writing);
    bool failed = self->failed;
    if (!failed) {
        message = self->runway != NULL ? write_on_runway(self, batch, operations) : write_batch(self, batch, sync);
        self->failed = message != NULL;
    }
    pthread_mutex_unlock(&self->writing);
    leveldb_writebatch_destroy(batch);
    if (failed) {
        return error_set(error, ERROR_INTERNAL, "RECORD_STORE_FAILED",
                         "the record store takes no writes after one that failed, until it is opened again");
    }
    return message == NULL || fail(error, "writing the record store", message);
}

static struct kv_cursor *open_cursor(struct kv *kv, const leveldb_readoptions_t *options) {
    struct leveldb_cursor *cursor = malloc(sizeof *cursor);
    if (cursor == NULL) {
        abort();
    }
    cursor->base.ops = kv->ops;
    cursor->iterator = leveldb_create_iterator(self_of(kv)->db, options);
    return &cursor->base;
}

static struct kv_cursor *leveldb_kv_cursor_open(struct kv *kv) {
    return open_cursor(kv, self_of(kv)->read);
}

static struct kv_cursor *leveldb_kv_cursor_open_bulk(struct kv *kv) {
    return open_cursor(kv, self_of(kv)->read_bulk);
}

static void leveldb_kv_cursor_seek(struct kv_cursor *cursor, struct bytes key) {
    leveldb_iter_seek(iterator_of(cursor), (const char *)key.data, key.size);
}

static void leveldb_kv_cursor_seek_before(struct kv_cursor *cursor, struct bytes key) {
    leveldb_iterator_t *iterator = iterator_of(cursor);
    leveldb_iter_seek(iterator, (const char *)key.data, key.size);
    if (leveldb_iter_valid(iterator)) {
        leveldb_iter_prev(iterator);
    } else {
        leveldb_iter_seek_to_last(iterator);
    }
}

static void leveldb_kv_cursor_next(struct kv_cursor *cursor) {
    leveldb_iter_next(iterator_of(cursor));
}

static bool leveldb_kv_cursor_valid(const struct kv_cursor *cursor) {
    return leveldb_iter_valid(iterator_of(cursor)) != 0;
}

static struct bytes leveldb_kv_cursor_key(const struct kv_cursor *cursor) {
    size_t size = 0;
    const char *data = leveldb_iter_key(iterator_of(cursor), &size);
    return bytes_of(data, size);
}

static struct bytes leveldb_kv_cursor_value(const struct kv_cursor *cursor) {
    size_t size = 0;
    const char *data = leveldb_iter_value(iterator_of(cursor), &size);
    return bytes_of(data, size);
}

static bool leveldb_kv_cursor_check(const struct kv_cursor *cursor, struct error *error) {
    char *message = NULL;
    leveldb_iter_get_error(iterator_of(cursor), &message);
    return message == NULL || fail(error, "walking the record store", message);
}

static void leveldb_kv_cursor_close(struct kv_cursor *cursor) {
    leveldb_iter_destroy(iterator_of(cursor));
    free(cursor);
}

static void leveldb_kv_close(struct kv *kv) {
    struct leveldb_kv *self = self_of(kv);
    if (self->db != NULL) {
        leveldb_close(self->db);
    }
    log_runway_stop(self->runway);
    table_write_back_stop(self->tables);
    leveldb_options_destroy(self->options);
    leveldb_cache_destroy(self->cache);
    leveldb_filterpolicy_destroy(self->bloom);
    leveldb_readoptions_destroy(self->read);
    leveldb_readoptions_destroy(self->read_bulk);
    leveldb_writeoptions_destroy(self->write_synced);
    leveldb_writeoptions_destroy(self->write_unsynced);
    pthread_mutex_destroy(&self->writing);
    free(self);
}

static const struct kv_ops leveldb_kv_ops = {
    .get = leveldb_kv_get,
    .write = leveldb_kv_write,
    .cursor_open = leveldb_kv_cursor_open,
    .cursor_open_bulk = leveldb_kv_cursor_open_bulk,
    .cursor_seek = leveldb_kv_cursor_seek,
    .cursor_seek_before = leveldb_kv_cursor_seek_before,
    .cursor_next = leveldb_kv_cursor_next,
    .cursor_valid = leveldb_kv_cursor_valid,
    .cursor_key = leveldb_kv_cursor_key,
    .cursor_value = leveldb_kv_cursor_value,
    .cursor_check = leveldb_kv_cursor_check,
    .cursor_close = leveldb_kv_cursor_close,
    .close = leveldb_kv_close,
};

static bool prepare_log(struct leveldb_kv *self, const char *directory, const struct leveldb_kv_options *options,
                        struct error *error) {
    if (!log_tail_mend(directory, error)) {
        return false;
    }
    if (options->log_runway_bytes > 0) {
        self->runway = log_runway_start(directory, options->log_runway_bytes, &self->writing);
    }
    return true;
}

struct kv *leveldb_kv_open(const char *directory, const struct leveldb_kv_options *options, struct error *error) {
    struct leveldb_kv *self = calloc(1, sizeof *self);
    if (self == NULL) {
        abort();
    }
    self->base.ops = &leveldb_kv_ops;
    pthread_mutex_init(&self->writing, NULL);
    self->bulk_prefix = options->bulk_prefix;
    self->cache = leveldb_cache_create_lru(options->cache_bytes);
    self->bloom = leveldb_filterpolicy_create_bloom(BLOOM_BITS_PER_KEY);
    self->options = leveldb_options_create();
    leveldb_options_set_create_if_missing(self->options, 1);
    leveldb_options_set_paranoid_checks(self->options, 1);
    leveldb_options_set_cache(self->options, self->cache);
    leveldb_options_set_filter_policy(self->options, self->bloom);
    leveldb_options_set_write_buffer_size(self->options, options->write_buffer_bytes);
    leveldb_options_set_max_file_size(self->options, FILE_BYTES);
    leveldb_options_set_compression(self->options, leveldb_no_compression);
    self->read = leveldb_readoptions_create();
    leveldb_readoptions_set_verify_checksums(self->read, 1);
    self->read_bulk = leveldb_readoptions_create();
    leveldb_readoptions_set_verify_checksums(self->read_bulk, 1);
    leveldb_readoptions_set_fill_cache(self->read_bulk, 0);
    self->write_synced = leveldb_writeoptions_create();
    leveldb_writeoptions_set_sync(self->write_synced, 1);
    self->write_unsynced = leveldb_writeoptions_create();

    if (!prepare_log(self, directory, options, error)) {
        leveldb_kv_close(&self->base);
        return NULL;
    }
    self->tables = table_write_back_start(directory);
    char *message = NULL;
    self->db = leveldb_open(self->options, directory, &message);
    if (message != NULL) {
        error_set(error, ERROR_INTERNAL, "RECORD_STORE_FAILED", "opening the record store in %s: %s", directory,
                  message);
        leveldb_free(message);
        leveldb_kv_close(&self->base);
        return NULL;
    }
    return &self->base;
}

bool leveldb_kv_repair(const char *directory, struct error *error) {
    leveldb_options_t *options = leveldb_options_create();
    char *message = NULL;
    leveldb_repair_db(options, directory, &message);
    leveldb_options_destroy(options);
    return message == NULL || fail(error, "repairing the record store", message);
}
