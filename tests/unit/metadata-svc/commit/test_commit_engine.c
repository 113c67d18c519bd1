// rooms: metadata_commit
#include <criterion/criterion.h>

#include "common/checksum/crc32c.h"
#include "metadata-svc/store/change_log.h"
#include "tests/unit/metadata-svc/commit/engine_fixture.h"
#include "waybill/v1/event.pb-c.h"

TestSuite(commit_engine, .init = set_up, .fini = tear_down);

Test(commit_engine, versions_count_up_and_survive_a_delete) {
    struct commit_request first = make(COMMIT_PUT, "a");
    struct commit_request second = make(COMMIT_PUT, "a");
    struct commit_request gone = make(COMMIT_DELETE, "a");
    struct commit_request again = make(COMMIT_PUT, "a");
    cr_assert(run(&first) && run(&second) && run(&gone) && run(&again));
    cr_assert_eq(first.record.version, 1);
    cr_assert_eq(second.record.version, 2);
    cr_assert_eq(gone.record.version, 3);
    cr_assert_eq(gone.record.state, RECORD_DELETED);
    cr_assert_eq(again.record.version, 4);
    cr_assert(uuid_equal(&first.record.uid, &second.record.uid));
    cr_assert(!uuid_equal(&first.record.uid, &again.record.uid));
    cr_assert_eq(get("a", 2).state, RECORD_COMMITTED);
}

Test(commit_engine, of_writers_with_one_precondition_in_one_batch_exactly_one_wins) {
    struct commit_request rivals[8];
    struct commit_request *batch[8];
    for (int i = 0; i < 8; i++) {
        rivals[i] = make(COMMIT_PUT, "contended");
        rivals[i].has_if_version = true;
        batch[i] = &rivals[i];
    }
    struct error error = {0};
    cr_assert(commit_engine_run(engine, batch, 8, &error));
    int winners = 0;
    for (int i = 0; i < 8; i++) {
        winners += rivals[i].committed;
        if (!rivals[i].committed) {
            cr_assert_eq(rivals[i].error.code, ERROR_ABORTED);
            cr_assert_str_eq(rivals[i].error.reason, "VERSION_MISMATCH");
            cr_assert_str_eq(rivals[i].error.detail_value, "1");
        }
    }
    cr_assert_eq(winners, 1);
}

Test(commit_engine, a_tombstone_counts_as_absent_for_preconditions) {
    struct commit_request put = make(COMMIT_PUT, "a");
    struct commit_request gone = make(COMMIT_DELETE, "a");
    struct commit_request gone_again = make(COMMIT_DELETE, "a");
    struct commit_request create = make(COMMIT_PUT, "a");
    create.has_if_version = true;
    cr_assert(run(&put) && run(&gone));
    cr_assert_not(run(&gone_again));
    cr_assert_eq(gone_again.error.code, ERROR_NOT_FOUND);
    cr_assert(run(&create));
    cr_assert_eq(create.record.version, 3);
}

Test(commit_engine, a_request_id_takes_effect_once_even_across_a_restart) {
    struct uuid id = uuid_make();
    struct commit_request first = put_inline("a", "one");
    first.request_id = id;
    struct commit_request same_batch = put_inline("a", "one");
    same_batch.request_id = id;
    struct error error = {0};
    struct commit_request *batch[] = {&first, &same_batch};
    cr_assert(commit_engine_run(engine, batch, 2, &error));
    cr_assert(first.committed && same_batch.committed);
    cr_assert_eq(same_batch.record.version, 1);
    cr_assert_eq(same_batch.record.revision, first.record.revision);

    close_engine();
    open_engine();
    struct commit_request later = put_inline("a", "one");
    later.request_id = id;
    cr_assert(run(&later));
    cr_assert_eq(later.record.version, 1);
    cr_assert(uuid_equal(&later.record.payload_id, &first.record.payload_id));
    cr_assert_eq(get("a", 0).version, 1);
}

