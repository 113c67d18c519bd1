/* Moves the hot volumes of one replica to another directory, on another disk, while reads and writes go on:
 *
 *   begin ▸ COPYING ▸ COPIED ▸ finish ▸ FINISHED
 *              ╰── cancel ──╯ ▸ RETURNING ▸ none
 *
 * The hot store lives on a disk of both directories (hot/joined_disk.h). From the begin on new volumes are made
 * in the new one, and compaction empties those in the old one: what lives is read, verified, copied, and the index
 * follows, at compaction's rate (hot/volume_compaction.h). So each object is in one place at any time, nothing
 * has to be copied twice, and a crash is what it always is to compaction. Once the old
 * directory holds no volume it is COPIED. A cancel turns the direction round. After the finish
 * the new directory is the hot store's, also over restarts, until the configuration names it.
 *
 * A volume with damaged objects stays where it is until those are repaired, and holds the migration up. Any
 * thread, from the start on. */
#ifndef WAYBILL_MIGRATE_HOT_MIGRATOR_H
#define WAYBILL_MIGRATE_HOT_MIGRATOR_H

#include "object-svc/hot/volume_store.h"
#include "object-svc/migrate/migrator.h"

struct hot_migrator;

struct hot_migrator_options {
    const char *configured; /* the hot directory; borrowed */
    const char *directory;  /* where the file goes that remembers; made where missing; borrowed */
    const struct clock *clock;
};

/* Opens the directories as they are, before the hot store. */
struct hot_migrator *hot_migrator_open(const struct hot_migrator_options *options, struct error *error);
/* What the hot store is to live on. */
struct disk *hot_migrator_disk(struct hot_migrator *migrator);
/* Takes up what was under way. The store is closed after hot_migrator_stop. */
void hot_migrator_start(struct hot_migrator *migrator, struct hot_store *hot);
/* Both NULL-safe; after stop nothing but close may be called. Close goes after the store's. */
void hot_migrator_stop(struct hot_migrator *migrator);
void hot_migrator_close(struct hot_migrator *migrator);

struct hot_migration_status {
    struct migration_memo memo;
    struct volume_leaving left; /* still to be moved */
    uint64_t moved_objects;     /* since the begin, or since the start of the service */
    uint64_t moved_bytes;
};

/* FAILED_PRECONDITION: MIGRATION_RUNNING where one is under way, TARGET_NOT_EMPTY where there are volumes in
 * the target; INVALID_ARGUMENT, BAD_TARGET: not file:///path; or why it cannot be opened. */
bool hot_migrator_begin(struct hot_migrator *migrator, const char *target, struct hot_migration_status *status,
                        struct error *error);
/* As migrator_step; the steps are FINISH and CANCEL. */
bool hot_migrator_step(struct hot_migrator *migrator, enum migration_step step, struct hot_migration_status *status,
                       struct error *error);
bool hot_migrator_get(struct hot_migrator *migrator, struct hot_migration_status *status, struct error *error);

#endif
