// rooms: object_ingest object_tier object_hot object_cold
#include "object-svc/ingest/ingest_core.h"
#include "object-svc/tier/tier_moves.h"
#include "tests/support/file_limit.h"
#include "tests/unit/object-svc/object_rig.h"

static struct rig rig;
static struct ingest_core *core;
static struct move_guard guard;
static unsigned progress_calls;
static uint8_t large[10 * RIG_CHUNK_BYTES + 7];

static void count_progress(void *self) {
    (void)self;
    progress_calls++;
}

static struct ingest_notes *notes;

static void start_core(void) {
    struct error error = {0};
    notes = ingest_notes_open(rig.disk, &error);
    cr_assert_not_null(notes, "%s", error.message);
    struct ingest_ports ports = {
        .hot = rig.hot,
        .source = rig_source(&rig),
        .sink = rig_sink(&rig),
        .clock = &rig.clock,
        .retry = {.first_ms = 100, .longest_ms = 1000, .attempts = 5},
        .guard = &guard,
        .attempts = rig.disk,
        .notes = notes,
        .progress = count_progress,
    };
    core = ingest_core_new(&ports, &error);
    cr_assert_not_null(core, "%s", error.message);
}

static void end_core(void) {
    ingest_core_free(core);
    ingest_notes_close(notes);
}

static void set_up(void) {
    rig_set_up(&rig);
    move_guard_init(&guard);
    for (size_t i = 0; i < sizeof large; i++) {
        large[i] = (uint8_t)(i * 31 + i / 251);
    }
    start_core();
}

static void tear_down(void) {
    end_core();
    move_guard_destroy(&guard);
    rig_tear_down(&rig);
}

TestSuite(ingest_core, .init = set_up, .fini = tear_down);

static void check_stored(const struct rig_payload *payload) {
    struct error error = {0};
    struct hot_reader *reader = hot_store_open_object(rig.hot, &payload->id, &error);
    cr_assert_not_null(reader, "%s", error.message);
    uint8_t *back = malloc(payload->data.size + 1);
    cr_assert_eq(hot_reader_read(reader, 0, back, payload->data.size + 1, &error), (int64_t)payload->data.size);
    cr_assert_eq(memcmp(back, payload->data.data, payload->data.size), 0);
    free(back);
    hot_reader_close(reader);
}

Test(ingest_core, a_batch_is_pulled_once_stored_and_reported) {
    struct rig_payload *small = rig_spool(&rig, bytes_of_string("hello"));
    struct rig_payload *big = rig_spool(&rig, bytes_of(large, sizeof large));
    struct rig_payload *empty = rig_spool(&rig, bytes_of("", 0));
    struct ingest_item items[] = {{.provenance = rig_provenance(small, "a")},
                                  {.provenance = rig_provenance(big, "b")},
                                  {.provenance = rig_provenance(empty, "c")}};
    ingest_core_run(core, items, 3);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(items[i].outcome, INGEST_STORED, "%s", items[i].error.message);
        check_stored(&rig.payloads[i]);
    }
    cr_assert_eq(rig.pulls, 1);
    cr_assert_eq(rig.reports, 3);
    cr_assert(progress_calls > 10, "long batches keep their deliveries alive");
}

Test(ingest_core, a_redelivery_is_reported_again_without_a_pull) {
    struct rig_payload *payload = rig_spool(&rig, bytes_of_string("hello"));
    struct ingest_item item = {.provenance = rig_provenance(payload, "a")};
    ingest_core_run(core, &item, 1);
    payload->released = true;
    struct ingest_item again = {.provenance = rig_provenance(payload, "a")};
    ingest_core_run(core, &again, 1);
    cr_assert_eq(again.outcome, INGEST_STORED);
    cr_assert_eq(rig.pulls, 1);
    cr_assert_eq(rig.reports, 2);
}

Test(ingest_core, the_same_payload_twice_in_a_batch_is_stored_once) {
    struct rig_payload *payload = rig_spool(&rig, bytes_of_string("hello"));
    struct ingest_item items[] = {{.provenance = rig_provenance(payload, "a")},
                                  {.provenance = rig_provenance(payload, "a")}};
    ingest_core_run(core, items, 2);
    cr_assert_eq(items[0].outcome, INGEST_STORED);
    cr_assert_eq(items[1].outcome, INGEST_OBSOLETE);
    cr_assert_eq(rig.reports, 1);
}

