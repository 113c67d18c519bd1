// rooms: object_hot
#include "tests/unit/object-svc/hot/hot_fixture.h"

static struct hot_fixture fixture;

static void start(void) {
    fixture_init(&fixture);
}

static void end(void) {
    fixture_end(&fixture);
}

TestSuite(volume_store, .init = start, .fini = end);

Test(volume_store, objects_of_all_sizes_come_back_byte_for_byte) {
    static const uint64_t sizes[] = {0,     1,      7,      8,      100,    65535,   65536,
                                     65537, 131071, 131072, 131073, 300000, 1048576, 5000001};
    fixture_open(&fixture);
    struct hot_appender *appender = fixture_appender(&fixture);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        fixture_append(appender, i, sizes[i]);
    }
    fixture_commit(appender);
    hot_appender_close(appender);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            fixture_check_object(&fixture, i, sizes[i]);
        }
        fixture_reopen(&fixture);
    }
}

Test(volume_store, a_stream_larger_than_a_volume_comes_back_byte_for_byte) {
    fixture.options.sync_every_bytes = 8 << 20;
    fixture_open(&fixture);
    const uint64_t size = (UINT64_C(110) << 20) + 12345;
    struct hot_appender *appender = fixture_appender(&fixture);
    struct error error = {0};
    cr_assert(fixture_try_append(appender, 1, size, 1000003, &error), "%s", error.message);
    fixture_commit(appender);
    hot_appender_close(appender);
    fixture_reopen(&fixture);
    fixture_check_object(&fixture, 1, size);
}

Test(volume_store, ranges_are_right_at_and_around_block_edges) {
    fixture_open(&fixture);
    const uint64_t size = 3 * 65536 + 100;
    fixture_store(&fixture, 1, 1, size);
    static const uint64_t edges[] = {0,      1,      65535,  65536,  65537,  131071, 131072, 196607,
                                     196608, 196609, 196700, 196707, 196708, 196709, 1000000};
    static const size_t lengths[] = {0, 1, 2, 100, 65535, 65536, 65537, 131072, 131073, 400000};
    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++) {
        for (size_t j = 0; j < sizeof lengths / sizeof lengths[0]; j++) {
            struct error error = {0};
            int64_t left = edges[i] < size ? (int64_t)(size - edges[i]) : 0;
            int64_t want = (int64_t)lengths[j] < left ? (int64_t)lengths[j] : left;
            int64_t got = fixture_try_read(&fixture, 1, edges[i], lengths[j], &error);
            cr_assert_eq(got, want, "offset %llu, size %zu: %s", (unsigned long long)edges[i], lengths[j],
                         error.message);
        }
    }
}

Test(volume_store, provenance_comes_back_whole) {
    fixture_open(&fixture);
    struct fixture_names names;
    struct provenance given = fixture_provenance(3, 5, &names);
    given.has_sha256 = true;
    memset(given.sha256, 0xab, sizeof given.sha256);
    static uint8_t descriptor[100000];
    fixture_fill(9, 0, descriptor, sizeof descriptor);
    given.descriptor = bytes_of(descriptor, sizeof descriptor);
    struct hot_appender *appender = fixture_appender(&fixture);
    struct error error = {0};
    uint8_t payload[5];
    fixture_fill(3, 0, payload, sizeof payload);
    fixture_now_us = 424242;
    cr_assert(hot_appender_begin(appender, &given, &error), "%s", error.message);
    cr_assert(hot_appender_append(appender, bytes_of(payload, sizeof payload), &error), "%s", error.message);
    cr_assert(hot_appender_finish(appender, &error), "%s", error.message);
    fixture_commit(appender);
    hot_appender_close(appender);

    struct hot_reader *reader = hot_store_open_object(fixture.store, &given.payload_id, &error);
    cr_assert_not_null(reader, "%s", error.message);
    const struct provenance *got = hot_reader_provenance(reader);
    cr_assert_str_eq(got->bucket, given.bucket);
    cr_assert_str_eq(got->key, given.key);
    cr_assert_str_eq(got->content_type, given.content_type);
    cr_assert(bytes_equal(got->descriptor, given.descriptor));
    cr_assert_eq(got->version, given.version);
    cr_assert(uuid_equal(&got->payload_id, &given.payload_id));
    cr_assert_eq(got->size_bytes, 5);
    cr_assert_eq(got->crc32c, given.crc32c);
    cr_assert(got->has_sha256);
    cr_assert_eq(memcmp(got->sha256, given.sha256, sizeof given.sha256), 0);
    cr_assert_eq(got->commit_unix_us, 77);
    cr_assert_eq(got->store_unix_us, 424242);
    hot_reader_close(reader);
}

