// rooms: metadata_commit
#include <criterion/criterion.h>
#include <string.h>

#include "tests/unit/metadata-svc/commit/engine_fixture.h"

/* Payloads that nobody stores: deadlines, compensation, redrive, retry, cancel. */

TestSuite(payload_failing, .init = set_up, .fini = tear_down);

static struct record put_text(const char *key, const char *text) {
    struct commit_request request = put_inline(key, text);
    cr_assert(run(&request), "%s", request.error.message);
    return request.record;
}

static struct record put_spooled(const char *key, const char *text) {
    struct commit_request request = put_inline(key, text);
    request.payload_source = PAYLOAD_FROM_SPOOL;
    cr_assert(run(&request), "%s", request.error.message);
    return request.record;
}

static void store(const struct record *record) {
    struct object_report stored = report_of(record, OBJECT_STORED, TIER_HOT);
    struct commit_request request = reports("one", &stored, 1);
    cr_assert(run(&request));
    cr_assert_eq(stored.verdict, REPORT_ACCEPTED, "%s", stored.message);
}

static struct object_report fail(const struct record *record) {
    struct object_report failed = report_of(record, OBJECT_FAILED, TIER_HOT);
    failed.error_reason = "PAYLOAD_CORRUPT";
    failed.error_message = "the spool has lost the payload";
    failed.attempts = 5;
    struct commit_request request = reports("one", &failed, 1);
    cr_assert(run(&request), "%s", request.error.message);
    return failed;
}

static void revert_on_failure(void) {
    set_policy((struct bucket){.on_failure = ON_FAILURE_REVERT}, BUCKET_ON_FAILURE);
}

static bool is_failure(const struct record *record, struct payload_failure *failure) {
    struct error error = {0};
    bool found;
    cr_assert(
        record_store_get_failure(kv_lookup_of(kv), "photos", &record->payload_id, &arena, failure, &found, &error));
    return found;
}

static bool has_payload(const struct record *record) {
    struct payload_entry entry;
    struct error error = {0};
    bool found;
    cr_assert(record_store_get_payload(kv_lookup_of(kv), &record->payload_id, &arena, &entry, &found, &error));
    return found;
}

struct counts {
    unsigned of[CHANGE_BUCKET_DELETED + 1];
    int64_t last;
};

static bool count_change(void *context, int64_t revision, struct bytes event) {
    struct counts *counts = context;
    Waybill__V1__ChangeEvent *message =
        waybill__v1__change_event__unpack(arena_protobuf(&arena), event.size, event.data);
    cr_assert_not_null(message);
    cr_assert_eq(revision, counts->last + 1, "contiguous");
    counts->last = revision;
    counts->of[message->type]++;
    return true;
}

static struct counts count_changes(void) {
    struct counts counts = {0};
    struct error error = {0};
    cr_assert(change_log_read(kv, 1, count_change, &counts, &error));
    return counts;
}

static struct commit_request ask(enum commit_kind kind, const struct record *record) {
    struct commit_request request = make(kind, "");
    request.record.payload_id = record->payload_id;
    request.actor = "operator";
    return request;
}

/* ---- deadlines ---- */

Test(payload_failing, a_payload_fails_at_its_deadline_and_not_before) {
    struct commit_request request = put_announced("a");
    request.payload_deadline_us = 10 * SECOND_US;
    cr_assert(run(&request));
    cr_assert_eq(request.record.deadline_us, now_us + 10 * SECOND_US);
    now_us += 10 * SECOND_US - 1;
    cr_assert_eq(run_due(), 1);
    cr_assert_eq(get("a", 0).state, RECORD_AWAITING_PAYLOAD);
    now_us += 1;
    run_due();
    struct record failed = get("a", 0);
    cr_assert_eq(failed.state, RECORD_FAILED);
    cr_assert_eq(failed.version, 1);
    cr_assert_eq(failed.cause.system, SYSTEM_CAUSE_DEADLINE);
    cr_assert(strstr(failed.cause.reason, "PAYLOAD_DEADLINE_MISSED: ") == failed.cause.reason);
    cr_assert_eq(timers_done.payloads.deadlines_missed, 1);
    run_due();
    cr_assert_eq(count_changes().of[CHANGE_FAILED], 1);
}

