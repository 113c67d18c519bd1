// rooms: object_tier object_hot object_cold
#include "object-svc/tier/tier_core.h"
#include "tests/unit/object-svc/object_rig.h"

static struct rig rig;
static struct tier_ports ports;
static const struct tier_rules rules = {.recall_stay_us = 30000000};
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
    return rig_store_hot(&rig, key, bytes_of_string(text));
}

Test(tier_core, an_object_goes_cold_at_its_age_and_not_before) {
    struct rig_payload *payload = store_hot("a", "text");
    struct tier_round round = {0};
    rig.now_us += cold_policy.cold_after_us - 1;
    tier_core_run(&ports, &rules, &cold_policy, &round);
    cr_assert_eq(round.moved_objects, 0);
    cr_assert(rig_has_hot(&rig, &payload->id));
    rig.now_us += 1;
    tier_core_run(&ports, &rules, &cold_policy, &round);
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
    tier_core_run(&ports, &rules, &cold_policy, &round);
    cr_assert_eq(round.moved_objects, 0);
    cr_assert(rig_has_hot(&rig, &payload->id));
    rig.sink_fails = false;
    rig.on_report = look_at_both;
    tier_core_run(&ports, &rules, &cold_policy, &round);
    cr_assert(both_were_there, "when the move is reported, both copies exist");
    cr_assert_not(rig_has_hot(&rig, &payload->id));
}

Test(tier_core, hot_and_cold_keeps_both_and_copies_once) {
    struct bucket_policy policy = cold_policy;
    policy.leaves_hot = false;
    struct rig_payload *payload = store_hot("a", "text");
    struct tier_round round = {0};
    rig.now_us += policy.cold_after_us;
    tier_core_run(&ports, &rules, &policy, &round);
    tier_core_run(&ports, &rules, &policy, &round);
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
    tier_core_run(&ports, &rules, &policy, &round);
    cr_assert_eq(round.moved_objects, 0);
    cr_assert_not(rig_has_cold(&rig, "a"));
}

Test(tier_core, a_move_that_is_not_accepted_keeps_the_hot_copy) {
    struct rig_payload *payload = store_hot("a", "text");
    struct tier_round round = {0};
    rig.now_us += cold_policy.cold_after_us;
    rig.verdict = REPORT_REJECTED;
    tier_core_run(&ports, &rules, &cold_policy, &round);
    cr_assert_eq(round.failed_objects, 1);
    cr_assert(rig_has_hot(&rig, &payload->id));
}

Test(tier_core, an_object_that_nobody_wants_leaves_hot) {
    struct rig_payload *payload = store_hot("a", "text");
    struct tier_round round = {0};
    rig.now_us += cold_policy.cold_after_us;
    rig.verdict = REPORT_OBSOLETE;
    tier_core_run(&ports, &rules, &cold_policy, &round);
    cr_assert_not(rig_has_hot(&rig, &payload->id));
}

Test(tier_core, a_promoted_copy_stays_for_a_while_and_then_goes_without_another_cold_write) {
    struct rig_payload *payload = store_hot("a", "text");
    struct tier_round round = {0};
    struct error error = {0};
    rig.now_us += cold_policy.cold_after_us;
    tier_core_run(&ports, &rules, &cold_policy, &round);
    struct moved_object object = rig_moved(payload, "a");
    cr_assert(tier_promote(&ports, &object, &rules.move, &error), "%s", error.message);
    rig.now_us += rules.recall_stay_us - 1;
    tier_core_run(&ports, &rules, &cold_policy, &round);
    cr_assert(rig_has_hot(&rig, &payload->id));
    cr_assert_eq(round.moved_objects, 1);
    rig.now_us += 1;
    tier_core_run(&ports, &rules, &cold_policy, &round);
    cr_assert_not(rig_has_hot(&rig, &payload->id));
    cr_assert(rig_has_cold(&rig, "a"));
    cr_assert_eq(round.moved_objects, 2);
    cr_assert_eq(round.moved_bytes, 4, "the cold copy was there");
}

