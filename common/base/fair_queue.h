/* A bounded queue that takes turns: each holder has a queue of his own, and one item of each comes
 * out in turn, so that nobody waits for the many of somebody else. Round robin over queues by
 * source, as in Nagle, "On packet switches with infinite storage" (RFC 970), each bounded by a
 * fair share of all the places (fair_share.h). Items of one holder stay in their order.
 *
 * The owner's lock guards it. Pushing costs one look-up in a hash, taking none. */
#ifndef WAYBILL_BASE_FAIR_QUEUE_H
#define WAYBILL_BASE_FAIR_QUEUE_H

#include "common/base/fair_share.h"

struct fair_queue {
    struct fair_share *places;
    struct fair_holder *last_turn; /* of a ring; its next is whose turn it is; NULL: empty */
};

void fair_queue_init(struct fair_queue *queue, uint64_t limit, unsigned percent);
/* What is in it is forgotten. */
void fair_queue_destroy(struct fair_queue *queue);

/* The item is the queue's until it comes out. */
enum fair_verdict fair_queue_push(struct fair_queue *queue, struct fair_item *item, uint64_t key);
/* What comes out next; NULL: it is empty. */
struct fair_item *fair_queue_peek(const struct fair_queue *queue);
struct fair_item *fair_queue_pop(struct fair_queue *queue);
uint64_t fair_queue_count(const struct fair_queue *queue);

#endif
