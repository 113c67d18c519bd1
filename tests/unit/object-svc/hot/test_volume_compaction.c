// rooms: object_hot
#include "object-svc/hot/object_index.h"
#include "object-svc/hot/volume_compaction.h"
#include "tests/unit/object-svc/hot/hot_fixture.h"

enum { SIZE = 50000, IN_VOLUME = 20 /* objects of that size in one volume */ };

static struct hot_fixture fixture;
static struct volume_compaction sums;

static void start(void) {
    fixture_init(&fixture);
    memset(&sums, 0, sizeof sums);
    fixture_open(&fixture);
}

static void end(void) {
    fixture_end(&fixture);
}

TestSuite(volume_compaction, .init = start, .fini = end, .timeout = 280);

static const struct volume_compaction_options half = {.garbage_percent = 50};

static bool compact(const struct volume_compaction_options *options) {
    struct error error = {0};
    bool found;
    cr_assert(volume_compaction_run(fixture.store, options, &sums, &found, &error), "%s", error.message);
    return found;
}

static void compact_all(void) {
    struct error error = {0};
    cr_assert(volume_compaction_prepare(fixture.store, &half, &error), "%s", error.message);
    while (compact(&half)) {
    }
}

/* Removes all but every `keep`th. */
static void thin_out(uint64_t first, uint64_t count, uint64_t keep) {
    for (uint64_t i = first; i < first + count; i++) {
        if (i % keep != 0) {
            fixture_remove(&fixture, i);
        }
    }
}

static void check_thinned(uint64_t first, uint64_t count, uint64_t keep) {
    for (uint64_t i = first; i < first + count; i++) {
        if (i % keep == 0) {
            fixture_check_object(&fixture, i, SIZE);
        } else {
            cr_assert_not(fixture_has(&fixture, i));
        }
    }
}

static void lose_index(void) {
    fixture_close(&fixture);
    fixture_shell("rm -rf %s%s", fixture.index, "");
    fixture_open(&fixture);
}

static struct hot_object find(uint64_t number) {
    struct error error = {0};
    struct hot_object object;
    struct uuid id = fixture_payload_id(number);
    cr_assert(hot_store_find(fixture.store, &id, &object, &error), "%s", error.message);
    return object;
}

Test(volume_compaction, what_lives_is_moved_and_the_rest_is_freed) {
    fixture_now_us = 1234;
    fixture_store(&fixture, 0, 4 * IN_VOLUME, SIZE);
    fixture_now_us = 9999;
    thin_out(0, 4 * IN_VOLUME, 5);
    struct error error = {0};
    struct uuid id = fixture_payload_id(5);
    cr_assert(hot_store_note_cold_copy(fixture.store, &id, true, &error));
    struct hot_stats before = fixture_stats(&fixture);
    compact_all();
    struct hot_stats after = fixture_stats(&fixture);
    cr_assert_eq(sums.volumes, 4);
    cr_assert_eq(sums.moved_objects, 16);
    cr_assert_eq(sums.moved_bytes, 16 * SIZE);
    cr_assert_eq(sums.damaged_objects, 0);
    cr_assert_geq(sums.freed_bytes, before.disk_bytes); /* the last one got a seal */
    cr_assert_eq(after.objects, before.objects);
    cr_assert_eq(after.object_bytes, before.object_bytes);
    cr_assert_eq(after.garbage_bytes, 0);
    cr_assert_lt(after.disk_bytes, 17 * SIZE);
    for (int round = 0; round < 3; round++) {
        check_thinned(0, 4 * IN_VOLUME, 5);
        cr_assert_eq(fixture_stats(&fixture).objects, 16);
        cr_assert_eq(find(10).store_unix_us, 1234);
        cr_assert_eq(find(5).cold_copy_known, round < 2); /* which a lost index forgets */
        round == 1 ? lose_index() : fixture_reopen(&fixture);
    }
}

Test(volume_compaction, only_volumes_past_the_threshold_are_rewritten_worst_first) {
    fixture_store(&fixture, 0, 5 * IN_VOLUME, SIZE);
    thin_out(0, IN_VOLUME, 10);             /* volume 1: 90 % */
    thin_out(IN_VOLUME, 8, 100);            /* volume 2: 40 % */
    thin_out(2 * IN_VOLUME, IN_VOLUME, 20); /* volume 3: 95 % */
    cr_assert(compact(&half));
    cr_assert_eq(fixture_volume_size(&fixture, 3), 0);
    cr_assert_gt(fixture_volume_size(&fixture, 1), 0);
    cr_assert(compact(&half));
    cr_assert_eq(fixture_volume_size(&fixture, 1), 0);
    cr_assert_not(compact(&half));
    cr_assert_gt(fixture_volume_size(&fixture, 2), 0);
    struct volume_compaction_options third = {.garbage_percent = 33};
    cr_assert(compact(&third));
    cr_assert_eq(fixture_volume_size(&fixture, 2), 0);
    cr_assert_not(compact(&third));
    check_thinned(2 * IN_VOLUME, IN_VOLUME, 20);
}

