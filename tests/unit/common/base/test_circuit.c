// rooms: waybill_base
#include <criterion/criterion.h>

#include "common/base/circuit.h"

#define MS(n) ((int64_t)(n)*1000)

static const struct circuit_limits limits = {
    .failures = 3, .first_pause_ms = 1000, .longest_pause_ms = 8000, .probe_ms = 30000};
static struct circuit circuit;

static void set_up(void) {
    circuit_init(&circuit, &limits, 1);
}

TestSuite(circuit, .init = set_up);

static void open_at(int64_t now_us) {
    for (unsigned i = 0; i < limits.failures; i++) {
        circuit_failed(&circuit, now_us);
    }
}

Test(circuit, failures_in_a_row_open_it_and_it_is_told_once) {
    cr_assert_not(circuit_failed(&circuit, 0));
    cr_assert_not(circuit_failed(&circuit, 0));
    cr_assert(circuit_admit(&circuit, 0));
    cr_assert(circuit_failed(&circuit, 0));
    cr_assert_not(circuit_failed(&circuit, 0), "one that was under way");
    cr_assert_not(circuit_admit(&circuit, 0));
}

Test(circuit, a_success_in_between_starts_the_count_anew) {
    for (int i = 0; i < 100; i++) {
        cr_assert_not(circuit_failed(&circuit, 0));
        cr_assert_not(circuit_failed(&circuit, 0));
        cr_assert_not(circuit_succeeded(&circuit));
    }
    cr_assert(circuit_admit(&circuit, 0));
}

Test(circuit, after_the_pause_one_is_let_through_and_no_more) {
    open_at(0);
    cr_assert_not(circuit_admit(&circuit, MS(749)));
    cr_assert(circuit_ready(&circuit, MS(1000)));
    cr_assert(circuit_admit(&circuit, MS(1000)));
    cr_assert_not(circuit_admit(&circuit, MS(1000)));
    cr_assert_not(circuit_ready(&circuit, MS(2000)));
}

Test(circuit, a_success_after_the_pause_closes_it_and_it_is_told_once) {
    open_at(0);
    circuit_admit(&circuit, MS(1000));
    cr_assert(circuit_succeeded(&circuit));
    cr_assert_not(circuit_succeeded(&circuit));
    cr_assert(circuit_admit(&circuit, MS(1000)) && circuit_admit(&circuit, MS(1000)));
}

Test(circuit, pauses_double_up_to_the_longest) {
    static const int64_t pauses_ms[] = {1000, 2000, 4000, 8000, 8000, 8000};
    int64_t now_us = 0;
    open_at(now_us);
    for (unsigned i = 0; i < sizeof pauses_ms / sizeof pauses_ms[0]; i++) {
        int64_t left_ms = circuit_left_ms(&circuit, now_us);
        cr_assert(left_ms >= pauses_ms[i] * 3 / 4 && left_ms <= pauses_ms[i], "%lld", (long long)left_ms);
        now_us += MS(left_ms);
        cr_assert(circuit_admit(&circuit, now_us));
        cr_assert_not(circuit_failed(&circuit, now_us), "it was not closed");
    }
    circuit_succeeded(&circuit);
    open_at(now_us);
    cr_assert_leq(circuit_left_ms(&circuit, now_us), 1000, "a new outage begins with the first pause");
}

Test(circuit, one_that_learned_nothing_lets_the_next_through) {
    open_at(0);
    circuit_admit(&circuit, MS(1000));
    circuit_gave_up(&circuit);
    cr_assert(circuit_admit(&circuit, MS(1000)));
}

Test(circuit, one_that_is_not_heard_of_is_not_waited_for) {
    open_at(0);
    circuit_admit(&circuit, MS(1000));
    cr_assert_not(circuit_admit(&circuit, MS(1000 + 29999)));
    cr_assert(circuit_admit(&circuit, MS(1000 + 30000)));
}
