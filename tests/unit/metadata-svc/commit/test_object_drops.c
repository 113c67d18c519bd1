// rooms: metadata_commit
#include "metadata-svc/commit/object_drops.h"
#include "metadata-svc/store/drop_list.h"
#include "metadata-svc/store/due_drops.h"
#include "tests/unit/metadata-svc/commit/engine_fixture.h"

TestSuite(object_drops, .init = set_up, .fini = tear_down);

/* A drop as the store has it. */
struct found {
    int64_t due_us;
    struct uuid payload_id;
    struct dropped_object object;
};

static size_t drops_in(enum tier tier, const char *replica, struct found *found, size_t max) {
    struct bytes prefix = layout_drops_prefix(&arena, (uint8_t)tier, replica);
    struct kv_cursor *cursor = kv->ops->cursor_open(kv);
    struct error error = {0};
    size_t count = 0;
    for (kv->ops->cursor_seek(cursor, prefix);
         kv->ops->cursor_valid(cursor) && bytes_start_with(kv->ops->cursor_key(cursor), prefix);
         kv->ops->cursor_next(cursor)) {
        cr_assert_lt(count, max);
        cr_assert(
            layout_read_drop_key(kv->ops->cursor_key(cursor), prefix, &found[count].due_us, &found[count].payload_id));
        struct bytes value = arena_copy(&arena, kv->ops->cursor_value(cursor));
        cr_assert(record_store_decode_drop(value, &arena, &found[count].object, &error), "%s", error.message);
        count++;
    }
    kv->ops->cursor_close(cursor);
    return count;
}

static size_t count_in(enum tier tier, const char *replica) {
    struct found found[64];
    return drops_in(tier, replica, found, 64);
}

/* Writes a version and stores it hot at "one" and, with `cold`, in the cold tier. */
static struct record put_stored(const char *key, bool cold) {
    struct commit_request request = put_inline(key, "text");
    cr_assert(run(&request), "%s", request.error.message);
    struct object_report stored = report_of(&request.record, OBJECT_STORED, TIER_HOT);
    struct object_report tiered = report_of(&request.record, OBJECT_TIERED, TIER_COLD);
    struct commit_request first = reports("one", &stored, 1);
    struct commit_request second = reports("one", &tiered, cold ? 1 : 0);
    cr_assert(run(&first) && run(&second));
    return request.record;
}

/* Older versions go once the newer ones are stored. */
static void let_old_versions_go(void) {
    now_us += 2 * SECOND_US;
    run_due();
}

static void keep_versions(int32_t max_versions) {
    set_policy((struct bucket){.max_versions = max_versions}, BUCKET_MAX_VERSIONS);
}

Test(object_drops, the_object_of_a_version_that_goes_is_dropped_wherever_it_is) {
    struct found found[2];
    keep_versions(1);
    struct record old = put_stored("a", true);
    cr_assert_eq(count_in(TIER_HOT, "one"), 0);
    put_stored("a", true);
    let_old_versions_go();
    cr_assert_eq(drops_in(TIER_HOT, "one", found, 2), 1);
    cr_assert(uuid_equal(&found[0].payload_id, &old.payload_id));
    cr_assert_eq(found[0].due_us, now_us + DROP_DELAY_S * SECOND_US);
    cr_assert_str_eq(found[0].object.bucket, "photos");
    cr_assert_str_eq(found[0].object.key, "a");
    cr_assert_eq(found[0].object.version, 1);
    cr_assert_eq(drops_in(TIER_COLD, "", found, 2), 1);
    cr_assert(uuid_equal(&found[0].payload_id, &old.payload_id));
    cr_assert_eq(count_in(TIER_HOT, "two"), 0);
}

Test(object_drops, a_copy_where_it_never_was_is_not_asked_for) {
    keep_versions(1);
    put_stored("a", false);
    put_stored("a", false);
    let_old_versions_go();
    cr_assert_eq(count_in(TIER_HOT, "one"), 1);
    cr_assert_eq(count_in(TIER_COLD, ""), 0);
}

