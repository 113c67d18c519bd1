/* Restores a snapshot into empty directories, offline: metadata-svc then starts on them as if
 * it had been stopped at the snapshot's revision. */
#ifndef WAYBILL_SNAPSHOT_SNAPSHOT_RESTORE_H
#define WAYBILL_SNAPSHOT_SNAPSHOT_RESTORE_H

#include "metadata-svc/snapshot/snapshot_reader.h"

/* All or nothing: on failure both directories are as they were. Errors of snapshot_reader.h and
 * restore_place.h; DATA_LOSS (SNAPSHOT_CORRUPT) where the parts do not fit each other. */
bool snapshot_restore(const struct snapshot_source *source, const char *data_dir, const char *spool_dir,
                      struct snapshot_summary *summary, struct error *error);

#endif
