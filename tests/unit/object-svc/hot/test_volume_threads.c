// rooms: object_hot
#include <pthread.h>
#include <stdatomic.h>

#include "tests/unit/object-svc/hot/hot_fixture.h"

enum { WRITERS = 2, READERS = 2, BATCHES = 30, BATCH = 8, SIZE = 20000 };

static struct hot_fixture fixture;
static atomic_ulong committed[WRITERS]; /* objects of each writer that were committed */
static atomic_uint writers_left;

static void start(void) {
    fixture_init(&fixture);
    fixture.options.volume_bytes = 500000;
    fixture.options.max_open_files = 3;
    fixture_open(&fixture);
}

static void end(void) {
    fixture_end(&fixture);
}

TestSuite(volume_threads, .init = start, .fini = end);

static uint64_t number_of(unsigned writer, uint64_t i) {
    return writer * 1000000 + i;
}

static void *write_objects(void *argument) {
    unsigned writer = *(unsigned *)argument;
    struct hot_appender *appender = fixture_appender(&fixture);
    for (unsigned batch = 0; batch < BATCHES; batch++) {
        for (unsigned i = 0; i < BATCH; i++) {
            fixture_append(appender, number_of(writer, batch * BATCH + i), SIZE);
        }
        fixture_commit(appender);
        atomic_store(&committed[writer], (batch + 1) * BATCH);
    }
    hot_appender_close(appender);
    atomic_fetch_sub(&writers_left, 1);
    return NULL;
}

/* What is committed is either whole or, once removed, not found: nothing between. */
static void *read_objects(void *argument) {
    unsigned seed = *(unsigned *)argument + 1;
    while (atomic_load(&writers_left) > 0) {
        unsigned writer = (unsigned)rand_r(&seed) % WRITERS;
        uint64_t count = atomic_load(&committed[writer]);
        if (count > 0) {
            struct error error = {0};
            uint64_t i = (uint64_t)rand_r(&seed) % count;
            int64_t got = fixture_try_read(&fixture, number_of(writer, i), 0, SIZE, &error);
            cr_assert(got == SIZE || (got == -1 && error.code == ERROR_NOT_FOUND), "%s", error.message);
            cr_assert(got == SIZE || i % 3 != 0, "an object that nobody removed is gone");
        }
        struct hot_stats stats;
        hot_store_stats(fixture.store, &stats);
    }
    return NULL;
}

/* Two of three objects go as soon as they are there. */
static void *remove_objects(void *argument) {
    (void)argument;
    uint64_t next[WRITERS] = {0};
    for (bool left = true; left;) {
        left = atomic_load(&writers_left) > 0;
        for (unsigned writer = 0; writer < WRITERS; writer++) {
            for (; next[writer] < atomic_load(&committed[writer]); next[writer]++) {
                struct error error = {0};
                struct uuid id = fixture_payload_id(number_of(writer, next[writer]));
                cr_assert(next[writer] % 3 == 0 || hot_store_remove(fixture.store, &id, 1, &error));
            }
        }
    }
    return NULL;
}

static void check_survivors(void) {
    for (unsigned writer = 0; writer < WRITERS; writer++) {
        for (uint64_t i = 0; i < BATCHES * BATCH; i++) {
            if (i % 3 == 0) {
                fixture_check_object(&fixture, number_of(writer, i), SIZE);
            } else {
                cr_assert_not(fixture_has(&fixture, number_of(writer, i)));
            }
        }
    }
}

Test(volume_threads, appending_reading_and_removing_at_once_keep_every_promise) {
    pthread_t threads[WRITERS + READERS + 1];
    unsigned numbers[WRITERS + READERS];
    atomic_store(&writers_left, WRITERS);
    size_t count = 0;
    for (unsigned i = 0; i < WRITERS; i++) {
        numbers[count] = i;
        cr_assert_eq(pthread_create(&threads[count], NULL, write_objects, &numbers[count]), 0);
        count++;
    }
    for (unsigned i = 0; i < READERS; i++) {
        numbers[count] = i;
        cr_assert_eq(pthread_create(&threads[count], NULL, read_objects, &numbers[count]), 0);
        count++;
    }
    cr_assert_eq(pthread_create(&threads[count++], NULL, remove_objects, NULL), 0);
    for (size_t i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
    check_survivors();
    fixture_reopen(&fixture);
    check_survivors();
}

static void *read_until_gone(void *argument) {
    unsigned seed = *(unsigned *)argument + 7;
    while (atomic_load(&writers_left) > 0) {
        struct error error = {0};
        uint64_t i = (uint64_t)rand_r(&seed) % 100;
        int64_t got = fixture_try_read(&fixture, i, 0, SIZE, &error);
        cr_assert(got == SIZE || (got == -1 && error.code == ERROR_NOT_FOUND), "%s", error.message);
    }
    return NULL;
}

Test(volume_threads, readers_of_volumes_that_are_deleted_see_whole_objects_or_none) {
    fixture_store(&fixture, 0, 100, SIZE);
    pthread_t threads[READERS];
    unsigned numbers[READERS];
    atomic_store(&writers_left, 1);
    for (unsigned i = 0; i < READERS; i++) {
        numbers[i] = i;
        cr_assert_eq(pthread_create(&threads[i], NULL, read_until_gone, &numbers[i]), 0);
    }
    for (uint64_t i = 0; i < 100; i++) {
        fixture_remove(&fixture, i);
    }
    atomic_store(&writers_left, 0);
    for (unsigned i = 0; i < READERS; i++) {
        pthread_join(threads[i], NULL);
    }
    cr_assert_leq(fixture_stats(&fixture).volumes, 1);
}