Test(volume_compaction, a_volume_that_nobody_appends_to_is_sealed_when_it_is_worth_it) {
    fixture_store(&fixture, 0, 10, SIZE);
    thin_out(0, 4, 100);
    compact_all();
    cr_assert_eq(sums.volumes, 0);
    struct hot_appender *appender = fixture_appender(&fixture);
    fixture_append(appender, 10, SIZE); /* takes the volume */
    fixture_commit(appender);
    thin_out(0, 9, 100);
    compact_all();
    cr_assert_eq(sums.volumes, 0);
    hot_appender_close(appender);
    compact_all();
    cr_assert_eq(sums.volumes, 1);
    cr_assert_eq(fixture_volume_size(&fixture, 1), 0);
    fixture_check_object(&fixture, 9, SIZE);
    fixture_check_object(&fixture, 10, SIZE);
}

Test(volume_compaction, a_reader_goes_on_in_a_volume_that_is_rewritten) {
    struct error error = {0};
    fixture_store(&fixture, 0, 2 * IN_VOLUME, SIZE);
    thin_out(0, IN_VOLUME, 10);
    struct uuid id = fixture_payload_id(10);
    struct hot_reader *reader = hot_store_open_object(fixture.store, &id, &error);
    cr_assert_not_null(reader);
    compact_all();
    cr_assert_gt(fixture_volume_size(&fixture, 1), 0);
    fixture_check_object(&fixture, 10, SIZE); /* at its new place */
    fixture_remove(&fixture, 10);
    uint8_t *got = malloc(SIZE);
    uint8_t *want = malloc(SIZE);
    cr_assert_eq(hot_reader_read(reader, 0, got, SIZE, &error), SIZE);
    fixture_fill(10, 0, want, SIZE);
    cr_assert_eq(memcmp(got, want, SIZE), 0);
    free(got);
    free(want);
    hot_reader_close(reader);
    cr_assert_eq(fixture_volume_size(&fixture, 1), 0);
    lose_index();
    cr_assert_not(fixture_has(&fixture, 10));
    fixture_check_object(&fixture, 0, SIZE);
}

/* Does something once the compaction has copied so many bytes. */
struct meddler {
    uint64_t after_bytes;
    void (*meddle)(void);
    bool stop;
};

static bool meddle_when_due(void *self, uint64_t bytes) {
    struct meddler *meddler = self;
    if (meddler->after_bytes > bytes) {
        meddler->after_bytes -= bytes;
        return true;
    }
    if (meddler->meddle != NULL) {
        meddler->meddle();
        meddler->meddle = NULL;
    }
    return !meddler->stop;
}

static void remove_ten(void) {
    fixture_remove(&fixture, 10);
}

static void replace_ten(void) {
    fixture_now_us++;
    fixture_store(&fixture, 10, 1, SIZE);
}

static void remove_and_store_ten(void) {
    remove_ten();
    replace_ten();
}

static void note_ten_cold(void) {
    struct error error = {0};
    struct uuid id = fixture_payload_id(10);
    cr_assert(hot_store_note_cold_copy(fixture.store, &id, true, &error));
}

/* Objects 0 and 10 of volume 1 live; the meddler comes before, in, and after the copy of 10. */
static void meddle(void (*action)(void), uint64_t after_bytes, bool ten_lives) {
    struct meddler meddler = {.after_bytes = after_bytes, .meddle = action};
    struct volume_compaction_options options = {.garbage_percent = 50, .pace = meddle_when_due, .self = &meddler};
    fixture_store(&fixture, 0, 2 * IN_VOLUME, SIZE);
    thin_out(0, IN_VOLUME, 10);
    cr_assert(compact(&options));
    cr_assert(meddler.meddle == NULL, "it was never due");
    for (int round = 0; round < 3; round++) {
        fixture_check_object(&fixture, 0, SIZE);
        cr_assert_eq(fixture_has(&fixture, 10), ten_lives);
        if (ten_lives) {
            fixture_check_object(&fixture, 10, SIZE);
        }
        cr_assert_eq(fixture_stats(&fixture).objects, IN_VOLUME + 1 + (ten_lives ? 1 : 0));
        cr_assert_eq(fixture_volume_size(&fixture, 1), 0);
        round == 0 ? fixture_reopen(&fixture) : lose_index();
    }
    fixture_close(&fixture);
    fixture_shell("rm -r %s %s", fixture.volumes, fixture.index);
    fixture_open(&fixture);
}

