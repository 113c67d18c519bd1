// rooms: object_hot
#include "object-svc/hot/object_index.h"
#include "tests/unit/object-svc/hot/hot_fixture.h"

static struct hot_fixture fixture;
static char old_index[128];
static char old_volumes[128];

static void start(void) {
    fixture_init(&fixture);
    snprintf(old_index, sizeof old_index, "%s/old-index", fixture.root);
    snprintf(old_volumes, sizeof old_volumes, "%s/old-volumes", fixture.root);
}

static void end(void) {
    fixture_end(&fixture);
}

TestSuite(volume_recovery, .init = start, .fini = end);

static void lose_index(void) {
    fixture_close(&fixture);
    fixture_shell("rm -rf %s%s", fixture.index, "");
}

static void check_range(uint64_t first, uint64_t count, uint64_t size) {
    for (uint64_t i = first; i < first + count; i++) {
        fixture_check_object(&fixture, i, size);
    }
}

static void check_all(uint64_t count, uint64_t size) {
    cr_assert_eq(fixture_stats(&fixture).objects, count);
    cr_assert_eq(fixture_stats(&fixture).object_bytes, count * size);
    check_range(0, count, size);
}

Test(volume_recovery, a_lost_index_is_rebuilt_from_the_volumes) {
    fixture_open(&fixture);
    fixture_store(&fixture, 0, 50, 50000);
    fixture_store(&fixture, 50, 50, 50000);
    struct hot_stats before = fixture_stats(&fixture);
    for (int round = 0; round < 2; round++) {
        lose_index();
        fixture_open(&fixture);
        check_all(100, 50000);
        struct hot_stats after = fixture_stats(&fixture);
        cr_assert_eq(after.garbage_bytes, before.garbage_bytes);
        cr_assert_eq(after.volumes, before.volumes);
        cr_assert_eq(after.disk_bytes, before.disk_bytes);
        fixture_reopen(&fixture);
        check_all(100, 50000);
    }
}

Test(volume_recovery, an_object_rebuilt_keeps_its_name_and_its_age) {
    fixture_open(&fixture);
    fixture_now_us = 5555;
    fixture_store(&fixture, 1, 1, 10);
    lose_index();
    fixture_now_us = 9999;
    fixture_open(&fixture);
    struct error error = {0};
    struct hot_object object;
    struct uuid id = fixture_payload_id(1);
    cr_assert(hot_store_find(fixture.store, &id, &object, &error));
    cr_assert_eq(object.store_unix_us, 5555);
    cr_assert_str_eq(object.bucket, "pictures");
    cr_assert_str_eq(object.key, "some/key-1");
    cr_assert_eq(object.version, 2);
}

Test(volume_recovery, of_two_copies_a_rebuild_takes_the_later_as_the_index_did) {
    fixture_open(&fixture);
    fixture_now_us = 100;
    fixture_store(&fixture, 0, 25, 50000); /* object 3 in the first volume */
    fixture_now_us = 200;
    fixture_store(&fixture, 3, 1, 50000); /* and again in the second */
    struct hot_stats before = fixture_stats(&fixture);
    lose_index();
    fixture_open(&fixture);
    check_all(25, 50000);
    cr_assert_eq(fixture_stats(&fixture).garbage_bytes, before.garbage_bytes);
    struct error error = {0};
    struct hot_object object;
    struct uuid id = fixture_payload_id(3);
    cr_assert(hot_store_find(fixture.store, &id, &object, &error));
    cr_assert_eq(object.store_unix_us, 200);
}

Test(volume_recovery, a_damaged_index_is_set_aside_and_rebuilt) {
    static const char *const damages[] = {
        "for f in %s/MANIFEST-*; do head -c 5000 /dev/zero | tr '\\0' x > $f; done%s",
        "for f in %s/*.ldb; do head -c 300 /dev/zero | tr '\\0' x > $f; done%s",
        "rm -f %s/*.ldb%s",
        "echo MANIFEST-999999 > %s/CURRENT%s",
    };
    fixture_open(&fixture);
    fixture_store(&fixture, 0, 100, 500);
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        fixture_reopen(&fixture); /* so that the entries are in a table */
        fixture_close(&fixture);
        fixture_shell(damages[i], fixture.index, "");
        fixture_open(&fixture);
        check_all(100, 500);
        fixture_shell("test -e %s.corrupt/CURRENT%s", fixture.index, "");
    }
}