Test(commit_engine, a_request_id_for_another_request_is_refused) {
    struct commit_request first = make(COMMIT_PUT, "a");
    first.request_id = uuid_make();
    struct commit_request other = make(COMMIT_PUT, "b");
    other.request_id = first.request_id;
    other.fingerprint.raw[0] = 1;
    cr_assert(run(&first));
    cr_assert_not(run(&other));
    cr_assert_eq(other.error.code, ERROR_INVALID_ARGUMENT);
    cr_assert_str_eq(other.error.reason, "REQUEST_ID_REUSED");
    cr_assert_str_eq(other.error.field, "request_id");
}

Test(commit_engine, commit_times_do_not_go_back_but_follow_a_clock_that_was_wrong) {
    int64_t right_us = now_us;
    struct commit_request first = make(COMMIT_PUT, "a");
    cr_assert(run(&first));
    now_us = right_us - 1000000;
    struct commit_request second = make(COMMIT_PUT, "b");
    cr_assert(run(&second));
    cr_assert_eq(second.record.create_us, right_us, "put right by a second");
    now_us = right_us + 86400LL * 1000000;
    struct commit_request ahead = make(COMMIT_PUT, "c");
    cr_assert(run(&ahead));
    now_us = right_us + 1000000;
    struct commit_request last = make(COMMIT_PUT, "d");
    cr_assert(run(&last));
    cr_assert_eq(last.record.create_us, now_us, "set back by a day");
}

Test(commit_engine, a_request_id_is_forgotten_with_its_change_and_not_before) {
    struct commit_request first = make(COMMIT_PUT, "a");
    first.request_id = uuid_make();
    struct commit_request other = make(COMMIT_PUT, "b");
    cr_assert(run(&first) && run(&other));
    struct commit_request again = make(COMMIT_PUT, "a");
    again.request_id = first.request_id;
    struct error error = {0};
    now_us += 3600LL * 1000000;
    cr_assert_eq(change_log_trim(kv, first.record.revision, now_us, 100, &error), first.record.revision - 1);
    cr_assert(run(&again));
    cr_assert_eq(again.record.version, 1, "the answer of then");
    cr_assert_eq(change_log_trim(kv, other.record.revision, now_us, 100, &error), 1);
    struct commit_request anew = make(COMMIT_PUT, "a");
    anew.request_id = first.request_id;
    anew.fingerprint.raw[0] = 1;
    cr_assert(run(&anew), "%s", anew.error.message);
    cr_assert_eq(anew.record.version, 2);
}

Test(commit_engine, refused_and_validated_requests_change_nothing) {
    int64_t before = commit_engine_revision(engine);
    struct commit_request no_bucket = make(COMMIT_PUT, "a");
    no_bucket.record.bucket = "absent";
    struct commit_request too_large =
        put_inline("a", "0123456789012345678901234567890123456789012345678901234567890123456789");
    struct commit_request only_checked = make(COMMIT_PUT, "a");
    only_checked.validate_only = true;
    cr_assert_not(run(&no_bucket));
    cr_assert_eq(no_bucket.error.code, ERROR_NOT_FOUND);
    cr_assert_not(run(&too_large));
    cr_assert_str_eq(too_large.error.field, "inline_payload.data");
    cr_assert(run(&only_checked));
    cr_assert_eq(commit_engine_revision(engine), before);
    int64_t oldest;
    int64_t newest;
    struct error error = {0};
    cr_assert(change_log_bounds(kv, &oldest, &newest, &error));
    cr_assert_eq(newest, before);
}

struct seen_change {
    int64_t revision;
    int64_t previous_revision;
    int64_t previous_version;
    int64_t type; /* no padding: events are compared as bytes */
    int64_t version;
};

struct seen_changes {
    struct seen_change list[32];
    size_t count;
};

static bool see_change(void *context, int64_t revision, struct bytes wire) {
    struct seen_changes *seen = context;
    Waybill__V1__ChangeEvent *event = waybill__v1__change_event__unpack(arena_protobuf(&arena), wire.size, wire.data);
    cr_assert_not_null(event);
    cr_assert_eq(event->revision, revision);
    seen->list[seen->count++] = (struct seen_change){revision, event->previous_revision, event->previous_version,
                                                     (int64_t)event->type, event->record ? event->record->version : 0};
    return true;
}

