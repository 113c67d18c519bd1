// rooms: waybill_base
#include <criterion/criterion.h>

#include "common/base/fair_share.h"

TestSuite(fair_share, .timeout = 60);

/* Takes one at a time for as long as it gets some. */
static uint64_t take_all(struct fair_share *share, uint64_t key, struct fair_holder **holder) {
    uint64_t taken = 0;
    while (fair_share_take(share, key, 1, holder) == FAIR_TAKEN) {
        taken++;
    }
    return taken;
}

Test(fair_share, one_who_takes_all_he_can_leaves_some_for_the_next) {
    struct fair_share *share = fair_share_new(1000, 75);
    struct fair_holder *greedy, *other;
    cr_assert_eq(take_all(share, 1, &greedy), 750);
    cr_assert_eq(fair_share_take(share, 1, 1, &greedy), FAIR_OVER_SHARE);
    cr_assert_eq(fair_share_ask(share, 1), FAIR_OVER_SHARE);
    cr_assert_eq(fair_share_ask(share, 2), FAIR_TAKEN);
    cr_assert_gt(take_all(share, 2, &other), 150);
    cr_assert_lt(fair_share_total(share), 1000, "there is some left for a third");
    fair_share_free(share);
}

Test(fair_share, many_who_take_all_they_can_come_to_the_same) {
    enum { HUNGRY = 20, LIMIT = 6000 };
    struct fair_share *share = fair_share_new(LIMIT, 75);
    struct fair_holder *holders[HUNGRY] = {0};
    uint64_t held[HUNGRY] = {0};
    /* Some of what is held is given back all the time, at random; all want more. */
    uint64_t random = 1;
    for (int i = 0; i < 400000; i++) {
        random = random * UINT64_C(6364136223846793005) + 1;
        unsigned who = (unsigned)(random >> 33) % HUNGRY;
        if ((random >> 60) < 4 && held[who] > 0) {
            fair_share_give(share, holders[who], 1);
            held[who]--;
        } else {
            held[who] += fair_share_take(share, who, 1, &holders[who]) == FAIR_TAKEN;
        }
    }
    /* The first came to 75 percent before the others had any. */
    for (int i = 0; i < HUNGRY; i++) {
        cr_assert(held[i] > 250 && held[i] < 320, "%d holds %lu", i, (unsigned long)held[i]);
    }
    cr_assert_eq(fair_share_ask(share, HUNGRY), FAIR_TAKEN, "and a new one gets some");
    fair_share_free(share);
}

Test(fair_share, with_few_places_or_a_hundred_percent_one_may_take_all) {
    struct fair_holder *holder;
    struct fair_share *few = fair_share_new(4, 90);
    cr_assert_eq(take_all(few, 1, &holder), 4);
    cr_assert_eq(fair_share_take(few, 2, 1, &holder), FAIR_FULL);
    fair_share_free(few);
    struct fair_share *all = fair_share_new(1000, 100);
    cr_assert_eq(take_all(all, 1, &holder), 1000);
    cr_assert_eq(fair_share_take(all, 1, 1, &holder), FAIR_FULL);
    fair_share_free(all);
}

Test(fair_share, an_amount_that_does_not_fit_is_refused_unless_nobody_holds_any) {
    struct fair_share *share = fair_share_new(100, 100);
    struct fair_holder *large, *small;
    cr_assert_eq(fair_share_take(share, 1, 500, &large), FAIR_TAKEN);
    cr_assert_eq(fair_share_take(share, 2, 1, &small), FAIR_FULL);
    fair_share_give(share, large, 500);
    cr_assert_eq(fair_share_take(share, 2, 60, &small), FAIR_TAKEN);
    cr_assert_eq(fair_share_take(share, 1, 50, &large), FAIR_FULL);
    cr_assert_eq(fair_share_take(share, 1, 40, &large), FAIR_TAKEN);
    fair_share_free(share);
}

Test(fair_share, holders_come_and_go_in_any_number) {
    enum { HOLDERS = 5000 };
    struct fair_share *share = fair_share_new(HOLDERS * 10, 90);
    static struct fair_holder *holders[HOLDERS];
    for (int round = 0; round < 3; round++) {
        for (uint64_t i = 0; i < HOLDERS; i++) {
            cr_assert_eq(fair_share_take(share, i * 4096, 2, &holders[i]), FAIR_TAKEN);
        }
        cr_assert_eq(fair_share_holders(share), HOLDERS);
        for (uint64_t i = 0; i < HOLDERS; i++) {
            cr_assert_eq(holders[i]->held, 2);
            cr_assert_eq(fair_share_count(share, i * 4096, 1), holders[i]);
            fair_share_give(share, holders[i], 3);
        }
        cr_assert_eq(fair_share_holders(share), 0);
        cr_assert_eq(fair_share_total(share), 0);
    }
    fair_share_free(share);
}