Test(volume_store, nothing_is_visible_before_the_commit) {
    fixture_open(&fixture);
    struct hot_appender *appender = fixture_appender(&fixture);
    fixture_append(appender, 1, 100);
    cr_assert_not(fixture_has(&fixture, 1));
    fixture_commit(appender);
    cr_assert(fixture_has(&fixture, 1));
    hot_appender_close(appender);
}

Test(volume_store, a_payload_that_is_not_as_announced_is_refused_and_leaves_the_batch_whole) {
    fixture_open(&fixture);
    struct hot_appender *appender = fixture_appender(&fixture);
    struct error error = {0};
    struct fixture_names names;
    fixture_append(appender, 1, 70000);

    struct provenance wrong = fixture_provenance(2, 50000, &names);
    static uint8_t payload[50000];
    fixture_fill(2, 0, payload, sizeof payload);
    payload[31234] ^= 1;
    cr_assert(hot_appender_begin(appender, &wrong, &error));
    cr_assert(hot_appender_append(appender, bytes_of(payload, sizeof payload), &error));
    cr_assert_not(hot_appender_finish(appender, &error));
    cr_assert_eq(error.code, ERROR_DATA_LOSS);
    cr_assert_str_eq(error.reason, "PAYLOAD_CORRUPT");

    cr_assert(hot_appender_begin(appender, &wrong, &error));
    cr_assert(hot_appender_append(appender, bytes_of(payload, 49999), &error));
    cr_assert_not(hot_appender_finish(appender, &error));
    cr_assert_str_eq(error.reason, "PAYLOAD_CORRUPT");

    cr_assert(hot_appender_begin(appender, &wrong, &error));
    cr_assert(hot_appender_append(appender, bytes_of(payload, 50000), &error));
    cr_assert_not(hot_appender_append(appender, bytes_of(payload, 1), &error));
    cr_assert_str_eq(error.reason, "PAYLOAD_CORRUPT");

    fixture_append(appender, 3, 80000);
    fixture_commit(appender);
    hot_appender_close(appender);
    for (int round = 0; round < 2; round++) {
        fixture_check_object(&fixture, 1, 70000);
        cr_assert_not(fixture_has(&fixture, 2));
        fixture_check_object(&fixture, 3, 80000);
        cr_assert_eq(fixture_stats(&fixture).garbage_bytes, 0);
        fixture_reopen(&fixture);
    }
}

Test(volume_store, an_aborted_or_uncommitted_object_leaves_no_trace) {
    fixture_open(&fixture);
    struct hot_appender *appender = fixture_appender(&fixture);
    struct error error = {0};
    struct fixture_names names;
    fixture_store(&fixture, 1, 1, 1000);
    struct provenance provenance = fixture_provenance(2, 100000, &names);
    static uint8_t payload[60000];
    cr_assert(hot_appender_begin(appender, &provenance, &error));
    cr_assert(hot_appender_append(appender, bytes_of(payload, sizeof payload), &error));
    hot_appender_abort(appender);
    fixture_append(appender, 3, 200000);
    hot_appender_close(appender);
    fixture_reopen(&fixture);
    cr_assert(fixture_has(&fixture, 1));
    cr_assert_not(fixture_has(&fixture, 2));
    cr_assert_not(fixture_has(&fixture, 3));
    cr_assert_eq(fixture_stats(&fixture).garbage_bytes, 0);
}

