#include "object-svc/ingest/dead_letters.h"

#include <assert.h>
#include <leveldb/c.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/failpoint.h"
#include "common/base/log.h"
#include "object-svc/ingest/dead_letter_codec.h"

enum {
    WRITE_BUFFER_BYTES = 1024 * 1024, /* letters are rare */
    MAX_OPEN_FILES = 32,
};

struct dead_letters {
    leveldb_t *db;
    leveldb_options_t *options;
    leveldb_readoptions_t *read;
    leveldb_writeoptions_t *write_synced;
    size_t max;
    pthread_mutex_t lock; /* count, failed, and everything that changes them */
    size_t count;
    bool failed; /* a write */
};

/* Takes LevelDB's message. */
static bool fail(struct error *error, const char *what, char *message) {
    error_set(error, ERROR_INTERNAL, "DEAD_LETTERS_FAILED", "%s the dead letters: %s", what, message);
    leveldb_free(message);
    return false;
}

/* ---- opening ---- */

static bool check_format(struct dead_letters *letters, struct error *error) {
    char *message = NULL;
    size_t size = 0;
    char *value = leveldb_get(letters->db, letters->read, DEAD_LETTERS_FORMAT_KEY, strlen(DEAD_LETTERS_FORMAT_KEY),
                              &size, &message);
    if (message != NULL) {
        return fail(error, "reading", message);
    }
    char current = DEAD_LETTERS_FORMAT_VERSION;
    if (value == NULL) {
        FAILPOINT("dead_letters.create.before");
        leveldb_put(letters->db, letters->write_synced, DEAD_LETTERS_FORMAT_KEY, strlen(DEAD_LETTERS_FORMAT_KEY),
                    &current, 1, &message);
        FAILPOINT("dead_letters.create.after");
        return message == NULL || fail(error, "writing", message);
    }
    bool known = size == 1 && value[0] == current;
    leveldb_free(value);
    return known || error_set(error, ERROR_FAILED_PRECONDITION, "DEAD_LETTERS_FORMAT",
                              "the dead letters have a format that this version does not know");
}

static bool take_id(const leveldb_iterator_t *iterator, struct uuid *id) {
    size_t size;
    const char *key = leveldb_iter_key(iterator, &size);
    return dead_letter_key_read(bytes_of(key, size), id);
}

/* At the first letter behind `after`. */
static leveldb_iterator_t *iterate(struct dead_letters *letters, const struct uuid *after) {
    leveldb_iterator_t *iterator = leveldb_create_iterator(letters->db, letters->read);
    uint8_t key[DEAD_LETTER_KEY_BYTES];
    struct uuid id;
    dead_letter_key(after, key);
    leveldb_iter_seek(iterator, (const char *)key, sizeof key);
    if (leveldb_iter_valid(iterator) && take_id(iterator, &id) && uuid_equal(&id, after)) {
        leveldb_iter_next(iterator);
    }
    return iterator;
}

/* Also frees the iterator. */
static bool end_iteration(leveldb_iterator_t *iterator, struct error *error) {
    char *message = NULL;
    leveldb_iter_get_error(iterator, &message);
    leveldb_iter_destroy(iterator);
    return message == NULL || fail(error, "reading", message);
}

static bool count_letters(struct dead_letters *letters, struct error *error) {
    struct uuid id = {0};
    leveldb_iterator_t *iterator = iterate(letters, &id);
    for (; leveldb_iter_valid(iterator) && take_id(iterator, &id); leveldb_iter_next(iterator)) {
        letters->count++;
    }
    return end_iteration(iterator, error);
}