Test(volume_recovery, an_index_that_is_in_use_is_not_taken_for_damaged) {
    fixture_open(&fixture);
    struct error error = {0};
    cr_assert_null(volume_store_open(&fixture.options, &error));
    cr_assert_str_eq(error.reason, "OBJECT_INDEX_FAILED");
    fixture_shell("test ! -e %s.corrupt%s", fixture.index, "");
}

Test(volume_recovery, an_index_older_than_the_volumes_catches_up) {
    fixture_open(&fixture);
    fixture_store(&fixture, 0, 5, 30000);
    fixture_close(&fixture);
    fixture_copy(fixture.index, old_index);
    fixture_open(&fixture);
    fixture_store(&fixture, 5, 60, 30000);
    fixture_close(&fixture);
    fixture_copy(old_index, fixture.index);
    for (int round = 0; round < 2; round++) {
        fixture_open(&fixture);
        check_all(65, 30000);
        fixture_close(&fixture);
    }
}

static void remove_range(uint64_t first, uint64_t count) {
    for (uint64_t i = first; i < first + count; i++) {
        fixture_remove(&fixture, i);
    }
}

Test(volume_recovery, removals_outlive_an_index_that_forgot_them_or_was_lost) {
    fixture_open(&fixture);
    fixture_store(&fixture, 0, 40, 50000); /* in a sealed volume, and in an open one */
    fixture_close(&fixture);
    fixture_copy(fixture.index, old_index);
    fixture_open(&fixture);
    remove_range(0, 5);
    remove_range(30, 5);
    struct hot_stats before = fixture_stats(&fixture);
    fixture_close(&fixture);
    for (int round = 0; round < 3; round++) {
        fixture_copy(old_index, fixture.index);
        if (round > 0) {
            lose_index();
        }
        fixture_open(&fixture);
        cr_assert_eq(fixture_stats(&fixture).objects, 30);
        cr_assert_eq(fixture_stats(&fixture).garbage_bytes, before.garbage_bytes);
        for (uint64_t i = 0; i < 40; i++) {
            bool removed = i < 5 || (i >= 30 && i < 35);
            cr_assert_eq(fixture_has(&fixture, i), !removed);
        }
        check_range(5, 25, 50000);
        check_range(35, 5, 50000);
        fixture_close(&fixture);
    }
}

/* Power loss may take the newest marks of a dead list, and what the index knew of them. */
Test(volume_recovery, removals_that_index_and_dead_list_forgot_come_back_readable) {
    fixture_open(&fixture);
    fixture_store(&fixture, 0, 10, 1000);
    fixture_close(&fixture);
    fixture_copy(fixture.index, old_index);
    fixture_open(&fixture);
    remove_range(0, 5);
    fixture_close(&fixture);
    fixture_shell("truncate -s 64 %s/volume-0000000000000001.dead%s", fixture.volumes, "");
    fixture_copy(old_index, fixture.index);
    fixture_open(&fixture);
    cr_assert_eq(fixture_stats(&fixture).objects, 8);
    check_range(2, 8, 1000);
}

Test(volume_recovery, marks_that_come_after_a_shortened_dead_list_count) {
    fixture_open(&fixture);
    fixture_store(&fixture, 0, 10, 1000);
    remove_range(0, 5);
    fixture_close(&fixture);
    fixture_shell("truncate -s 50 %s/volume-0000000000000001.dead%s", fixture.volumes, "");
    fixture_open(&fixture);
    check_range(5, 5, 1000);
    fixture_close(&fixture);
    fixture_copy(fixture.index, old_index);
    fixture_open(&fixture);
    remove_range(7, 1);
    fixture_close(&fixture);
    fixture_copy(old_index, fixture.index);
    fixture_open(&fixture);
    cr_assert_not(fixture_has(&fixture, 7));
    cr_assert_eq(fixture_stats(&fixture).objects, 4);
}

