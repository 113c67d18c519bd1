// rooms: metadata_rebuild
#include "metadata-svc/commit/commit_engine.h"
#include "tests/unit/metadata-svc/rebuild/rebuild_fixture.h"

TestSuite(rebuild, .init = setup, .fini = teardown);

/* ---- objects alone ---- */

Test(rebuild, an_object_alone_tells_its_version) {
    struct record object = version_of(3, RECORD_STORED, 1);
    object.revision = 500;
    tell_object(object, TIER_HOT, "r1", "");
    rebuild();
    struct record record = rebuilt(3);
    cr_assert_eq(record.state, RECORD_STORED);
    cr_assert_eq(record.serving_version, 3);
    cr_assert_str_eq(record.content_type, "text/plain");
    cr_assert_eq(record.size, 5);
    cr_assert_eq(record.update_us, 300);
    cr_assert_eq(record.location_count, 1);
    cr_assert_str_eq(record.locations[0].replica, "r1");
    cr_assert_eq(record.cause.system, SYSTEM_CAUSE_OPERATOR);
    cr_assert_eq(totals.from_objects, 1);
    cr_assert_eq(totals.default_buckets, 1);
    cr_assert_eq(totals.first_revision, 500 + REBUILD_REVISIONS_SKIPPED + 1);
    cr_assert_eq(record.revision, totals.last_revision);
    cr_assert_eq(head().last_revision, record.revision);
    cr_assert_eq(logged(), CHANGE_STORED);
}

Test(rebuild, copies_of_an_object_are_places_of_one_version) {
    tell_stored(1, 1, TIER_HOT, "r1");
    tell_stored(1, 1, TIER_COLD, "");
    tell_stored(1, 1, TIER_HOT, "r2");
    tell_stored(1, 1, TIER_HOT, "r2"); /* told again */
    rebuild();
    cr_assert_eq(rebuilt(1).location_count, 3);
    cr_assert_eq(totals.versions, 1);
}

Test(rebuild, of_two_objects_that_claim_a_version_the_later_one_counts) {
    struct record late = version_of(1, RECORD_STORED, 2);
    late.update_us = 900;
    tell_object(late, TIER_COLD, "", "");
    tell_stored(1, 1, TIER_HOT, "r1");
    rebuild();
    struct record record = rebuilt(1);
    struct uuid wanted = id_of(2);
    cr_assert(uuid_equal(&record.payload_id, &wanted));
    cr_assert_eq(totals.orphans, 1);
    cr_assert_eq(record.location_count, 1);
}

Test(rebuild, an_object_of_which_only_the_index_knows_still_tells_its_version) {
    struct record damaged = version_of(1, RECORD_STORED, 1);
    damaged.content_type = "";
    tell_object(damaged, TIER_HOT, "r1", "its header is damaged");
    tell_stored(1, 1, TIER_COLD, "");
    rebuild();
    struct record record = rebuilt(1);
    cr_assert_str_eq(record.content_type, "text/plain", "the other copy says more");
    cr_assert_eq(record.location_count, 2);
}

Test(rebuild, what_cannot_say_who_it_is_is_no_version) {
    struct record unknown = record_make("bkt", "k");
    unknown.version = 4;
    tell_object(unknown, TIER_COLD, "", "the sidecar is damaged");
    tell_stored(1, 1, TIER_HOT, "r1");
    rebuild();
    struct record record;
    cr_assert_not(has_version(4, &record));
    cr_assert_eq(totals.versions, 1);
    cr_assert_eq(totals.orphans, 0);
}

Test(rebuild, nothing_found_is_refused) {
    cr_assert_not(rebuild_write(gathered, &sources, &rebuild_like, kv, &totals, &error));
    cr_assert_str_eq(error.reason, "NOTHING_TO_REBUILD");
}

/* ---- events ---- */

