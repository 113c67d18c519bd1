/* Who holds how much of something that is bounded, so that nobody gets hold of all of it.
 *
 * Whoever wants more gets it while what he holds is less than a multiple of what is still free:
 * held * (100 - percent) < percent * (limit - total). So one holder alone comes to `percent` of the
 * limit, several hungry ones share it alike, and there is always some left for one who holds
 * nothing yet, without anybody counting who may come. With small limits, and with 100 percent, one
 * holder may take all of it. The scheme is that of Choudhury and Hahne, "Dynamic queue length
 * thresholds for shared-memory packet switches", IEEE/ACM Transactions on Networking 6(2), 1998.
 *
 * Holders are told apart by a number: a client's, or a hash of a name; two that have the same one
 * share a share. Memory is taken for as many as ever held something at once. The owner's lock
 * guards it. */
#ifndef WAYBILL_BASE_FAIR_SHARE_H
#define WAYBILL_BASE_FAIR_SHARE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/bytes.h"

struct fair_share;

struct fair_item {
    struct fair_item *next;
    struct fair_holder *holder;
};

/* Somebody who holds something; ends with the last of it. */
struct fair_holder {
    uint64_t key;
    uint64_t held;
    struct fair_holder *chain;
    /* Its queue, where it has one (fair_queue.h). */
    struct fair_item *first, *last;
    struct fair_holder *next_turn;
};

enum fair_verdict {
    FAIR_TAKEN,
    FAIR_FULL,       /* there is not so much left, whoever asks */
    FAIR_OVER_SHARE, /* there is, but for others */
};

/* 1 to 100 percent; 0 is taken for 100. */
struct fair_share *fair_share_new(uint64_t limit, unsigned percent);
void fair_share_free(struct fair_share *share);

/* Takes that much for the key; `holder` is then whom to give it back for. What is larger than all
 * there is gets it when nobody has anything. */
enum fair_verdict fair_share_take(struct fair_share *share, uint64_t key, uint64_t amount, struct fair_holder **holder);
/* As much as is asked for, whatever the limit: what is there already. */
struct fair_holder *fair_share_count(struct fair_share *share, uint64_t key, uint64_t amount);
/* NULL: the key holds nothing. */
struct fair_holder *fair_share_find(const struct fair_share *share, uint64_t key);
void fair_share_give(struct fair_share *share, struct fair_holder *holder, uint64_t amount);

/* The rule itself, for those who count on their own: of one more for who holds `held`, where all hold
 * `total`. 0 percent is taken for 100. */
enum fair_verdict fair_share_judge(uint64_t limit, unsigned percent, uint64_t total, uint64_t held);
/* What take would say of the least amount; takes nothing. */
enum fair_verdict fair_share_ask(const struct fair_share *share, uint64_t key);
/* What all hold. */
uint64_t fair_share_total(const struct fair_share *share);
uint64_t fair_share_limit(const struct fair_share *share);
/* How many hold something. */
uint64_t fair_share_holders(const struct fair_share *share);

/* The number for a name (FNV-1a). */
uint64_t fair_share_key(struct bytes name);

#endif
