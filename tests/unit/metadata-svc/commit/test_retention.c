// rooms: metadata_commit
#include <criterion/criterion.h>

#include "metadata-svc/commit/retention.h"
#include "tests/unit/metadata-svc/commit/engine_fixture.h"

TestSuite(retention, .init = set_up, .fini = tear_down);

static struct record put(const char *key) {
    struct commit_request request = make(COMMIT_PUT, key);
    cr_assert(run(&request), "%s", request.error.message);
    return request.record;
}

/* Stored in the hot tier and the cold one, so that nothing is in flight. */
static void store(const struct record *record) {
    struct object_report stored = report_of(record, OBJECT_STORED, TIER_HOT);
    struct object_report tiered = report_of(record, OBJECT_TIERED, TIER_COLD);
    struct commit_request first = reports("one", &stored, 1);
    struct commit_request second = reports("one", &tiered, 1);
    cr_assert(run(&first) && run(&second));
    cr_assert_eq(stored.verdict, REPORT_ACCEPTED, "%s", stored.message);
    cr_assert_eq(tiered.verdict, REPORT_ACCEPTED, "%s", tiered.message);
}

Test(retention, a_record_expires_at_its_time_and_not_before) {
    struct commit_request request = make(COMMIT_PUT, "a");
    request.record.expire_us = now_us + 10 * SECOND_US;
    cr_assert(run(&request));
    now_us += 10 * SECOND_US - 1;
    cr_assert_eq(run_due(), 1);
    cr_assert_eq(get("a", 0).state, RECORD_COMMITTED);
    now_us += 1;
    run_due();
    struct record tombstone = get("a", 0);
    cr_assert_eq(tombstone.state, RECORD_DELETED);
    cr_assert_eq(tombstone.version, 2);
    cr_assert_eq(tombstone.cause.system, SYSTEM_CAUSE_RETENTION);
}

Test(retention, an_expiry_does_not_touch_what_was_written_since) {
    struct commit_request request = make(COMMIT_PUT, "a");
    request.record.expire_us = now_us + SECOND_US;
    cr_assert(run(&request));
    put("a");
    now_us += 2 * SECOND_US;
    cr_assert_eq(run_due(), 0);
    cr_assert_eq(get("a", 0).version, 2);
}

Test(retention, a_write_that_would_expire_at_once_is_refused) {
    struct commit_request request = make(COMMIT_PUT, "a");
    request.record.expire_us = now_us;
    cr_assert(!run(&request));
    cr_assert_str_eq(request.error.reason, "BAD_EXPIRE_TIME");
}

Test(retention, a_purge_takes_the_whole_history_and_keeps_versions_unique) {
    set_policy((struct bucket){.delete_retention_us = 5 * SECOND_US}, BUCKET_DELETE_RETENTION);
    for (int i = 0; i < 100; i++) {
        put("a");
    }
    struct commit_request gone = make(COMMIT_DELETE, "a");
    cr_assert(run(&gone));
    now_us += 5 * SECOND_US - 1;
    run_due();
    cr_assert(exists("a", 1) && exists("a", 101));
    for (int i = 0; i < 3; i++) { /* in steps */
        now_us += 2;
        run_due();
    }
    cr_assert(!exists("a", 1) && !exists("a", 100) && !exists("a", 101));
    cr_assert_eq(put("a").version, 102);
    cr_assert_eq(put("b").version, 102, "keys new to the bucket begin above what was purged");
}

Test(retention, a_purge_waits_for_a_payload_in_flight) {
    set_policy((struct bucket){.delete_retention_us = SECOND_US}, BUCKET_DELETE_RETENTION);
    struct commit_request request = put_inline("a", "bytes");
    struct commit_request gone = make(COMMIT_DELETE, "a");
    cr_assert(run(&request) && run(&gone));
    now_us += 2 * SECOND_US;
    cr_assert_eq(run_due(), 2, "the purge, and the payload's own");
    cr_assert(exists("a", 1));
    struct record staged = get("a", 1);
    store(&staged);
    now_us += 61 * SECOND_US;
    cr_assert_eq(run_due(), 0);
    cr_assert(!exists("a", 1) && !exists("a", 2));
}

Test(retention, a_purge_spares_a_record_that_was_restored) {
    set_policy((struct bucket){.delete_retention_us = SECOND_US}, BUCKET_DELETE_RETENTION);
    put("a");
    struct commit_request gone = make(COMMIT_DELETE, "a");
    struct commit_request back = make(COMMIT_RESTORE, "a");
    cr_assert(run(&gone) && run(&back));
    now_us += 2 * SECOND_US;
    cr_assert_eq(run_due(), 0);
    cr_assert_eq(get("a", 0).version, 3);
}

