// rooms: object_tier object_hot object_cold
#include "object-svc/tier/tier_core.h"
#include "tests/unit/object-svc/object_rig.h"

static struct rig rig;
static struct tier_ports ports;
static struct bucket_policy cold_policy = {
    .bucket = "photos", .goes_cold = true, .leaves_hot = true, .cold_after_us = 10000000};

static void set_up(void) {
    rig_set_up(&rig);
    ports = (struct tier_ports){.hot = rig.hot, .cold = rig.cold, .sink = rig_sink(&rig), .clock = &rig.clock};
}

static void tear_down(void) {
    rig_tear_down(&rig);
}

TestSuite(tier_core, .init = set_up, .fini = tear_down);

static struct rig_payload *store_hot(const char *key, const char *text) {
    struct error error = {0};
    struct rig_payload *payload = rig_spool(&rig, bytes_of_string(text));
    struct provenance provenance = rig_provenance(payload, key);
    struct hot_appender *appender = hot_store_open_appender(rig.hot, &error);
    cr_assert_not_null(appender, "%s", error.message);
    cr_assert(hot_appender_begin(appender, &provenance, &error) &&
                  hot_appender_append(appender, payload->data, &error) && hot_appender_finish(appender, &error) &&
                  hot_appender_commit(appender, &error),
              "%s", error.message);
    hot_appender_close(appender);
    return payload;
}

Test(tier_core, an_object_goes_cold_at_its_age_and_not_before) {
    struct rig_payload *payload = store_hot("a", "text");
    struct tier_round round = {0};
    rig.now_us += cold_policy.cold_after_us - 1;
    tier_core_run(&ports, &cold_policy, &round);
    cr_assert_eq(round.moved_objects, 0);
    cr_assert(rig_has_hot(&rig, &payload->id));
    rig.now_us += 1;
    tier_core_run(&ports, &cold_policy, &round);
    cr_assert_eq(round.moved_objects, 1);
    cr_assert(rig_has_cold(&rig, "a"));
    cr_assert_not(rig_has_hot(&rig, &payload->id));
    cr_assert_eq(rig.last_report.outcome, OBJECT_TIERED);
    cr_assert_eq(rig.last_report.drop_tier, OBJECT_TIER_HOT);
}

static bool both_were_there;

static void look_at_both(struct rig *self) {
    both_were_there = rig_has_hot(self, &self->payloads[0].id) && rig_has_cold(self, "a");
}

Test(tier_core, the_hot_copy_stays_until_the_cold_one_is_committed) {
    struct rig_payload *payload = store_hot("a", "text");
    struct tier_round round = {0};
    rig.now_us += cold_policy.cold_after_us;
    rig.sink_fails = true;
    tier_core_run(&ports, &cold_policy, &round);
    cr_assert_eq(round.moved_objects, 0);
    cr_assert(rig_has_hot(&rig, &payload->id));
    rig.sink_fails = false;
    rig.on_report = look_at_both;
    tier_core_run(&ports, &cold_policy, &round);
    cr_assert(both_were_there, "when the move is reported, both copies exist");
    cr_assert_not(rig_has_hot(&rig, &payload->id));
}

Test(tier_core, hot_and_cold_keeps_both_and_copies_once) {
    struct bucket_policy policy = cold_policy;
    policy.leaves_hot = false;
    struct rig_payload *payload = store_hot("a", "text");
    struct tier_round round = {0};
    rig.now_us += policy.cold_after_us;
    tier_core_run(&ports, &policy, &round);
    tier_core_run(&ports, &policy, &round);
    cr_assert_eq(round.moved_objects, 1);
    cr_assert(rig_has_hot(&rig, &payload->id) && rig_has_cold(&rig, "a"));
    cr_assert_eq(rig.last_report.drop_tier, OBJECT_TIER_NONE);
}

Test(tier_core, a_bucket_that_stays_hot_is_left_alone) {
    struct bucket_policy policy = cold_policy;
    policy.goes_cold = false;
    store_hot("a", "text");
    struct tier_round round = {0};
    rig.now_us += policy.cold_after_us;
    tier_core_run(&ports, &policy, &round);
    cr_assert_eq(round.moved_objects, 0);
    cr_assert_not(rig_has_cold(&rig, "a"));
}

Test(tier_core, a_move_that_is_not_accepted_keeps_the_hot_copy) {
    struct rig_payload *payload = store_hot("a", "text");
    struct tier_round round = {0};
    rig.now_us += cold_policy.cold_after_us;
    rig.verdict = REPORT_REJECTED;
    tier_core_run(&ports, &cold_policy, &round);
    cr_assert_eq(round.failed_objects, 1);
    cr_assert(rig_has_hot(&rig, &payload->id));
}

Test(tier_core, an_object_that_nobody_wants_leaves_hot) {
    struct rig_payload *payload = store_hot("a", "text");
    struct tier_round round = {0};
    rig.now_us += cold_policy.cold_after_us;
    rig.verdict = REPORT_OBSOLETE;
    tier_core_run(&ports, &cold_policy, &round);
    cr_assert_not(rig_has_hot(&rig, &payload->id));
}