Test(payload_failing, a_bucket_gives_the_deadline_where_the_request_names_none) {
    cr_assert_eq(put_text("a", "one").deadline_us, now_us + BUCKET_PAYLOAD_DEADLINE_DEFAULT_US);
    set_policy((struct bucket){.payload_deadline_us = 7 * SECOND_US}, BUCKET_PAYLOAD_DEADLINE);
    cr_assert_eq(put_text("a", "two").deadline_us, now_us + 7 * SECOND_US);
    now_us += 7 * SECOND_US;
    run_due();
    cr_assert_eq(get("a", 2).state, RECORD_FAILED);
    cr_assert_eq(get("a", 1).state, RECORD_STAGED);
}

Test(payload_failing, a_record_without_payload_costs_no_timer_and_a_stored_one_leaves_none) {
    struct timer timers[4];
    struct commit_request request = make(COMMIT_PUT, "a");
    cr_assert(run(&request));
    cr_assert_eq(request.record.deadline_us, 0);
    cr_assert_eq(read_timers(timers, 4), 0);
    set_policy((struct bucket){.storage_class = STORAGE_HOT}, BUCKET_STORAGE_CLASS);
    struct record staged = put_text("b", "bytes");
    cr_assert_eq(read_timers(timers, 4), 1);
    store(&staged);
    cr_assert_eq(read_timers(timers, 4), 0);
}

Test(payload_failing, what_was_stored_in_time_does_not_fail) {
    struct record staged = put_text("a", "bytes"); /* its payload stays until the object is cold */
    store(&staged);
    now_us = staged.deadline_us + SECOND_US;
    run_due();
    cr_assert_eq(get("a", 0).state, RECORD_STORED);
    cr_assert_eq(count_changes().of[CHANGE_FAILED], 0);
}

Test(payload_failing, deadlines_pass_oldest_first_and_each_once_however_the_clock_jumps) {
    for (int i = 0; i < 20; i++) {
        struct commit_request request = put_announced(arena_printf(&arena, "k%02d", i));
        request.payload_deadline_us = (20 - i) * SECOND_US;
        cr_assert(run(&request));
    }
    struct timer timers[64];
    cr_assert_eq(read_timers(timers, 64), 20);
    cr_assert_str_eq(timers[0].key, "k19");
    int64_t start_us = now_us;
    now_us = start_us - HOUR_US; /* back: nothing is due */
    run_due();
    cr_assert_eq(count_changes().of[CHANGE_FAILED], 0);
    now_us = start_us + 5 * SECOND_US;
    run_due();
    cr_assert_eq(count_changes().of[CHANGE_FAILED], 5);
    now_us = start_us - HOUR_US;
    run_due();
    now_us = start_us + 50 * HOUR_US; /* far ahead: all at once */
    run_due();
    now_us = start_us;
    run_due();
    cr_assert_eq(count_changes().of[CHANGE_FAILED], 20);
    cr_assert_eq(get("k00", 0).state, RECORD_FAILED);
}

Test(payload_failing, an_upload_in_time_is_then_to_be_stored_by_the_same_deadline) {
    struct commit_request request = put_announced("a");
    request.payload_deadline_us = 10 * SECOND_US;
    struct commit_request finish = make(COMMIT_FINISH_UPLOAD, "");
    cr_assert(run(&request));
    now_us += 9 * SECOND_US;
    finish.record.payload_id = request.record.payload_id;
    finish.record.size = 4;
    cr_assert(run(&finish));
    cr_assert_eq(run_due(), 1, "one timer for the payload");
    cr_assert_eq(get("a", 0).state, RECORD_STAGED);
    now_us += SECOND_US;
    run_due();
    cr_assert_eq(get("a", 0).state, RECORD_FAILED);
    struct commit_request late = finish;
    cr_assert_not(run(&late));
    cr_assert_str_eq(late.error.reason, "PAYLOAD_NOT_AWAITED");
}

