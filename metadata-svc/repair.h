/* `waybill-metadata-svc --repair`: what an operator does with a record store that does not open
 * or has a gap, when there is no snapshot to restore. LevelDB's repair takes its write-ahead log
 * without looking at the checksums, so a commit in a damaged part of it may come back with wrong
 * bytes; those that cannot be decoded are counted. */
#ifndef WAYBILL_METADATA_REPAIR_H
#define WAYBILL_METADATA_REPAIR_H

#include "metadata-svc/config.h"

/* Tells on standard output what it did. Returns the exit status: 0 when the service can start. */
int repair_run(const struct metadata_config *config);

#endif