Test(volume_store, bad_provenance_is_refused) {
    fixture_open(&fixture);
    struct hot_appender *appender = fixture_appender(&fixture);
    struct error error = {0};
    struct fixture_names names;
    struct provenance provenance = fixture_provenance(1, 1, &names);
    provenance.bucket = "Not A Bucket";
    cr_assert_not(hot_appender_begin(appender, &provenance, &error));
    cr_assert_eq(error.code, ERROR_INVALID_ARGUMENT);
    provenance = fixture_provenance(1, 1, &names);
    provenance.key = "a/../b";
    cr_assert_not(hot_appender_begin(appender, &provenance, &error));
    provenance = fixture_provenance(1, 1, &names);
    provenance.version = 0;
    cr_assert_not(hot_appender_begin(appender, &provenance, &error));
    static uint8_t large[PROVENANCE_DESCRIPTOR_MAX_BYTES + 1];
    provenance = fixture_provenance(1, 1, &names);
    provenance.descriptor = bytes_of(large, sizeof large);
    cr_assert_not(hot_appender_begin(appender, &provenance, &error));
    cr_assert_str_eq(error.reason, "DESCRIPTOR_TOO_LARGE");
    hot_appender_close(appender);
}

Test(volume_store, one_batch_takes_a_payload_once_and_no_more_than_its_limit) {
    fixture_open(&fixture);
    struct hot_appender *appender = fixture_appender(&fixture);
    struct error error = {0};
    fixture_append(appender, 0, 10);
    cr_assert_not(fixture_try_append(appender, 0, 10, 10, &error));
    cr_assert_str_eq(error.reason, "PAYLOAD_ALREADY_APPENDED");
    for (uint64_t i = 1; i < HOT_BATCH_MAX_OBJECTS; i++) {
        fixture_append(appender, i, 1);
    }
    cr_assert_not(fixture_try_append(appender, HOT_BATCH_MAX_OBJECTS, 1, 1, &error));
    cr_assert_str_eq(error.reason, "HOT_BATCH_FULL");
    fixture_commit(appender);
    fixture_append(appender, HOT_BATCH_MAX_OBJECTS, 1);
    fixture_commit(appender);
    hot_appender_close(appender);
    cr_assert_eq(fixture_stats(&fixture).objects, HOT_BATCH_MAX_OBJECTS + 1);
}

Test(volume_store, volumes_are_sealed_at_their_size_and_stats_add_up) {
    fixture_open(&fixture);
    for (uint64_t i = 0; i < 10; i++) {
        fixture_store(&fixture, i * 10, 10, 50000);
    }
    for (int round = 0; round < 2; round++) {
        struct hot_stats stats = fixture_stats(&fixture);
        cr_assert_eq(stats.objects, 100);
        cr_assert_eq(stats.object_bytes, 5000000);
        cr_assert_eq(stats.volumes, 5);
        for (uint64_t id = 1; id <= 5; id++) {
            uint64_t size = fixture_volume_size(&fixture, id);
            cr_assert(size > 512 && size <= 1024 * 1024 + 136, "volume %llu has %llu bytes", (unsigned long long)id,
                      (unsigned long long)size);
        }
        for (uint64_t i = 0; i < 100; i++) {
            fixture_check_object(&fixture, i, 50000);
        }
        fixture_reopen(&fixture);
    }
}

Test(volume_store, appenders_are_limited_and_work_side_by_side) {
    fixture.options.max_appenders = 2;
    fixture_open(&fixture);
    struct error error = {0};
    struct hot_appender *first = fixture_appender(&fixture);
    struct hot_appender *second = fixture_appender(&fixture);
    cr_assert_null(hot_store_open_appender(fixture.store, &error));
    cr_assert_str_eq(error.reason, "HOT_APPENDERS_EXHAUSTED");
    fixture_append(first, 1, 100);
    fixture_append(second, 2, 100);
    fixture_commit(second);
    cr_assert_not(fixture_has(&fixture, 1));
    cr_assert(fixture_has(&fixture, 2));
    fixture_commit(first);
    hot_appender_close(first);
    hot_appender_close(second);
    fixture_reopen(&fixture);
    fixture_check_object(&fixture, 1, 100);
    fixture_check_object(&fixture, 2, 100);
}