Test(commit_engine, each_commit_is_one_event_with_contiguous_revisions) {
    struct commit_request put = put_inline("a", "text");
    struct commit_request other = make(COMMIT_PUT, "b");
    struct commit_request gone = make(COMMIT_DELETE, "a");
    cr_assert(run(&put) && run(&other) && run(&gone));
    struct seen_changes seen = {0};
    struct error error = {0};
    cr_assert(change_log_read(kv, 1, see_change, &seen, &error));
    cr_assert_eq(seen.count, 4);
    const struct seen_change expected[] = {{1, 0, 0, CHANGE_BUCKET_CREATED, 0},
                                           {2, 0, 0, CHANGE_STAGED, 1},
                                           {3, 0, 0, CHANGE_COMMITTED, 1},
                                           {4, 2, 1, CHANGE_DELETED, 2}};
    for (size_t i = 0; i < 4; i++) {
        cr_expect_eq(memcmp(&seen.list[i], &expected[i], sizeof expected[i]), 0, "event %zu", i);
    }
}

Test(commit_engine, an_inline_payload_is_released_when_the_policy_is_satisfied) {
    struct commit_request put = put_inline("a", "text");
    cr_assert(run(&put));
    cr_assert_eq(put.record.state, RECORD_STAGED);
    struct payload_entry entry;
    bool found;
    struct error error = {0};
    cr_assert(record_store_get_payload(kv_lookup_of(kv), &put.record.payload_id, &arena, &entry, &found, &error));
    cr_assert(found && bytes_equal(entry.data, bytes_of_string("text")));

    struct object_report stored = report_of(&put.record, OBJECT_STORED, TIER_HOT);
    struct commit_request report = reports("replica-1", &stored, 1);
    cr_assert(run(&report));
    cr_assert_eq(stored.verdict, REPORT_ACCEPTED);
    cr_assert_eq(get("a", 0).state, RECORD_STORED);
    cr_assert(record_store_get_payload(kv_lookup_of(kv), &put.record.payload_id, &arena, &entry, &found, &error));
    cr_assert_not(found);
}

Test(commit_engine, a_repeated_report_is_accepted_and_changes_nothing) {
    struct commit_request put = put_inline("a", "text");
    cr_assert(run(&put));
    struct object_report stored = report_of(&put.record, OBJECT_STORED, TIER_HOT);
    struct commit_request report = reports("replica-1", &stored, 1);
    cr_assert(run(&report));
    int64_t before = commit_engine_revision(engine);
    struct commit_request repeated = reports("replica-1", &stored, 1);
    cr_assert(run(&repeated));
    cr_assert_eq(stored.verdict, REPORT_ACCEPTED);
    struct commit_request elsewhere = reports("replica-2", &stored, 1);
    cr_assert(run(&elsewhere));
    cr_assert_eq(stored.verdict, REPORT_OBSOLETE);
    cr_assert_eq(commit_engine_revision(engine), before);
}

Test(commit_engine, a_report_with_other_bytes_or_for_an_unknown_version_changes_nothing) {
    struct commit_request put = put_inline("a", "text");
    cr_assert(run(&put));
    int64_t before = commit_engine_revision(engine);
    struct object_report wrong[3];
    for (int i = 0; i < 3; i++) {
        wrong[i] = report_of(&put.record, OBJECT_STORED, TIER_HOT);
    }
    wrong[0].crc32c ^= 1;
    wrong[1].version = 2;
    wrong[2].payload_id = uuid_make();
    struct commit_request report = reports("replica-1", wrong, 3);
    cr_assert(run(&report));
    cr_assert_eq(wrong[0].verdict, REPORT_REJECTED);
    cr_assert_eq(wrong[1].verdict, REPORT_OBSOLETE);
    cr_assert_eq(wrong[2].verdict, REPORT_OBSOLETE);
    cr_assert_eq(commit_engine_revision(engine), before);
}

