// rooms: object_tier object_hot object_cold
#include "object-svc/tier/tier_core.h"
#include "object-svc/tier/tier_moves.h"
#include "tests/unit/object-svc/object_rig.h"

static struct rig rig;
static struct tier_ports ports;
static struct move_guard guard;
static struct move_notes *notes;
static struct disk *notes_disk;
static enum object_standing standing[OBJECT_TIER_COLD + 1]; /* what the records say, by tier */
static bool catalog_fails;
static unsigned corrupt[OBJECT_TIER_COLD + 1];
static const struct tier_move at_once;

static bool check(void *self, enum object_tier tier, const struct object_name *names, size_t count, struct arena *arena,
                  struct object_check *checks, struct error *error) {
    (void)self;
    (void)names;
    (void)arena;
    cr_assert_eq(count, 1);
    checks[0] = (struct object_check){standing[tier], NULL};
    return !catalog_fails || error_set(error, ERROR_UNAVAILABLE, "UNAVAILABLE", "metadata-svc is away");
}

static void on_corrupt(void *self, enum object_tier tier, const struct moved_object *object) {
    (void)self;
    (void)object;
    corrupt[tier]++;
}

static void open_notes(void) {
    struct error error = {0};
    char path[96];
    snprintf(path, sizeof path, "%s/moves", rig.directory);
    notes_disk = posix_disk_new(path, &error);
    cr_assert_not_null(notes_disk, "%s", error.message);
    notes = move_notes_open(notes_disk, &error);
    cr_assert_not_null(notes, "%s", error.message);
    ports.notes = notes;
}

static void close_notes(void) {
    move_notes_close(notes);
    notes_disk->ops->free(notes_disk);
}

/* What the next start finds. */
static int notes_left(struct move_note *note) {
    close_notes();
    open_notes();
    return move_notes_next(notes, 0, note);
}

static void set_up(void) {
    rig_set_up(&rig);
    move_guard_init(&guard);
    standing[OBJECT_TIER_HOT] = standing[OBJECT_TIER_COLD] = OBJECT_EXPECTED;
    ports = (struct tier_ports){
        .hot = rig.hot,
        .cold = rig.cold,
        .sink = rig_sink(&rig),
        .clock = &rig.clock,
        .catalog = {.check = check},
        .guard = &guard,
        .on_corrupt = on_corrupt,
    };
    open_notes();
}

static void tear_down(void) {
    close_notes();
    move_guard_destroy(&guard);
    rig_tear_down(&rig);
}

TestSuite(tier_moves, .init = set_up, .fini = tear_down);

static struct moved_object store_hot(const char *key) {
    return rig_moved(rig_store_hot(&rig, key, bytes_of_string("some text")), key);
}

static struct moved_object store_cold(const char *key) {
    struct moved_object object = store_hot(key);
    struct error error = {0};
    cr_assert(tier_demote(&ports, &object, true, &at_once, &error), "%s", error.message);
    object.cold_copy_known = true;
    return object;
}

static bool has_hot(const struct moved_object *object) {
    return rig_has_hot(&rig, &object->payload_id);
}

static void assert_no_note(void) {
    struct move_note note;
    cr_assert_eq(notes_left(&note), -1);
}

/* ---- cold ▸ hot ---- */

static bool was_hot;
static bool was_cold;

static void look_at_both(struct rig *self) {
    was_hot = rig_has_hot(self, &self->payloads[0].id);
    was_cold = rig_has_cold(self, "a");
}

Test(tier_moves, a_promotion_is_reported_once_the_hot_copy_is_there_and_keeps_the_cold_one) {
    struct error error = {0};
    struct moved_object object = store_cold("a");
    rig.on_report = look_at_both;
    cr_assert(tier_promote(&ports, &object, &at_once, &error), "%s", error.message);
    cr_assert(was_hot && was_cold, "when the promotion is reported, both copies exist");
    cr_assert(has_hot(&object) && rig_has_cold(&rig, "a"));
    cr_assert_eq(rig.last_report.outcome, OBJECT_TIERED);
    cr_assert_eq(rig.last_report.tier, OBJECT_TIER_HOT);
    cr_assert_eq(rig.last_report.drop_tier, OBJECT_TIER_NONE);
    assert_no_note();
}

Test(tier_moves, a_promotion_again_is_only_told_again) {
    struct error error = {0};
    struct moved_object object = store_cold("a");
    struct hot_stats before, after;
    cr_assert(tier_promote(&ports, &object, &at_once, &error));
    hot_store_stats(rig.hot, &before);
    cr_assert(tier_promote(&ports, &object, &at_once, &error));
    hot_store_stats(rig.hot, &after);
    cr_assert_eq(after.objects, 1);
    cr_assert_eq(after.garbage_bytes, before.garbage_bytes, "nothing was written");
}

