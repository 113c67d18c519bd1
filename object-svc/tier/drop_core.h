/* Objects that no version needs any more leave their tiers: metadata-svc tells which (drop_source.h),
 * they are removed, and that is reported. Each step may be repeated. An object that another thread
 * has in hand waits for the next round. One thread. */
#ifndef WAYBILL_TIER_DROP_CORE_H
#define WAYBILL_TIER_DROP_CORE_H

#include "object-svc/tier/tier_moves.h"
#include "object-svc/upstream/drop_source.h"

/* What a round did. */
struct drop_round {
    uint64_t dropped[OBJECT_TIER_COLD + 1]; /* by tier */
    struct error error;                     /* what was in the way first; it is tried again */
};

/* Drops a page of what is due in each tier; `step` of the move, without bytes, may end it. Returns true
 * when there may be more to do at once. */
bool drop_core_run(const struct tier_ports *ports, const struct drop_source *source, const struct tier_move *move,
                   struct drop_round *round);

#endif
