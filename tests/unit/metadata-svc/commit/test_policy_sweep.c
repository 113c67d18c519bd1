// rooms: metadata_commit
#include <criterion/criterion.h>

#include "metadata-svc/commit/policy_sweep.h"
#include "tests/unit/metadata-svc/commit/engine_fixture.h"

/* Tombstones stay for a while. */
static void set_up_bucket(void) {
    set_up();
    set_policy((struct bucket){.delete_retention_us = 24 * HOUR_US}, BUCKET_DELETE_RETENTION);
}

TestSuite(policy_sweep, .init = set_up_bucket, .fini = tear_down);

static void put_at(const char *key, int64_t expire_us) {
    struct commit_request request = make(COMMIT_PUT, key);
    request.record.expire_us = expire_us;
    cr_assert(run(&request), "%s", request.error.message);
}

static void put(const char *key) {
    put_at(key, 0);
}

static bool sweep_is_left(void) {
    struct policy_sweep sweep;
    struct error error = {0};
    bool found;
    cr_assert(record_store_get_sweep(kv_lookup_of(kv), "photos", &arena, &sweep, &found, &error));
    return found;
}

/* Runs what is due until the sweep has ended; returns how many rounds that took. */
static unsigned sweep(void) {
    unsigned rounds = 0;
    while (sweep_is_left()) {
        now_us += 1;
        run_due();
        cr_assert_lt(++rounds, 1000);
    }
    return rounds;
}

static void run_until(int64_t until_us) {
    now_us = until_us;
    run_due();
    now_us += 2;
    run_due(); /* what that made due at once */
}

Test(policy_sweep, fewer_versions_hold_for_the_keys_that_are_there) {
    for (int i = 0; i < 10; i++) {
        put("a");
        put("b");
    }
    set_policy((struct bucket){.max_versions = 3}, BUCKET_MAX_VERSIONS);
    sweep();
    for (int64_t version = 1; version <= 10; version++) {
        cr_assert_eq(exists("a", version), version > 7);
        cr_assert_eq(exists("b", version), version > 7);
    }
}

Test(policy_sweep, it_goes_in_bounded_steps_and_on_after_a_restart) {
    enum { VERSIONS = 5 * SWEEP_VERSIONS_STEP };
    for (int i = 0; i <= VERSIONS; i++) {
        put("a");
    }
    set_policy((struct bucket){.max_versions = 1}, BUCKET_MAX_VERSIONS);
    now_us += 1;
    run_due();
    cr_assert(!exists("a", SWEEP_VERSIONS_STEP) && exists("a", SWEEP_VERSIONS_STEP + 1));
    close_engine();
    open_engine();
    cr_assert_geq(sweep(), 4);
    cr_assert(!exists("a", VERSIONS) && exists("a", VERSIONS + 1));
    cr_assert_eq(run_due(), 0);
}

Test(policy_sweep, what_is_in_flight_goes_once_it_is_stored) {
    struct commit_request first = put_inline("a", "one");
    cr_assert(run(&first));
    put("a");
    set_policy((struct bucket){.max_versions = 1}, BUCKET_MAX_VERSIONS);
    sweep();
    cr_assert(exists("a", 1));
    struct object_report stored = report_of(&first.record, OBJECT_STORED, TIER_HOT);
    struct commit_request report = reports("one", &stored, 1);
    cr_assert(run(&report));
    run_until(now_us + 61 * SECOND_US);
    cr_assert(!exists("a", 1));
}

Test(policy_sweep, old_versions_get_an_end_where_they_had_none) {
    put("a");
    put("a");
    now_us += 10 * SECOND_US;
    put("a");
    now_us += 5 * SECOND_US;
    set_policy((struct bucket){.version_retention_us = 10 * SECOND_US}, BUCKET_VERSION_RETENTION);
    sweep();
    cr_assert(!exists("a", 1) && exists("a", 2), "the first is old enough, the second not yet");
    run_until(now_us + 5 * SECOND_US);
    cr_assert(!exists("a", 2) && exists("a", 3));
}

Test(policy_sweep, records_expire_at_the_age_that_the_bucket_says_now) {
    set_policy((struct bucket){.expire_after_us = HOUR_US}, BUCKET_EXPIRE_AFTER);
    int64_t start_us = now_us;
    put("hour");
    cr_assert_eq(get("hour", 0).expire_us, start_us + HOUR_US);
    set_policy((struct bucket){.expire_after_us = 10 * SECOND_US}, BUCKET_EXPIRE_AFTER);
    sweep();
    run_until(start_us + 9 * SECOND_US);
    cr_assert_neq(get("hour", 0).state, RECORD_DELETED);
    run_until(start_us + 10 * SECOND_US);
    cr_assert_eq(get("hour", 0).state, RECORD_DELETED);
}

Test(policy_sweep, records_that_never_expired_begin_to) {
    int64_t start_us = now_us;
    put("a");
    now_us += 60 * SECOND_US;
    put("b");
    set_policy((struct bucket){.expire_after_us = 30 * SECOND_US}, BUCKET_EXPIRE_AFTER);
    sweep();
    run_until(start_us + 60 * SECOND_US + 10);
    cr_assert_eq(get("a", 0).state, RECORD_DELETED, "at once");
    cr_assert_neq(get("b", 0).state, RECORD_DELETED);
    run_until(start_us + 91 * SECOND_US);
    cr_assert_eq(get("b", 0).state, RECORD_DELETED);
}

