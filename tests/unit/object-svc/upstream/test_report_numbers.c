// rooms: object_upstream
#include "object-svc/upstream/report_numbers.h"

#include <criterion/criterion.h>

static int64_t now_us;

static int64_t read_now(void *self) {
    (void)self;
    return now_us;
}

static const struct clock still_clock = {read_now, read_now, NULL};
static struct report_numbers numbers;

static void set_up(void) {
    now_us = 1700000000000000;
    numbers = (struct report_numbers){.clock = &still_clock};
}

TestSuite(report_numbers, .init = set_up);

Test(report_numbers, each_is_above_the_one_before_whatever_the_clock_does) {
    int64_t last = 0;
    for (int i = 0; i < 100; i++) {
        int64_t number = report_numbers_next(&numbers);
        cr_assert_gt(number, last);
        last = number;
        now_us -= i % 3 * 1000;
    }
}

Test(report_numbers, those_after_a_restart_are_above_those_before) {
    int64_t before = report_numbers_next(&numbers);
    now_us += 2;
    numbers = (struct report_numbers){.clock = &still_clock};
    cr_assert_gt(report_numbers_next(&numbers), before);
}

Test(report_numbers, a_clock_that_went_back_is_made_up_for_by_what_metadata_svc_tells) {
    struct error error = {0};
    error_set(&error, ERROR_ABORTED, "REPORT_LATE", "late");
    error_set_detail(&error, "newest_number", "%lld", (long long)now_us + 5000000);
    report_numbers_learn(&numbers, &error);
    cr_assert_eq(error.code, ERROR_UNAVAILABLE, "whoever sent it looks again, and tries again");
    cr_assert_gt(report_numbers_next(&numbers), now_us + 5000000);
}

Test(report_numbers, other_errors_are_none_of_its_business) {
    struct error error = {0};
    error_set(&error, ERROR_INVALID_ARGUMENT, "BAD_KEY", "bad");
    error_set_detail(&error, "newest_number", "%lld", 9000000000000000000LL);
    report_numbers_learn(&numbers, &error);
    cr_assert_eq(error.code, ERROR_INVALID_ARGUMENT);
    cr_assert_lt(report_numbers_next(&numbers), 1800000000000000);
}