Test(volume_recovery, a_damaged_mark_costs_no_live_object) {
    fixture_open(&fixture);
    fixture_store(&fixture, 0, 10, 1000);
    remove_range(0, 3);
    lose_index();
    fixture_shell("printf x | dd of=%s/volume-0000000000000001.dead bs=1 seek=45 conv=notrunc status=none%s",
                  fixture.volumes, "");
    fixture_open(&fixture);
    cr_assert_not(fixture_has(&fixture, 0));
    cr_assert_not(fixture_has(&fixture, 2));
    check_range(3, 7, 1000);
    check_range(1, 1, 1000); /* whose mark it was */
}

Test(volume_recovery, a_dead_list_goes_with_its_volume_or_at_the_next_start) {
    fixture_open(&fixture);
    fixture_store(&fixture, 0, 30, 50000);
    remove_range(0, 22);
    fixture_shell("test ! -e %s/volume-0000000000000001.dead%s", fixture.volumes, "");
    fixture_shell("touch %s/volume-0000000000000001.dead %s/volume-00000000000000aa.dead", fixture.volumes,
                  fixture.volumes);
    fixture_reopen(&fixture);
    fixture_shell("test ! -e %s/volume-0000000000000001.dead -a ! -e %s/volume-00000000000000aa.dead", fixture.volumes,
                  fixture.volumes);
    check_range(22, 8, 50000);
}

/* Of two copies of a payload without a mark, which a crash can leave, the whole one counts. */
Test(volume_recovery, of_two_copies_a_rebuild_takes_the_one_that_is_whole) {
    for (uint64_t damaged = 1; damaged <= 2; damaged++) {
        fixture_open(&fixture);
        fixture_now_us = 100;
        fixture_store(&fixture, 0, 25, 50000); /* object 3 in the first volume */
        fixture_now_us = 200;
        fixture_store(&fixture, 3, 1, 50000); /* and again in the second */
        lose_index();
        fixture_shell("rm %s/*.dead%s", fixture.volumes, "");
        fixture_flip(&fixture, damaged, damaged == 1 ? 512 + 3 * 50200 + 9000 : fixture_volume_size(&fixture, 2) - 9000,
                     1);
        for (int round = 0; round < 2; round++) {
            fixture_open(&fixture);
            check_all(25, 50000);
            lose_index();
        }
        fixture_shell("rm -r %s%s", fixture.volumes, "");
    }
}

/* LevelDB may lose a piece from the middle of its log: one object's entry here, while what came
 * after it is there. */
Test(volume_recovery, a_hole_in_the_index_is_noticed_and_filled) {
    fixture_open(&fixture);
    fixture_store(&fixture, 0, 30, 50000);
    fixture_close(&fixture);
    for (uint64_t lost = 3; lost < 30; lost += 20) { /* in a sealed volume, and in an open one */
        struct error error = {0};
        struct index_entry entry;
        struct uuid id = fixture_payload_id(lost);
        bool found;
        struct object_index *index = object_index_open(fixture.index, 1 << 20, &error);
        cr_assert_not_null(index, "%s", error.message);
        cr_assert(object_index_get(index, &id, &entry, &found, &error) && found);
        struct object_index_batch *batch = object_index_batch_new();
        object_index_batch_remove(batch, &entry);
        cr_assert(object_index_write(index, batch, true, &error));
        object_index_batch_free(batch);
        object_index_close(index);
        fixture_open(&fixture);
        check_all(30, 50000);
        fixture_close(&fixture);
    }
}

