// rooms: object_tier object_hot object_cold
#include "object-svc/tier/drop_core.h"
#include "tests/unit/object-svc/object_rig.h"

static struct rig rig;
static struct tier_ports ports;
static struct move_guard guard;
static const struct tier_move move;

/* What metadata-svc tells to drop, by tier. */
static struct object_drop due[OBJECT_TIER_COLD + 1][4];
static size_t due_count[OBJECT_TIER_COLD + 1];
static bool list_fails;

static bool list(void *self, enum object_tier tier, struct arena *arena, const char **page_token,
                 struct object_drop **drops, size_t *count, struct error *error) {
    (void)self;
    if (list_fails) {
        return error_set(error, ERROR_UNAVAILABLE, "UNAVAILABLE", "metadata-svc is away");
    }
    *count = due_count[tier];
    *drops = arena_alloc(arena, sizeof due[tier]);
    memcpy(*drops, due[tier], sizeof due[tier]);
    *page_token = "";
    return true;
}

static const struct drop_source source = {list, NULL};

static void set_up(void) {
    rig_set_up(&rig);
    move_guard_init(&guard);
    ports = (struct tier_ports){
        .hot = rig.hot, .cold = rig.cold, .sink = rig_sink(&rig), .clock = &rig.clock, .guard = &guard};
}

static void tear_down(void) {
    move_guard_destroy(&guard);
    rig_tear_down(&rig);
}

TestSuite(drop_core, .init = set_up, .fini = tear_down);

/* An object in both tiers. */
static struct moved_object store_both(const char *key) {
    struct error error = {0};
    struct moved_object object = rig_moved(rig_store_hot(&rig, key, bytes_of_string("some text")), key);
    cr_assert(tier_demote(&ports, &object, false, &move, &error), "%s", error.message);
    return object;
}

static void tell_drop(enum object_tier tier, const struct moved_object *object) {
    due[tier][due_count[tier]++] =
        (struct object_drop){{object->bucket, object->key, object->version, object->payload_id}, 77};
}

Test(drop_core, what_no_version_needs_leaves_its_tier_and_is_reported) {
    struct drop_round round = {0};
    struct moved_object gone = store_both("gone");
    struct moved_object kept = store_both("kept");
    tell_drop(OBJECT_TIER_HOT, &gone);
    cr_assert_not(drop_core_run(&ports, &source, &move, &round));
    cr_assert_not(rig_has_hot(&rig, &gone.payload_id));
    cr_assert(rig_has_cold(&rig, "gone"));
    cr_assert_eq(rig.last_report.outcome, OBJECT_DROPPED);
    cr_assert_eq(rig.last_report.tier, OBJECT_TIER_HOT);
    cr_assert_eq(rig.last_report.drop_due_us, 77);
    due_count[OBJECT_TIER_HOT] = 0;
    tell_drop(OBJECT_TIER_COLD, &gone);
    drop_core_run(&ports, &source, &move, &round);
    cr_assert_not(rig_has_cold(&rig, "gone"));
    cr_assert_eq(rig.last_report.tier, OBJECT_TIER_COLD);
    cr_assert(rig_has_hot(&rig, &kept.payload_id) && rig_has_cold(&rig, "kept"));
    cr_assert_eq(round.dropped[OBJECT_TIER_HOT] + round.dropped[OBJECT_TIER_COLD], 2);
}

Test(drop_core, what_is_gone_already_is_reported_again) {
    struct drop_round round = {0};
    struct moved_object gone = store_both("gone");
    tell_drop(OBJECT_TIER_HOT, &gone);
    tell_drop(OBJECT_TIER_COLD, &gone);
    rig.sink_fails = true;
    drop_core_run(&ports, &source, &move, &round);
    cr_assert_eq(round.error.code, ERROR_UNAVAILABLE);
    cr_assert_eq(round.dropped[OBJECT_TIER_HOT], 0);
    rig.sink_fails = false;
    unsigned before = rig.reports;
    drop_core_run(&ports, &source, &move, &round);
    cr_assert_eq(rig.reports - before, 2);
}

Test(drop_core, an_object_of_the_same_name_with_another_payload_stays) {
    struct drop_round round = {0};
    struct moved_object object = store_both("a");
    struct moved_object other = object;
    other.payload_id = uuid_make();
    tell_drop(OBJECT_TIER_COLD, &other);
    drop_core_run(&ports, &source, &move, &round);
    cr_assert(rig_has_cold(&rig, "a"));
    cr_assert_eq(round.dropped[OBJECT_TIER_COLD], 1, "there is nothing of it");
}

Test(drop_core, an_object_that_is_being_moved_waits_and_the_others_do_not) {
    struct error error = {0};
    struct drop_round round = {0};
    struct moved_object first = store_both("first");
    struct moved_object second = store_both("second");
    tell_drop(OBJECT_TIER_HOT, &first);
    tell_drop(OBJECT_TIER_HOT, &second);
    cr_assert(move_guard_enter(&guard, &first.payload_id, 0, &error));
    drop_core_run(&ports, &source, &move, &round);
    move_guard_leave(&guard, &first.payload_id);
    cr_assert(rig_has_hot(&rig, &first.payload_id));
    cr_assert_not(rig_has_hot(&rig, &second.payload_id));
    cr_assert_eq(round.error.code, ERROR_OK);
}

Test(drop_core, nothing_goes_while_nobody_can_be_asked) {
    struct drop_round round = {0};
    struct moved_object object = store_both("a");
    tell_drop(OBJECT_TIER_HOT, &object);
    list_fails = true;
    drop_core_run(&ports, &source, &move, &round);
    cr_assert(rig_has_hot(&rig, &object.payload_id));
    cr_assert_eq(round.error.code, ERROR_UNAVAILABLE);
}