Test(commit_engine, a_move_to_cold_swaps_the_locations_in_one_commit) {
    struct commit_request put = put_inline("a", "text");
    cr_assert(run(&put));
    struct object_report stored = report_of(&put.record, OBJECT_STORED, TIER_HOT);
    struct commit_request report = reports("replica-1", &stored, 1);
    cr_assert(run(&report));
    struct object_report moved = report_of(&put.record, OBJECT_TIERED, TIER_COLD);
    moved.drop_tier = TIER_HOT;
    struct commit_request move = reports("replica-1", &moved, 1);
    cr_assert(run(&move));
    cr_assert_eq(moved.verdict, REPORT_ACCEPTED);
    struct record record = get("a", 0);
    cr_assert_eq(record.location_count, 1);
    cr_assert_eq(record.locations[0].tier, TIER_COLD);
    struct object_report last = report_of(&put.record, OBJECT_DROPPED, TIER_COLD);
    struct commit_request drop = reports("replica-1", &last, 1);
    cr_assert(run(&drop));
    cr_assert_eq(last.verdict, REPORT_REJECTED, "the only copy must not go");
}

Test(commit_engine, an_announced_payload_is_staged_when_its_upload_finishes) {
    struct commit_request put = put_announced("a");
    put.record.has_size = true;
    put.record.size = 4;
    cr_assert(run(&put));
    cr_assert_eq(put.record.state, RECORD_AWAITING_PAYLOAD);
    cr_assert_eq(put.record.serving_version, 0);

    struct commit_request wrong = make(COMMIT_FINISH_UPLOAD, "");
    wrong.record.payload_id = put.record.payload_id;
    wrong.record.size = 5;
    cr_assert_not(run(&wrong));
    cr_assert_str_eq(wrong.error.reason, "SIZE_MISMATCH");

    struct commit_request finish = make(COMMIT_FINISH_UPLOAD, "");
    finish.record.payload_id = put.record.payload_id;
    finish.record.size = 4;
    finish.record.crc32c = 7;
    cr_assert(run(&finish), "%s", finish.error.message);
    struct record record = get("a", 0);
    cr_assert_eq(record.state, RECORD_STAGED);
    cr_assert_eq(record.version, 1);
    cr_assert_eq(record.serving_version, 1);
    struct commit_request twice = finish;
    cr_assert_not(run(&twice));
    cr_assert_eq(twice.error.code, ERROR_FAILED_PRECONDITION);
}

Test(commit_engine, a_finished_upload_is_remembered_under_its_upload_id) {
    struct commit_request put = put_announced("a");
    cr_assert(run(&put));
    struct commit_request finish = make(COMMIT_FINISH_UPLOAD, "");
    finish.record.payload_id = put.record.payload_id;
    finish.request_id = put.record.payload_id;
    finish.record.size = 4;
    finish.record.crc32c = 7;
    struct commit_request again = finish;
    struct commit_request other = finish;
    cr_assert(run(&finish));
    cr_assert(run(&again), "%s", again.error.message);
    cr_assert_eq(again.record.revision, finish.record.revision);
    cr_assert_eq(commit_engine_revision(engine), finish.record.revision, "nothing is committed twice");
    other.fingerprint.raw[0] = 1;
    cr_assert_not(run(&other));
    cr_assert_str_eq(other.error.reason, "REQUEST_ID_REUSED");
}