Test(ingest_core, a_stored_payload_that_comes_twice_in_a_batch_is_stored_for_both) {
    struct rig_payload *payload = rig_store_hot(&rig, "a", bytes_of_string("hello"));
    struct ingest_item items[] = {{.provenance = rig_provenance(payload, "a")},
                                  {.provenance = rig_provenance(payload, "a")}};
    ingest_core_run(core, items, 2);
    cr_assert_eq(items[0].outcome, INGEST_STORED);
    cr_assert_eq(items[1].outcome, INGEST_STORED);
    check_stored(payload);
}

Test(ingest_core, nothing_is_done_before_the_report_is_accepted) {
    struct rig_payload *payload = rig_spool(&rig, bytes_of_string("hello"));
    struct ingest_item item = {.provenance = rig_provenance(payload, "a")};
    rig.sink_fails = true;
    ingest_core_run(core, &item, 1);
    cr_assert_eq(item.outcome, INGEST_RETRY);
    cr_assert_eq(item.error.code, ERROR_UNAVAILABLE);
    rig.sink_fails = false;
    ingest_core_run(core, &item, 1);
    cr_assert_eq(item.outcome, INGEST_STORED);
}

Test(ingest_core, what_could_not_be_reported_is_told_of_later_whoever_gets_its_event) {
    struct rig_payload *wanted = rig_spool(&rig, bytes_of_string("hello"));
    struct rig_payload *obsolete = rig_spool(&rig, bytes_of_string("too late"));
    struct ingest_item first = {.provenance = rig_provenance(wanted, "a")};
    struct ingest_item second = {.provenance = rig_provenance(obsolete, "b")};
    rig.sink_fails = true;
    ingest_core_run(core, &first, 1);
    ingest_core_run(core, &second, 1);
    ingest_core_rest(core);
    rig.sink_fails = false;
    ingest_core_rest(core);
    cr_assert_eq(rig.reports, 0, "not at once");
    rig.now_us += 1000000;
    rig.poisons_report = &obsolete->id;
    ingest_core_rest(core);
    cr_assert_eq(rig.reports, 1);
    cr_assert_str_eq(rig.last_key, "a");
    cr_assert(rig_has_hot(&rig, &wanted->id));
    rig.poisons_report = NULL;
    ingest_core_rest(core);
    cr_assert_eq(rig.reports, 1, "a report that cannot be taken is not sent for ever");
}

Test(ingest_core, an_object_that_nobody_wants_by_the_time_it_can_be_reported_goes) {
    struct rig_payload *payload = rig_spool(&rig, bytes_of_string("hello"));
    struct ingest_item item = {.provenance = rig_provenance(payload, "a")};
    rig.sink_fails = true;
    ingest_core_run(core, &item, 1);
    cr_assert(rig_has_hot(&rig, &payload->id));
    rig.sink_fails = false;
    rig.verdict = REPORT_OBSOLETE;
    rig.now_us += 1000000;
    ingest_core_rest(core);
    cr_assert_not(rig_has_hot(&rig, &payload->id));
    unsigned reports = rig.reports;
    cr_assert_gt(reports, 0);
    rig.now_us += 1000000;
    ingest_core_rest(core);
    cr_assert_eq(rig.reports, reports, "not again");
}

Test(ingest_core, what_was_stored_and_not_reported_before_a_restart_is_told_of_after_it) {
    struct rig_payload *first = rig_spool(&rig, bytes_of_string("hello"));
    struct rig_payload *second = rig_spool(&rig, bytes_of_string("again"));
    struct rig_payload *never = rig_spool(&rig, bytes_of(large, sizeof large));
    never->corrupt = true;
    struct ingest_item items[] = {{.provenance = rig_provenance(first, "a")},
                                  {.provenance = rig_provenance(second, "b")},
                                  {.provenance = rig_provenance(never, "c")}};
    rig.sink_fails = true;
    ingest_core_run(core, &items[0], 1);
    ingest_core_run(core, &items[1], 2);
    end_core();
    rig.sink_fails = false;
    rig.verdict = REPORT_OBSOLETE;
    start_core();
    ingest_core_rest(core);
    cr_assert_eq(rig.reports, 2, "those that are there");
    cr_assert_not(rig_has_hot(&rig, &first->id));
    cr_assert_not(rig_has_hot(&rig, &second->id));
}

