// rooms: metadata_store
#include "metadata-svc/store/log_runway.h"

#include <pthread.h>
#include <stdatomic.h>

#include "tests/unit/metadata-svc/store/store_place.h"

enum { WRITERS = 3, WRITES = 60 };

static size_t size_of(int number) {
    unsigned state = (unsigned)number * 7919U;
    unsigned kind = (unsigned)rand_r(&state) % 20;
    unsigned most = kind == 0 ? 1 << 20 : kind < 5 ? 100000 : 1000;
    return 1 + (size_t)rand_r(&state) % most;
}

struct writer {
    struct kv *kv;
    int first;
};

static void *write_many(void *argument) {
    const struct writer *writer = argument;
    for (int i = 0; i < WRITES; i++) {
        store_place_put(writer->kv, writer->first + i, size_of(writer->first + i));
    }
    return NULL;
}

/* Batches larger than the margin, several writers, and logs that end while there is runway. */
Test(log_runway, zeros_never_meet_what_is_written) {
    struct store_place place = store_place_new();
    for (int round = 0; round < 3; round++) {
        struct kv *kv = store_place_open(&place, PLACE_RUNWAY_BYTES);
        struct writer writers[WRITERS];
        pthread_t threads[WRITERS];
        for (int i = 0; i < WRITERS; i++) {
            writers[i] = (struct writer){kv, (round * WRITERS + i) * WRITES};
            cr_assert_eq(pthread_create(&threads[i], NULL, write_many, &writers[i]), 0);
        }
        for (int i = 0; i < WRITERS; i++) {
            pthread_join(threads[i], NULL);
        }
        kv->ops->close(kv);
        kv = store_place_open(&place, 0);
        for (int i = 0; i < (round + 1) * WRITERS * WRITES; i++) {
            cr_assert(store_place_has(kv, i, size_of(i)), "key %d", i);
        }
        kv->ops->close(kv);
    }
    store_place_free(&place);
}

Test(log_runway, keeps_ahead_of_the_log) {
    struct store_place place = store_place_new();
    struct kv *kv = store_place_open(&place, PLACE_RUNWAY_BYTES);
    for (int i = 0; i < 64; i++) {
        store_place_put(kv, i, 16 * 1024);
    }
    store_place_await_log(&place, 64 * 16 * 1024 + PLACE_RUNWAY_BYTES / 2);
    kv->ops->close(kv);
    store_place_free(&place);
}

/* A flush on the runway does not move the end of the file. */
Test(log_runway, a_write_on_the_runway_leaves_the_size_of_the_file) {
    struct store_place place = store_place_new();
    struct kv *kv = store_place_open(&place, 4 * PLACE_RUNWAY_BYTES);
    char path[400];
    struct stat status;
    store_place_log(&place, path, sizeof path);
    store_place_await_runway(&place);
    store_place_put(kv, 1, 1000);
    cr_assert_eq(stat(path, &status), 0);
    cr_assert_eq(status.st_size % (64 * 1024), 0, "whole pieces of zeros");
    kv->ops->close(kv);
    store_place_free(&place);
}

Test(log_runway, where_a_directory_cannot_be_watched_there_is_none) {
    pthread_mutex_t writing = PTHREAD_MUTEX_INITIALIZER;
    cr_assert_null(log_runway_start("/dev/null/nowhere", PLACE_RUNWAY_BYTES, &writing));
}