Test(volume_recovery, an_entry_that_came_back_for_a_deleted_volume_is_dropped) {
    fixture_open(&fixture);
    fixture_store(&fixture, 0, 30, 50000);
    for (uint64_t i = 0; i < 22; i++) {
        fixture_remove(&fixture, i);
    }
    cr_assert_eq(fixture_volume_size(&fixture, 1), 0);
    fixture_close(&fixture);
    struct error error = {0};
    struct index_entry entry = {.object = {.bucket = "pictures",
                                           .key = "k",
                                           .version = 1,
                                           .payload_id = fixture_payload_id(5),
                                           .size_bytes = 50000},
                                .volume = 1,
                                .offset = 512,
                                .needle_bytes = 50200};
    struct object_index *index = object_index_open(fixture.index, 1 << 20, &error);
    cr_assert_not_null(index, "%s", error.message);
    struct object_index_batch *batch = object_index_batch_new();
    object_index_batch_put(batch, &entry);
    cr_assert(object_index_write(index, batch, true, &error));
    object_index_batch_free(batch);
    object_index_close(index);
    for (int round = 0; round < 3; round++) {
        fixture_open(&fixture);
        cr_assert_not(fixture_has(&fixture, 5));
        cr_assert_eq(fixture_stats(&fixture).objects, 8);
        fixture_close(&fixture);
    }
}

/* The state that power loss leaves: flushed bytes whole, the batch after them in part. */
static void tear_at(uint64_t cut, const char *whole) {
    char path[160];
    fixture_volume_path(&fixture, 1, path);
    fixture_copy(old_index, fixture.index);
    fixture_copy(whole, path);
    cr_assert_eq(truncate(path, (off_t)cut), 0);
}

Test(volume_recovery, a_torn_tail_is_cut_wherever_it_was_torn) {
    char whole[192];
    char path[160];
    snprintf(whole, sizeof whole, "%s/whole", fixture.root);
    fixture_open(&fixture);
    fixture_store(&fixture, 0, 3, 1000);
    fixture_close(&fixture);
    uint64_t flushed = fixture_volume_size(&fixture, 1);
    fixture_copy(fixture.index, old_index);
    fixture_open(&fixture);
    fixture_store(&fixture, 3, 1, 500);
    uint64_t middle = fixture_volume_size(&fixture, 1);
    fixture_store(&fixture, 4, 1, 500);
    fixture_close(&fixture);
    uint64_t size = fixture_volume_size(&fixture, 1);
    fixture_volume_path(&fixture, 1, path);
    fixture_copy(path, whole);
    for (uint64_t cut = flushed; cut <= size; cut += cut % 5 + 20) {
        tear_at(cut, whole);
        fixture_open(&fixture);
        check_range(0, 3, 1000);
        cr_assert_eq(fixture_has(&fixture, 3), cut >= middle, "cut at %llu", (unsigned long long)cut);
        cr_assert_eq(fixture_has(&fixture, 4), cut >= size, "cut at %llu", (unsigned long long)cut);
        cr_assert_eq(fixture_volume_size(&fixture, 1), cut >= size ? size : cut >= middle ? middle : flushed);
        /* The volume goes on where it was cut. */
        fixture_store(&fixture, 9, 1, 2000);
        fixture_reopen(&fixture);
        check_range(0, 3, 1000);
        fixture_check_object(&fixture, 9, 2000);
        fixture_close(&fixture);
    }
}

/* Write-back is not in order: later bytes may be there where earlier ones are not. */
Test(volume_recovery, an_unflushed_batch_with_holes_yields_only_its_whole_objects) {
    fixture_open(&fixture);
    fixture_store(&fixture, 0, 3, 1000);
    uint64_t flushed = fixture_volume_size(&fixture, 1);
    fixture_close(&fixture);
    fixture_copy(fixture.index, old_index);
    fixture_open(&fixture);
    fixture_store(&fixture, 3, 5, 10000);
    fixture_close(&fixture);
    fixture_copy(old_index, fixture.index);
    uint64_t needle = (fixture_volume_size(&fixture, 1) - flushed) / 5;
    fixture_flip(&fixture, 1, flushed + 2, 0xff);              /* the header of object 3 */
    fixture_flip(&fixture, 1, flushed + 2 * needle + 5000, 1); /* the payload of object 5 */
    for (int round = 0; round < 3; round++) {
        fixture_open(&fixture);
        check_range(0, 3, 1000);
        cr_assert_not(fixture_has(&fixture, 3));
        fixture_check_object(&fixture, 4, 10000);
        cr_assert_not(fixture_has(&fixture, 5));
        check_range(6, 2, 10000);
        if (round == 0) {
            fixture_store(&fixture, 3, 1, 10000);
            fixture_store(&fixture, 5, 1, 10000);
            check_range(3, 5, 10000);
            fixture_remove(&fixture, 3);
            fixture_remove(&fixture, 5);
        }
        fixture_close(&fixture);
    }
}