Test(volume_store, a_removed_object_is_gone_and_a_volume_of_garbage_is_deleted) {
    fixture_open(&fixture);
    fixture_store(&fixture, 0, 40, 50000); /* 20 and some fill a volume */
    cr_assert_eq(fixture_stats(&fixture).volumes, 2);
    for (uint64_t i = 0; i < 19; i++) {
        fixture_remove(&fixture, i);
        cr_assert_not(fixture_has(&fixture, i));
    }
    cr_assert_gt(fixture_stats(&fixture).garbage_bytes, 19 * 50000);
    fixture_reopen(&fixture);
    cr_assert_not(fixture_has(&fixture, 3));
    cr_assert(fixture_volume_size(&fixture, 1) > 0);
    for (uint64_t i = 19; i < 22; i++) {
        fixture_remove(&fixture, i);
    }
    cr_assert_eq(fixture_volume_size(&fixture, 1), 0, "the volume's file is still there");
    cr_assert_eq(fixture_stats(&fixture).volumes, 1);
    for (int round = 0; round < 3; round++) {
        fixture_reopen(&fixture);
        cr_assert_eq(fixture_stats(&fixture).volumes, 1);
        for (uint64_t i = 22; i < 40; i++) {
            fixture_check_object(&fixture, i, 50000);
        }
    }
    /* Removing what is not there, and twice the same, is fine. */
    struct error error = {0};
    struct uuid ids[] = {fixture_payload_id(30), fixture_payload_id(999), fixture_payload_id(30)};
    cr_assert(hot_store_remove(fixture.store, ids, 3, &error), "%s", error.message);
    cr_assert_eq(fixture_stats(&fixture).objects, 17);
}

Test(volume_store, a_reader_keeps_its_object_while_it_is_removed) {
    fixture_open(&fixture);
    struct error error = {0};
    fixture_store(&fixture, 0, 22, 50000);
    struct uuid id = fixture_payload_id(5);
    struct hot_reader *reader = hot_store_open_object(fixture.store, &id, &error);
    cr_assert_not_null(reader, "%s", error.message);
    for (uint64_t i = 0; i < 22; i++) {
        fixture_remove(&fixture, i);
    }
    uint8_t got[50000];
    uint8_t want[50000];
    cr_assert_eq(hot_reader_read(reader, 0, got, sizeof got, &error), (int64_t)sizeof got, "%s", error.message);
    fixture_fill(5, 0, want, sizeof want);
    cr_assert_eq(memcmp(got, want, sizeof got), 0);
    hot_reader_close(reader);
    cr_assert_eq(fixture_volume_size(&fixture, 1), 0, "the last reader's end did not free the volume");
}

Test(volume_store, more_volumes_than_open_files_can_be_read) {
    fixture.options.max_open_files = 2;
    fixture.options.volume_bytes = 20000;
    fixture_open(&fixture);
    fixture_store(&fixture, 0, 50, 10000);
    cr_assert_gt(fixture_stats(&fixture).volumes, 20);
    for (uint64_t i = 0; i < 50; i++) {
        fixture_check_object(&fixture, (i * 7) % 50, 10000);
    }
}

struct seen {
    uint64_t numbers[100];
    size_t count;
    size_t limit;
    struct hot_store *remove_from;
};

static bool count_one(void *context, const struct hot_object *object) {
    (void)object;
    ++*(int *)context;
    return true;
}

static bool note(void *context, const struct hot_object *object) {
    struct seen *seen = context;
    seen->numbers[seen->count++] = get_be64(object->payload_id.raw + 8);
    if (seen->remove_from != NULL) {
        struct error error = {0};
        cr_assert(hot_store_remove(seen->remove_from, &object->payload_id, 1, &error), "%s", error.message);
    }
    return seen->count < seen->limit;
}