Test(rebuild, what_events_tell_is_kept_to_the_revision) {
    tell_bucket(1, CHANGE_BUCKET_CREATED, bucket_like(), 50);
    tell_event(2, CHANGE_STAGED, version_of(1, RECORD_STAGED, 1), 0);
    tell_event(3, CHANGE_STORED, at(version_of(1, RECORD_STORED, 1), TIER_HOT, "r1"), 2);
    tell_event(4, CHANGE_COMMITTED, version_of(2, RECORD_COMMITTED, 0), 3);
    tell_stored(1, 1, TIER_HOT, "r1");
    rebuild();
    cr_assert_eq(rebuilt(1).revision, 3);
    cr_assert_eq(rebuilt(2).revision, 4);
    cr_assert_eq(rebuilt(2).serving_version, 2);
    cr_assert_eq(head().last_revision, 4);
    cr_assert_eq(logged(), 0, "nothing about them is new");
    cr_assert_eq(totals.default_buckets, 0);
    struct bucket bucket;
    cr_assert(record_store_get_bucket(kv_lookup_of(kv), "bkt", &arena, &bucket, &error));
    cr_assert_eq(bucket.storage_class, STORAGE_HOT);
    cr_assert_eq(bucket.version, 3);
    cr_assert_eq(bucket.version_floor, 0);
}

Test(rebuild, events_win_over_objects_and_foreign_objects_are_orphans) {
    struct record changed = at(version_of(1, RECORD_STORED, 1), TIER_HOT, "r1");
    changed.content_type = "changed/since";
    tell_event(9, CHANGE_STORED, changed, 8);
    tell_stored(1, 1, TIER_HOT, "r1");
    tell_stored(1, 2, TIER_COLD, "");
    rebuild();
    cr_assert_str_eq(rebuilt(1).content_type, "changed/since");
    cr_assert_eq(totals.orphans, 1);
}

Test(rebuild, events_come_again_and_holes_are_counted) {
    struct gathered_counts counts;
    tell_event(5, CHANGE_COMMITTED, version_of(1, RECORD_COMMITTED, 0), 0);
    tell_event(8, CHANGE_COMMITTED, version_of(2, RECORD_COMMITTED, 0), 5);
    tell_event(5, CHANGE_COMMITTED, version_of(9, RECORD_COMMITTED, 0), 0);
    gathered_counts(gathered, &counts);
    cr_assert_eq(counts.first_event, 5);
    cr_assert_eq(counts.last_event, 8);
    cr_assert_eq(counts.missing_events, 2);
    rebuild();
    struct record record;
    cr_assert_not(has_version(9, &record));
    struct bucket bucket;
    cr_assert(record_store_get_bucket(kv_lookup_of(kv), "bkt", &arena, &bucket, &error));
    cr_assert_eq(bucket.version_floor, 2, "not all events are known");
}

Test(rebuild, a_damaged_event_is_passed_over) {
    tell_event(1, CHANGE_COMMITTED, version_of(1, RECORD_COMMITTED, 0), 0);
    struct record bad = version_of(2, RECORD_COMMITTED, 0);
    bad.key = "..";
    cr_assert_not(try_event(2, CHANGE_COMMITTED, bad, 1));
    cr_assert_eq(error.code, ERROR_DATA_LOSS);
    tell_event(3, CHANGE_COMMITTED, version_of(3, RECORD_COMMITTED, 0), 2);
    rebuild();
    cr_assert_eq(totals.versions, 2);
}

Test(rebuild, a_key_that_was_purged_and_begun_anew_has_no_past) {
    tell_event(1, CHANGE_COMMITTED, version_of(1, RECORD_COMMITTED, 0), 0);
    tell_event(2, CHANGE_DELETED, version_of(2, RECORD_DELETED, 0), 1);
    tell_event(3, CHANGE_COMMITTED, version_of(3, RECORD_COMMITTED, 0), 0);
    rebuild();
    cr_assert_eq(totals.versions, 1);
    cr_assert_eq(head().record.version, 3);
}