Test(tier_core, a_policy_that_turns_to_cold_gives_up_hot_copies_that_are_cold_already) {
    struct bucket_policy both = cold_policy;
    both.leaves_hot = false;
    struct rig_payload *payload = store_hot("a", "text");
    struct tier_round round = {0};
    rig.now_us += rules.recall_stay_us;
    tier_core_run(&ports, &rules, &both, &round);
    cr_assert(rig_has_hot(&rig, &payload->id) && rig_has_cold(&rig, "a"));
    tier_core_run(&ports, &rules, &cold_policy, &round);
    cr_assert_not(rig_has_hot(&rig, &payload->id));
    cr_assert_eq(rig.last_report.drop_tier, OBJECT_TIER_HOT);
}

Test(tier_core, a_bucket_with_much_to_move_leaves_off_when_its_turn_is_over) {
    enum { OBJECTS = TIER_TURN_OBJECTS + 8 };
    struct tier_round round = {0};
    for (int i = 0; i < OBJECTS; i++) {
        char key[16];
        snprintf(key, sizeof key, "key-%d", i);
        store_hot(key, "text");
    }
    rig.now_us += cold_policy.cold_after_us;
    cr_assert(tier_core_run(&ports, &rules, &cold_policy, &round), "there is more to do");
    cr_assert_eq(round.moved_objects, TIER_TURN_OBJECTS);
    cr_assert_not(tier_core_run(&ports, &rules, &cold_policy, &round));
    cr_assert_eq(round.moved_objects, OBJECTS);
}

static void store_many(struct rig_payload **payloads, size_t count) {
    for (size_t i = 0; i < count; i++) {
        char key[32];
        snprintf(key, sizeof key, "key-%zu", i);
        payloads[i] = store_hot(key, "text");
    }
    rig.now_us += cold_policy.cold_after_us;
}

static bool all_were_there;

static void look_at_all(struct rig *self) {
    for (int i = 0; i < TIER_BATCH_OBJECTS; i++) {
        char key[16];
        snprintf(key, sizeof key, "key-%d", i);
        all_were_there = all_were_there && rig_has_hot(self, &self->payloads[i].id) && rig_has_cold(self, key);
    }
}

Test(tier_core, small_objects_are_told_of_together_when_all_have_both_copies) {
    struct rig_payload *payloads[TIER_BATCH_OBJECTS];
    struct tier_round round = {0};
    store_many(payloads, TIER_BATCH_OBJECTS);
    all_were_there = true;
    rig.on_report = look_at_all;
    tier_core_run(&ports, &rules, &cold_policy, &round);
    cr_assert_eq(round.moved_objects, TIER_BATCH_OBJECTS);
    cr_assert_eq(round.moved_bytes, 4 * TIER_BATCH_OBJECTS);
    cr_assert_eq(rig.reports, TIER_BATCH_OBJECTS);
    cr_assert_eq(rig.report_calls, 1);
    cr_assert(all_were_there);
    for (size_t i = 0; i < TIER_BATCH_OBJECTS; i++) {
        cr_assert_not(rig_has_hot(&rig, &payloads[i]->id));
    }
}

Test(tier_core, one_that_cannot_be_told_of_does_not_hold_up_those_that_are_moved_with_it) {
    struct rig_payload *payloads[TIER_BATCH_OBJECTS];
    struct tier_round round = {0};
    store_many(payloads, TIER_BATCH_OBJECTS);
    rig.poisons_report = &payloads[5]->id;
    tier_core_run(&ports, &rules, &cold_policy, &round);
    cr_assert_eq(round.moved_objects, TIER_BATCH_OBJECTS - 1);
    cr_assert_eq(round.failed_objects, 1);
    for (size_t i = 0; i < TIER_BATCH_OBJECTS; i++) {
        cr_assert_eq(rig_has_hot(&rig, &payloads[i]->id), i == 5);
    }
}

Test(tier_core, while_nobody_takes_reports_every_object_of_a_batch_stays_hot) {
    struct rig_payload *payloads[TIER_BATCH_OBJECTS];
    struct tier_round round = {0};
    store_many(payloads, TIER_BATCH_OBJECTS);
    rig.sink_fails = true;
    tier_core_run(&ports, &rules, &cold_policy, &round);
    cr_assert_eq(round.moved_objects, 0);
    cr_assert_eq(rig.report_calls, 1, "nobody else is asked for each");
    for (size_t i = 0; i < TIER_BATCH_OBJECTS; i++) {
        cr_assert(rig_has_hot(&rig, &payloads[i]->id));
    }
}
