// rooms: waybill_base
#include "common/base/pace.h"

#include <criterion/criterion.h>

TestSuite(pace);

static int64_t now_us = 5000000;

static int64_t read_now(void *self) {
    (void)self;
    return now_us;
}

static const struct clock clock_by_hand = {.unix_us = read_now, .monotonic_us = read_now};

Test(pace, spreads_bytes_evenly) {
    struct pace pace = {.clock = &clock_by_hand, .bytes_per_second = 1000};
    int64_t begun_us = now_us;
    for (int i = 0; i < 100; i++) {
        int64_t wait_ms = pace_after(&pace, 250);
        cr_assert_eq(wait_ms, 250);
        now_us += wait_ms * 1000;
    }
    cr_assert_eq(now_us - begun_us, 25000000);
}

Test(pace, time_that_the_reader_took_counts) {
    struct pace pace = {.clock = &clock_by_hand, .bytes_per_second = 1000};
    cr_assert_eq(pace_after(&pace, 250), 250);
    now_us += 100000;
    cr_assert_eq(pace_after(&pace, 250), 400);
}

Test(pace, a_pause_is_not_made_up_for) {
    struct pace pace = {.clock = &clock_by_hand, .bytes_per_second = 1000};
    pace_after(&pace, 250);
    now_us += 60000000;
    cr_assert_eq(pace_after(&pace, 250), 250);
}

Test(pace, no_limit_is_no_wait) {
    struct pace pace = {.clock = &clock_by_hand};
    cr_assert_eq(pace_after(&pace, SIZE_MAX / 2), 0);
}