Test(volume_recovery, objects_after_a_damaged_one_survive_the_loss_of_the_index) {
    fixture_open(&fixture);
    for (uint64_t i = 0; i < 10; i++) {
        fixture_store(&fixture, i, 1, 70000);
    }
    uint64_t needle = (fixture_volume_size(&fixture, 1) - 512) / 10;
    lose_index();
    fixture_flip(&fixture, 1, 512 + 2 * needle + 9, 1);     /* the header of object 2 */
    fixture_flip(&fixture, 1, 512 + 5 * needle + 66000, 1); /* the payload of object 5, which was flushed */
    fixture_open(&fixture);
    struct error error = {0};
    check_range(0, 2, 70000);
    cr_assert_not(fixture_has(&fixture, 2));
    check_range(3, 2, 70000);
    cr_assert(fixture_has(&fixture, 5), "what is damaged must be found, not missing");
    cr_assert_eq(fixture_try_read(&fixture, 5, 0, 70000, &error), -1);
    cr_assert_eq(error.code, ERROR_DATA_LOSS);
    check_range(6, 4, 70000);
}

/* A payload may hold whole needles: a copy of a volume, say. */
Test(volume_recovery, needles_inside_a_payload_are_not_taken_for_needles) {
    fixture_open(&fixture);
    fixture_store(&fixture, 0, 3, 1000);
    char path[160];
    uint8_t copy[8192] = {0};
    fixture_volume_path(&fixture, 1, path);
    FILE *file = fopen(path, "r");
    size_t size = fread(copy, 1, sizeof copy, file);
    fclose(file);
    uint64_t outer = fixture_volume_size(&fixture, 1);
    struct fixture_names names;
    struct error error = {0};
    struct provenance provenance = fixture_provenance(50, size, &names);
    provenance.crc32c = crc32c(bytes_of(copy, size));
    struct hot_appender *appender = fixture_appender(&fixture);
    cr_assert(hot_appender_begin(appender, &provenance, &error));
    cr_assert(hot_appender_append(appender, bytes_of(copy, size), &error));
    cr_assert(hot_appender_finish(appender, &error), "%s", error.message);
    fixture_commit(appender);
    hot_appender_close(appender);
    fixture_store(&fixture, 4, 1, 1000);
    lose_index();
    /* The outer needle's header and the true objects are damaged: a search runs through the
     * payload, and its copies are all that could be found. */
    fixture_flip(&fixture, 1, outer + 1, 1);
    for (uint64_t i = 0; i < 3; i++) {
        fixture_flip(&fixture, 1, 512 + i * (outer - 512) / 3 + 1, 1);
    }
    fixture_open(&fixture);
    fixture_check_object(&fixture, 4, 1000);
    cr_assert_eq(fixture_stats(&fixture).objects, 1);
}

Test(volume_recovery, a_missing_volume_stops_the_start_and_says_so) {
    fixture_open(&fixture);
    fixture_store(&fixture, 0, 40, 50000);
    fixture_close(&fixture);
    char path[160];
    struct error error = {0};
    fixture_volume_path(&fixture, 1, path);
    cr_assert_eq(unlink(path), 0);
    cr_assert_null(fixture_try_open(&fixture, &error));
    cr_assert_eq(error.code, ERROR_FAILED_PRECONDITION);
    cr_assert_str_eq(error.reason, "HOT_VOLUME_MISSING");
    cr_assert_not_null(strstr(error.message, "volume-0000000000000001.wbv"));
    lose_index();
    fixture_open(&fixture);
    cr_assert_gt(fixture_stats(&fixture).objects, 0);
    check_range(30, 10, 50000);
}