static struct seen aged(const char *bucket, bool cold, int64_t before) {
    struct seen seen = {.limit = 100};
    struct error error = {0};
    cr_assert(hot_store_visit_aged(fixture.store, bucket, cold, before, note, &seen, &error), "%s", error.message);
    return seen;
}

Test(volume_store, a_payload_stored_again_replaces_the_old_copy) {
    fixture_open(&fixture);
    fixture_now_us = 10;
    fixture_store(&fixture, 1, 1, 1000);
    uint64_t used = fixture_stats(&fixture).disk_bytes;
    fixture_now_us = 20;
    fixture_store(&fixture, 1, 1, 1000);
    for (int round = 0; round < 2; round++) {
        struct hot_stats stats = fixture_stats(&fixture);
        cr_assert_eq(stats.objects, 1);
        cr_assert_eq(stats.object_bytes, 1000);
        cr_assert_eq(stats.garbage_bytes, used - 512);
        fixture_check_object(&fixture, 1, 1000);
        int listed = 0;
        struct error error = {0};
        cr_assert(hot_store_visit_aged(fixture.store, "pictures", false, INT64_MAX, count_one, &listed, &error));
        cr_assert_eq(listed, 1);
        fixture_reopen(&fixture);
    }
}

Test(volume_store, the_age_queue_lists_the_oldest_first_and_follows_the_cold_copy) {
    fixture_open(&fixture);
    static const uint64_t order[] = {4, 2, 9, 1};
    for (size_t i = 0; i < 4; i++) {
        fixture_now_us = 1000 * (int64_t)(i + 1);
        fixture_store(&fixture, order[i], 1, 10);
    }
    struct error error = {0};
    for (int round = 0; round < 2; round++) {
        struct seen seen = aged("pictures", false, 3001);
        cr_assert_eq(seen.count, 3);
        for (size_t i = 0; i < 3; i++) {
            cr_assert_eq(seen.numbers[i], order[i]);
        }
        cr_assert_eq(aged("pictures", false, 3000).count, 2);
        cr_assert_eq(aged("picture", false, INT64_MAX).count, 0);
        cr_assert_eq(aged("pictures", true, INT64_MAX).count, 0);
        fixture_reopen(&fixture);
    }
    struct uuid id = fixture_payload_id(2);
    cr_assert(hot_store_note_cold_copy(fixture.store, &id, true, &error), "%s", error.message);
    cr_assert(hot_store_note_cold_copy(fixture.store, &id, true, &error), "%s", error.message);
    cr_assert_eq(aged("pictures", false, INT64_MAX).count, 3);
    struct seen cold = aged("pictures", true, INT64_MAX);
    cr_assert_eq(cold.count, 1);
    cr_assert_eq(cold.numbers[0], 2);
    fixture_remove(&fixture, 2);
    cr_assert_eq(aged("pictures", true, INT64_MAX).count, 0);
    cr_assert_not(hot_store_note_cold_copy(fixture.store, &id, true, &error));
    cr_assert_str_eq(error.reason, "OBJECT_NOT_FOUND");
}

Test(volume_store, a_walk_may_remove_what_it_sees_and_may_end_early) {
    fixture_open(&fixture);
    fixture_store(&fixture, 0, 30, 100);
    struct error error = {0};
    struct seen seen = {.limit = 5, .remove_from = fixture.store};
    cr_assert(hot_store_visit_all(fixture.store, note, &seen, &error), "%s", error.message);
    cr_assert_eq(seen.count, 5);
    struct seen rest = {.limit = 100};
    cr_assert(hot_store_visit_all(fixture.store, note, &rest, &error), "%s", error.message);
    cr_assert_eq(rest.count, 25);
    cr_assert_eq(rest.numbers[0], 5);
}

Test(volume_store, what_is_not_there_is_not_found) {
    fixture_open(&fixture);
    struct error error = {0};
    cr_assert_eq(fixture_try_read(&fixture, 1, 0, 1, &error), -1);
    cr_assert_eq(error.code, ERROR_NOT_FOUND);
    cr_assert_str_eq(error.reason, "OBJECT_NOT_FOUND");
}