struct dead_letters *dead_letters_open(const char *directory, size_t max, struct error *error) {
    assert(max > 0);
    struct dead_letters *letters = calloc(1, sizeof *letters);
    if (letters == NULL) {
        abort();
    }
    letters->max = max;
    pthread_mutex_init(&letters->lock, NULL);
    letters->options = leveldb_options_create();
    leveldb_options_set_create_if_missing(letters->options, 1);
    leveldb_options_set_paranoid_checks(letters->options, 1);
    leveldb_options_set_write_buffer_size(letters->options, WRITE_BUFFER_BYTES);
    leveldb_options_set_max_open_files(letters->options, MAX_OPEN_FILES);
    letters->read = leveldb_readoptions_create();
    leveldb_readoptions_set_verify_checksums(letters->read, 1);
    letters->write_synced = leveldb_writeoptions_create();
    leveldb_writeoptions_set_sync(letters->write_synced, 1);
    char *message = NULL;
    letters->db = leveldb_open(letters->options, directory, &message);
    if (message != NULL) {
        fail(error, "opening", message);
    } else if (check_format(letters, error) && count_letters(letters, error)) {
        return letters;
    }
    dead_letters_close(letters);
    return NULL;
}

void dead_letters_close(struct dead_letters *letters) {
    if (letters == NULL) {
        return;
    }
    if (letters->db != NULL) {
        leveldb_close(letters->db);
    }
    leveldb_options_destroy(letters->options);
    leveldb_readoptions_destroy(letters->read);
    leveldb_writeoptions_destroy(letters->write_synced);
    pthread_mutex_destroy(&letters->lock);
    free(letters);
}

/* ---- changing ---- */

/* Counts those that are there already, so that they are not counted twice. */
static bool is_new(struct dead_letters *letters, const uint8_t *key, bool *new_one, struct error *error) {
    char *message = NULL;
    size_t size;
    char *value = leveldb_get(letters->db, letters->read, (const char *)key, DEAD_LETTER_KEY_BYTES, &size, &message);
    if (message != NULL) {
        return fail(error, "reading", message);
    }
    *new_one = value == NULL;
    leveldb_free(value);
    return true;
}

/* Makes room for what comes; the oldest go. */
static bool drop_oldest(struct dead_letters *letters, size_t count, leveldb_writebatch_t *batch, struct error *error) {
    struct uuid id = {0};
    leveldb_iterator_t *iterator = iterate(letters, &id);
    for (size_t i = 0; i < count && leveldb_iter_valid(iterator) && take_id(iterator, &id); i++) {
        uint8_t key[DEAD_LETTER_KEY_BYTES];
        dead_letter_key(&id, key);
        leveldb_writebatch_delete(batch, (const char *)key, sizeof key);
        leveldb_iter_next(iterator);
    }
    return end_iteration(iterator, error);
}

/* LevelDB would go on behind a record that may be torn, and what follows could not be read again. */
static bool write_batch(struct dead_letters *letters, leveldb_writebatch_t *batch, struct error *error) {
    char *message = NULL;
    if (letters->failed) {
        return error_set(error, ERROR_INTERNAL, "DEAD_LETTERS_FAILED",
                         "dead letters are not written after a write that failed, until object-svc is restarted");
    }
    leveldb_write(letters->db, letters->write_synced, batch, &message);
    letters->failed = message != NULL;
    return message == NULL || fail(error, "writing", message);
}

static bool add_locked(struct dead_letters *letters, const struct dead_letter *list, size_t count,
                       leveldb_writebatch_t *batch, struct error *error) {
    struct buffer value = {0};
    size_t grown = 0;
    bool good = true;
    for (size_t i = 0; good && i < count; i++) {
        uint8_t key[DEAD_LETTER_KEY_BYTES];
        bool new_one = false;
        dead_letter_key(&list[i].id, key);
        good = is_new(letters, key, &new_one, error);
        grown += new_one;
        buffer_clear(&value);
        dead_letter_encode(&list[i], &value);
        leveldb_writebatch_put(batch, (const char *)key, sizeof key, (const char *)value.data, value.size);
    }
    buffer_free(&value);
    size_t after = letters->count + grown;
    size_t excess = after > letters->max ? after - letters->max : 0;
    /* The new ones of this batch are not in the store yet, so they are not among the oldest. */
    excess = excess < letters->count ? excess : letters->count;
    good = good && (excess == 0 || drop_oldest(letters, excess, batch, error));
    FAILPOINT("dead_letters.add.before");
    good = good && write_batch(letters, batch, error);
    FAILPOINT("dead_letters.add.after");
    if (good) {
        letters->count = after - excess;
        if (excess > 0) {
            log_warn("dead_letters_dropped", LOG_INT("count", excess), LOG_INT("kept", letters->count),
                     LOG_STR("hint", "more events were given up than are kept; see waybill failed"));
        }
    }
    return good;
}

