/* What the files of the simulated metadata-svc share: sim_metadata.c (life), sim_committer.c (the
 * commit queue), sim_metadata_calls.c (what is asked of it). */
#ifndef WAYBILL_SIM_METADATA_PARTS_H
#define WAYBILL_SIM_METADATA_PARTS_H

#include "metadata-svc/commit/commit_engine.h"
#include "metadata-svc/lifecycle/due_timers.h"
#include "metadata-svc/publish/publisher_core.h"
#include "metadata-svc/spool/payload_spool.h"
#include "metadata-svc/store/record_cache.h"
#include "tests/simulation/sim_core.h"
#include "tests/simulation/sim_kv.h"
#include "tests/simulation/sim_metadata.h"

/* A change on its way to the committer, at it, and back. Owned by whoever has use of it. */
struct sim_job {
    struct sim_job *next;
    unsigned uses;
    struct arena arena;
    struct commit_request request;
    int64_t arrive_us;
    struct sim_fiber *waiter;
    bool done;
    bool dropped; /* it will not be answered */
};

struct sim_metadata {
    struct sim_metadata_options options;
    struct sim_process process;
    struct sim_kv *store;
    struct disk *spool_disk;
    unsigned losses;
    unsigned delays;
    unsigned late_reports;
    unsigned garbled;

    /* Of one life. */
    struct kv *raw; /* past the cache; only for a planted bug */
    struct record_cache *cache;
    struct kv *kv;
    struct kv_ops wrapped_ops;
    struct kv *inner;
    struct commit_engine *engine;
    struct payload_spool *spool;
    struct publisher_core *publisher;
    struct due_timers due;
    struct sim_job *inbox; /* by time of arrival */
    struct sim_fiber *committer;
    struct sim_fiber *publishing;
    bool failed;
};

/* ---- sim_metadata_calls.c ---- */

enum { SIM_CALL_TIMEOUT_MS = 3000 };

bool sim_unavailable(struct error *error);
/* A message to the process or back; false where it got lost. */
bool sim_cross(const struct sim_metadata *metadata, struct error *error);

enum sim_outcome sim_metadata_change_payload(struct sim_metadata *metadata, enum commit_kind kind,
                                             const struct uuid *payload_id, struct error *error);

/* ---- sim_uploads.c ---- */

/* Sends the bytes from op->write_offset on, and then the finish. */
enum sim_outcome sim_upload(struct sim_metadata *metadata, struct sim_job *job, const struct model_op *op,
                            struct error *error);

/* ---- sim_planted.c ---- */

/* While ListDrops is answered. */
extern bool sim_lists_drops;

/* Plants the bug that is asked for in stores that were just opened. */
void sim_plant(struct sim_metadata *metadata);

/* ---- sim_committer.c ---- */

struct sim_job *sim_job_new(enum commit_kind kind);
void sim_job_unuse(struct sim_job *job);
/* Puts it on its way; the committer then has a use of it. */
void sim_job_send(struct sim_metadata *metadata, struct sim_job *job, int64_t latency_us);
/* Waits for its answer; true once there is one. */
bool sim_job_await(struct sim_metadata *metadata, struct sim_job *job, int64_t most_us);
/* Nobody will answer what is on its way. */
void sim_jobs_drop(struct sim_metadata *metadata);
void sim_committer_run(void *argument);

#endif