Test(rebuild, objects_of_a_deleted_bucket_are_left_out) {
    tell_bucket(1, CHANGE_BUCKET_CREATED, bucket_like(), 50);
    tell_event(2, CHANGE_COMMITTED, version_of(1, RECORD_COMMITTED, 0), 0);
    struct bucket last = bucket_like();
    last.version_floor = 6;
    tell_bucket(3, CHANGE_BUCKET_DELETED, last, 500);
    tell_stored(4, 1, TIER_HOT, "r1"); /* committed at 400 */
    struct bucket other = bucket_like();
    other.name = "other";
    tell_bucket(4, CHANGE_BUCKET_CREATED, other, 50);
    rebuild();
    struct gathered_counts counts;
    gathered_counts(gathered, &counts);
    cr_assert_eq(counts.objects_of_deleted_buckets, 1);
    cr_assert_eq(totals.versions, 0);
    cr_assert_eq(totals.buckets, 1);
    int64_t floor;
    cr_assert(record_store_get_floor(kv_lookup_of(kv), "bkt", &arena, &floor, &error));
    cr_assert_eq(floor, 6);
}

Test(rebuild, a_deleted_key_stays_deleted_and_is_purged_in_time) {
    tell_bucket(1, CHANGE_BUCKET_CREATED, bucket_like(), 50);
    tell_event(2, CHANGE_STORED, at(version_of(1, RECORD_STORED, 1), TIER_HOT, "r1"), 0);
    tell_event(3, CHANGE_DELETED, version_of(2, RECORD_DELETED, 0), 2);
    tell_stored(1, 1, TIER_HOT, "r1");
    rebuild();
    cr_assert_eq(head().record.state, RECORD_DELETED);
    cr_assert_eq(head().record.serving_version, 0);
    cr_assert_eq(totals.deleted_keys, 1);
    struct timer timer = {200 + 1000000, TIMER_PURGE, "bkt", "k", 2};
    struct bytes value;
    bool found;
    cr_assert(kv->ops->get(kv, layout_timer_key(&arena, &timer), &arena, &value, &found, &error));
    cr_assert(found);
}

/* ---- where the bytes are ---- */

Test(rebuild, a_move_that_no_event_tells_of_is_seen) {
    tell_event(5, CHANGE_STORED, at(version_of(1, RECORD_STORED, 1), TIER_HOT, "r1"), 4);
    tell_stored(1, 1, TIER_COLD, "");
    rebuild();
    struct record record = rebuilt(1);
    cr_assert_eq(record.location_count, 1);
    cr_assert_eq(record.locations[0].tier, TIER_COLD);
    cr_assert_eq(logged(), CHANGE_TIERED);
    cr_assert_eq(totals.missing, 0);
}

Test(rebuild, places_that_were_not_searched_are_believed) {
    tell_event(5, CHANGE_STORED, at(at(version_of(1, RECORD_STORED, 1), TIER_HOT, "away"), TIER_COLD, ""), 4);
    tell_stored(1, 1, TIER_COLD, "");
    rebuild();
    cr_assert_eq(rebuilt(1).location_count, 2);
    cr_assert_eq(logged(), 0);
}

Test(rebuild, a_copy_that_is_damaged_beyond_its_name_stays_a_place) {
    struct record unknown = record_make("bkt", "k");
    unknown.version = 1;
    tell_event(5, CHANGE_STORED, at(at(version_of(1, RECORD_STORED, 1), TIER_HOT, "r1"), TIER_COLD, ""), 4);
    tell_stored(1, 1, TIER_HOT, "r1");
    tell_object(unknown, TIER_COLD, "", "the sidecar is damaged");
    rebuild();
    cr_assert_eq(rebuilt(1).location_count, 2, "a scrub mends it there");
}

Test(rebuild, an_object_without_any_copy_is_missing_and_stays_known) {
    tell_event(5, CHANGE_STORED, at(version_of(1, RECORD_STORED, 1), TIER_HOT, "r2"), 4);
    rebuild();
    cr_assert_eq(rebuilt(1).location_count, 1);
    cr_assert_eq(totals.missing, 1);
    cr_assert_str_eq(totals.missing_example, "bkt/k");
}