Test(policy_sweep, an_expiry_that_was_asked_for_stays) {
    int64_t start_us = now_us;
    put_at("own", start_us + HOUR_US);
    put("never");
    struct commit_request never = make(COMMIT_UPDATE, "never");
    never.update.expire_time = true;
    cr_assert(run(&never));
    set_policy((struct bucket){.expire_after_us = SECOND_US}, BUCKET_EXPIRE_AFTER);
    sweep();
    run_until(start_us + HOUR_US - 10);
    cr_assert_neq(get("own", 0).state, RECORD_DELETED);
    run_until(start_us + 2 * HOUR_US);
    cr_assert_eq(get("own", 0).state, RECORD_DELETED);
    cr_assert_neq(get("never", 0).state, RECORD_DELETED);
}

Test(policy_sweep, a_policy_that_lets_records_live_saves_those_that_are_there) {
    set_policy((struct bucket){.expire_after_us = 10 * SECOND_US}, BUCKET_EXPIRE_AFTER);
    sweep();
    int64_t start_us = now_us;
    put("a");
    set_policy((struct bucket){.expire_after_us = 20 * SECOND_US}, BUCKET_EXPIRE_AFTER);
    cr_assert(!sweep_is_left(), "nothing gets due earlier");
    run_until(start_us + 11 * SECOND_US);
    cr_assert_neq(get("a", 0).state, RECORD_DELETED);
    set_policy((struct bucket){0}, BUCKET_EXPIRE_AFTER);
    run_until(start_us + HOUR_US);
    cr_assert_neq(get("a", 0).state, RECORD_DELETED);
    set_policy((struct bucket){.expire_after_us = 20 * SECOND_US}, BUCKET_EXPIRE_AFTER);
    sweep();
    run_until(now_us + 1);
    cr_assert_eq(get("a", 0).state, RECORD_DELETED);
}

Test(policy_sweep, an_update_counts_the_age_anew) {
    set_policy((struct bucket){.expire_after_us = 10 * SECOND_US}, BUCKET_EXPIRE_AFTER);
    put("a");
    now_us += 5 * SECOND_US;
    struct commit_request update = make(COMMIT_UPDATE, "a");
    update.update.all_attributes = true;
    cr_assert(run(&update));
    cr_assert_eq(update.record.expire_us, now_us + 10 * SECOND_US);
    cr_assert(!update.record.expire_given);
}

Test(policy_sweep, tombstones_go_when_the_bucket_says_now) {
    set_policy((struct bucket){.delete_retention_us = HOUR_US}, BUCKET_DELETE_RETENTION);
    put("a");
    struct commit_request gone = make(COMMIT_DELETE, "a");
    cr_assert(run(&gone));
    set_policy((struct bucket){.delete_retention_us = SECOND_US}, BUCKET_DELETE_RETENTION);
    sweep();
    cr_assert(exists("a", 2));
    run_until(now_us + 2 * SECOND_US);
    cr_assert(!exists("a", 1) && !exists("a", 2));
}

Test(policy_sweep, one_that_begins_anew_leaves_none_behind) {
    for (int i = 0; i < 3 * SWEEP_VERSIONS_STEP; i++) {
        put("a");
    }
    set_policy((struct bucket){.max_versions = 100}, BUCKET_MAX_VERSIONS);
    now_us += 1;
    run_due();
    set_policy((struct bucket){.max_versions = 50}, BUCKET_MAX_VERSIONS);
    struct timer timers[8];
    size_t sweeps = 0;
    for (size_t i = read_timers(timers, 8); i-- > 0;) {
        sweeps += timers[i].kind == TIMER_SWEEP;
    }
    cr_assert_eq(sweeps, 1);
    sweep();
    cr_assert(!exists("a", 3 * SWEEP_VERSIONS_STEP - 50) && exists("a", 3 * SWEEP_VERSIONS_STEP - 49));
    cr_assert_eq(run_due(), 0);
}

Test(policy_sweep, other_buckets_and_other_fields_are_left_alone) {
    struct commit_request create = make(COMMIT_CREATE_BUCKET, "");
    create.bucket = (struct bucket){.name = "photos-2", .storage_class = STORAGE_COLD, .inline_max_bytes = 64};
    cr_assert(run(&create));
    for (int i = 0; i < 3; i++) {
        struct commit_request request = make(COMMIT_PUT, "a");
        request.record.bucket = "photos-2";
        cr_assert(run(&request));
    }
    put("a");
    set_policy((struct bucket){.storage_class = STORAGE_HOT, .inline_max_bytes = 1},
               BUCKET_STORAGE_CLASS | BUCKET_INLINE_MAX_BYTES);
    cr_assert(!sweep_is_left());
    set_policy((struct bucket){.max_versions = 1}, BUCKET_MAX_VERSIONS);
    sweep();
    struct record record;
    struct error error = {0};
    bool found;
    cr_assert(record_store_get_version(kv_lookup_of(kv), "photos-2", "a", 1, &arena, &record, &found, &error));
    cr_assert(found);
}

Test(policy_sweep, a_bucket_that_is_deleted_takes_its_sweep_along) {
    set_policy((struct bucket){.max_versions = 1}, BUCKET_MAX_VERSIONS);
    cr_assert(sweep_is_left());
    struct commit_request request = make(COMMIT_DELETE_BUCKET, "");
    request.bucket.name = "photos";
    cr_assert(run(&request), "%s", request.error.message);
    cr_assert(!sweep_is_left());
    now_us += 1;
    cr_assert_eq(run_due(), 0);
}