Test(commit_engine, a_cancelled_upload_fails_and_gives_back_what_had_arrived) {
    struct commit_request put = put_announced("a");
    cr_assert(run(&put));
    struct commit_request cancel = make(COMMIT_CANCEL_UPLOAD, "");
    cancel.record.payload_id = put.record.payload_id;
    cancel.request_id = uuid_make();
    cancel.reason = "no longer wanted";
    struct commit_request again = cancel;
    struct commit_request second = cancel;
    cr_assert(run(&cancel), "%s", cancel.error.message);
    cr_assert_eq(get("a", 0).state, RECORD_FAILED);
    cr_assert_not_null(strstr(get("a", 0).cause.reason, "no longer wanted"));
    cr_assert_eq(cancel.released_count, 1);
    cr_assert(uuid_equal(&cancel.released[0], &put.record.payload_id));
    cr_assert(run(&again), "%s", again.error.message);
    cr_assert_eq(again.record.revision, cancel.record.revision);
    second.request_id = uuid_make();
    cr_assert_not(run(&second));
    cr_assert_str_eq(second.error.reason, "PAYLOAD_NOT_AWAITED");
    struct commit_request finish = make(COMMIT_FINISH_UPLOAD, "");
    finish.record.payload_id = put.record.payload_id;
    cr_assert_not(run(&finish));
    cr_assert_str_eq(finish.error.reason, "PAYLOAD_NOT_AWAITED");
    struct commit_request unknown = make(COMMIT_CANCEL_UPLOAD, "");
    unknown.record.payload_id = uuid_make();
    cr_assert_not(run(&unknown));
    cr_assert_str_eq(unknown.error.reason, "UPLOAD_NOT_FOUND");
}

Test(commit_engine, readers_keep_the_last_serving_version_while_a_new_one_is_awaited_or_failed) {
    struct commit_request old = put_inline("a", "old");
    struct commit_request announced = put_announced("a");
    cr_assert(run(&old) && run(&announced));
    cr_assert_eq(get("a", 0).serving_version, 1);

    struct commit_request finish = make(COMMIT_FINISH_UPLOAD, "");
    finish.record.payload_id = announced.record.payload_id;
    finish.record.size = 1;
    cr_assert(run(&finish));
    cr_assert_eq(get("a", 0).serving_version, 2);

    struct object_report failed = report_of(&announced.record, OBJECT_FAILED, TIER_HOT);
    failed.error_reason = "PAYLOAD_CORRUPT";
    struct commit_request report = reports("replica-1", &failed, 1);
    cr_assert(run(&report));
    struct record latest = get("a", 0);
    cr_assert_eq(latest.state, RECORD_FAILED);
    cr_assert_eq(latest.serving_version, 1);
}

Test(commit_engine, a_report_for_an_older_version_leaves_the_latest_alone) {
    struct commit_request old = put_inline("a", "old");
    struct commit_request new = put_inline("a", "new");
    cr_assert(run(&old) && run(&new));
    struct object_report stored = report_of(&old.record, OBJECT_STORED, TIER_HOT);
    struct commit_request report = reports("replica-1", &stored, 1);
    cr_assert(run(&report));
    cr_assert_eq(get("a", 1).state, RECORD_STORED);
    struct record latest = get("a", 0);
    cr_assert_eq(latest.version, 2);
    cr_assert_eq(latest.state, RECORD_STAGED);
    cr_assert_eq(latest.serving_version, 2);
}

Test(commit_engine, a_spooled_payload_is_released_only_where_policy_wants_it) {
    struct commit_request create = make(COMMIT_CREATE_BUCKET, "");
    create.bucket =
        (struct bucket){.name = "cold-now", .storage_class = STORAGE_COLD, .cold_after_us = 0, .inline_max_bytes = 64};
    cr_assert(run(&create));
    struct commit_request put = put_inline("a", "text");
    put.record.bucket = "cold-now";
    put.payload_source = PAYLOAD_FROM_SPOOL;
    cr_assert(run(&put));
    struct object_report hot = report_of(&put.record, OBJECT_STORED, TIER_HOT);
    struct commit_request stored = reports("replica-1", &hot, 1);
    cr_assert(run(&stored));
    cr_assert_eq(stored.released_count, 0, "hot is not where this bucket wants it");
    struct object_report cold = report_of(&put.record, OBJECT_TIERED, TIER_COLD);
    cold.drop_tier = TIER_HOT;
    struct commit_request tiered = reports("replica-1", &cold, 1);
    cr_assert(run(&tiered));
    cr_assert_eq(tiered.released_count, 1);
    cr_assert(uuid_equal(&tiered.released[0], &put.record.payload_id));
}

