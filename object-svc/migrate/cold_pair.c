#include "object-svc/migrate/cold_pair.h"

#include <pthread.h>
#include <stdlib.h>

enum { RETIRED_MAX = 16 };

struct cold_pair {
    struct cold_store base;
    struct cold_store *first;
    pthread_mutex_t lock; /* all that follows */
    struct cold_store *second;
    struct cold_store *retired[RETIRED_MAX]; /* second stores of migrations before */
    size_t retired_count;
    enum cold_pair_mode mode;
    unsigned single_writers;
};

/* Writes to one store or to both. */
struct pair_writer {
    struct cold_writer base;
    struct cold_pair *pair;
    struct cold_writer *writers[2]; /* the second is NULL for one store */
};

/* What a call uses: the leader, and the other one where both count. */
struct view {
    struct cold_store *leader;
    struct cold_store *other;
};

static struct cold_pair *pair_of(struct cold_store *store) {
    return (struct cold_pair *)store;
}

static struct view view_locked(const struct cold_pair *pair) {
    switch (pair->mode) {
    case COLD_FIRST_ONLY:
        break;
    case COLD_FIRST_LEADS:
        return (struct view){pair->first, pair->second};
    case COLD_SECOND_LEADS:
        return (struct view){pair->second, pair->first};
    case COLD_SECOND_ONLY:
        return (struct view){pair->second, NULL};
    }
    return (struct view){pair->first, NULL};
}

static struct view view_of(struct cold_pair *pair) {
    pthread_mutex_lock(&pair->lock);
    struct view view = view_locked(pair);
    pthread_mutex_unlock(&pair->lock);
    return view;
}

/* ---- writing ---- */

static struct cold_writer *pair_begin(struct cold_store *store, const struct provenance *provenance,
                                      struct error *error) {
    struct cold_pair *pair = pair_of(store);
    struct pair_writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL) {
        abort();
    }
    *writer = (struct pair_writer){.base = {store->ops}, .pair = pair};
    pthread_mutex_lock(&pair->lock);
    struct view view = view_locked(pair);
    pair->single_writers += view.other == NULL;
    pthread_mutex_unlock(&pair->lock);
    writer->writers[0] = cold_store_begin(view.leader, provenance, error);
    if (writer->writers[0] != NULL && view.other != NULL) {
        writer->writers[1] = cold_store_begin(view.other, provenance, error);
        if (writer->writers[1] == NULL) {
            cold_writer_abort(writer->writers[0]);
            writer->writers[0] = NULL;
        }
    }
    if (writer->writers[0] != NULL) {
        return &writer->base;
    }
    pthread_mutex_lock(&pair->lock);
    pair->single_writers -= view.other == NULL;
    pthread_mutex_unlock(&pair->lock);
    free(writer);
    return NULL;
}

static bool pair_append(struct cold_writer *base, struct bytes data, struct error *error) {
    struct pair_writer *writer = (struct pair_writer *)base;
    return cold_writer_append(writer->writers[0], data, error) &&
           (writer->writers[1] == NULL || cold_writer_append(writer->writers[1], data, error));
}

static void release(struct pair_writer *writer) {
    pthread_mutex_lock(&writer->pair->lock);
    writer->pair->single_writers -= writer->writers[1] == NULL;
    pthread_mutex_unlock(&writer->pair->lock);
    free(writer);
}

/* One that only one store has is written again, or is an orphan that a scrub finds. */
static bool pair_finish(struct cold_writer *base, struct error *error) {
    struct pair_writer *writer = (struct pair_writer *)base;
    bool good = cold_writer_finish(writer->writers[0], error);
    if (writer->writers[1] != NULL && good) {
        good = cold_writer_finish(writer->writers[1], error);
    } else if (writer->writers[1] != NULL) {
        cold_writer_abort(writer->writers[1]);
    }
    release(writer);
    return good;
}

static void pair_abort(struct cold_writer *base) {
    struct pair_writer *writer = (struct pair_writer *)base;
    cold_writer_abort(writer->writers[0]);
    if (writer->writers[1] != NULL) {
        cold_writer_abort(writer->writers[1]);
    }
    release(writer);
}

