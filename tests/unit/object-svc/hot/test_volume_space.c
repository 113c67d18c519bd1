// rooms: object_hot
#include "object-svc/hot/volume_compaction.h"
#include "tests/unit/object-svc/hot/crashing_disk.h"
#include "tests/unit/object-svc/hot/hot_fixture.h"

enum { SIZE = 40000, CAPACITY = 2000000, RESERVE = 400000, OBJECTS_MAX = 100 };

static struct hot_fixture fixture;
static struct crashing_disk *disk;

static void start(void) {
    fixture_init(&fixture);
    fixture.options.volume_bytes = 200000;
    fixture.options.reserve_bytes = RESERVE;
    fixture.disk = crashing_disk_new(fixture.volumes);
    disk = crashing_of(fixture.disk);
    disk->capacity = CAPACITY;
    fixture_open(&fixture);
}

static void end(void) {
    fixture_end(&fixture);
}

TestSuite(volume_space, .init = start, .fini = end, .timeout = 60);

static uint64_t free_bytes(void) {
    return fixture_stats(&fixture).free_bytes;
}

/* Stores until there is no room; how many went in. */
static uint64_t fill(struct hot_appender *appender, uint64_t first) {
    struct error error = {0};
    uint64_t count = 0;
    while (fixture_try_append(appender, first + count, SIZE, SIZE, &error)) {
        fixture_commit(appender);
        cr_assert_lt(++count, OBJECTS_MAX);
    }
    cr_assert_str_eq(error.reason, "HOT_STORE_FULL");
    cr_assert_eq(error.code, ERROR_RESOURCE_EXHAUSTED);
    cr_assert_gt(error.retry_after_ms, 0);
    return count;
}

static uint64_t fill_and_close(uint64_t first) {
    struct hot_appender *appender = fixture_appender(&fixture);
    uint64_t count = fill(appender, first);
    hot_appender_close(appender);
    return count;
}

static void compact_all(unsigned garbage_percent, struct volume_compaction *sums) {
    struct error error = {0};
    struct volume_compaction_options options = {.garbage_percent = garbage_percent};
    bool found = true;
    cr_assert(volume_compaction_prepare(fixture.store, &options, &error), "%s", error.message);
    while (found) {
        cr_assert(volume_compaction_run(fixture.store, &options, sums, &found, &error), "%s", error.message);
        cr_assert_gt(free_bytes(), RESERVE / 4, "even compaction leaves room for the index");
    }
}

Test(volume_space, objects_that_would_take_of_the_reserve_are_refused_and_nothing_else_is) {
    struct error error = {0};
    struct hot_appender *appender = fixture_appender(&fixture);
    cr_assert(hot_store_check_room(fixture.store, CAPACITY - RESERVE - 10000, &error));
    cr_assert_not(hot_store_check_room(fixture.store, CAPACITY - RESERVE + 1, &error));
    uint64_t count = fill(appender, 0);
    cr_assert_gt(count, (CAPACITY - RESERVE) / SIZE - 3);
    cr_assert_geq(free_bytes(), RESERVE);
    cr_assert(fixture_stats(&fixture).full);
    fixture_append(appender, count, 10); /* it fits yet */
    fixture_commit(appender);
    for (uint64_t i = 0; i < count; i++) {
        fixture_check_object(&fixture, i, SIZE);
    }
    hot_appender_close(appender);
    for (uint64_t i = 0; i < 10; i++) {
        fixture_remove(&fixture, i);
    }
    fixture_store(&fixture, 200, 8, SIZE);
    cr_assert_not(fixture_stats(&fixture).full);
}

Test(volume_space, what_one_appender_was_promised_no_other_gets) {
    struct error error = {0};
    struct fixture_names names;
    struct hot_appender *first = fixture_appender(&fixture);
    struct hot_appender *second = fixture_appender(&fixture);
    uint64_t size = CAPACITY - RESERVE - 100000;
    struct provenance provenance = fixture_provenance(1, size, &names);
    cr_assert(hot_appender_begin(first, &provenance, &error), "%s", error.message);
    cr_assert_not(fixture_try_append(second, 2, 200000, 200000, &error));
    cr_assert_str_eq(error.reason, "HOT_STORE_FULL");
    fixture_append(second, 3, SIZE);
    fixture_commit(second);
    hot_appender_abort(first);
    fixture_append(second, 4, 200000);
    fixture_commit(second);
    /* Bytes that were written count once. */
    fixture_append(first, 5, size - 400000);
    fixture_commit(first);
    fixture_append(second, 6, 60000);
    fixture_commit(second);
    hot_appender_close(first);
    hot_appender_close(second);
}

