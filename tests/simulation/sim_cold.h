/* A cold store in memory, shared by all replicas, as far away as an S3 server: it takes time, is
 * unreachable at times, does what it was asked and loses the answer, and at times lies, storing a new
 * object with other bytes than it was given. What it finished is durable. */
#ifndef WAYBILL_SIM_COLD_H
#define WAYBILL_SIM_COLD_H

#include "object-svc/cold/cold_store.h"

struct cold_store *sim_cold_new(void);
void sim_cold_free(struct cold_store *store);

/* Whether what is there under the name is what it was to be. */
bool sim_cold_is_whole(struct cold_store *store, const struct cold_name *name);
/* Called before an object goes for good. */
void sim_cold_watch_removals(struct cold_store *store,
                             void (*removing)(void *self, const struct provenance *provenance), void *self);
/* In a thousand: calls that fail, and objects that are stored with a wrong byte. */
void sim_cold_set_faults(struct cold_store *store, unsigned failures, unsigned lies);
void sim_cold_set_reachable(struct cold_store *store, bool reachable);
/* For a planted bug: verify finds everything well. */
void sim_cold_trust(struct cold_store *store);
/* For a planted bug: an object that could not be finished is said to be. */
void sim_cold_deny_failures(struct cold_store *store);

#endif
