/* The directories in which a store is restored: it grows under names that no service looks
 * at, and gets its own only when it is whole and durable.
 *
 *   <data_dir>/restoring/records     becomes <data_dir>/records, last of all
 *   <spool_dir>/restoring/segment-*  become <spool_dir>/segment-*
 *
 * Both directories have to be empty, but for `lost+found` and for the spool's directory in the
 * other; they are made where missing. One thread. */
#ifndef WAYBILL_SNAPSHOT_RESTORE_PLACE_H
#define WAYBILL_SNAPSHOT_RESTORE_PLACE_H

#include <limits.h>
#include <stdbool.h>

#include "common/base/error.h"

struct restore_place {
    char data_dir[PATH_MAX];
    char spool_dir[PATH_MAX];
    char staging[PATH_MAX];        /* in data_dir */
    char staged_records[PATH_MAX]; /* where to make the record store */
    char staged_spool[PATH_MAX];   /* where to make the segments */
    char scratch[PATH_MAX];        /* of records alone: a directory that is thrown away in the end */
    bool made_data_dir;
    bool made_spool_dir;
};

/* `spool_dir` NULL: <data_dir>/spool, as metadata-svc has it. FAILED_PRECONDITION
 * (DIRECTORY_NOT_EMPTY, RESTORE_UNFINISHED), or the file system's errors; then nothing is left. */
bool restore_place_begin(struct restore_place *place, const char *data_dir, const char *spool_dir, struct error *error);
/* For records alone: a spool that is there stays as it is, and the place has none (spool_dir ""). `spool_dir`
 * may be in data_dir, which has to be empty otherwise. Errors as above. */
bool restore_place_begin_records(struct restore_place *place, const char *data_dir, const char *spool_dir,
                                 struct error *error);
/* Makes all durable and gives it its names. On failure nothing is left. */
bool restore_place_commit(struct restore_place *place, struct error *error);
/* False with RESTORE_UNFINISHED where a restore into the directory has not come to its end: a
 * service must not start there, and find nothing. */
bool restore_place_check(const char *data_dir, struct error *error);
/* Leaves nothing. */
void restore_place_abandon(struct restore_place *place);

#endif