Test(retention, max_versions_spares_what_readers_get_and_what_is_in_flight) {
    set_policy((struct bucket){.max_versions = 1}, BUCKET_MAX_VERSIONS);
    struct commit_request first = put_inline("a", "one");
    cr_assert(run(&first));
    struct commit_request second = put_inline("a", "two");
    cr_assert(run(&second));
    cr_assert(exists("a", 1), "its payload is in flight");
    store(&first.record);
    struct commit_request announced = put_announced("a");
    cr_assert(run(&announced));
    now_us += 61 * SECOND_US;
    run_due();
    cr_assert(exists("a", 1), "the others may fail yet");
    store(&second.record);
    now_us += 61 * SECOND_US;
    run_due();
    cr_assert(!exists("a", 1));
    cr_assert(exists("a", 2), "readers get it until the announced payload is there");
}

Test(retention, max_versions_leaves_something_to_go_back_to) {
    set_policy((struct bucket){.max_versions = 1}, BUCKET_MAX_VERSIONS);
    put("a");
    struct commit_request newer[] = {put_inline("a", "one"), put_inline("a", "two")};
    for (size_t i = 0; i < 2; i++) {
        cr_assert(run(&newer[i]));
    }
    for (size_t i = 0; i < 2; i++) {
        struct object_report failed = report_of(&newer[i].record, OBJECT_FAILED, TIER_HOT);
        struct commit_request request = reports("one", &failed, 1);
        cr_assert(run(&request));
    }
    cr_assert_eq(get("a", 0).state, RECORD_FAILED);
    cr_assert_eq(get("a", 0).serving_version, 1);
    cr_assert(exists("a", 1));
}

Test(retention, a_version_goes_after_its_time_as_an_old_one) {
    set_policy((struct bucket){.version_retention_us = 10 * SECOND_US}, BUCKET_VERSION_RETENTION);
    put("a");
    now_us += 100 * SECOND_US;
    put("a");
    now_us += 9 * SECOND_US;
    run_due();
    cr_assert(exists("a", 1));
    now_us += 2 * SECOND_US;
    cr_assert_eq(run_due(), 0);
    cr_assert(!exists("a", 1) && exists("a", 2));
}

Test(retention, versions_that_share_a_payload_change_state_together) {
    struct commit_request first = put_inline("a", "bytes");
    cr_assert(run(&first));
    struct commit_request update = make(COMMIT_UPDATE, "a");
    update.update.content_type = true;
    update.record.content_type = "text/plain";
    cr_assert(run(&update));
    cr_assert_eq(update.record.state, RECORD_STAGED);
    put("a");
    store(&first.record);
    cr_assert_eq(get("a", 1).state, RECORD_STORED);
    cr_assert_eq(get("a", 2).state, RECORD_STORED);
    cr_assert_eq(get("a", 2).location_count, 2);
    cr_assert_str_eq(get("a", 2).content_type, "text/plain");
    struct payload_entry entry;
    struct error error = {0};
    bool found;
    cr_assert(record_store_get_payload(kv_lookup_of(kv), &first.record.payload_id, &arena, &entry, &found, &error));
    cr_assert(!found, "the payload was released once its object was where policy wants it");
}

Test(retention, a_report_finds_a_payload_whose_first_version_is_gone) {
    struct commit_request first = put_inline("a", "bytes");
    struct commit_request update = make(COMMIT_UPDATE, "a");
    update.update.all_attributes = true;
    cr_assert(run(&first) && run(&update));
    cr_assert_eq(update.record.payload_version, 1);
    struct object_report stored = report_of(&first.record, OBJECT_STORED, TIER_HOT);
    struct commit_request report = reports("one", &stored, 1);
    cr_assert(run(&report));
    set_policy((struct bucket){.max_versions = 1, .storage_class = STORAGE_HOT, .cold_after_us = SECOND_US},
               BUCKET_MAX_VERSIONS);
    struct commit_request again = make(COMMIT_UPDATE, "a");
    again.update.all_attributes = true;
    cr_assert(run(&again));
    cr_assert(!exists("a", 2) && !exists("a", 1));
    struct object_report moved = report_of(&first.record, OBJECT_TIERED, TIER_COLD);
    struct commit_request move = reports("one", &moved, 1);
    cr_assert(run(&move));
    cr_assert_eq(moved.verdict, REPORT_ACCEPTED, "%s", moved.message);
    cr_assert_eq(get("a", 0).location_count, 2);
}

Test(retention, a_shared_payload_is_forgotten_with_the_last_version_that_has_it) {
    set_policy((struct bucket){.delete_retention_us = SECOND_US}, BUCKET_DELETE_RETENTION);
    struct commit_request first = put_inline("a", "bytes");
    struct commit_request update = make(COMMIT_UPDATE, "a");
    update.update.all_attributes = true;
    struct commit_request gone = make(COMMIT_DELETE, "a");
    cr_assert(run(&first) && run(&update) && run(&gone));
    store(&first.record);
    struct payload_share share;
    struct error error = {0};
    bool found;
    cr_assert(record_store_get_share(kv_lookup_of(kv), &first.record.payload_id, &arena, &share, &found, &error));
    cr_assert(found);
    cr_assert_eq(share.versions, 2);
    now_us += 2 * SECOND_US;
    cr_assert_eq(run_due(), 0);
    cr_assert(record_store_get_share(kv_lookup_of(kv), &first.record.payload_id, &arena, &share, &found, &error));
    cr_assert(!found);
}
