/* `waybill-metadata-svc --rebuild`: a new record store where the old one is lost, made of the event stream and of
 * what the objects say of themselves. docs/operations/rebuild.md tells operators how. */
#ifndef WAYBILL_METADATA_REBUILD_H
#define WAYBILL_METADATA_REBUILD_H

#include "metadata-svc/config.h"

/* Tells on standard error how far it is, and on standard output what it found. Returns the exit status: 0 when
 * the service can start; otherwise nothing is left behind. */
int rebuild_run(const struct metadata_config *config);

#endif
