/* Asking another replica to give its hot copy of an object up, for the cold store's. */
#ifndef WAYBILL_TIER_PEER_DEMOTION_H
#define WAYBILL_TIER_PEER_DEMOTION_H

#include "object-svc/peer/peer_table.h"

/* Begins it there, or asks how far it is; `done` when the copy is given up. UNAVAILABLE
 * (OBJECT_ON_OTHER_REPLICA, detail `replica`) where the replica is not there; else as it answers. */
bool peer_demotion_ask(struct peer_table *peers, const char *replica, const char *bucket, const char *key,
                       int64_t version, bool *done, struct error *error);

#endif