Test(rebuild, an_old_version_without_bytes_was_taken_away_where_old_versions_are) {
    struct bucket bucket = bucket_like();
    bucket.max_versions = 1;
    tell_bucket(1, CHANGE_BUCKET_CREATED, bucket, 50);
    tell_event(2, CHANGE_STORED, at(version_of(1, RECORD_STORED, 1), TIER_HOT, "r1"), 0);
    tell_event(3, CHANGE_STORED, at(version_of(2, RECORD_STORED, 2), TIER_HOT, "r1"), 2);
    tell_event(4, CHANGE_STORED, at(version_of(3, RECORD_STORED, 3), TIER_HOT, "r1"), 3);
    tell_stored(2, 2, TIER_HOT, "r1");
    tell_stored(3, 3, TIER_HOT, "r1");
    rebuild();
    struct record record;
    cr_assert_not(has_version(1, &record));
    cr_assert_eq(totals.taken_away, 1);
    struct timer timer = {NOW_US, TIMER_TRIM, "bkt", "k", 2};
    struct bytes value;
    bool found;
    cr_assert(kv->ops->get(kv, layout_timer_key(&arena, &timer), &arena, &value, &found, &error));
    cr_assert(found, "what is there is looked at again");
}

/* ---- payloads in flight ---- */

Test(rebuild, a_staged_version_whose_object_is_found_is_stored) {
    tell_event(5, CHANGE_STAGED, version_of(1, RECORD_STAGED, 1), 0);
    tell_stored(1, 1, TIER_HOT, "r1");
    rebuild();
    cr_assert_eq(rebuilt(1).state, RECORD_STORED);
    cr_assert_eq(logged(), CHANGE_STORED);
}

Test(rebuild, a_staged_version_in_the_spool_is_staged_again) {
    int place;
    spooled = 1 << 1;
    tell_event(5, CHANGE_STAGED, version_of(1, RECORD_STAGED, 1), 0);
    rebuild();
    cr_assert_eq(rebuilt(1).state, RECORD_STAGED);
    cr_assert(payload_waits(1, &place) && place == PAYLOAD_SPOOLED);
    cr_assert_eq(logged(), CHANGE_STAGED, "object-svc hears of it");
    cr_assert_eq(totals.staged, 1);
}

Test(rebuild, a_staged_version_whose_payload_is_lost_has_failed) {
    int place;
    tell_event(4, CHANGE_STORED, at(version_of(1, RECORD_STORED, 1), TIER_HOT, "r1"), 3);
    tell_event(5, CHANGE_STAGED, version_of(2, RECORD_STAGED, 2), 4);
    tell_stored(1, 1, TIER_HOT, "r1");
    rebuild();
    cr_assert_eq(rebuilt(2).state, RECORD_FAILED);
    cr_assert_eq(rebuilt(2).serving_version, 1);
    cr_assert_not(payload_waits(2, &place));
    cr_assert_eq(logged(), CHANGE_FAILED);
    cr_assert_eq(totals.lost_payloads, 1);
}

Test(rebuild, an_announced_payload_is_awaited) {
    int place;
    tell_event(5, CHANGE_COMMITTED, version_of(1, RECORD_AWAITING_PAYLOAD, 1), 0);
    rebuild();
    cr_assert(payload_waits(1, &place) && place == PAYLOAD_AWAITED);
    cr_assert_eq(totals.awaited, 1);
}