Test(payload_failing, a_deadline_costs_the_same_however_many_were_missed_before) {
    struct record first = put_text("a", "one");
    store(&first);
    enum { ABANDONED = 300 };
    for (int i = 0; i < ABANDONED; i++) {
        struct commit_request request = put_announced("a");
        request.payload_deadline_us = SECOND_US + i;
        cr_assert(run(&request));
    }
    now_us += SECOND_US + ABANDONED;
    failing.gets = 0;
    while (count_changes().of[CHANGE_FAILED] < ABANDONED) {
        run_due();
    }
    cr_assert_leq(failing.gets, 8 * ABANDONED);
    cr_assert_eq(get("a", 0).serving_version, 1);
}

/* ---- reports of failures ---- */

Test(payload_failing, a_reported_failure_keeps_reason_and_bytes_through_a_restart) {
    struct record staged = put_spooled("a", "bytes");
    cr_assert_eq(fail(&staged).verdict, REPORT_ACCEPTED);
    close_engine();
    open_engine();
    struct record failed = get("a", 0);
    cr_assert_eq(failed.state, RECORD_FAILED);
    cr_assert_str_eq(failed.cause.reason, "PAYLOAD_CORRUPT: the spool has lost the payload");
    struct payload_failure failure;
    cr_assert(is_failure(&failed, &failure));
    cr_assert_str_eq(failure.reason, "PAYLOAD_CORRUPT");
    cr_assert_str_eq(failure.message, "the spool has lost the payload");
    cr_assert_eq(failure.attempts, 5);
    cr_assert_eq(failure.fail_us, now_us);
    cr_assert(has_payload(&failed));
    cr_assert_eq(fail(&staged).verdict, REPORT_OBSOLETE, "it failed already");
    cr_assert_eq(count_changes().of[CHANGE_FAILED], 1);
}

Test(payload_failing, failures_of_what_is_stored_or_unknown_are_obsolete) {
    struct record staged = put_text("a", "bytes");
    store(&staged);
    cr_assert_eq(fail(&staged).verdict, REPORT_OBSOLETE);
    staged.payload_id = uuid_make();
    cr_assert_eq(fail(&staged).verdict, REPORT_OBSOLETE);
    cr_assert_eq(get("a", 0).state, RECORD_STORED);
}

Test(payload_failing, a_reason_that_is_no_text_becomes_text) {
    struct record staged = put_text("a", "bytes");
    struct object_report failed = report_of(&staged, OBJECT_FAILED, TIER_HOT);
    char message[800];
    memset(message, 'x', sizeof message);
    memcpy(message + 158, "\xc3\xa4\xc3\xa4", 4); /* is cut in the middle */
    message[sizeof message - 1] = '\0';
    failed.error_message = message;
    struct commit_request request = reports("one", &failed, 1);
    cr_assert(run(&request));
    struct payload_failure failure;
    cr_assert(is_failure(&staged, &failure));
    cr_assert_str_eq(failure.reason, "OBJECT_FAILED");
    cr_assert_eq(strlen(failure.message), 500);
    cr_assert(utf8_valid(bytes_of_string(get("a", 0).cause.reason)));
}

Test(payload_failing, bytes_and_reason_go_when_their_time_is_over) {
    struct record staged = put_spooled("a", "bytes");
    fail(&staged);
    now_us += FAILED_RETENTION_H * HOUR_US - 1;
    run_due();
    cr_assert(has_payload(&staged));
    now_us += 1;
    cr_assert_eq(run_due(), 0);
    cr_assert_eq(timers_done.released_count, 1);
    cr_assert(uuid_equal(&timers_done.released[0], &staged.payload_id));
    struct payload_failure failure;
    cr_assert(!has_payload(&staged) && !is_failure(&staged, &failure));
    cr_assert_eq(get("a", 0).state, RECORD_FAILED, "that it failed is told for ever");
}

