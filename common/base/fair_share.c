#include "common/base/fair_share.h"

#include <assert.h>
#include <stdlib.h>

enum { FIRST_SLOTS = 64 };

struct fair_share {
    uint64_t limit;
    unsigned percent;
    uint64_t total;
    uint64_t holders;
    struct fair_holder **slots; /* heads of chains; a power of two */
    uint64_t slot_count;
    struct fair_holder *spare; /* linked by `chain` */
};

static void *zeroed(size_t count, size_t size) {
    void *memory = calloc(count, size);
    if (memory == NULL) {
        abort();
    }
    return memory;
}

struct fair_share *fair_share_new(uint64_t limit, unsigned percent) {
    struct fair_share *share = zeroed(1, sizeof *share);
    assert(percent <= 100);
    share->limit = limit;
    share->percent = percent;
    share->slot_count = FIRST_SLOTS;
    share->slots = zeroed(FIRST_SLOTS, sizeof *share->slots);
    return share;
}

static void free_chain(struct fair_holder *holder) {
    while (holder != NULL) {
        struct fair_holder *next = holder->chain;
        free(holder);
        holder = next;
    }
}

void fair_share_free(struct fair_share *share) {
    if (share == NULL) {
        return;
    }
    for (uint64_t i = 0; i < share->slot_count; i++) {
        free_chain(share->slots[i]);
    }
    free_chain(share->spare);
    free(share->slots);
    free(share);
}

/* ---- holders ---- */

/* Keys may be addresses: all bits count (the finalizer of SplitMix64). */
static uint64_t mix(uint64_t key) {
    key = (key ^ (key >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    key = (key ^ (key >> 27)) * UINT64_C(0x94d049bb133111eb);
    return key ^ (key >> 31);
}

static struct fair_holder **slot_of(const struct fair_share *share, uint64_t key) {
    return &share->slots[mix(key) & (share->slot_count - 1)];
}

struct fair_holder *fair_share_find(const struct fair_share *share, uint64_t key) {
    struct fair_holder *holder = *slot_of(share, key);
    while (holder != NULL && holder->key != key) {
        holder = holder->chain;
    }
    return holder;
}

static void link_holder(struct fair_share *share, struct fair_holder *holder) {
    struct fair_holder **slot = slot_of(share, holder->key);
    holder->chain = *slot;
    *slot = holder;
}

static void grow(struct fair_share *share) {
    struct fair_holder **old = share->slots;
    uint64_t old_count = share->slot_count;
    share->slot_count *= 2;
    share->slots = zeroed(share->slot_count, sizeof *share->slots);
    for (uint64_t i = 0; i < old_count; i++) {
        while (old[i] != NULL) {
            struct fair_holder *holder = old[i];
            old[i] = holder->chain;
            link_holder(share, holder);
        }
    }
    free(old);
}

static struct fair_holder *add(struct fair_share *share, uint64_t key) {
    if (share->holders == share->slot_count) {
        grow(share);
    }
    struct fair_holder *holder = share->spare;
    if (holder != NULL) {
        share->spare = holder->chain;
    } else {
        holder = zeroed(1, sizeof *holder);
    }
    *holder = (struct fair_holder){.key = key};
    link_holder(share, holder);
    share->holders++;
    return holder;
}

static void remove_holder(struct fair_share *share, struct fair_holder *holder) {
    struct fair_holder **place = slot_of(share, holder->key);
    while (*place != holder) {
        place = &(*place)->chain;
    }
    *place = holder->chain;
    holder->chain = share->spare;
    share->spare = holder;
    share->holders--;
}

/* ---- shares ---- */

enum fair_verdict fair_share_judge(uint64_t limit, unsigned percent, uint64_t total, uint64_t held) {
    uint64_t share = percent == 0 ? 100 : percent;
    if (total >= limit) {
        return FAIR_FULL;
    }
    return held * (100 - share) < share * (limit - total) ? FAIR_TAKEN : FAIR_OVER_SHARE;
}

static enum fair_verdict judge(const struct fair_share *share, uint64_t held, uint64_t amount) {
    bool fits = share->total == 0 || (share->total < share->limit && amount <= share->limit - share->total);
    return fits ? fair_share_judge(share->limit, share->percent, share->total, held) : FAIR_FULL;
}

static struct fair_holder *hold(struct fair_share *share, struct fair_holder *holder, uint64_t key, uint64_t amount) {
    if (holder == NULL) {
        holder = add(share, key);
    }
    holder->held += amount;
    share->total += amount;
    return holder;
}

enum fair_verdict fair_share_take(struct fair_share *share, uint64_t key, uint64_t amount,
                                  struct fair_holder **holder) {
    assert(amount > 0);
    struct fair_holder *known = fair_share_find(share, key);
    enum fair_verdict verdict = judge(share, known != NULL ? known->held : 0, amount);
    if (verdict == FAIR_TAKEN) {
        *holder = hold(share, known, key, amount);
    }
    return verdict;
}

struct fair_holder *fair_share_count(struct fair_share *share, uint64_t key, uint64_t amount) {
    assert(amount > 0);
    return hold(share, fair_share_find(share, key), key, amount);
}

void fair_share_give(struct fair_share *share, struct fair_holder *holder, uint64_t amount) {
    assert(holder->held >= amount && share->total >= amount);
    holder->held -= amount;
    share->total -= amount;
    if (holder->held == 0) {
        remove_holder(share, holder);
    }
}

enum fair_verdict fair_share_ask(const struct fair_share *share, uint64_t key) {
    const struct fair_holder *known = fair_share_find(share, key);
    return judge(share, known != NULL ? known->held : 0, 1);
}

uint64_t fair_share_total(const struct fair_share *share) {
    return share->total;
}

uint64_t fair_share_limit(const struct fair_share *share) {
    return share->limit;
}

uint64_t fair_share_holders(const struct fair_share *share) {
    return share->holders;
}

uint64_t fair_share_key(struct bytes name) {
    uint64_t key = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < name.size; i++) {
        key = (key ^ name.data[i]) * UINT64_C(0x100000001b3);
    }
    return key;
}
