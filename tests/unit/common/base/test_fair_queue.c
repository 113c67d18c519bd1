// rooms: waybill_base
#include <criterion/criterion.h>

#include "common/base/fair_queue.h"

TestSuite(fair_queue, .timeout = 60);

struct letter {
    struct fair_item item;
    uint64_t sender;
    int number;
};

static void fill(struct fair_queue *queue, struct letter *letters, int count, uint64_t sender) {
    for (int i = 0; i < count; i++) {
        letters[i] = (struct letter){.sender = sender, .number = i};
        cr_assert_eq(fair_queue_push(queue, &letters[i].item, sender), FAIR_TAKEN);
    }
}

static const struct letter *next(struct fair_queue *queue) {
    const struct fair_item *peeked = fair_queue_peek(queue);
    struct fair_item *popped = fair_queue_pop(queue);
    cr_assert_eq(peeked, popped);
    return (const struct letter *)popped;
}

Test(fair_queue, whoever_comes_behind_a_thousand_of_another_is_next_but_one) {
    static struct letter many[1000];
    struct letter one;
    struct fair_queue queue;
    fair_queue_init(&queue, 4096, 90);
    fill(&queue, many, 1000, 1);
    fill(&queue, &one, 1, 2);
    cr_assert_eq(fair_queue_count(&queue), 1001);
    cr_assert_eq(next(&queue)->sender, 1);
    cr_assert_eq(next(&queue)->sender, 2);
    for (int i = 1; i < 1000; i++) {
        cr_assert_eq(next(&queue)->number, i, "a sender's letters stay in their order");
    }
    cr_assert_null(next(&queue));
    cr_assert_eq(fair_queue_count(&queue), 0);
    fair_queue_destroy(&queue);
}

Test(fair_queue, turns_go_round_while_senders_come_and_go) {
    static struct letter letters[3][10];
    struct fair_queue queue;
    fair_queue_init(&queue, 100, 100);
    fill(&queue, letters[0], 10, 7);
    fill(&queue, letters[1], 2, 8);
    fill(&queue, letters[2], 5, 9);
    static const uint64_t expected[] = {7, 8, 9, 7, 8, 9, 7, 9, 7, 9, 7, 9, 7, 7, 7, 7, 7};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        cr_assert_eq(next(&queue)->sender, expected[i], "place %zu", i);
    }
    cr_assert_null(next(&queue));
    fill(&queue, letters[1], 1, 8);
    cr_assert_eq(next(&queue)->sender, 8, "an empty queue begins anew");
    fair_queue_destroy(&queue);
}

Test(fair_queue, a_sender_without_letters_finds_a_place_whatever_another_sends) {
    static struct letter many[100];
    struct letter one;
    struct fair_queue queue;
    fair_queue_init(&queue, 100, 90);
    int taken = 0;
    while (taken < 100 && fair_queue_push(&queue, &many[taken].item, 1) == FAIR_TAKEN) {
        taken++;
    }
    cr_assert_eq(taken, 90);
    fill(&queue, &one, 1, 2);
    fair_queue_destroy(&queue);
}