/* ---- compensation ---- */

/* The first version is stored, the second fails. */
static struct record fail_second(struct record *first) {
    *first = put_text("a", "one");
    store(first);
    struct record second = put_text("a", "second");
    fail(&second);
    return get("a", 0);
}

Test(payload_failing, a_kept_failure_lets_readers_have_the_last_version_that_serves) {
    struct record first;
    struct record latest = fail_second(&first);
    cr_assert_eq(latest.version, 2);
    cr_assert_eq(latest.state, RECORD_FAILED);
    cr_assert_eq(latest.serving_version, 1);
    cr_assert_eq(count_changes().of[CHANGE_REVERTED], 0);
}

Test(payload_failing, a_revert_makes_a_version_with_the_last_content) {
    revert_on_failure();
    struct record first;
    struct record latest = fail_second(&first);
    cr_assert_eq(latest.version, 3);
    cr_assert_eq(latest.state, RECORD_STORED);
    cr_assert_eq(latest.serving_version, 3);
    cr_assert_eq(latest.payload_version, 1);
    cr_assert_eq(latest.size, 3);
    cr_assert(uuid_equal(&latest.payload_id, &first.payload_id));
    cr_assert(uuid_equal(&latest.uid, &first.uid));
    cr_assert_eq(latest.cause.system, SYSTEM_CAUSE_COMPENSATION);
    cr_assert_str_eq(latest.cause.reason, "version 2 failed; back to version 1");
    cr_assert_eq(get("a", 2).state, RECORD_FAILED);
    struct counts counts = count_changes();
    cr_assert_eq(counts.of[CHANGE_FAILED], 1);
    cr_assert_eq(counts.of[CHANGE_REVERTED], 1);
}

Test(payload_failing, a_revert_of_the_only_version_is_a_tombstone) {
    revert_on_failure();
    struct record staged = put_text("a", "one");
    fail(&staged);
    struct record latest = get("a", 0);
    cr_assert_eq(latest.version, 2);
    cr_assert_eq(latest.state, RECORD_DELETED);
    cr_assert_eq(latest.serving_version, 0);
    cr_assert_eq(count_changes().of[CHANGE_REVERTED], 1);
    struct commit_request create = make(COMMIT_PUT, "a");
    create.has_if_version = true;
    create.if_version = 0;
    cr_assert(run(&create));
    cr_assert_eq(create.record.version, 3);
}

Test(payload_failing, a_revert_never_goes_past_a_newer_write) {
    revert_on_failure();
    struct record first = put_text("a", "one");
    store(&first);
    struct record second = put_text("a", "two");
    struct commit_request newer = make(COMMIT_PUT, "a");
    cr_assert(run(&newer));
    fail(&second);
    struct record latest = get("a", 0);
    cr_assert_eq(latest.version, 3);
    cr_assert_eq(latest.state, RECORD_COMMITTED);
    cr_assert_eq(count_changes().of[CHANGE_REVERTED], 0);
    struct commit_request gone = make(COMMIT_DELETE, "b");
    struct record only = put_text("b", "one");
    cr_assert(run(&gone));
    fail(&only);
    cr_assert_eq(get("b", 0).version, 2, "a delete is a newer write, too");
}

Test(payload_failing, a_revert_to_what_is_itself_in_flight_shares_its_fate) {
    revert_on_failure();
    struct record first = put_text("a", "one");
    store(&first);
    struct record second = put_text("a", "second");
    struct record third = put_text("a", "third");
    fail(&third);
    struct record latest = get("a", 0);
    cr_assert_eq(latest.version, 4);
    cr_assert_eq(latest.state, RECORD_STAGED);
    cr_assert_eq(latest.payload_version, 2);
    fail(&second);
    latest = get("a", 0);
    cr_assert_eq(latest.version, 5);
    cr_assert_eq(latest.state, RECORD_STORED);
    cr_assert_eq(latest.payload_version, 1);
    cr_assert_eq(get("a", 4).state, RECORD_FAILED);
    cr_assert_eq(get("a", 2).state, RECORD_FAILED);
}

