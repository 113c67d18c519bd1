/* Moves the cold store to another place while reads and writes go on, step by step, each remembered
 * over a restart:
 *
 *   begin ▸ COPYING ▸ COPIED ▸ switch ▸ SWITCHED ▸ finish ▸ FINISHED
 *              ╰── cancel ──╯     ╰── back ──╯
 *
 * From the begin on what is written goes to both places, while what was there before is copied. A
 * pass over all of it that finds nothing left to copy makes it COPIED. A switch makes the new place
 * the one that is read; both are still written, so there is a way back until the finish. After that
 * the new place is the cold store, also over restarts, until the configuration names it.
 *
 * Several replicas share a cold store: all of them take part, all but one by joining without
 * copying. Any thread. */
#ifndef WAYBILL_MIGRATE_MIGRATOR_H
#define WAYBILL_MIGRATE_MIGRATOR_H

#include "common/observe/metrics.h"
#include "object-svc/migrate/cold_pair.h"
#include "object-svc/migrate/migration_file.h"

struct migrator;

struct migrator_options {
    struct cold_pair *pair;                      /* of the configured store alone */
    const struct cold_store_options *configured; /* copied, but not what it points to */
    const char *directory;                       /* where the file and an S3 store's notes go */
    int64_t bytes_per_second;                    /* copied at most; 0: no limit */
    struct metrics *metrics;
};

/* Takes up the migration that was under way, if there was one, before the store is used. */
struct migrator *migrator_start(const struct migrator_options *options, struct error *error);
/* Ends the copying; it goes on at the next start. */
void migrator_stop(struct migrator *migrator);

enum migration_step { MIGRATION_SWITCH = 1, MIGRATION_BACK = 2, MIGRATION_FINISH = 3, MIGRATION_CANCEL = 4 };

struct migration_status {
    struct migration_memo memo;
    uint64_t copied_objects; /* since the start of the service, as all that follows */
    uint64_t copied_bytes;
    uint64_t present_objects; /* of the present pass: found in the new place */
    uint64_t failed_objects;  /* of the last whole pass, or of the present one if there are more */
    uint64_t passes;          /* that went through all */
    struct error error;       /* why a pass broke off, or what the last object failed for */
};

/* FAILED_PRECONDITION, MIGRATION_RUNNING where one is under way; INVALID_ARGUMENT, BAD_TARGET; or why
 * the target cannot be opened. */
bool migrator_begin(struct migrator *migrator, const char *target, bool join_only, struct migration_status *status,
                    struct error *error);
/* NOT_FOUND, MIGRATION_NOT_FOUND where none is under way; FAILED_PRECONDITION, MIGRATION_PHASE
 * (detail `phase`) where the step is not one of its phase. */
bool migrator_step(struct migrator *migrator, enum migration_step step, struct migration_status *status,
                   struct error *error);
bool migrator_get(struct migrator *migrator, struct migration_status *status, struct error *error);

#endif