Test(tier_moves, a_promotion_that_is_not_wanted_leaves_nothing_hot) {
    for (int verdict = REPORT_OBSOLETE; verdict <= REPORT_REJECTED; verdict++) {
        struct error error = {0};
        rig.verdict = REPORT_ACCEPTED;
        struct moved_object object = store_cold(verdict == REPORT_OBSOLETE ? "a" : "b");
        rig.verdict = (enum report_verdict)verdict;
        cr_assert_not(tier_promote(&ports, &object, &at_once, &error));
        cr_assert_eq(error.code, verdict == REPORT_OBSOLETE ? ERROR_NOT_FOUND : ERROR_FAILED_PRECONDITION);
        cr_assert_not(has_hot(&object));
        assert_no_note();
    }
}

static void flip_cold(const char *key) {
    char command[256];
    snprintf(command, sizeof command, "printf X | dd of='%s/cold/photos/%s/@1' bs=1 seek=3 conv=notrunc 2>/dev/null",
             rig.directory, key);
    cr_assert_eq(system(command), 0);
}

Test(tier_moves, a_damaged_cold_copy_is_not_promoted_but_told) {
    struct error error = {0};
    struct moved_object object = store_cold("a");
    unsigned reports = rig.reports;
    flip_cold("a");
    cr_assert_not(tier_promote(&ports, &object, &at_once, &error));
    cr_assert_eq(error.code, ERROR_DATA_LOSS);
    cr_assert_eq(corrupt[OBJECT_TIER_COLD], 1);
    cr_assert_not(has_hot(&object));
    cr_assert_eq(rig.reports, reports);
}

/* ---- hot ▸ cold ---- */

Test(tier_moves, a_cold_copy_that_is_known_is_not_written_again) {
    struct error error = {0};
    struct moved_object object = store_cold("a");
    cr_assert(tier_promote(&ports, &object, &at_once, &error));
    flip_cold("a"); /* would be mended by another write */
    cr_assert(tier_demote(&ports, &object, true, &at_once, &error), "%s", error.message);
    cr_assert_not(has_hot(&object));
    struct cold_name name = {"photos", "a", 1};
    struct cold_reader *reader = cold_store_open_object(rig.cold, &name, &error);
    uint8_t bytes[16];
    cr_assert_eq(cold_reader_read(reader, 0, bytes, sizeof bytes, &error), -1);
    cold_reader_close(reader);
}

Test(tier_moves, a_known_cold_copy_that_is_gone_is_written_anew_before_hot_goes) {
    struct error error = {0};
    struct moved_object object = store_cold("a");
    struct cold_name name = {"photos", "a", 1};
    cr_assert(tier_promote(&ports, &object, &at_once, &error));
    cr_assert(cold_store_remove(rig.cold, &name, &error));
    cr_assert(tier_demote(&ports, &object, true, &at_once, &error), "%s", error.message);
    cr_assert(rig_has_cold(&rig, "a"));
    cr_assert_not(has_hot(&object));
}

Test(tier_moves, an_object_that_no_version_needs_leaves_both_tiers) {
    struct error error = {0};
    struct moved_object object = store_hot("a");
    rig.verdict = REPORT_OBSOLETE;
    standing[OBJECT_TIER_COLD] = OBJECT_OBSOLETE;
    cr_assert_not(tier_demote(&ports, &object, true, &at_once, &error));
    cr_assert_eq(error.code, ERROR_NOT_FOUND);
    cr_assert_not(has_hot(&object) || rig_has_cold(&rig, "a"));
    assert_no_note();
}

Test(tier_moves, a_cold_copy_that_some_version_may_need_stays) {
    struct error error = {0};
    struct moved_object object = store_hot("a");
    rig.verdict = REPORT_OBSOLETE;
    standing[OBJECT_TIER_COLD] = OBJECT_UNLISTED;
    cr_assert_not(tier_demote(&ports, &object, true, &at_once, &error));
    cr_assert(rig_has_cold(&rig, "a"));
}

static bool stop_at_once(void *self, uint64_t bytes, struct error *error) {
    (void)self;
    (void)bytes;
    return error_set(error, ERROR_CANCELLED, "STOPPED", "stopped");
}