Test(volume_space, small_objects_far_from_the_limit_share_a_look_at_the_disk) {
    struct error error = {0};
    struct hot_appender *appender = fixture_appender(&fixture);
    fixture_append(appender, 0, SIZE);
    fixture_commit(appender);
    fixture_now_us += 1000000; /* what was known is too old */
    disk->looks = 0;
    for (uint64_t object = 1; object <= 40; object++) {
        cr_assert(hot_store_check_room(fixture.store, 1000, &error));
        fixture_append(appender, object, 1000);
    }
    fixture_commit(appender);
    cr_assert_eq(disk->looks, 1);
    fixture_append(appender, 50, RESERVE / 4); /* too much for what is known */
    cr_assert_eq(disk->looks, 2);
    for (uint64_t object = 51; object < 53; object++) {
        fixture_now_us += 1000000;
        fixture_append(appender, object, 1000);
    }
    cr_assert_eq(disk->looks, 4);
    fixture_commit(appender);
    hot_appender_close(appender);
}

/* Others fill the disk after the look: no more than a part of the reserve is taken of it. */
Test(volume_space, what_is_known_of_a_disk_that_others_fill_is_good_for_a_part_of_the_reserve) {
    struct error error = {0};
    struct hot_appender *appender = fixture_appender(&fixture);
    fixture_append(appender, 0, 1000);
    fixture_commit(appender);
    disk->capacity = CAPACITY - free_bytes() + RESERVE; /* nothing but the reserve is left */
    uint64_t object = 1;
    while (fixture_try_append(appender, object, 1000, 1000, &error)) {
        fixture_commit(appender);
        cr_assert_lt(++object, 200);
    }
    cr_assert_str_eq(error.reason, "HOT_STORE_FULL");
    cr_assert_gt(object, 1, "what was known was of use");
    cr_assert_gt(free_bytes(), RESERVE - RESERVE / 4 - 1000);
    hot_appender_close(appender);
}

Test(volume_space, compaction_makes_room_on_a_full_disk_with_little_garbage) {
    struct volume_compaction sums = {0};
    uint64_t count = fill_and_close(0);
    for (uint64_t i = 0; i < count; i += 4) {
        fixture_remove(&fixture, i); /* a quarter: far from the threshold */
    }
    compact_all(80, &sums);
    cr_assert_gt(sums.moved_objects, 10);
    uint64_t more = fill_and_close(200);
    cr_assert_geq(more, count / 4 - 2);
    for (uint64_t i = 0; i < count; i++) {
        cr_assert_eq(fixture_has(&fixture, i), i % 4 != 0);
    }
    sums = (struct volume_compaction){0};
    compact_all(80, &sums);
    cr_assert_eq(sums.volumes, 0, "there is no garbage to gain");
}

Test(volume_space, an_appender_gives_up_a_volume_of_garbage_when_the_disk_is_full) {
    struct volume_compaction sums = {0};
    struct error error = {0};
    fixture_close(&fixture);
    fixture.options.volume_bytes = CAPACITY; /* one for all */
    fixture.disk = crashing_disk_new(fixture.volumes);
    disk = crashing_of(fixture.disk);
    disk->capacity = CAPACITY;
    fixture_open(&fixture);
    struct hot_appender *appender = fixture_appender(&fixture);
    uint64_t count = fill(appender, 0);
    for (uint64_t i = 1; i < count; i++) {
        fixture_remove(&fixture, i);
    }
    compact_all(50, &sums);
    cr_assert_eq(sums.volumes, 0, "it is in use");
    cr_assert_not(fixture_try_append(appender, 201, SIZE, SIZE, &error));
    compact_all(50, &sums);
    cr_assert_eq(sums.volumes, 1);
    cr_assert_geq(fill(appender, 300), count - 2);
    fixture_check_object(&fixture, 0, SIZE);
    hot_appender_close(appender);
}

/* Whatever comes, some of the reserve is left, and no write meets a full disk. */
Test(volume_space, random_work_at_the_limit_never_fills_the_disk) {
    unsigned seed = 29;
    struct volume_compaction sums = {0};
    bool there[OBJECTS_MAX] = {false};
    unsigned refused = 0;
    for (int step = 0; step < 1500; step++) {
        uint64_t object = (unsigned)rand_r(&seed) % OBJECTS_MAX;
        if (rand_r(&seed) % 3 != 0 && !there[object]) {
            struct error error = {0};
            struct hot_appender *appender = fixture_appender(&fixture);
            there[object] =
                fixture_try_append(appender, object, SIZE, SIZE, &error) && hot_appender_commit(appender, &error);
            cr_assert(there[object] || strcmp(error.reason, "HOT_STORE_FULL") == 0, "%s", error.message);
            refused += there[object] ? 0 : 1;
            hot_appender_close(appender);
        } else if (there[object] && rand_r(&seed) % 2) {
            fixture_remove(&fixture, object);
            there[object] = false;
        } else if (step % 5 == 0) {
            compact_all(60, &sums);
        }
        cr_assert_gt(free_bytes(), RESERVE / 4);
    }
    for (uint64_t i = 0; i < OBJECTS_MAX; i++) {
        cr_assert_eq(fixture_has(&fixture, i), there[i]);
    }
    cr_assert_gt(refused, 0);
    cr_assert_gt(sums.volumes, 10);
}
