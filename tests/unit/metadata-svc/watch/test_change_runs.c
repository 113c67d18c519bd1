// rooms: metadata_watch
#include "metadata-svc/watch/change_runs.h"
#include "watch_fixture.h"
#include "waybill/v1/metadata_service.pb-c.h"

TestSuite(change_runs, .timeout = 60);

static struct fake_log fake;
static struct change_runs *runs;

static void begin(void) {
    fake_log_init(&fake);
    runs = change_runs_new(&fake.base);
}

static void end(void) {
    change_runs_free(runs);
    fake_log_free(&fake);
}

static struct change_run *take(int64_t revision) {
    struct error error = {0};
    struct change_run *run = change_runs_take(runs, revision, &error);
    cr_assert_not_null(run, "%s", error.message);
    cr_assert_not_null(change_run_entry(run, revision));
    return run;
}

Test(change_runs, a_message_is_what_protobuf_would_make_of_it, .init = begin, .fini = end) {
    fake_log_commit(&fake, "photos", "cat", WAYBILL__V1__CHANGE_TYPE__CHANGE_TYPE_STORED, 0);
    fake_log_commit(&fake, "photos", "dog", WAYBILL__V1__CHANGE_TYPE__CHANGE_TYPE_DELETED, 20000);
    struct change_run *run = take(1);
    for (int64_t revision = 1; revision <= 2; revision++) {
        struct bytes wire = rpc_message_bytes(change_run_entry(run, revision)->message);
        Waybill__V1__WatchChangesResponse *item =
            waybill__v1__watch_changes_response__unpack(NULL, wire.size, wire.data);
        cr_assert_not_null(item);
        cr_assert_eq(item->item_case, WAYBILL__V1__WATCH_CHANGES_RESPONSE__ITEM_EVENT);
        cr_assert_eq(item->event->revision, revision);
        uint8_t *packed = malloc(wire.size);
        cr_assert_eq(waybill__v1__watch_changes_response__get_packed_size(item), wire.size);
        waybill__v1__watch_changes_response__pack(item, packed);
        cr_assert_arr_eq(packed, wire.data, wire.size);
        free(packed);
        waybill__v1__watch_changes_response__free_unpacked(item, NULL);
    }
    const struct change_entry *entry = change_run_entry(run, 2);
    cr_assert_str_eq(entry->subject.key, "dog");
    cr_assert_str_eq(entry->subject.bucket, "photos");
    cr_assert_eq(entry->subject.type, WAYBILL__V1__CHANGE_TYPE__CHANGE_TYPE_DELETED);
    cr_assert_null(change_run_entry(run, 3));
    change_runs_release(runs, run);
}

Test(change_runs, what_is_there_is_read_once_and_grows_with_the_log, .init = begin, .fini = end) {
    fake_log_fill(&fake, 10);
    struct change_run *first = take(1);
    struct change_run *second = take(7);
    cr_assert_eq(first, second);
    cr_assert_eq(fake.reads, 1);
    fake_log_fill(&fake, 5);
    struct change_run *third = take(11);
    cr_assert_eq(first, third);
    cr_assert_not_null(change_run_entry(first, 15));
    cr_assert_eq(fake.reads, 2);
    change_runs_release(runs, first);
    change_runs_release(runs, second);
    change_runs_release(runs, third);
}

Test(change_runs, a_run_ends_at_its_bounds, .init = begin, .fini = end) {
    fake_log_fill(&fake, CHANGE_RUN_ENTRIES + 1);
    struct change_run *run = take(1);
    cr_assert_not_null(change_run_entry(run, CHANGE_RUN_ENTRIES));
    cr_assert_null(change_run_entry(run, CHANGE_RUN_ENTRIES + 1));
    change_runs_release(runs, run);
    for (int i = 0; i < 16; i++) {
        fake_log_commit(&fake, "photos", "cat", WAYBILL__V1__CHANGE_TYPE__CHANGE_TYPE_COMMITTED, 60000);
    }
    int64_t from = CHANGE_RUN_ENTRIES + 2;
    run = take(from);
    cr_assert_not_null(change_run_entry(run, from + 4));
    cr_assert_null(change_run_entry(run, from + 5), "five of 60000 bytes are more than the bound");
    struct change_run *next = take(from + 5);
    cr_assert_neq(run, next);
    change_runs_release(runs, run);
    change_runs_release(runs, next);
}

Test(change_runs, memory_is_bounded_whatever_is_read, .init = begin, .fini = end) {
    enum { EVENTS = 400, EVENT_BYTES = 60000 };
    for (int i = 0; i < EVENTS; i++) {
        fake_log_commit(&fake, "photos", "cat", WAYBILL__V1__CHANGE_TYPE__CHANGE_TYPE_COMMITTED, EVENT_BYTES);
    }
    struct change_run *held = take(1);
    for (int64_t revision = 1; revision <= EVENTS; revision++) {
        change_runs_release(runs, take(revision));
    }
    cr_assert_not_null(change_run_entry(held, 1), "a run that is used stays");
    unsigned before = fake.reads;
    change_runs_release(runs, take(EVENTS));
    cr_assert_eq(fake.reads, before, "the newest is kept");
    change_runs_release(runs, take(1));
    cr_assert_eq(fake.reads, before + 1, "the oldest is not");
    change_runs_release(runs, held);
}

Test(change_runs, a_damaged_event_is_an_entry_without_a_message, .init = begin, .fini = end) {
    fake_log_fill(&fake, 1);
    uint8_t *damaged = malloc(3);
    memset(damaged, 0xff, 3);
    fake_log_append(&fake, damaged, 3);
    fake_log_fill(&fake, 1);
    struct change_run *run = take(1);
    cr_assert_null(change_run_entry(run, 2)->message);
    cr_assert_not_null(change_run_entry(run, 3)->message);
    change_runs_release(runs, run);
}

Test(change_runs, trimmed_and_broken_are_told_apart_and_not_kept, .init = begin, .fini = end) {
    struct error error = {0};
    fake_log_fill(&fake, 100);
    fake_log_trim(&fake, 50);
    cr_assert_null(change_runs_take(runs, 49, &error));
    cr_assert_eq(error.code, ERROR_OUT_OF_RANGE);
    cr_assert_str_eq(error.reason, "REVISION_TRIMMED");
    cr_assert_str_eq(error.detail_value, "50");
    change_runs_release(runs, take(50));
    fake.broken = true;
    fake_log_fill(&fake, 100);
    cr_assert_null(change_runs_take(runs, 190, &error));
    cr_assert_str_eq(error.reason, "RECORD_STORE_FAILED");
    fake.broken = false;
    change_runs_release(runs, take(190));
    cr_assert_null(change_runs_take(runs, 201, &error), "it is not there");
    cr_assert_eq(error.code, ERROR_INTERNAL);
}
