/* A key-value store in memory that forgets as LevelDB does: what a synced write covered stays,
 * with all before it; of the writes since, power loss keeps the first so many. A batch is there
 * wholly or not at all. A synced write takes time, during which readers see what was before it.
 *
 * The medium outlives its process; a handle (struct kv) belongs to one life of it. After the
 * process was killed a write under way through the handle fails, and whether it was kept shows
 * at the next start, as after a write that was made to fail. */
#ifndef WAYBILL_SIM_KV_H
#define WAYBILL_SIM_KV_H

#include "metadata-svc/store/kv.h"

struct sim_kv;

struct sim_kv *sim_kv_new(void);
void sim_kv_free(struct sim_kv *store);
/* Its close frees the handle alone. */
struct kv *sim_kv_open(struct sim_kv *store);

/* How long a flush takes at most. 0: writes do not give the turn away. */
void sim_kv_set_flush_us(struct sim_kv *store, int64_t most_us);
/* The next synced write fails; what it wrote is kept or not, by chance. */
void sim_kv_fail_next_flush(struct sim_kv *store);
/* The power goes (`keep`: only the process), with no handle in use any more. */
void sim_kv_restart(struct sim_kv *store, bool keep);
/* Whether power loss would leave the entry. */
bool sim_kv_keeps(const struct sim_kv *store, struct bytes key);

/* Called with each batch that is about to be written through a handle; may change it. Returns how
 * the write is to be treated. For planted bugs. */
enum sim_kv_way {
    SIM_KV_AS_ASKED,
    SIM_KV_UNSYNCED,      /* answered at once, and not durable */
    SIM_KV_VISIBLE_EARLY, /* readers see it before it is durable */
    SIM_KV_TORN,          /* in two batches, the first one unsynced */
    SIM_KV_DENIED,        /* a failure is answered with success */
};
void sim_kv_set_way(struct sim_kv *store, enum sim_kv_way way);
/* Entries that begin with this byte are not written. For planted bugs; 0: none. */
void sim_kv_drop_keys(struct sim_kv *store, uint8_t prefix);

#endif
