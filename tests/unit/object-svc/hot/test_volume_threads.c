// rooms: object_hot
#include <pthread.h>
#include <stdatomic.h>

#include "object-svc/hot/hot_compactor.h"
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

static void work_at_once(void) {
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
}

Test(volume_threads, appending_reading_and_removing_at_once_keep_every_promise) {
    work_at_once();
    check_survivors();
    fixture_reopen(&fixture);
    check_survivors();
}

static void count_volumes(void *self, const struct volume_compaction *sums) {
    atomic_fetch_add((atomic_ulong *)self, sums->volumes);
    cr_assert_eq(sums->damaged_objects, 0);
}

static int64_t real_monotonic_us(void *self) {
    (void)self;
    return clock_monotonic_us(&system_clock);
}

Test(volume_threads, a_compactor_beside_them_changes_nothing_that_they_see) {
    static const struct clock clock = {.unix_us = fixture_unix_us, .monotonic_us = real_monotonic_us};
    atomic_ulong volumes = 0;
    struct hot_compactor_options options = {
        .hot = fixture.store,
        .clock = &clock,
        .garbage_percent = 30,
        .bytes_per_second = 64 << 20,
        .interval_ms = 1,
        .volume_done = count_volumes,
        .self = &volumes,
    };
    struct hot_compactor *compactor = hot_compactor_start(&options);
    work_at_once();
    check_survivors();
    /* What is left of garbage is soon gone. */
    while (fixture_stats(&fixture).garbage_bytes * 100 > fixture_stats(&fixture).disk_bytes * 30) {
        usleep(1000);
    }
    check_survivors();
    hot_compactor_stop(compactor);
    cr_assert_gt(atomic_load(&volumes), 5);
    fixture_reopen(&fixture);
    check_survivors();
    fixture_close(&fixture);
    fixture_shell("rm -rf %s%s", fixture.index, "");
    fixture_open(&fixture);
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