Test(object_drops, an_object_that_a_kept_version_shares_stays) {
    keep_versions(1);
    struct record first = put_stored("a", true);
    struct commit_request update = make(COMMIT_UPDATE, "a");
    update.update.content_type = true;
    update.record.content_type = "text/plain";
    cr_assert(run(&update), "%s", update.error.message);
    cr_assert_eq(count_in(TIER_HOT, "one"), 0, "version 2 has the payload of version 1");
    struct commit_request next = put_inline("a", "other");
    cr_assert(run(&next));
    struct found found[2];
    now_us += 120 * SECOND_US; /* version 2 serves until the new one is stored */
    run_due();
    struct object_report stored = report_of(&next.record, OBJECT_STORED, TIER_HOT);
    struct commit_request report = reports("one", &stored, 1);
    cr_assert(run(&report));
    now_us += 120 * SECOND_US;
    run_due();
    cr_assert_eq(drops_in(TIER_HOT, "one", found, 2), 1);
    cr_assert(uuid_equal(&found[0].payload_id, &first.payload_id));
    cr_assert_eq(found[0].object.version, 1, "named by the version that brought it");
}

static size_t told_of_in_cold(void) {
    struct layout_drop first = {.tier = TIER_COLD, .replica = ""};
    struct due_drop due[4];
    struct error error = {0};
    size_t count;
    bool more;
    cr_assert(due_drops_read(kv, &first, now_us, &arena, due, 4, &count, &more, &error), "%s", error.message);
    return count;
}

Test(object_drops, the_cold_copy_of_a_version_that_failed_goes_with_the_version) {
    keep_versions(1);
    struct commit_request put = put_inline("a", "text");
    cr_assert(run(&put));
    struct object_report failed = report_of(&put.record, OBJECT_FAILED, TIER_HOT);
    struct object_report tiered = report_of(&put.record, OBJECT_TIERED, TIER_COLD);
    struct commit_request first = reports("one", &failed, 1);
    struct commit_request second = reports("one", &tiered, 1);
    cr_assert(run(&first) && run(&second));
    cr_assert_eq(tiered.verdict, REPORT_OBSOLETE);
    cr_assert_eq(count_in(TIER_COLD, ""), 1);
    now_us += 2 * DROP_DELAY_S * SECOND_US;
    cr_assert_eq(told_of_in_cold(), 0, "another try may use it");
    put_stored("a", false);
    now_us += 2 * FAILED_RETENTION_H * HOUR_US; /* its payload is kept that long */
    run_due();
    now_us += 120 * SECOND_US;
    run_due();
    cr_assert_eq(told_of_in_cold(), 1);
}

Test(object_drops, the_newest_version_of_a_shared_payload_outlives_the_older_ones) {
    struct record first = put_stored("a", false);
    for (int i = 0; i < 6; i++) {
        struct commit_request update = make(COMMIT_UPDATE, "a");
        update.update.content_type = true;
        update.record.content_type = i % 2 == 0 ? "text/plain" : "text/html";
        cr_assert(run(&update), "%s", update.error.message);
    }
    put_stored("a", false);
    keep_versions(1);
    put_stored("a", false); /* a few of the old versions go at once, from the newest on */
    struct object_report tiered = report_of(&first, OBJECT_TIERED, TIER_COLD);
    struct commit_request report = reports("one", &tiered, 1);
    cr_assert(run(&report), "%s", report.error.message);
    cr_assert_eq(tiered.verdict, REPORT_ACCEPTED);
    for (int i = 0; i < 10; i++) {
        now_us += 120 * SECOND_US;
        run_due();
    }
    cr_assert_eq(count_in(TIER_COLD, ""), 1, "all that had it are gone in the end");
}

Test(object_drops, a_purge_drops_the_objects_of_all_versions) {
    set_policy((struct bucket){.delete_retention_us = SECOND_US}, BUCKET_DELETE_RETENTION);
    for (int i = 0; i < 5; i++) {
        put_stored("a", true);
    }
    struct commit_request gone = make(COMMIT_DELETE, "a");
    cr_assert(run(&gone));
    now_us += SECOND_US;
    run_due();
    cr_assert_eq(count_in(TIER_HOT, "one"), 5);
    cr_assert_eq(count_in(TIER_COLD, ""), 5);
}

Test(object_drops, what_is_reported_dropped_is_forgotten_and_may_be_reported_again) {
    struct found found[2];
    keep_versions(1);
    struct record old = put_stored("a", true);
    put_stored("a", true);
    let_old_versions_go();
    cr_assert_eq(drops_in(TIER_HOT, "one", found, 2), 1);
    for (int i = 0; i < 2; i++) {
        struct object_report dropped = report_of(&old, OBJECT_DROPPED, TIER_HOT);
        dropped.drop_due_us = found[0].due_us;
        struct commit_request wrong = reports("two", &dropped, 1);
        int64_t before = commit_engine_revision(engine);
        cr_assert(run(&wrong));
        cr_assert_eq(count_in(TIER_HOT, "one"), i == 0 ? 1 : 0, "it is another replica's");
        struct commit_request right = reports("one", &dropped, 1);
        cr_assert(run(&right));
        cr_assert_eq(dropped.verdict, REPORT_ACCEPTED);
        cr_assert_eq(count_in(TIER_HOT, "one"), 0);
        cr_assert_eq(commit_engine_revision(engine), before, "no reader sees a change");
    }
    cr_assert_eq(count_in(TIER_COLD, ""), 1);
}

