/* Keeps room in hot: where its objects take more than the high watermark, those that were not used
 * for longest go to the cold store, in the order of every demotion (tier_moves.h), until they take
 * less than the low one. Used is what was stored or read (read_times.h).
 *
 * Objects of buckets whose policy does not let them go stay. What leaves is garbage of its volume,
 * which the compactor gives back to the disk. One thread. */
#ifndef WAYBILL_TIER_WATERMARK_H
#define WAYBILL_TIER_WATERMARK_H

#include "object-svc/tier/read_times.h"
#include "object-svc/tier/tier_core.h"

/* Objects that are found in one walk over hot, and demoted one after the other. */
enum { WATERMARK_OBJECTS = 1024 };

struct watermark_rules {
    uint64_t capacity_bytes; /* that objects may take; 0: what volumes take and the disk has free */
    unsigned high_percent;   /* of the capacity; 0: no watermark */
    unsigned low_percent;
};

/* How many bytes of objects hot takes until it is at its low watermark; what it takes where there is
 * none is for the hot store to say. */
uint64_t watermark_room(const struct watermark_rules *rules, struct hot_store *hot);

struct watermark {
    struct watermark_rules rules;
    const struct read_times *times;
    bool draining; /* above high, and not yet below low */
    bool told;     /* that nothing may go: said once */
};

/* Returns true when there is more to do at once. */
bool watermark_run(struct watermark *watermark, const struct tier_ports *ports, const struct tier_move *move,
                   const struct bucket_policy *policies, size_t policy_count, struct tier_round *round);

#endif
