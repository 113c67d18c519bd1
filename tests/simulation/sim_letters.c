/* The dead letters of the simulator: dead_letters.h over a simulated key-value store instead of LevelDB. The linker
 * takes it in place of object-svc/ingest/dead_letters.c. There are never so many that old ones have to go. */
#include <stdlib.h>

#include "object-svc/ingest/dead_letter_codec.h"
#include "tests/simulation/sim_index.h"

struct dead_letters {
    struct kv *kv;
    size_t count;
};

static struct kv_cursor *seek(const struct dead_letters *letters, const struct uuid *from) {
    uint8_t key[DEAD_LETTER_KEY_BYTES];
    struct kv_cursor *cursor = letters->kv->ops->cursor_open(letters->kv);
    dead_letter_key(from, key);
    cursor->ops->cursor_seek(cursor, bytes_of(key, sizeof key));
    return cursor;
}

static bool take(struct kv_cursor *cursor, struct uuid *id) {
    return cursor->ops->cursor_valid(cursor) && dead_letter_key_read(cursor->ops->cursor_key(cursor), id);
}

struct dead_letters *dead_letters_open(const char *directory, size_t max, struct error *error) {
    struct sim_kv *store = sim_index_find(directory);
    struct dead_letters *letters = calloc(1, sizeof *letters);
    (void)max;
    (void)error;
    if (store == NULL || letters == NULL) {
        abort();
    }
    letters->kv = sim_kv_open(store);
    struct uuid id = {0};
    struct kv_cursor *cursor = seek(letters, &id);
    for (; take(cursor, &id); cursor->ops->cursor_next(cursor)) {
        letters->count++;
    }
    cursor->ops->cursor_close(cursor);
    return letters;
}

void dead_letters_close(struct dead_letters *letters) {
    if (letters != NULL) {
        letters->kv->ops->close(letters->kv);
        free(letters);
    }
}

bool dead_letters_add(struct dead_letters *letters, const struct dead_letter *list, size_t count, struct error *error) {
    struct kv_batch batch = {0};
    struct buffer value = {0};
    struct arena arena;
    arena_init(&arena);
    for (size_t i = 0; i < count; i++) {
        uint8_t *key = arena_alloc(&arena, DEAD_LETTER_KEY_BYTES);
        dead_letter_key(&list[i].id, key);
        buffer_clear(&value);
        dead_letter_encode(&list[i], &value);
        kv_batch_put(&batch, bytes_of(key, DEAD_LETTER_KEY_BYTES), arena_copy(&arena, buffer_bytes(&value)));
    }
    bool good = letters->kv->ops->write(letters->kv, &batch, true, error);
    letters->count += good ? count : 0;
    buffer_free(&value);
    kv_batch_free(&batch);
    arena_free(&arena);
    return good;
}

size_t dead_letters_count(struct dead_letters *letters) {
    return letters->count;
}

bool dead_letters_list(struct dead_letters *letters, const char *bucket, const struct uuid *after,
                       struct dead_letter *out, size_t max, struct arena *arena, size_t *count, bool *more,
                       struct error *error) {
    struct kv_cursor *cursor = seek(letters, after);
    bool good = true;
    (void)bucket;
    for (*count = 0; good && *count < max && take(cursor, &out[*count].id); cursor->ops->cursor_next(cursor)) {
        good = dead_letter_decode(arena_copy(arena, cursor->ops->cursor_value(cursor)), arena, &out[*count], error);
        *count += good && !uuid_equal(&out[*count].id, after);
    }
    *more = good && cursor->ops->cursor_valid(cursor);
    cursor->ops->cursor_close(cursor);
    return good;
}
