/* The storage policy at work: objects old enough go to the cold store, and copies that a bucket's
 * policy does not want in hot (any more) are given up. tier_moves.h has the order of a move.
 *
 * The core reads no clock and does no network I/O but through what it is handed. One thread. */
#ifndef WAYBILL_TIER_TIER_CORE_H
#define WAYBILL_TIER_TIER_CORE_H

#include "object-svc/tier/tier_moves.h"

/* What a round did. */
struct tier_round {
    uint64_t moved_objects; /* written to the cold store, or given up in hot since they are there */
    uint64_t moved_bytes;
    uint64_t failed_objects;
    uint64_t recalled_objects; /* written to hot (recall.h) */
};

enum {
    TIER_ROUND_OBJECTS = 256, /* that are looked at in one turn */
    /* A bucket's turn is over when so much was moved of each kind, and the next bucket's begins: deficit
     * round robin (Shreedhar and Varghese, SIGCOMM 1995), but that what is moved too much is not made up
     * for, since one large object is no reason to wait. */
    TIER_TURN_OBJECTS = 32,
    TIER_TURN_BYTES = 64 << 20,
};

struct tier_rules {
    /* How long a copy that was promoted, or that another policy left, stays in hot at least where
     * the bucket's objects belong in the cold store alone. */
    int64_t recall_stay_us;
    struct tier_move move; /* of each object; never waits */
};

/* Moves what this bucket's policy asks for, for one turn. Returns true when there may be more to do at
 * once. */
bool tier_core_run(const struct tier_ports *ports, const struct tier_rules *rules, const struct bucket_policy *policy,
                   struct tier_round *round);
/* Looks after what moves left that did not come to their end, by a crash or since metadata-svc
 * was away. False: something is left still, which is tried again; what somebody else
 * has in hand does not count. */
bool tier_core_finish_noted(const struct tier_ports *ports);

#endif
