#include "common/base/fair_queue.h"

#include <stddef.h>

void fair_queue_init(struct fair_queue *queue, uint64_t limit, unsigned percent) {
    *queue = (struct fair_queue){.places = fair_share_new(limit, percent)};
}

void fair_queue_destroy(struct fair_queue *queue) {
    fair_share_free(queue->places);
}

/* Its turn comes after all others'. */
static void join_ring(struct fair_queue *queue, struct fair_holder *holder) {
    if (queue->last_turn == NULL) {
        holder->next_turn = holder;
    } else {
        holder->next_turn = queue->last_turn->next_turn;
        queue->last_turn->next_turn = holder;
    }
    queue->last_turn = holder;
}

enum fair_verdict fair_queue_push(struct fair_queue *queue, struct fair_item *item, uint64_t key) {
    struct fair_holder *holder;
    enum fair_verdict verdict = fair_share_take(queue->places, key, 1, &holder);
    if (verdict != FAIR_TAKEN) {
        return verdict;
    }
    item->next = NULL;
    item->holder = holder;
    if (holder->first == NULL) {
        holder->first = item;
        join_ring(queue, holder);
    } else {
        holder->last->next = item;
    }
    holder->last = item;
    return FAIR_TAKEN;
}

struct fair_item *fair_queue_peek(const struct fair_queue *queue) {
    return queue->last_turn != NULL ? queue->last_turn->next_turn->first : NULL;
}

struct fair_item *fair_queue_pop(struct fair_queue *queue) {
    struct fair_item *item = fair_queue_peek(queue);
    if (item == NULL) {
        return NULL;
    }
    struct fair_holder *holder = item->holder;
    holder->first = item->next;
    if (holder->first != NULL) {
        queue->last_turn = holder;
    } else if (queue->last_turn == holder) {
        queue->last_turn = NULL;
    } else {
        queue->last_turn->next_turn = holder->next_turn;
    }
    fair_share_give(queue->places, holder, 1);
    return item;
}

uint64_t fair_queue_count(const struct fair_queue *queue) {
    return fair_share_total(queue->places);
}
