// rooms: metadata_lifecycle
#include <criterion/criterion.h>

#include "metadata-svc/lifecycle/due_timers.h"
#include "tests/unit/metadata-svc/commit/engine_fixture.h"

TestSuite(due_timers, .init = set_up, .fini = tear_down);

enum { NEVER_LONG = 1 }; /* the clock stands, so a walk takes no time */

static struct due_timers make_due(int64_t long_walk_us) {
    return (struct due_timers){.kv = kv, .clock = &still_clock, .long_walk_us = long_walk_us};
}

static void write_timer(int64_t due_us, bool there) {
    struct timer timer = {due_us, TIMER_PAYLOAD, "photos", "key", 1};
    struct kv_batch batch = {0};
    struct error error = {0};
    if (there) {
        kv_batch_put(&batch, layout_timer_key(&arena, &timer), (struct bytes){0});
    } else {
        kv_batch_delete(&batch, layout_timer_key(&arena, &timer));
    }
    cr_assert(kv->ops->write(kv, &batch, false, &error));
    kv_batch_free(&batch);
}

/* How many are due; they are then taken away. */
static int take_due(struct due_timers *due, int max) {
    struct timer timers[16];
    struct error error = {0};
    int count = due_timers_read(due, &arena, timers, max, &error);
    cr_assert_geq(count, 0, "%s", error.message);
    for (int i = 0; i < count; i++) {
        cr_assert_eq(timers[i].kind, TIMER_PAYLOAD);
        cr_assert_leq(timers[i].due_us, now_us);
        cr_assert(i == 0 || timers[i - 1].due_us <= timers[i].due_us, "oldest first");
        write_timer(timers[i].due_us, false);
    }
    return count;
}

Test(due_timers, what_is_due_comes_oldest_first_and_in_bounded_steps) {
    struct due_timers due = make_due(NEVER_LONG);
    for (int i = 9; i >= 0; i--) {
        write_timer(now_us - i * SECOND_US, true);
    }
    write_timer(now_us + 1, true);
    cr_assert_eq(take_due(&due, 8), 8);
    cr_assert_eq(take_due(&due, 8), 2);
    cr_assert_eq(take_due(&due, 8), 0);
    now_us += 1;
    cr_assert_eq(take_due(&due, 8), 1);
}

Test(due_timers, marks_are_never_due_and_leave_nothing_behind) {
    struct due_timers due = make_due(0); /* every walk is a long one */
    struct timer timers[16];
    for (int i = 0; i < 50; i++) {
        write_timer(now_us + SECOND_US / 4, true);
        now_us += SECOND_US / 2;
        cr_assert_eq(take_due(&due, 16), 1, "a mark hides nothing");
        cr_assert_eq(take_due(&due, 16), 0);
    }
    cr_assert_leq(read_timers(timers, 16), 3, "marks that were passed are gone");
    due.long_walk_us = NEVER_LONG;
    now_us += 2 * SECOND_US;
    take_due(&due, 16);
    cr_assert_eq(read_timers(timers, 16), 0);
}

Test(due_timers, a_timer_that_comes_late_is_found_by_the_next_full_walk) {
    struct due_timers due = make_due(NEVER_LONG);
    cr_assert_eq(take_due(&due, 16), 0);
    write_timer(now_us - 5 * SECOND_US, true); /* by a commit that took as long */
    int walks = 0;
    while (take_due(&due, 16) == 0) {
        cr_assert_lt(++walks, DUE_TIMERS_FULL_WALK_EVERY);
    }
}

Test(due_timers, a_clock_that_goes_back_hides_nothing) {
    struct due_timers due = make_due(NEVER_LONG);
    now_us += HOUR_US;
    cr_assert_eq(take_due(&due, 16), 0);
    now_us -= HOUR_US;
    write_timer(now_us + SECOND_US, true);
    now_us += SECOND_US;
    cr_assert_eq(take_due(&due, 16), 1);
}
