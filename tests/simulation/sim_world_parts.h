/* What the files of a run share: sim_world.c (its course), sim_faults.c (misfortune),
 * sim_accounts.c (the final checks). */
#ifndef WAYBILL_SIM_WORLD_PARTS_H
#define WAYBILL_SIM_WORLD_PARTS_H

#include "object-svc/cold/cold_store.h"
#include "tests/simulation/sim_client.h"
#include "tests/simulation/sim_metadata.h"
#include "tests/simulation/sim_replica.h"

/* The change log is kept for longer than what the stream may lose, by any clock. */
enum { WORLD_REPLICAS_MAX = 3, WORLD_KEPT_S = 90, WORLD_UNFLUSHED_S = 20, WORLD_CLOCK_OFF_S = 15 };

struct world {
    struct model *model;
    struct sim_stream *stream;
    struct cold_store *cold;
    struct sim_metadata *metadata;
    struct sim_replica *replicas[WORLD_REPLICAS_MAX];
    unsigned replica_count;
    struct sim_clients *clients;
    bool trims; /* the change log */

    /* Misfortune. */
    unsigned fault_per_mille; /* of steps */
    unsigned kinds;           /* of it, a bit each */
    unsigned reads;           /* in a thousand steps */
    unsigned promotions;      /* in a thousand of those */
    unsigned redeliveries;    /* in a thousand steps */
    int64_t metadata_back_us; /* when it is started again; 0: it is there */
    int64_t replica_back_us[WORLD_REPLICAS_MAX];
    int64_t cold_back_us;
    bool replicas_keep_power; /* and their disks do not fail: then nothing is left to a scrub */
    uint64_t deaths;
    uint64_t losses;
};

void world_begin_faults(struct world *world);
void world_step_faults(struct world *world);
/* Everything is started and in order again. */
void world_end_faults(struct world *world);
/* Restarts what a disk failure made read-only. */
void world_restart_failed(struct world *world);

void world_check_accounts(struct world *world);

#endif