/* ---- reading: a reader is the store's own ---- */

static struct cold_reader *pair_open_object(struct cold_store *store, const struct cold_name *name,
                                            struct error *error) {
    struct view view = view_of(pair_of(store));
    struct error other_error = {0};
    struct cold_reader *reader = cold_store_open_object(view.leader, name, error);
    if (reader == NULL && view.other != NULL) {
        reader = cold_store_open_object(view.other, name, &other_error);
        if (reader != NULL) {
            *error = (struct error){0};
        }
    }
    return reader;
}

static bool pair_verify(struct cold_store *store, const struct provenance *expected, struct error *error) {
    struct view view = view_of(pair_of(store));
    return cold_store_verify(view.leader, expected, error) &&
           (view.other == NULL || cold_store_verify(view.other, expected, error));
}

static bool pair_list(struct cold_store *store, const char *bucket, const char *key_prefix, cold_entry_visitor *visit,
                      void *context, struct error *error) {
    struct view view = view_of(pair_of(store));
    return cold_store_list(view.leader, bucket, key_prefix, visit, context, error);
}

/* The first store's copy goes first: whoever copies from it looks again whether it is still there. */
static bool pair_remove(struct cold_store *store, const struct cold_name *name, struct error *error) {
    struct cold_pair *pair = pair_of(store);
    struct view view = view_of(pair);
    if (view.other == NULL) {
        return cold_store_remove(view.leader, name, error);
    }
    return cold_store_remove(pair->first, name, error) &&
           cold_store_remove(view.leader == pair->first ? view.other : view.leader, name, error);
}

/* ---- life ---- */

static void pair_close(struct cold_store *store) {
    struct cold_pair *pair = pair_of(store);
    cold_store_close(pair->first);
    if (pair->second != NULL) {
        cold_store_close(pair->second);
    }
    for (size_t i = 0; i < pair->retired_count; i++) {
        cold_store_close(pair->retired[i]);
    }
    pthread_mutex_destroy(&pair->lock);
    free(pair);
}

static const struct cold_store_ops pair_ops = {
    .name = "pair",
    .begin = pair_begin,
    .append = pair_append,
    .finish = pair_finish,
    .abort = pair_abort,
    .open_object = pair_open_object,
    .verify = pair_verify,
    .remove = pair_remove,
    .list = pair_list,
    .close = pair_close,
};

struct cold_pair *cold_pair_new(struct cold_store *first) {
    struct cold_pair *pair = calloc(1, sizeof *pair);
    if (pair == NULL) {
        abort();
    }
    pair->base.ops = &pair_ops;
    pair->first = first;
    pthread_mutex_init(&pair->lock, NULL);
    return pair;
}

struct cold_store *cold_pair_store(struct cold_pair *pair) {
    return &pair->base;
}

bool cold_pair_set_second(struct cold_pair *pair, struct cold_store *second) {
    pthread_mutex_lock(&pair->lock);
    bool room = pair->second == NULL || pair->retired_count < RETIRED_MAX;
    if (room && pair->second != NULL) {
        pair->retired[pair->retired_count++] = pair->second;
    }
    pair->second = room ? second : pair->second;
    pthread_mutex_unlock(&pair->lock);
    return room;
}

void cold_pair_set_mode(struct cold_pair *pair, enum cold_pair_mode mode) {
    pthread_mutex_lock(&pair->lock);
    pair->mode = mode;
    pthread_mutex_unlock(&pair->lock);
}

struct cold_store *cold_pair_first(struct cold_pair *pair) {
    return pair->first;
}

struct cold_store *cold_pair_second(struct cold_pair *pair) {
    pthread_mutex_lock(&pair->lock);
    struct cold_store *second = pair->second;
    pthread_mutex_unlock(&pair->lock);
    return second;
}

bool cold_pair_has_single_writers(struct cold_pair *pair) {
    pthread_mutex_lock(&pair->lock);
    bool has = pair->single_writers > 0;
    pthread_mutex_unlock(&pair->lock);
    return has;
}