Test(rebuild, a_payload_in_flight_has_its_deadline_and_a_failed_one_is_kept_for_another_try) {
    int place;
    struct record awaited = version_of(1, RECORD_AWAITING_PAYLOAD, 1);
    awaited.deadline_us = 4000;
    struct record failed = version_of(2, RECORD_FAILED, 2);
    failed.cause.reason = "COLD_STORE_REFUSED: it said no";
    spooled = 1 << 2;
    tell_event(5, CHANGE_COMMITTED, awaited, 0);
    tell_event(6, CHANGE_FAILED, failed, 5);
    rebuild();
    cr_assert_eq(rebuilt(1).deadline_us, 4000);
    struct payload_entry entry;
    struct uuid first = id_of(1);
    bool found;
    cr_assert(record_store_get_payload(kv_lookup_of(kv), &first, &arena, &entry, &found, &error) && found);
    struct timer timer = {entry.due_us, TIMER_PAYLOAD, "bkt", "k", 1}; /* now: the deadline is over */
    struct bytes value;
    cr_assert(kv->ops->get(kv, layout_timer_key(&arena, &timer), &arena, &value, &found, &error));
    cr_assert(found);
    cr_assert(payload_waits(2, &place) && place == PAYLOAD_SPOOLED);
    struct payload_failure failure;
    struct uuid id = id_of(2);
    cr_assert(record_store_get_failure(kv_lookup_of(kv), "bkt", &id, &arena, &failure, &found, &error) && found);
    cr_assert_str_eq(failure.reason, "COLD_STORE_REFUSED");
    cr_assert_str_eq(failure.message, "it said no");
}

Test(rebuild, a_payload_waits_until_the_tiers_are_what_the_policy_asks_for) {
    int place;
    struct bucket bucket = bucket_like();
    bucket.storage_class = STORAGE_COLD;
    bucket.cold_after_us = 0;
    spooled = 1 << 1;
    tell_bucket(1, CHANGE_BUCKET_CREATED, bucket, 50);
    tell_event(2, CHANGE_STORED, at(version_of(1, RECORD_STORED, 1), TIER_HOT, "r1"), 0);
    tell_stored(1, 1, TIER_HOT, "r1");
    rebuild();
    cr_assert(payload_waits(1, &place) && place == PAYLOAD_SPOOLED);
    cr_assert_eq(totals.staged, 0);
}

/* ---- shared payloads ---- */

Test(rebuild, versions_that_share_a_payload_agree_on_it) {
    struct record update = version_of(2, RECORD_STAGED, 1);
    update.payload_version = 1;
    struct record stored = at(update, TIER_HOT, "r1");
    stored.state = RECORD_STORED;
    tell_event(4, CHANGE_STAGED, version_of(1, RECORD_STAGED, 1), 0);
    tell_event(5, CHANGE_COMMITTED, update, 4);
    tell_event(6, CHANGE_STORED, stored, 5);
    tell_stored(1, 1, TIER_HOT, "r1");
    tell_stored(1, 1, TIER_COLD, "");
    rebuild();
    for (int64_t version = 1; version <= 2; version++) {
        cr_assert_eq(rebuilt(version).state, RECORD_STORED);
        cr_assert_eq(rebuilt(version).location_count, 2);
    }
    struct payload_share share;
    struct uuid id = id_of(1);
    bool found;
    cr_assert(record_store_get_share(kv_lookup_of(kv), &id, &arena, &share, &found, &error) && found);
    cr_assert_eq(share.newest_version, 2);
    cr_assert_eq(share.versions, 2);
    cr_assert_eq(logged(), CHANGE_TIERED, "told once");
}

/* ---- going on ---- */

Test(rebuild, commits_go_on_above_all_that_was_seen) {
    struct commit_engine_options options = {.shard = "0"};
    tell_event(41, CHANGE_COMMITTED, version_of(7, RECORD_COMMITTED, 0), 40);
    rebuild();
    int64_t oldest;
    int64_t newest;
    cr_assert(change_log_bounds(kv, &oldest, &newest, &error));
    cr_assert_eq(oldest, 41 + REBUILD_REVISIONS_SKIPPED + 1);
    cr_assert_eq(newest, totals.last_revision);
    struct commit_engine *engine = commit_engine_new(kv, &system_clock, &options, &error);
    cr_assert_not_null(engine, "%s", error.message);
    cr_assert_eq(commit_engine_revision(engine), newest);
    commit_engine_free(engine);
}