static const uint64_t moments[] = {1, SIZE + 100, SIZE + 2000, 2 * SIZE};

Test(volume_compaction, an_object_removed_meanwhile_does_not_come_back) {
    for (size_t i = 0; i < sizeof moments / sizeof moments[0]; i++) {
        meddle(remove_ten, moments[i], false);
    }
}

Test(volume_compaction, an_object_stored_anew_meanwhile_is_there_once) {
    for (size_t i = 0; i < sizeof moments / sizeof moments[0]; i++) {
        meddle(replace_ten, moments[i], true);
        meddle(remove_and_store_ten, moments[i], true);
    }
}

Test(volume_compaction, a_cold_copy_noted_meanwhile_stays_known) {
    struct meddler meddler = {.after_bytes = SIZE + 2000, .meddle = note_ten_cold};
    struct volume_compaction_options options = {.garbage_percent = 50, .pace = meddle_when_due, .self = &meddler};
    fixture_store(&fixture, 0, 2 * IN_VOLUME, SIZE);
    thin_out(0, IN_VOLUME, 10);
    cr_assert(compact(&options));
    cr_assert(find(10).cold_copy_known);
    cr_assert_not(find(0).cold_copy_known);
}

Test(volume_compaction, a_stopped_compaction_leaves_all_as_it_was) {
    struct error error = {0};
    bool found;
    struct meddler meddler = {.after_bytes = SIZE + 2000, .stop = true};
    struct volume_compaction_options options = {.garbage_percent = 50, .pace = meddle_when_due, .self = &meddler};
    fixture_store(&fixture, 0, 2 * IN_VOLUME, SIZE);
    thin_out(0, IN_VOLUME, 10);
    struct hot_stats before = fixture_stats(&fixture);
    cr_assert_not(volume_compaction_run(fixture.store, &options, &sums, &found, &error));
    cr_assert_eq(error.code, ERROR_CANCELLED);
    struct hot_stats after = fixture_stats(&fixture);
    cr_assert_eq(after.objects, before.objects);
    cr_assert_eq(after.garbage_bytes, before.garbage_bytes);
    check_thinned(0, IN_VOLUME, 10);
    compact_all();
    check_thinned(0, IN_VOLUME, 10);
    cr_assert_eq(fixture_volume_size(&fixture, 1), 0);
}

static uint64_t offset_of(uint64_t number) {
    struct error error = {0};
    struct index_entry entry;
    struct uuid id = fixture_payload_id(number);
    bool found;
    fixture_close(&fixture);
    struct object_index *index = object_index_open(fixture.index, 1 << 20, &error);
    cr_assert_not_null(index, "%s", error.message);
    cr_assert(object_index_get(index, &id, &entry, &found, &error) && found);
    object_index_close(index);
    fixture_open(&fixture);
    return entry.offset;
}

static void check_quarantine(uint64_t number) {
    struct error error = {0};
    cr_assert_eq(sums.damaged_objects, 1);
    cr_assert_eq(sums.freed_bytes, 0);
    cr_assert_eq(fixture_stats(&fixture).quarantined_volumes, 1);
    cr_assert_gt(fixture_volume_size(&fixture, 1), 0);
    cr_assert_not(compact(&half), "it is not tried again and again");
    cr_assert_eq(fixture_try_read(&fixture, number, 0, SIZE, &error), -1);
    cr_assert_str_eq(error.reason, "OBJECT_CORRUPT");
}

/* Where byte `at` of object 10's needle is damaged. */
static void damage_and_compact(uint64_t at) {
    fixture_store(&fixture, 0, 2 * IN_VOLUME, SIZE);
    thin_out(0, IN_VOLUME, 5);
    fixture_flip(&fixture, 1, offset_of(10) + at, 0x20);
    compact_all();
    fixture_check_object(&fixture, 0, SIZE);
    fixture_check_object(&fixture, 5, SIZE);
    fixture_check_object(&fixture, 15, SIZE);
    cr_assert_eq(sums.moved_objects, 3);
    check_quarantine(10);
}

Test(volume_compaction, a_damaged_object_is_kept_where_it_is_until_a_whole_copy_comes) {
    damage_and_compact(20000);
    /* Its bytes are there for whoever can mend them. */
    fixture_flip(&fixture, 1, offset_of(10) + 20000, 0x20);
    fixture_check_object(&fixture, 10, SIZE);
    fixture_flip(&fixture, 1, offset_of(10) + 20000, 0x20);
    fixture_reopen(&fixture);
    sums = (struct volume_compaction){0};
    cr_assert(compact(&half), "a new start tries once");
    check_quarantine(10);
    fixture_now_us++;
    fixture_store(&fixture, 10, 1, SIZE);
    cr_assert_eq(fixture_volume_size(&fixture, 1), 0);
    cr_assert_eq(fixture_stats(&fixture).quarantined_volumes, 0);
    lose_index();
    fixture_check_object(&fixture, 10, SIZE);
}

