/* A replica of object-svc in the simulator: hot volumes on a simulated disk, the ingest core fed by
 * the stream's consumer, the tier core, compaction, and readers. */
#ifndef WAYBILL_SIM_REPLICA_H
#define WAYBILL_SIM_REPLICA_H

#include "object-svc/cold/cold_store.h"
#include "tests/simulation/sim_bugs.h"
#include "tests/simulation/sim_metadata.h"
#include "tests/simulation/sim_model.h"
#include "tests/simulation/sim_stream.h"

struct sim_replica;

struct sim_replica_options {
    const char *name; /* borrowed, like all the others */
    struct model *model;
    struct sim_metadata *metadata;
    struct sim_stream *stream;
    struct cold_store *cold;
    enum sim_bug bug;
    int64_t recall_stay_us;
};

enum { SIM_ATTEMPTS = 5 }; /* at a payload that may go well the next time */

struct sim_replica *sim_replica_new(const struct sim_replica_options *options);
void sim_replica_free(struct sim_replica *replica);

/* Plants the bug that is asked for in what the rooms of object-svc call of each other. */
void sim_plant_objects(enum sim_bug bug);

/* ---- life and faults; not from fibers ---- */

bool sim_replica_start(struct sim_replica *replica);
void sim_replica_kill(struct sim_replica *replica, enum sim_death death);
bool sim_replica_up(const struct sim_replica *replica);
/* Its stores are read-only after a disk failure. */
bool sim_replica_failed(struct sim_replica *replica);
void sim_replica_fail_disk(struct sim_replica *replica, enum sim_disk_fault fault);
const char *sim_replica_name(const struct sim_replica *replica);

/* ---- reading ---- */

/* Somebody reads the latest version of a key here, in a fiber of its own; what comes is held to the
 * model. */
void sim_replica_read(struct sim_replica *replica, unsigned bucket, unsigned key);
/* Somebody asks for the latest version of a key to be brought back to hot. */
void sim_replica_promote(struct sim_replica *replica, unsigned bucket, unsigned key);
/* Whether the replica's hot volumes have the payload. */
bool sim_replica_has(struct sim_replica *replica, const struct uuid *payload_id);
/* Every letter that was kept is there, and tells why. */
void sim_replica_check_letters(struct sim_replica *replica);
/* Reads it whole and holds it to the model; false with the error where that cannot be done. */
bool sim_replica_verify(struct sim_replica *replica, const struct model_payload *payload, struct error *error);

#endif
