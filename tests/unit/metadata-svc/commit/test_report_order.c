// rooms: metadata_commit
#include "metadata-svc/commit/report_order.h"
#include "tests/unit/metadata-svc/commit/engine_fixture.h"

/* ---- the table ---- */

Test(report_order, each_replica_and_object_has_its_own_order) {
    struct report_order *order = report_order_new(64);
    struct uuid one = uuid_make();
    struct uuid other = uuid_make();
    report_order_note(order, "a", &one, 7);
    cr_assert_eq(report_order_newest(order, "a", &one), 7);
    cr_assert_eq(report_order_newest(order, "b", &one), 0);
    cr_assert_eq(report_order_newest(order, "a", &other), 0);
    report_order_note(order, "a", &one, 9);
    cr_assert_eq(report_order_newest(order, "a", &one), 9);
    report_order_free(order);
}

Test(report_order, what_lost_its_place_is_never_taken_for_newer_than_it_was) {
    enum { OBJECTS = 1000 };
    static struct uuid ids[OBJECTS];
    struct report_order *order = report_order_new(4);
    for (int i = 0; i < OBJECTS; i++) {
        ids[i] = uuid_make();
        report_order_note(order, "a", &ids[i], i + 1);
    }
    for (int i = 0; i < OBJECTS; i++) {
        cr_assert_geq(report_order_newest(order, "a", &ids[i]), i + 1);
        cr_assert_leq(report_order_newest(order, "a", &ids[i]), OBJECTS);
    }
    report_order_free(order);
}

/* ---- in the engine ---- */

static struct record staged;

static void set_up_staged(void) {
    set_up();
    struct commit_request put = put_inline("a", "text");
    cr_assert(run(&put), "%s", put.error.message);
    staged = put.record;
}

TestSuite(late_reports, .init = set_up_staged, .fini = tear_down);

static struct commit_request numbered(const char *replica, struct object_report *report, int64_t number) {
    struct commit_request request = reports(replica, report, 1);
    request.report_number = number;
    return request;
}

static void fail_and_retry(void) {
    struct object_report failed = report_of(&staged, OBJECT_FAILED, TIER_HOT);
    struct commit_request report = reports("two", &failed, 1);
    struct commit_request retry = make(COMMIT_RETRY_PAYLOAD, "a");
    retry.record.payload_id = staged.payload_id;
    cr_assert(run(&report), "%s", report.error.message);
    cr_assert_eq(failed.verdict, REPORT_ACCEPTED);
    cr_assert(run(&retry), "%s", retry.error.message);
}

Test(late_reports, a_copy_that_was_told_to_be_dropped_is_not_believed_in_later) {
    struct object_report early = report_of(&staged, OBJECT_STORED, TIER_HOT);
    struct object_report later = report_of(&staged, OBJECT_STORED, TIER_HOT);
    struct object_report failed = report_of(&staged, OBJECT_FAILED, TIER_HOT);
    struct commit_request given_up = reports("two", &failed, 1);
    struct commit_request second = numbered("one", &later, 11);
    cr_assert(run(&given_up) && run(&second));
    cr_assert_eq(later.verdict, REPORT_OBSOLETE);
    struct commit_request retry = make(COMMIT_RETRY_PAYLOAD, "a");
    retry.record.payload_id = staged.payload_id;
    cr_assert(run(&retry), "%s", retry.error.message);
    struct commit_request first = numbered("one", &early, 10);
    cr_assert_not(run(&first));
    cr_assert_eq(first.error.code, ERROR_ABORTED);
    cr_assert_str_eq(first.error.reason, "REPORT_LATE");
    cr_assert_str_eq(first.error.detail_value, "11");
    struct commit_request anew = numbered("one", &early, 12);
    cr_assert(run(&anew), "%s", anew.error.message);
    cr_assert_eq(early.verdict, REPORT_ACCEPTED);
}

Test(late_reports, one_late_report_refuses_its_whole_request_and_changes_nothing) {
    struct commit_request put = put_inline("b", "other");
    cr_assert(run(&put));
    struct object_report list[] = {report_of(&put.record, OBJECT_STORED, TIER_HOT),
                                   report_of(&staged, OBJECT_STORED, TIER_HOT)};
    struct commit_request newer = numbered("one", &list[1], 5);
    cr_assert(run(&newer));
    int64_t revision = commit_engine_revision(engine);
    struct commit_request both = reports("one", list, 2);
    both.report_number = 4;
    cr_assert_not(run(&both));
    cr_assert_eq(commit_engine_revision(engine), revision);
    both = reports("one", list, 2);
    both.report_number = 6;
    cr_assert(run(&both), "%s", both.error.message);
    cr_assert_eq(list[0].verdict, REPORT_ACCEPTED, "its number was not noted when it was refused");
}

Test(late_reports, replicas_do_not_stand_in_each_others_way) {
    struct object_report report = report_of(&staged, OBJECT_STORED, TIER_HOT);
    struct commit_request ahead = numbered("one", &report, 1000);
    struct commit_request behind = numbered("two", &report, 3);
    cr_assert(run(&ahead) && run(&behind));
    cr_assert_eq(report.verdict, REPORT_OBSOLETE, "it is stored at one");
}

Test(late_reports, reports_without_a_number_are_believed_in_any_order) {
    struct object_report report = report_of(&staged, OBJECT_STORED, TIER_HOT);
    struct commit_request ahead = numbered("one", &report, 1000);
    cr_assert(run(&ahead));
    struct commit_request unnumbered = numbered("one", &report, 0);
    cr_assert(run(&unnumbered));
    cr_assert_eq(report.verdict, REPORT_ACCEPTED);
}

Test(late_reports, a_replica_that_is_behind_stores_what_is_retried) {
    fail_and_retry();
    struct object_report report = report_of(&staged, OBJECT_STORED, TIER_HOT);
    struct commit_request first = numbered("one", &report, 1);
    cr_assert(run(&first), "%s", first.error.message);
    cr_assert_eq(report.verdict, REPORT_ACCEPTED);
}