Test(volume_compaction, an_object_with_a_damaged_header_is_found_and_kept) {
    damage_and_compact(60);
    fixture_remove(&fixture, 10);
    cr_assert_eq(fixture_volume_size(&fixture, 1), 0);
}

Test(volume_compaction, an_object_whose_whole_is_wrong_is_not_copied) {
    /* A checksum that is stored wrong, in the payload's sums: all blocks but one can be read. */
    fixture_store(&fixture, 0, 1, 300000);
    fixture_store(&fixture, 1, 3, 300000);
    fixture_remove(&fixture, 1);
    fixture_remove(&fixture, 2);
    fixture_flip(&fixture, 1, offset_of(0) + 300000 + 150, 1);
    compact_all();
    cr_assert_eq(sums.damaged_objects, 1);
    cr_assert_gt(fixture_volume_size(&fixture, 1), 0);
}

/* ---- random runs against a model ---- */

enum { MODEL_OBJECTS = 120, MODEL_STEPS = 400 };

static uint64_t model_sizes[MODEL_OBJECTS]; /* + 1; 0: not there */

static uint64_t random_size(unsigned *seed) {
    static const uint64_t sizes[] = {0, 10, 3000, 40000, 65536, 200000, 1500000};
    return sizes[(unsigned)rand_r(seed) % 7] + (unsigned)rand_r(seed) % 50;
}

static void check_model(unsigned seed) {
    struct hot_stats stats = fixture_stats(&fixture);
    uint64_t objects = 0;
    uint64_t bytes = 0;
    for (uint64_t i = 0; i < MODEL_OBJECTS; i++) {
        if (model_sizes[i] > 0) {
            fixture_check_object(&fixture, i, model_sizes[i] - 1);
            objects++;
            bytes += model_sizes[i] - 1;
        } else {
            cr_assert_not(fixture_has(&fixture, i), "object %llu, seed %u", (unsigned long long)i, seed);
        }
    }
    cr_assert_eq(stats.objects, objects, "seed %u", seed);
    cr_assert_eq(stats.object_bytes, bytes, "seed %u", seed);
}

static void store_model(uint64_t number, unsigned *seed) {
    uint64_t size = model_sizes[number] > 0 ? model_sizes[number] - 1 : random_size(seed);
    fixture_now_us++;
    fixture_store(&fixture, number, 1, size); /* anew where it is there */
    model_sizes[number] = size + 1;
}

static void run_model(unsigned number) {
    unsigned seed = number;
    struct volume_compaction_options options = {.garbage_percent = 1 + number % 60};
    memset(model_sizes, 0, sizeof model_sizes);
    for (int step = 0; step < MODEL_STEPS; step++) {
        uint64_t object = (unsigned)rand_r(&seed) % MODEL_OBJECTS;
        unsigned what = (unsigned)rand_r(&seed) % 100;
        struct error error = {0};
        if (what < 45) {
            store_model(object, &seed);
        } else if (what < 85) {
            fixture_remove(&fixture, object);
            model_sizes[object] = 0;
        } else if (what < 95) {
            cr_assert(volume_compaction_prepare(fixture.store, &options, &error), "%s", error.message);
            compact(&options);
        } else if (what < 98) {
            fixture_reopen(&fixture);
        } else {
            lose_index();
            check_model(number);
        }
    }
    check_model(number);
    while (compact(&options)) {
    }
    check_model(number);
    struct hot_stats stats = fixture_stats(&fixture);
    lose_index();
    check_model(number);
    cr_assert_eq(fixture_stats(&fixture).garbage_bytes, stats.garbage_bytes, "seed %u", number);
    cr_assert_eq(fixture_stats(&fixture).disk_bytes, stats.disk_bytes, "seed %u", number);
    fixture_close(&fixture);
    fixture_shell("rm -r %s %s", fixture.volumes, fixture.index);
    fixture_open(&fixture);
}

/* WAYBILL_SEED and WAYBILL_RUNS choose others. */
Test(volume_compaction, random_runs_agree_with_a_model_whatever_the_seed) {
    const char *first = getenv("WAYBILL_SEED");
    const char *runs = getenv("WAYBILL_RUNS");
    unsigned seed = first != NULL ? (unsigned)strtoul(first, NULL, 10) : 1;
    unsigned last = seed + (runs != NULL ? (unsigned)strtoul(runs, NULL, 10) : 8);
    for (; seed < last; seed++) {
        run_model(seed);
    }
    cr_assert_gt(sums.moved_objects, 0);
}