Test(payload_failing, versions_that_share_a_payload_fail_together) {
    struct record first = put_text("a", "one");
    struct commit_request update = make(COMMIT_UPDATE, "a");
    update.update.content_type = true;
    update.record.content_type = "text/plain";
    cr_assert(run(&update));
    now_us = first.deadline_us;
    run_due();
    cr_assert_eq(get("a", 1).state, RECORD_FAILED);
    cr_assert_eq(get("a", 2).state, RECORD_FAILED);
    cr_assert_eq(get("a", 0).serving_version, 0);
    cr_assert_eq(count_changes().of[CHANGE_FAILED], 1, "one payload, one failure");
    struct commit_request retry = ask(COMMIT_RETRY_PAYLOAD, &first);
    cr_assert(run(&retry), "%s", retry.error.message);
    cr_assert_eq(get("a", 1).state, RECORD_STAGED);
    cr_assert_eq(get("a", 0).serving_version, 2);
    store(&first);
    cr_assert_eq(get("a", 2).state, RECORD_STORED);
}

/* ---- redrive ---- */

Test(payload_failing, a_payload_that_nobody_stores_is_announced_again_ever_more_rarely) {
    struct record staged = put_text("a", "bytes");
    int64_t waited_s[4];
    for (int i = 0; i < 4; i++) {
        struct timer timer;
        read_timers(&timer, 1);
        waited_s[i] = (timer.due_us - now_us) / SECOND_US;
        now_us = timer.due_us;
        cr_assert_eq(run_due(), 1);
        cr_assert_eq(count_changes().of[CHANGE_STAGED], i + 2);
    }
    cr_assert_eq(waited_s[0], REDRIVE_AFTER_S);
    cr_assert_eq(waited_s[1], 2 * REDRIVE_AFTER_S);
    cr_assert_eq(waited_s[3], 8 * REDRIVE_AFTER_S);
    struct record record = get("a", 0);
    cr_assert_eq(record.state, RECORD_STAGED);
    cr_assert_eq(record.version, 1);
    cr_assert_gt(record.revision, staged.revision);
    cr_assert_eq(record.cause.system, SYSTEM_CAUSE_REDRIVE);
    store(&staged);
    cr_assert_eq(get("a", 0).state, RECORD_STORED);
}

Test(payload_failing, redrives_are_bounded_and_do_not_come_before_the_event_itself) {
    for (int i = 0; i < 10; i++) {
        put_text(arena_printf(&arena, "k%d", i), "bytes");
    }
    now_us += REDRIVE_AFTER_S * SECOND_US;
    redrives_max = 3;
    cr_assert_eq(run_due(), 10, "those that have to wait are looked at later");
    cr_assert_eq(timers_done.payloads.redriven, 3);
    cr_assert_eq(count_changes().of[CHANGE_STAGED], 13);
    struct timer timers[16];
    size_t count = read_timers(timers, 16);
    now_us += REDRIVE_AFTER_S * SECOND_US;
    struct commit_request unpublished = make(COMMIT_TIMERS, "");
    unpublished.timers = timers;
    unpublished.timer_count = count;
    unpublished.redrives_max = 64;
    unpublished.published_revision = 1;
    cr_assert(run(&unpublished));
    cr_assert_eq(unpublished.payloads.redriven, 0);
}

Test(payload_failing, a_redrive_never_outlives_the_deadline) {
    struct record staged = put_text("a", "bytes");
    struct timer timer;
    for (int i = 0; i < 20 && get("a", 0).state == RECORD_STAGED; i++) {
        cr_assert_eq(read_timers(&timer, 1), 1);
        cr_assert_leq(timer.due_us, staged.deadline_us);
        now_us = timer.due_us;
        run_due();
    }
    cr_assert_eq(get("a", 0).state, RECORD_FAILED);
    cr_assert_eq(now_us, staged.deadline_us);
}

/* ---- operators ---- */