Test(tier_moves, a_move_that_is_stopped_changes_nothing) {
    const struct tier_move stopped = {.step = stop_at_once};
    struct error error = {0};
    struct moved_object object = store_hot("a");
    cr_assert_not(tier_demote(&ports, &object, true, &stopped, &error));
    cr_assert_str_eq(error.reason, "STOPPED");
    cr_assert(has_hot(&object) && !rig_has_cold(&rig, "a"));
    object = store_cold("b");
    cr_assert_not(tier_promote(&ports, &object, &stopped, &error));
    cr_assert_not(has_hot(&object));
    assert_no_note();
}

Test(tier_moves, an_object_in_the_hands_of_another_thread_is_left_to_it) {
    struct error error = {0};
    struct moved_object object = store_hot("a");
    cr_assert(move_guard_enter(&guard, &object.payload_id, 0, &error));
    cr_assert_not(tier_demote(&ports, &object, true, &at_once, &error));
    cr_assert_str_eq(error.reason, "OBJECT_MOVING");
    cr_assert_gt(error.retry_after_ms, 0);
    move_guard_leave(&guard, &object.payload_id);
    cr_assert(tier_demote(&ports, &object, true, &at_once, &error));
}

/* ---- what a crash leaves ---- */

Test(tier_moves, a_move_whose_report_got_no_answer_leaves_a_note) {
    struct error error = {0};
    struct move_note note;
    struct moved_object object = store_hot("a");
    rig.sink_fails = true;
    cr_assert_not(tier_demote(&ports, &object, true, &at_once, &error));
    cr_assert(has_hot(&object) && rig_has_cold(&rig, "a"));
    cr_assert_eq(move_notes_next(notes, 0, &note), 0, "also before the next start");
    cr_assert_eq(notes_left(&note), 0);
    cr_assert_eq(note.tier, OBJECT_TIER_COLD);
    cr_assert(uuid_equal(&note.object.payload_id, &object.payload_id));
}

Test(tier_moves, a_noted_copy_that_nobody_needs_is_removed) {
    struct error error = {0};
    struct moved_object object = store_hot("a");
    rig.sink_fails = true;
    cr_assert_not(tier_demote(&ports, &object, false, &at_once, &error));
    rig.sink_fails = false;
    standing[OBJECT_TIER_COLD] = OBJECT_OBSOLETE;
    cr_assert(tier_finish_noted(&ports, OBJECT_TIER_COLD, &object, &error));
    cr_assert_not(rig_has_cold(&rig, "a"));
    standing[OBJECT_TIER_HOT] = OBJECT_OBSOLETE;
    cr_assert(tier_finish_noted(&ports, OBJECT_TIER_HOT, &object, &error));
    cr_assert_not(has_hot(&object));
}

Test(tier_moves, a_noted_copy_that_nobody_was_told_of_is_told) {
    struct error error = {0};
    struct moved_object object = store_hot("a");
    rig.sink_fails = true;
    cr_assert_not(tier_demote(&ports, &object, false, &at_once, &error));
    rig.sink_fails = false;
    standing[OBJECT_TIER_COLD] = OBJECT_UNLISTED;
    cr_assert(tier_finish_noted(&ports, OBJECT_TIER_COLD, &object, &error), "%s", error.message);
    cr_assert_eq(rig.last_report.tier, OBJECT_TIER_COLD);
    cr_assert_eq(rig.last_report.drop_tier, OBJECT_TIER_NONE);
    struct hot_object there;
    cr_assert(hot_store_find(ports.hot, &object.payload_id, &there, &error));
    cr_assert_not(there.cold_copy_known, "it goes cold when its bucket says, and is not held as recalled");
    standing[OBJECT_TIER_HOT] = OBJECT_UNLISTED;
    cr_assert(tier_finish_noted(&ports, OBJECT_TIER_HOT, &object, &error), "%s", error.message);
    cr_assert_eq(rig.last_report.tier, OBJECT_TIER_HOT);
}

Test(tier_moves, nobody_is_told_of_a_hot_copy_that_is_gone_already) {
    struct error error = {0};
    struct moved_object object = store_hot("a");
    rig.sink_fails = true;
    cr_assert_not(tier_demote(&ports, &object, true, &at_once, &error));
    rig.sink_fails = false;
    cr_assert(hot_store_remove(ports.hot, &object.payload_id, 1, &error), "%s", error.message);
    standing[OBJECT_TIER_COLD] = OBJECT_UNLISTED;
    cr_assert(tier_finish_noted(&ports, OBJECT_TIER_COLD, &object, &error), "%s", error.message);
    cr_assert_eq(rig.last_report.tier, OBJECT_TIER_COLD);
    cr_assert_eq(rig.last_report.drop_tier, OBJECT_TIER_HOT);
}

