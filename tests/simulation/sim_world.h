/* One run: a metadata-svc, a stream, some replicas, a cold store, clients, and misfortune, all from a
 * seed; then peace, and the final accounts. */
#ifndef WAYBILL_SIM_WORLD_H
#define WAYBILL_SIM_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/simulation/sim_bugs.h"

/* Sums over runs. */
struct sim_totals {
    uint64_t runs;
    uint64_t revisions;
    uint64_t operations;
    uint64_t deaths;
    uint64_t losses; /* by the stream */
    int64_t time_us; /* virtual */
    uint64_t digest; /* of all that happened, in order; summed up */
};

/* Returns when all is well; else sim_fail ends the program. */
void sim_world_run(uint64_t seed, enum sim_bug bug, bool trace, struct sim_totals *totals);

#endif
