// rooms: metadata_commit
#include <criterion/criterion.h>

#include "metadata-svc/store/change_log.h"
#include "metadata-svc/store/store_check.h"
#include "tests/unit/metadata-svc/commit/engine_fixture.h"

TestSuite(store_check, .init = set_up, .fini = tear_down);

static void put_many(int count) {
    for (int i = 0; i < count; i++) {
        char key[16];
        snprintf(key, sizeof key, "key-%d", i);
        struct commit_request request = make(COMMIT_PUT, arena_strdup(&arena, key));
        cr_assert(run(&request));
    }
}

static void remove_entry(struct bytes key) {
    struct kv_batch batch = {0};
    struct error error;
    kv_batch_delete(&batch, key);
    cr_assert(kv->ops->write(kv, &batch, false, &error));
    kv_batch_free(&batch);
}

Test(store_check, a_whole_log_passes_and_a_gap_does_not) {
    struct error error = {0};
    put_many(50);
    cr_assert(store_check_newest(kv, 1000, &error), "%s", error.message);
    remove_entry(layout_change_key(&arena, 20));
    cr_assert(!store_check_newest(kv, 1000, &error));
    cr_assert_eq(error.code, ERROR_DATA_LOSS);
    cr_assert_str_eq(error.reason, "CHANGE_LOG_GAP");
    error = (struct error){0};
    cr_assert(store_check_newest(kv, 31, &error), "only the newest are looked at");
}

Test(store_check, a_trimmed_log_is_whole) {
    struct error error = {0};
    put_many(50);
    cr_assert_eq(change_log_trim(kv, 30, INT64_MAX, 1000, &error), 29);
    cr_assert(store_check_newest(kv, 1000, &error), "%s", error.message);
}

Test(store_check, an_empty_store_is_whole) {
    struct error error = {0};
    remove_entry(layout_change_key(&arena, 1));
    cr_assert(store_check_newest(kv, 1000, &error));
}

Test(store_check, repair_keeps_the_newest_part_without_a_gap) {
    struct error error = {0};
    struct store_repair_report report;
    put_many(50);
    remove_entry(layout_change_key(&arena, 20));
    remove_entry(layout_change_key(&arena, 33));
    cr_assert(store_repair(kv, &report, &error), "%s", error.message);
    cr_assert_eq(report.oldest, 34);
    cr_assert_eq(report.newest, 51);
    cr_assert_eq(report.changes_dropped, 31);
    cr_assert_eq(report.records, 50);
    cr_assert(store_check_newest(kv, 1000, &error));
    close_engine();
    open_engine();
    put_many(1);
    cr_assert_eq(commit_engine_revision(engine), 52);
}

Test(store_check, repair_names_a_record_that_cannot_be_read) {
    struct error error = {0};
    struct store_repair_report report;
    struct kv_batch batch = {0};
    put_many(3);
    kv_batch_put(&batch, layout_head_key(&arena, "photos", "key-1"), bytes_of_string("nonsense"));
    cr_assert(kv->ops->write(kv, &batch, false, &error));
    kv_batch_free(&batch);
    cr_assert(store_repair(kv, &report, &error));
    cr_assert_eq(report.damaged, 1);
    cr_assert_eq(report.records, 2);
    cr_assert_str_eq(report.first_damaged, "photos/key-1");
}

Test(store_check, repair_leaves_records_alone_that_are_ahead_of_the_log) {
    struct error error = {0};
    struct store_repair_report report;
    put_many(3);
    remove_entry(layout_change_key(&arena, 4));
    cr_assert(!store_repair(kv, &report, &error));
    cr_assert_str_eq(error.reason, "RECORDS_AHEAD_OF_LOG");
    int64_t oldest;
    int64_t newest;
    cr_assert(change_log_bounds(kv, &oldest, &newest, &error));
    cr_assert_eq(oldest, 1);
    cr_assert_eq(newest, 3);
}