Test(ingest_core, an_obsolete_copy_is_dropped) {
    struct rig_payload *payload = rig_spool(&rig, bytes_of_string("hello"));
    struct ingest_item item = {.provenance = rig_provenance(payload, "a")};
    rig.verdict = REPORT_OBSOLETE;
    ingest_core_run(core, &item, 1);
    cr_assert_eq(item.outcome, INGEST_OBSOLETE);
    cr_assert_not(rig_has_hot(&rig, &payload->id));
}

/* ---- beside moves ---- */

static struct tier_ports moves;
static struct ingest_item retried;

/* A move has learned that its version failed, and is about to give its copy up: an operator has the version tried
 * again, and its event comes. */
static bool deliver_retried(void *self, enum object_tier tier, const struct object_name *names, size_t count,
                            struct arena *arena, struct object_check *checks, struct error *error) {
    (void)self;
    (void)tier;
    (void)names;
    (void)count;
    (void)arena;
    (void)error;
    rig.verdict = REPORT_ACCEPTED;
    ingest_core_run(core, &retried, 1);
    checks[0] = (struct object_check){OBJECT_UNLISTED, NULL};
    return true;
}

static void set_moves_up(void) {
    moves = (struct tier_ports){
        .hot = rig.hot,
        .cold = rig.cold,
        .sink = rig_sink(&rig),
        .clock = &rig.clock,
        .catalog = {.check = deliver_retried},
        .guard = &guard,
    };
}

Test(ingest_core, no_copy_is_told_of_that_a_move_is_giving_up) {
    static const struct tier_move at_once;
    struct error error = {0};
    struct rig_payload *payload = rig_store_hot(&rig, "a", bytes_of_string("hello"));
    struct moved_object object = rig_moved(payload, "a");
    set_moves_up();
    retried = (struct ingest_item){.provenance = rig_provenance(payload, "a")};
    rig.verdict = REPORT_OBSOLETE;
    cr_assert_not(tier_demote(&moves, &object, true, &at_once, &error));
    cr_assert_not(rig_has_hot(&rig, &payload->id));
    cr_assert_eq(rig.last_report.outcome, OBJECT_TIERED, "the copy that is gone now was not told of");
    cr_assert_eq(retried.outcome, INGEST_RETRY);
    cr_assert_str_eq(retried.error.reason, "OBJECT_MOVING");
    cr_assert_not(retry_class_counts(retried.fault), "it uses no attempt up");
    cr_assert_gt(retried.delay_ms, 0);
    ingest_core_run(core, &retried, 1);
    cr_assert_eq(retried.outcome, INGEST_STORED);
    check_stored(payload);
}

static unsigned moves_begun;

static void try_to_move(struct rig *of) {
    static const struct tier_move at_once;
    struct error error = {0};
    struct moved_object object = rig_moved(&of->payloads[0], "a");
    if (of->last_report.outcome == OBJECT_STORED) {
        moves_begun += tier_demote(&moves, &object, true, &at_once, &error);
        cr_assert_str_eq(error.reason, "OBJECT_MOVING");
    }
}

Test(ingest_core, no_move_begins_between_the_look_at_a_copy_and_the_answer_to_its_report) {
    static const struct tier_move at_once;
    struct error error = {0};
    struct rig_payload *payload = rig_spool(&rig, bytes_of_string("hello"));
    struct ingest_item item = {.provenance = rig_provenance(payload, "a")};
    struct moved_object object = rig_moved(payload, "a");
    set_moves_up();
    rig.on_report = try_to_move;
    ingest_core_run(core, &item, 1);
    ingest_core_run(core, &item, 1); /* delivered again */
    cr_assert_eq(rig.reports, 2);
    rig.on_report = NULL;
    rig.sink_fails = true;
    ingest_core_run(core, &item, 1); /* without an answer */
    rig.sink_fails = false;
    rig.on_report = try_to_move;
    rig.now_us += 1000000;
    ingest_core_rest(core); /* told of later */
    cr_assert_eq(rig.reports, 3);
    rig.on_report = NULL;
    cr_assert_eq(moves_begun, 0);
    cr_assert(tier_demote(&moves, &object, true, &at_once, &error), "%s", error.message);
}