bool dead_letters_add(struct dead_letters *letters, const struct dead_letter *list, size_t count, struct error *error) {
    leveldb_writebatch_t *batch = leveldb_writebatch_create();
    pthread_mutex_lock(&letters->lock);
    bool good = add_locked(letters, list, count, batch, error);
    pthread_mutex_unlock(&letters->lock);
    leveldb_writebatch_destroy(batch);
    return good;
}

size_t dead_letters_count(struct dead_letters *letters) {
    pthread_mutex_lock(&letters->lock);
    size_t count = letters->count;
    pthread_mutex_unlock(&letters->lock);
    return count;
}

bool dead_letters_get(struct dead_letters *letters, const struct uuid *id, struct arena *arena,
                      struct dead_letter *letter, struct error *error) {
    uint8_t key[DEAD_LETTER_KEY_BYTES];
    char *message = NULL;
    size_t size = 0;
    dead_letter_key(id, key);
    char *value = leveldb_get(letters->db, letters->read, (const char *)key, sizeof key, &size, &message);
    if (message != NULL) {
        return fail(error, "reading", message);
    }
    if (value == NULL) {
        return error_set(error, ERROR_NOT_FOUND, "DEAD_LETTER_NOT_FOUND", "this replica has no such dead letter");
    }
    letter->id = *id;
    bool good = dead_letter_decode(bytes_of(value, size), arena, letter, error);
    leveldb_free(value);
    return good;
}

bool dead_letters_drop(struct dead_letters *letters, const struct uuid *id, struct arena *arena,
                       struct dead_letter *letter, struct error *error) {
    uint8_t key[DEAD_LETTER_KEY_BYTES];
    dead_letter_key(id, key);
    pthread_mutex_lock(&letters->lock);
    bool good = dead_letters_get(letters, id, arena, letter, error);
    if (good) {
        leveldb_writebatch_t *batch = leveldb_writebatch_create();
        leveldb_writebatch_delete(batch, (const char *)key, sizeof key);
        FAILPOINT("dead_letters.drop.before");
        good = write_batch(letters, batch, error);
        FAILPOINT("dead_letters.drop.after");
        leveldb_writebatch_destroy(batch);
        letters->count -= good;
    }
    pthread_mutex_unlock(&letters->lock);
    return good;
}

/* ---- listing ---- */

bool dead_letters_list(struct dead_letters *letters, const char *bucket, const struct uuid *after,
                       struct dead_letter *out, size_t max, struct arena *arena, size_t *count, bool *more,
                       struct error *error) {
    leveldb_iterator_t *iterator = iterate(letters, after);
    bool good = true;
    *count = 0;
    while (good && *count < max && leveldb_iter_valid(iterator) && take_id(iterator, &out[*count].id)) {
        size_t size;
        const char *value = leveldb_iter_value(iterator, &size);
        struct dead_letter *letter = &out[*count];
        good = dead_letter_decode(bytes_of(value, size), arena, letter, error);
        *count += good && (bucket[0] == '\0' || strcmp(letter->bucket, bucket) == 0);
        leveldb_iter_next(iterator);
    }
    struct uuid next;
    *more = good && leveldb_iter_valid(iterator) && take_id(iterator, &next);
    bool read = end_iteration(iterator, good ? error : &(struct error){0});
    return good && read;
}