/* The tier mover finds an object as soon as it is in the index, which may be before its report. */
Test(commit_engine, a_move_that_overtakes_the_report_of_its_object_stores_it) {
    struct commit_request create = make(COMMIT_CREATE_BUCKET, "");
    create.bucket =
        (struct bucket){.name = "cold-now", .storage_class = STORAGE_COLD, .cold_after_us = 0, .inline_max_bytes = 64};
    cr_assert(run(&create));
    struct commit_request put = put_inline("a", "text");
    put.record.bucket = "cold-now";
    put.payload_source = PAYLOAD_FROM_SPOOL;
    cr_assert(run(&put));
    int64_t before = commit_engine_revision(engine);
    struct object_report cold = report_of(&put.record, OBJECT_TIERED, TIER_COLD);
    cold.drop_tier = TIER_HOT;
    struct commit_request tiered = reports("replica-1", &cold, 1);
    cr_assert(run(&tiered));
    cr_assert_eq(cold.verdict, REPORT_ACCEPTED);
    cr_assert_eq(commit_engine_revision(engine), before + 1, "stored, in the cold tier at once");
    cr_assert_eq(tiered.released_count, 1);
    struct object_report hot = report_of(&put.record, OBJECT_STORED, TIER_HOT);
    struct commit_request late = reports("replica-1", &hot, 1);
    cr_assert(run(&late));
    cr_assert_eq(hot.verdict, REPORT_OBSOLETE, "the hot copy was given up");
    cr_assert_eq(commit_engine_revision(engine), before + 1);
    struct record_head head;
    struct error error;
    bool found;
    cr_assert(record_store_get_head(kv_lookup_of(kv), "cold-now", "a", &arena, &head, &found, &error) && found);
    cr_assert_eq(head.record.state, RECORD_STORED);
    cr_assert_eq(head.record.location_count, 1);
    cr_assert_eq(head.record.locations[0].tier, TIER_COLD);
}

Test(commit_engine, after_a_failed_write_nothing_is_acked_until_a_restart) {
    int64_t before = commit_engine_revision(engine);
    struct commit_request put = make(COMMIT_PUT, "a");
    failing.fail = true;
    cr_assert_not(run(&put));
    cr_assert_eq(put.error.code, ERROR_UNAVAILABLE);
    cr_assert_eq(put.error.retry_after_ms, ERROR_RETRY_READ_ONLY_MS);
    failing.fail = false;
    struct commit_request later = make(COMMIT_PUT, "b");
    cr_assert_not(run(&later));
    cr_assert_str_eq(later.error.reason, "READ_ONLY");
    cr_assert_eq(later.error.retry_after_ms, ERROR_RETRY_READ_ONLY_MS);
    cr_assert_eq(commit_engine_revision(engine), before);
    close_engine();
    open_engine();
    struct commit_request after = make(COMMIT_PUT, "b");
    cr_assert(run(&after));
    cr_assert_eq(after.record.revision, before + 1);
}

Test(commit_engine, trimming_keeps_the_newest_change_and_what_is_not_published) {
    for (int i = 0; i < 9; i++) {
        struct commit_request put = make(COMMIT_PUT, "a");
        cr_assert(run(&put));
    }
    struct error error = {0};
    int64_t oldest;
    int64_t newest;
    cr_assert_eq(change_log_trim(kv, 4, now_us + 1, 100, &error), 3);
    cr_assert(change_log_bounds(kv, &oldest, &newest, &error));
    cr_assert_eq(oldest, 4);
    cr_assert_eq(change_log_trim(kv, 1000, now_us, 100, &error), 0, "what is young stays");
    cr_assert_eq(change_log_trim(kv, 1000, now_us + 1, 2, &error), 2, "bounded steps");
    cr_assert_eq(change_log_trim(kv, 1000, now_us + 1, 100, &error), 4);
    cr_assert(change_log_bounds(kv, &oldest, &newest, &error));
    cr_assert_eq(oldest, 10);
    cr_assert_eq(newest, 10);
    struct seen_changes seen = {0};
    cr_assert_not(change_log_read(kv, 3, see_change, &seen, &error));
    cr_assert_eq(error.code, ERROR_OUT_OF_RANGE);
    cr_assert_str_eq(error.detail_value, "10");
}
