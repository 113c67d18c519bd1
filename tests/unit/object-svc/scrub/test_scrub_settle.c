// rooms: object_scrub object_tier object_hot object_cold
#include "object-svc/scrub/scrub_parts.h"
#include "tests/unit/object-svc/object_rig.h"

static struct rig rig;
static struct move_guard guard;
static struct scrub_ports ports;
static struct scrub_options options = {.repair = true};
static struct scrub scrub;

static void set_up(void) {
    rig_set_up(&rig);
    move_guard_init(&guard);
    ports = (struct scrub_ports){.repair = {.reader = {.hot = rig.hot, .cold = rig.cold}},
                                 .sink = rig_sink(&rig),
                                 .clock = &rig.clock,
                                 .guard = &guard};
    scrub = (struct scrub){.ports = &ports, .options = &options, .result = scrub_result_new()};
}

static void tear_down(void) {
    scrub_result_free(scrub.result);
    move_guard_destroy(&guard);
    rig_tear_down(&rig);
}

TestSuite(scrub_settle, .init = set_up, .fini = tear_down);

/* A hot copy that the record does not tell of. */
static enum scrub_action settle_unlisted(const struct rig_payload *payload) {
    struct object_name name = {"photos", "a", 1, payload->id};
    struct scrub_finding finding = scrub_finding_of(SCRUB_UNLISTED, OBJECT_TIER_HOT, &name);
    scrub_settle(&scrub, &finding);
    return finding.action;
}

static void try_to_enter(struct rig *of) {
    struct error error = {0};
    cr_assert_not(move_guard_enter(&guard, &of->payloads[0].id, 0, &error));
}

Test(scrub_settle, no_move_begins_between_the_look_at_a_copy_and_the_answer_to_its_report) {
    struct error error = {0};
    struct rig_payload *payload = rig_store_hot(&rig, "a", bytes_of_string("some text"));
    rig.on_report = try_to_enter;
    cr_assert_eq(settle_unlisted(payload), SCRUB_REPAIRED);
    cr_assert_eq(rig.reports, 1);
    cr_assert_eq(rig.last_report.outcome, OBJECT_TIERED);
    cr_assert(move_guard_enter(&guard, &payload->id, 0, &error), "it lets go of it again");
    move_guard_leave(&guard, &payload->id);
}

Test(scrub_settle, a_copy_that_a_move_has_in_hand_is_left_to_it) {
    struct error error = {0};
    struct rig_payload *payload = rig_store_hot(&rig, "a", bytes_of_string("some text"));
    cr_assert(move_guard_enter(&guard, &payload->id, 0, &error));
    cr_assert_eq(settle_unlisted(payload), SCRUB_NEEDLESS);
    cr_assert_eq(rig.reports, 0);
    move_guard_leave(&guard, &payload->id);
}

Test(scrub_settle, a_copy_that_was_given_up_meanwhile_is_not_told_of) {
    struct error error = {0};
    struct scrub_counts counts;
    struct rig_payload *payload = rig_store_hot(&rig, "a", bytes_of_string("some text"));
    cr_assert(hot_store_remove(rig.hot, &payload->id, 1, &error), "%s", error.message);
    cr_assert_eq(settle_unlisted(payload), SCRUB_NEEDLESS);
    cr_assert_eq(rig.reports, 0);
    scrub_result_counts(scrub.result, &counts);
    cr_assert_eq(counts.found[SCRUB_UNLISTED], 0);
}