Test(ingest_core, a_redelivery_waits_for_the_move_that_has_its_object_in_hand) {
    struct rig_payload *payload = rig_spool(&rig, bytes_of_string("hello"));
    struct rig_payload *other = rig_spool(&rig, bytes_of_string("another"));
    struct ingest_item items[] = {{.provenance = rig_provenance(payload, "a")},
                                  {.provenance = rig_provenance(other, "b")}};
    struct error error = {0};
    ingest_core_run(core, items, 1);
    cr_assert(move_guard_enter(&guard, &payload->id, 0, &error), "%s", error.message);
    rig.verdict = REPORT_OBSOLETE; /* the move's own report is still on its way */
    ingest_core_run(core, items, 1);
    cr_assert_eq(items[0].outcome, INGEST_RETRY);
    cr_assert_eq(rig.reports, 1, "nothing is said of it meanwhile");
    check_stored(payload);
    rig.verdict = REPORT_ACCEPTED;
    ingest_core_run(core, items, 2);
    cr_assert_eq(items[0].outcome, INGEST_RETRY);
    cr_assert_eq(items[1].outcome, INGEST_STORED, "the others do not wait");
    move_guard_leave(&guard, &payload->id);
    rig.verdict = REPORT_OBSOLETE;
    ingest_core_run(core, items, 1);
    cr_assert_eq(items[0].outcome, INGEST_OBSOLETE);
    cr_assert_not(rig_has_hot(&rig, &payload->id));
}

Test(ingest_core, a_copy_that_was_given_up_before_it_could_be_told_of_is_not_told_of) {
    struct error error = {0};
    struct rig_payload *payload = rig_spool(&rig, bytes_of_string("hello"));
    struct ingest_item item = {.provenance = rig_provenance(payload, "a")};
    rig.sink_fails = true;
    ingest_core_run(core, &item, 1);
    rig.sink_fails = false;
    rig.now_us += 1000000;
    cr_assert(move_guard_enter(&guard, &payload->id, 0, &error), "%s", error.message);
    ingest_core_rest(core);
    cr_assert_eq(rig.reports, 0, "not while a move has it in hand");
    cr_assert(hot_store_remove(rig.hot, &payload->id, 1, &error), "%s", error.message);
    move_guard_leave(&guard, &payload->id);
    rig.now_us += 1000000;
    ingest_core_rest(core);
    cr_assert_eq(rig.reports, 0);
}

/* ---- what goes wrong ---- */

Test(ingest_core, a_rejected_copy_is_dropped_and_tried_again) {
    struct rig_payload *payload = rig_spool(&rig, bytes_of_string("hello"));
    struct ingest_item item = {.provenance = rig_provenance(payload, "a")};
    rig.verdict = REPORT_REJECTED;
    ingest_core_run(core, &item, 1);
    cr_assert_eq(item.outcome, INGEST_RETRY);
    cr_assert_not(rig_has_hot(&rig, &payload->id));
}

Test(ingest_core, a_released_payload_is_no_failure) {
    struct rig_payload *payload = rig_spool(&rig, bytes_of_string("hello"));
    payload->released = true;
    struct ingest_item item = {.provenance = rig_provenance(payload, "a")};
    ingest_core_run(core, &item, 1);
    cr_assert_eq(item.outcome, INGEST_OBSOLETE);
    cr_assert_eq(rig.reports, 0);
}

Test(ingest_core, a_bad_payload_does_not_hold_up_its_neighbours) {
    struct rig_payload *good = rig_spool(&rig, bytes_of_string("hello"));
    struct rig_payload *corrupt = rig_spool(&rig, bytes_of(large, sizeof large));
    corrupt->corrupt = true;
    struct rig_payload *other = rig_spool(&rig, bytes_of_string("not what was announced"));
    other->crc32c ^= 1;
    struct rig_payload *after = rig_spool(&rig, bytes_of(large, 5000));
    struct ingest_item items[] = {{.provenance = rig_provenance(good, "a")},
                                  {.provenance = rig_provenance(corrupt, "b")},
                                  {.provenance = rig_provenance(other, "c")},
                                  {.provenance = rig_provenance(after, "d")}};
    ingest_core_run(core, items, 4);
    cr_assert_eq(items[0].outcome, INGEST_STORED);
    cr_assert_eq(items[1].outcome, INGEST_RETRY);
    cr_assert_eq(items[1].error.code, ERROR_DATA_LOSS);
    cr_assert_eq(items[2].outcome, INGEST_RETRY);
    cr_assert_eq(items[3].outcome, INGEST_STORED);
    check_stored(after);
    cr_assert_not(rig_has_hot(&rig, &corrupt->id));
    cr_assert_not(rig_has_hot(&rig, &other->id));
}