Test(volume_recovery, a_volume_that_was_never_flushed_is_removed) {
    fixture_open(&fixture);
    fixture_store(&fixture, 0, 1, 100);
    fixture_close(&fixture);
    char path[160];
    fixture_volume_path(&fixture, 2, path);
    fixture_shell("touch %s%s", path, "");
    fixture_volume_path(&fixture, 3, path);
    fixture_shell("head -c 300 /dev/zero > %s%s", path, "");
    fixture_volume_path(&fixture, 4, path);
    fixture_shell("head -c 5000 /dev/zero > %s%s", path, "");
    fixture_open(&fixture);
    cr_assert_eq(fixture_stats(&fixture).volumes, 1);
    fixture_store(&fixture, 1, 30, 50000);
    check_range(1, 30, 50000);
}

Test(volume_recovery, a_damaged_volume_header_costs_nothing_while_the_index_lives) {
    fixture_open(&fixture);
    fixture_store(&fixture, 0, 5, 1000);
    fixture_close(&fixture);
    fixture_flip(&fixture, 1, 100, 1);
    fixture_open(&fixture);
    check_all(5, 1000);
    fixture_store(&fixture, 5, 5, 1000);
    fixture_reopen(&fixture);
    check_all(10, 1000);
    /* With the index gone too, the volume is kept under another name. */
    lose_index();
    fixture_open(&fixture);
    cr_assert_eq(fixture_stats(&fixture).objects, 0);
    fixture_shell("test -e %s/volume-0000000000000001.wbv.corrupt%s", fixture.volumes, "");
}

Test(volume_recovery, a_deleted_volume_that_comes_back_is_deleted_again) {
    fixture_open(&fixture);
    fixture_store(&fixture, 0, 30, 50000);
    fixture_close(&fixture);
    fixture_copy(fixture.volumes, old_volumes);
    fixture_open(&fixture);
    for (uint64_t i = 0; i < 22; i++) {
        fixture_remove(&fixture, i);
    }
    cr_assert_eq(fixture_volume_size(&fixture, 1), 0);
    fixture_close(&fixture);
    fixture_copy(old_volumes, fixture.volumes);
    fixture_open(&fixture);
    cr_assert_eq(fixture_volume_size(&fixture, 1), 0);
    cr_assert_eq(fixture_stats(&fixture).objects, 8);
    check_range(22, 8, 50000);
}

Test(volume_recovery, many_objects_are_there_after_reopening) {
    fixture.options.volume_bytes = 4 << 20;
    fixture_open(&fixture);
    for (uint64_t i = 0; i < 25; i++) {
        fixture_store(&fixture, i * 2000, 2000, 20);
    }
    for (int round = 0; round < 2; round++) {
        cr_assert_eq(fixture_stats(&fixture).objects, 50000);
        for (uint64_t i = 0; i < 50000; i += 97) {
            fixture_check_object(&fixture, i, 20);
        }
        lose_index();
        fixture_open(&fixture);
    }
}

/* The flushes that the store asked for are what survives: everything else of the volumes and of
 * the index is rolled back to the last commit that came before. */
Test(volume_recovery, every_committed_object_survives_a_crash_at_any_commit) {
    fixture_open(&fixture);
    for (uint64_t i = 0; i < 12; i++) {
        fixture_store(&fixture, i * 4, 4, 30000);
        struct hot_appender *appender = fixture_appender(&fixture);
        fixture_append(appender, 1000 + i, 40000);
        /* The process dies here: the store's files as they are, without a close. */
        fixture_copy(fixture.volumes, old_volumes);
        fixture_copy(fixture.index, old_index);
        hot_appender_close(appender);
        fixture_close(&fixture);
        fixture_copy(old_volumes, fixture.volumes);
        fixture_copy(old_index, fixture.index);
        fixture_open(&fixture);
        check_range(0, i * 4 + 4, 30000);
    }
}