Test(object_drops, versions_that_a_new_bound_leaves_over_all_go) {
    for (int i = 0; i < 20; i++) {
        put_stored("a", false);
    }
    keep_versions(2);
    put_stored("a", false);
    for (int i = 0; i < 10; i++) {
        now_us += 1;
        run_due();
    }
    cr_assert_eq(count_in(TIER_HOT, "one"), 19);
}

static void put_drop(enum tier tier, const char *replica, int64_t due_us) {
    struct layout_drop drop = {(uint8_t)tier, replica, due_us, uuid_make()};
    struct dropped_object object = {"photos", "a", 1};
    struct kv_batch batch = {0};
    struct error error = {0};
    kv_batch_put(&batch, layout_drop_key(&arena, &drop), record_store_drop_value(&object, &arena));
    cr_assert(kv->ops->write(kv, &batch, false, &error), "%s", error.message);
    kv_batch_free(&batch);
}

Test(object_drops, what_nobody_comes_for_is_forgotten_wherever_it_is) {
    static const char *const replicas[] = {"", "one", "one-more", "o", "two"}; /* some begin as others do */
    struct error error = {0};
    struct record kept = put_stored("kept", true);
    for (size_t i = 0; i < 5; i++) {
        for (int64_t due_us = 100; due_us < 100 + 2 * (int64_t)i; due_us++) {
            put_drop(i == 0 ? TIER_COLD : TIER_HOT, replicas[i], due_us);
        }
        put_drop(i == 0 ? TIER_COLD : TIER_HOT, replicas[i], 99);
        put_drop(i == 0 ? TIER_COLD : TIER_HOT, replicas[i], INT64_MAX);
    }
    cr_assert_eq(drop_list_trim(kv, 99, 1000, &error), 0, "one that is due at that time is not old");
    cr_assert_eq(drop_list_trim(kv, 102, 4, &error), 4, "a step is bounded");
    cr_assert_eq(drop_list_trim(kv, 102, 1000, &error), 9, "99 of five places, 100 and 101 of four");
    cr_assert_eq(drop_list_trim(kv, 102, 1000, &error), 0);
    for (size_t i = 0; i < 5; i++) {
        size_t later = i > 1 ? 2 * i - 2 : 0;
        cr_assert_eq(count_in(i == 0 ? TIER_COLD : TIER_HOT, replicas[i]), later + 1, "of \"%s\"", replicas[i]);
    }
    struct record_head head;
    bool found;
    cr_assert(record_store_get_head(kv_lookup_of(kv), "photos", kept.key, &arena, &head, &found, &error) && found,
              "nothing else goes");
}

/* docs/formats/record-store.md shows these bytes. */
Test(object_drops, an_entry_has_these_bytes) {
    struct layout_drop drop = {.tier = TIER_HOT, .replica = "one", .due_us = 0x0102};
    for (size_t i = 0; i < sizeof drop.payload_id.raw; i++) {
        drop.payload_id.raw[i] = (uint8_t)i;
    }
    static const uint8_t key[] = {'d', 1, 'o', 'n', 'e', 0, 0, 0, 0, 0,  0,  0,  1,  2,  0,
                                  1,   2, 3,   4,   5,   6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    static const uint8_t value[] = {1, 3, 0, 0, 0, 0, 0, 0, 0, 'p', 'h', 'o', 't', 'o', 's', 0, 'a'};
    struct bytes made = layout_drop_key(&arena, &drop);
    cr_assert(bytes_equal(made, bytes_of(key, sizeof key)));
    made = record_store_drop_value(&(struct dropped_object){"photos", "a", 3}, &arena);
    cr_assert(bytes_equal(made, bytes_of(value, sizeof value)));
}

Test(object_drops, an_entry_that_is_damaged_is_told) {
    struct dropped_object object;
    for (size_t size = 0; size < 15; size++) {
        static const uint8_t value[] = {1, 3, 0, 0, 0, 0, 0, 0, 0, 'p', 'h', 'o', 't', 'o', 's'};
        struct error error = {0};
        cr_assert_not(record_store_decode_drop(bytes_of(value, size), &arena, &object, &error));
        cr_assert_str_eq(error.reason, "RECORD_CORRUPT");
    }
}