Test(ingest_core, a_pull_that_breaks_keeps_what_came_whole) {
    struct rig_payload *first = rig_spool(&rig, bytes_of_string("hello"));
    struct rig_payload *cut = rig_spool(&rig, bytes_of(large, sizeof large));
    cut->cut = true;
    struct rig_payload *never = rig_spool(&rig, bytes_of_string("late"));
    struct ingest_item items[] = {{.provenance = rig_provenance(first, "a")},
                                  {.provenance = rig_provenance(cut, "b")},
                                  {.provenance = rig_provenance(never, "c")}};
    ingest_core_run(core, items, 3);
    cr_assert_eq(items[0].outcome, INGEST_STORED);
    cr_assert_eq(items[1].outcome, INGEST_RETRY);
    cr_assert_eq(items[2].outcome, INGEST_RETRY);
    cut->cut = false;
    ingest_core_run(core, items, 3);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(items[i].outcome, INGEST_STORED);
    }
    check_stored(cut);
}

/* Runs an item until it is no longer tried again, at most `max` times; returns how often it ran. */
static unsigned run_until_settled(struct ingest_item *item, unsigned max) {
    for (unsigned run = 1; run <= max; run++) {
        item->deliveries = run;
        ingest_core_run(core, item, 1);
        if (item->outcome != INGEST_RETRY) {
            return run;
        }
    }
    return max + 1;
}

Test(ingest_core, a_damaged_payload_is_reported_failed_after_a_few_attempts) {
    struct rig_payload *corrupt = rig_spool(&rig, bytes_of(large, sizeof large));
    corrupt->corrupt = true;
    struct ingest_item item = {.provenance = rig_provenance(corrupt, "a")};
    cr_assert_eq(run_until_settled(&item, 50), RETRY_PERMANENT_ATTEMPTS);
    cr_assert_eq(item.outcome, INGEST_FAILED);
    cr_assert_eq(rig.last_report.outcome, OBJECT_FAILED);
    cr_assert_eq(rig.last_report.attempts, RETRY_PERMANENT_ATTEMPTS);
    cr_assert_eq(rig.failed_reports, 1);
    cr_assert_not(rig_has_hot(&rig, &corrupt->id));
}

Test(ingest_core, a_restart_gives_no_attempts_back) {
    struct rig_payload *payload = rig_spool(&rig, bytes_of(large, sizeof large));
    payload->corrupt = true;
    struct ingest_item item = {.provenance = rig_provenance(payload, "a")};
    for (uint64_t attempt = 1; attempt < RETRY_PERMANENT_ATTEMPTS; attempt++) {
        ingest_core_run(core, &item, 1);
        cr_assert_eq(item.outcome, INGEST_RETRY);
        cr_assert_eq(item.attempts, attempt);
        end_core();
        start_core();
    }
    ingest_core_run(core, &item, 1);
    cr_assert_eq(item.outcome, INGEST_FAILED);
    cr_assert_eq(rig.last_report.attempts, RETRY_PERMANENT_ATTEMPTS);
}

Test(ingest_core, a_payload_that_is_retried_after_its_failure_has_all_attempts_again) {
    struct rig_payload *corrupt = rig_spool(&rig, bytes_of(large, sizeof large));
    corrupt->corrupt = true;
    struct ingest_item item = {.provenance = rig_provenance(corrupt, "a")};
    run_until_settled(&item, 50);
    cr_assert_eq(run_until_settled(&item, 50), RETRY_PERMANENT_ATTEMPTS);
    corrupt->corrupt = false;
    cr_assert_eq(run_until_settled(&item, 50), 1);
    cr_assert_eq(item.outcome, INGEST_STORED);
}

Test(ingest_core, an_outage_uses_no_attempts_up) {
    struct rig_payload *payload = rig_spool(&rig, bytes_of_string("hello"));
    struct ingest_item item = {.provenance = rig_provenance(payload, "a")};
    rig.sink_fails = true;
    cr_assert_eq(run_until_settled(&item, 50), 51, "it waits, however often it is delivered");
    cr_assert_eq(item.delay_ms <= 1000 && item.delay_ms >= 500, true);
    rig.sink_fails = false;
    cr_assert_eq(run_until_settled(&item, 1), 1);
    cr_assert_eq(item.outcome, INGEST_STORED);
}