Test(tier_moves, a_hot_copy_that_was_given_up_in_the_records_goes_after_a_crash) {
    struct error error = {0};
    struct moved_object object = store_hot("a");
    cr_assert(tier_demote(&ports, &object, false, &at_once, &error)); /* as if killed before the removal */
    standing[OBJECT_TIER_HOT] = OBJECT_UNLISTED;
    cr_assert(tier_finish_noted(&ports, OBJECT_TIER_COLD, &object, &error));
    cr_assert_not(has_hot(&object));
    cr_assert(rig_has_cold(&rig, "a"));
}

Test(tier_moves, a_note_stays_while_metadata_svc_is_away) {
    struct error error = {0};
    struct moved_object object = store_hot("a");
    catalog_fails = true;
    cr_assert_not(tier_finish_noted(&ports, OBJECT_TIER_COLD, &object, &error));
    cr_assert(has_hot(&object));
}

Test(tier_moves, a_noted_copy_in_other_hands_does_not_hold_up_the_others) {
    struct error error = {0};
    struct move_note note;
    struct moved_object first = store_hot("a");
    struct moved_object second = store_hot("b");
    rig.sink_fails = true;
    cr_assert_not(tier_demote(&ports, &first, true, &at_once, &error));
    cr_assert_not(tier_demote(&ports, &second, true, &at_once, &error));
    rig.sink_fails = false;
    standing[OBJECT_TIER_COLD] = OBJECT_UNLISTED;
    cr_assert(move_guard_enter(&guard, &first.payload_id, 0, &error));
    cr_assert(tier_core_finish_noted(&ports));
    move_guard_leave(&guard, &first.payload_id);
    cr_assert_eq(rig.reports, 1);
    cr_assert_str_eq(rig.last_key, "b");
    cr_assert_geq(move_notes_next(notes, 0, &note), 0, "its turn comes");
    cr_assert(uuid_equal(&note.object.payload_id, &first.payload_id));
    cr_assert(tier_core_finish_noted(&ports));
}

/* ---- several at once ---- */

Test(tier_moves, a_batch_ends_at_an_object_in_other_hands_and_leaves_no_trace) {
    struct moved_object objects[3] = {store_hot("a"), store_hot("b"), store_hot("c")};
    struct error errors[3];
    struct error error = {0};
    cr_assert(move_guard_enter(&guard, &objects[1].payload_id, 0, &error));
    cr_assert_eq(tier_demote_batch(&ports, objects, 3, true, &at_once, errors), 2);
    move_guard_leave(&guard, &objects[1].payload_id);
    cr_assert_eq(errors[0].code, ERROR_OK, "%s", errors[0].message);
    cr_assert_str_eq(errors[1].reason, "OBJECT_MOVING");
    cr_assert(rig_has_cold(&rig, "a") && !has_hot(&objects[0]));
    cr_assert(has_hot(&objects[1]) && has_hot(&objects[2]));
    cr_assert_eq(guard.count, 0);
    assert_no_note();
}

Test(tier_moves, each_object_of_a_batch_without_an_answer_leaves_a_note) {
    struct moved_object objects[3] = {store_hot("a"), store_hot("b"), store_hot("c")};
    struct error errors[3];
    struct move_note note;
    int found = 0;
    rig.sink_fails = true;
    cr_assert_eq(tier_demote_batch(&ports, objects, 3, true, &at_once, errors), 3);
    rig.sink_fails = false;
    for (int slot = notes_left(&note); slot >= 0; slot = move_notes_next(notes, slot + 1, &note)) {
        cr_assert_str_eq(errors[found].reason, "UNAVAILABLE");
        found++;
    }
    cr_assert_eq(found, 3);
    cr_assert_eq(guard.count, 0);
    cr_assert(has_hot(&objects[0]) && has_hot(&objects[1]) && has_hot(&objects[2]));
}

Test(tier_moves, a_batch_that_keeps_its_hot_copies_knows_of_the_cold_ones) {
    struct moved_object objects[2] = {store_hot("a"), store_hot("b")};
    struct error errors[2];
    struct error error = {0};
    cr_assert_eq(tier_demote_batch(&ports, objects, 2, false, &at_once, errors), 2);
    for (int i = 0; i < 2; i++) {
        struct hot_object there;
        cr_assert_eq(errors[i].code, ERROR_OK, "%s", errors[i].message);
        cr_assert(hot_store_find(rig.hot, &objects[i].payload_id, &there, &error), "%s", error.message);
        cr_assert(there.cold_copy_known);
    }
    assert_no_note();
}
