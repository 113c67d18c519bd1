/* metadata-svc in the simulator: the commit engine, the spool, the publisher core and the timers
 * over simulated disks, with the calls that clients and replicas make of it. The calls come over a
 * network that loses, delays and reorders them; where that or a crash happens the caller does not
 * know what became of it.
 *
 * What the handlers do here is what metadata-svc/api does around the rooms, without gRPC. */
#ifndef WAYBILL_SIM_METADATA_H
#define WAYBILL_SIM_METADATA_H

#include "metadata-svc/store/due_drops.h"
#include "tests/simulation/sim_bugs.h"
#include "tests/simulation/sim_model.h"
#include "tests/simulation/sim_stream.h"
#include "waybill/v1/record.pb-c.h"

struct sim_metadata;

struct sim_metadata_options {
    struct model *model; /* borrowed, like the stream */
    struct sim_stream *stream;
    enum sim_bug bug;
    int64_t change_log_retention_us; /* 0: it is never trimmed */
    int64_t redrive_after_us;        /* 0: never */
    int64_t failed_retention_us;
    int64_t drop_delay_us;
    int64_t upload_idle_us;
    unsigned poisoned; /* in a thousand: uploads whose bytes the spool cannot read */
    uint64_t poison_salt;
};

struct sim_metadata *sim_metadata_new(const struct sim_metadata_options *options);
void sim_metadata_free(struct sim_metadata *metadata);

/* ---- life and faults; not from fibers ---- */

/* False where the start failed; kill it and try again. */
bool sim_metadata_start(struct sim_metadata *metadata);
enum sim_death { SIM_DEATH_CLEAN, SIM_DEATH_KILL, SIM_DEATH_POWER };
void sim_metadata_kill(struct sim_metadata *metadata, enum sim_death death);
bool sim_metadata_up(const struct sim_metadata *metadata);
/* Read-only after a disk failure: only a restart helps. */
bool sim_metadata_failed(const struct sim_metadata *metadata);
void sim_metadata_fail_commit(struct sim_metadata *metadata);
/* The spool's disk fails in one of its next operations, or is cut from power. */
enum sim_disk_fault { SIM_DISK_ERROR, SIM_DISK_FULL, SIM_DISK_CUT };
void sim_metadata_fail_spool(struct sim_metadata *metadata, enum sim_disk_fault fault);
/* In a thousand: calls that are lost, calls that are late, and replicas' reports that are late. */
void sim_metadata_set_network(struct sim_metadata *metadata, unsigned losses, unsigned delays, unsigned late_reports);

/* ---- calls; from fibers ---- */

enum sim_outcome {
    SIM_DONE,
    SIM_REFUSED, /* `error` says why; nothing changed */
    SIM_UNKNOWN, /* no answer: it may have happened, and may happen yet */
};

enum sim_outcome sim_metadata_create_bucket(struct sim_metadata *metadata, const struct bucket *bucket,
                                            struct error *error);
/* The record is in the arena. */
enum sim_outcome sim_metadata_commit(struct sim_metadata *metadata, const struct model_op *op, struct arena *arena,
                                     struct record *record, struct error *error);
/* What operators do with a payload that has failed, or is in flight. */
enum sim_outcome sim_metadata_retry_payload(struct sim_metadata *metadata, const struct uuid *payload_id,
                                            struct error *error);
enum sim_outcome sim_metadata_cancel_payload(struct sim_metadata *metadata, const struct uuid *payload_id,
                                             struct error *error);
/* What QueryUpload and CancelUpload tell (upload_core.h). */
struct upload_progress;
bool sim_metadata_query_upload(struct sim_metadata *metadata, const struct uuid *upload_id,
                               struct upload_progress *progress, struct error *error);
enum sim_outcome sim_metadata_cancel_upload(struct sim_metadata *metadata, const struct uuid *upload_id,
                                            struct error *error);
/* The latest version as metadata-svc tells it, held to the model; NULL when there is no answer or
 * no record. */
Waybill__V1__Record *sim_metadata_get(struct sim_metadata *metadata, unsigned bucket, unsigned key, struct arena *arena,
                                      struct error *error);

struct sim_report {
    const char *bucket;
    const char *key;
    int64_t version;
    struct uuid payload_id;
    int outcome; /* numbers of proto/waybill/v1, as those below */
    int tier;
    int drop_tier;
    int64_t drop_due_us;
    uint64_t size_bytes;
    uint32_t crc32c;
    int verdict; /* the answer */
};
/* Reports come in any order, however late; `number` tells the one in which they were sent. */
bool sim_metadata_report(struct sim_metadata *metadata, const char *replica, int64_t number, struct sim_report *reports,
                         size_t count, struct error *error);

/* What the records say of an object in a tier, by the numbers of proto/waybill/v1. */
bool sim_metadata_standing(struct sim_metadata *metadata, const char *replica, int tier, const char *bucket,
                           const char *key, int64_t version, const struct uuid *payload_id, int *standing,
                           struct error *error);

/* What ListDrops tells of a tier; the arrays are in the arena. */
bool sim_metadata_list_drops(struct sim_metadata *metadata, const char *replica, int tier, struct arena *arena,
                             struct due_drop **drops, size_t *count, struct error *error);

/* One payload that is pulled. */
struct sim_fetch {
    struct uuid payload_id;
    unsigned life;
    bool is_inline;
    struct bytes data; /* of an inline one; in the arena */
    uint64_t size_bytes;
    uint32_t crc32c;
};
bool sim_metadata_fetch(struct sim_metadata *metadata, const struct uuid *payload_id, struct arena *arena,
                        struct sim_fetch *fetch, struct error *error);
bool sim_metadata_fetch_bytes(struct sim_metadata *metadata, const struct sim_fetch *fetch, uint64_t offset, void *out,
                              size_t size, struct error *error);
/* The last byte was sent. */
void sim_metadata_fetched(struct sim_metadata *metadata, const struct sim_fetch *fetch);

/* ---- for checks ---- */

/* Whether there is still a version that has the payload: old ones go without an event. Also while
 * the process is down. */
bool sim_metadata_keeps(struct sim_metadata *metadata, const struct model_payload *payload);
struct kv *sim_metadata_kv(struct sim_metadata *metadata);
int64_t sim_metadata_published(const struct sim_metadata *metadata);
/* Whether the spool cannot read its bytes, however often it is asked. */
bool sim_metadata_poisoned(const struct sim_metadata *metadata, const struct model_payload *payload);
/* In a thousand: chunks that are garbled on their way to a replica. */
void sim_metadata_set_garbled(struct sim_metadata *metadata, unsigned per_mille);
bool sim_metadata_garbles(struct sim_metadata *metadata, const struct sim_fetch *fetch);
/* How many objects are still to be dropped in a place; at most 1. */
size_t sim_metadata_drops_left(struct sim_metadata *metadata, enum tier tier, const char *replica);
/* Payloads in the spool. */
uint64_t sim_metadata_spooled(struct sim_metadata *metadata);

#endif