Test(ingest_core, a_failure_that_cannot_be_reported_yet_is_reported_later) {
    struct rig_payload *corrupt = rig_spool(&rig, bytes_of(large, sizeof large));
    corrupt->corrupt = true;
    struct ingest_item item = {.provenance = rig_provenance(corrupt, "a")};
    rig.sink_fails = true;
    cr_assert_eq(run_until_settled(&item, 20), 21);
    cr_assert_gt(item.delay_ms, 0);
    rig.sink_fails = false;
    cr_assert_eq(run_until_settled(&item, 1), 1);
    cr_assert_eq(item.outcome, INGEST_FAILED);
}

Test(ingest_core, a_failure_that_metadata_svc_does_not_take_is_dead_with_both_causes) {
    struct rig_payload *corrupt = rig_spool(&rig, bytes_of(large, sizeof large));
    corrupt->corrupt = true;
    struct ingest_item item = {.provenance = rig_provenance(corrupt, "a")};
    rig.failures_not_taken = true;
    run_until_settled(&item, 50);
    cr_assert_eq(item.outcome, INGEST_DEAD);
    cr_assert_eq(item.error.code, ERROR_DATA_LOSS);
    cr_assert_not_null(strstr(item.error.message, "corrupt"));
    cr_assert_not_null(strstr(item.error.message, "rejected"));
}

Test(ingest_core, a_report_that_nobody_takes_holds_up_no_other) {
    struct ingest_item items[7] = {0};
    for (int i = 0; i < 7; i++) {
        items[i].provenance = rig_provenance(rig_spool(&rig, bytes_of_string("hello")), "abcdefg" + i);
    }
    rig.poisons_report = &rig.payloads[4].id;
    ingest_core_run(core, items, 7);
    for (int i = 0; i < 7; i++) {
        cr_assert_eq(items[i].outcome, i == 4 ? INGEST_RETRY : INGEST_STORED, "%d", i);
    }
    run_until_settled(&items[4], 50);
    cr_assert_eq(items[4].outcome, INGEST_DEAD, "neither its object nor its failure can be reported");
}

Test(ingest_core, a_payload_that_garbles_the_pull_holds_up_no_other) {
    struct rig_payload *first = rig_spool(&rig, bytes_of_string("hello"));
    struct rig_payload *garbled = rig_spool(&rig, bytes_of(large, sizeof large));
    garbled->garbled = true;
    struct rig_payload *after = rig_spool(&rig, bytes_of_string("after"));
    struct ingest_item items[] = {{.provenance = rig_provenance(first, "a")},
                                  {.provenance = rig_provenance(garbled, "b")},
                                  {.provenance = rig_provenance(after, "c")}};
    ingest_core_run(core, items, 3);
    cr_assert_eq(items[0].outcome, INGEST_STORED);
    cr_assert_eq(items[1].outcome, INGEST_RETRY);
    cr_assert_eq(items[1].fault, RETRY_TRANSIENT);
    cr_assert_eq(items[2].outcome, INGEST_STORED);
    cr_assert_eq(rig.pulls, 2);
    cr_assert_eq(run_until_settled(&items[1], 50), 4, "one of five attempts was made above");
    cr_assert_eq(items[1].outcome, INGEST_FAILED);
}

Test(ingest_core, a_full_disk_holds_up_no_batch_after_it) {
    static uint8_t huge[800 * RIG_CHUNK_BYTES];
    struct rig_payload *payload = rig_spool(&rig, bytes_of(huge, sizeof huge));
    struct ingest_item item = {.provenance = rig_provenance(payload, "a")};
    file_limit_set(100 * RIG_CHUNK_BYTES);
    ingest_core_run(core, &item, 1);
    file_limit_lift();
    cr_assert_eq(item.outcome, INGEST_RETRY);
    struct ingest_item again = {.provenance = rig_provenance(payload, "a")};
    ingest_core_run(core, &again, 1);
    cr_assert_eq(again.outcome, INGEST_STORED, "%s", again.error.message);
    check_stored(payload);
}