Test(payload_failing, a_retry_stages_what_failed_with_a_new_deadline) {
    struct record staged = put_spooled("a", "bytes");
    fail(&staged);
    now_us += HOUR_US;
    struct commit_request retry = ask(COMMIT_RETRY_PAYLOAD, &staged);
    retry.reason = "the disk is mended";
    cr_assert(run(&retry), "%s", retry.error.message);
    struct record record = get("a", 0);
    cr_assert_eq(record.state, RECORD_STAGED);
    cr_assert_eq(record.deadline_us, now_us + BUCKET_PAYLOAD_DEADLINE_DEFAULT_US);
    cr_assert_eq(record.cause.system, SYSTEM_CAUSE_OPERATOR);
    cr_assert_str_eq(record.cause.actor, "operator");
    struct payload_failure failure;
    cr_assert(!is_failure(&staged, &failure));
    now_us += FAILED_RETENTION_H * HOUR_US;
    struct timer timers[4];
    cr_assert_eq(read_timers(timers, 4), 1, "what was to take the bytes away is gone");
    struct commit_request again = ask(COMMIT_RETRY_PAYLOAD, &staged);
    cr_assert_not(run(&again));
    cr_assert_str_eq(again.error.reason, "PAYLOAD_NOT_FAILED");
}

Test(payload_failing, a_retry_without_bytes_is_refused_and_changes_nothing) {
    struct commit_request request = put_announced("a");
    request.payload_deadline_us = SECOND_US;
    cr_assert(run(&request));
    now_us += SECOND_US;
    run_due();
    int64_t before = commit_engine_revision(engine);
    struct commit_request retry = ask(COMMIT_RETRY_PAYLOAD, &request.record);
    cr_assert_not(run(&retry));
    cr_assert_eq(retry.error.code, ERROR_FAILED_PRECONDITION);
    struct record unknown = {.payload_id = uuid_make()};
    struct commit_request nothing = ask(COMMIT_RETRY_PAYLOAD, &unknown);
    cr_assert_not(run(&nothing));
    cr_assert_eq(nothing.error.code, ERROR_NOT_FOUND);
    cr_assert_eq(commit_engine_revision(engine), before);
}

Test(payload_failing, a_cancel_fails_what_is_in_flight_and_forgets_what_failed) {
    revert_on_failure();
    struct record staged = put_spooled("a", "bytes");
    struct commit_request cancel = ask(COMMIT_CANCEL_PAYLOAD, &staged);
    cr_assert(run(&cancel), "%s", cancel.error.message);
    cr_assert_eq(cancel.record.state, RECORD_FAILED);
    cr_assert_eq(cancel.released_count, 0);
    cr_assert_eq(get("a", 0).state, RECORD_DELETED);
    struct payload_failure failure;
    cr_assert(is_failure(&staged, &failure));
    cr_assert_str_eq(failure.reason, "PAYLOAD_CANCELLED");
    int64_t before = commit_engine_revision(engine);
    struct commit_request forget = ask(COMMIT_CANCEL_PAYLOAD, &staged);
    cr_assert(run(&forget));
    cr_assert_eq(forget.released_count, 1);
    cr_assert_eq(commit_engine_revision(engine), before, "no record changed");
    cr_assert(!is_failure(&staged, &failure) && !has_payload(&staged));
    struct commit_request nothing = ask(COMMIT_CANCEL_PAYLOAD, &staged);
    cr_assert_not(run(&nothing));
    cr_assert_eq(nothing.error.code, ERROR_NOT_FOUND);
}

Test(payload_failing, what_is_stored_cannot_be_cancelled) {
    struct record staged = put_text("a", "bytes"); /* the spool keeps it until it is cold */
    set_policy((struct bucket){.cold_after_us = 0}, BUCKET_COLD_AFTER);
    store(&staged);
    struct commit_request cancel = ask(COMMIT_CANCEL_PAYLOAD, &staged);
    cr_assert_not(run(&cancel));
    cr_assert_str_eq(cancel.error.reason, "PAYLOAD_STORED");
}
