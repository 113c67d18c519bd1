/* Rewriting hot volumes that are largely garbage: what lives in one is copied to another, and
 * the volume goes.
 *
 *   pick ▸ (copy a batch, verified ▸ flush ▸ marks of the old places ▸ index, synced)* ▸ delete
 *
 * A crash at any point leaves each object with at least one whole copy, and no file that a start
 * does not know what to do with. An object that is removed or stored anew meanwhile stays so:
 * its entry does not point to the place that it was copied from any more, and the copy dies.
 *
 * An object that cannot be read whole is not copied. It is logged by name and counted, and its
 * volume is quarantined: kept as it is, until a whole copy was stored from elsewhere or the
 * object is removed. It is tried again once the store was opened anew.
 *
 * One thread at a time; everything else may go on meanwhile. */
#ifndef WAYBILL_HOT_VOLUME_COMPACTION_H
#define WAYBILL_HOT_VOLUME_COMPACTION_H

#include "object-svc/hot/hot_store.h"

struct volume_compaction_options {
    unsigned garbage_percent; /* a volume with at least that share of garbage is rewritten, 1-100 */
    /* Called for bytes read or about to be copied; may take its time. False: stop. */
    bool (*pace)(void *self, uint64_t bytes);
    /* Called for each object that cannot be read whole; valid during the call. NULL is fine. */
    void (*damaged)(void *self, const struct hot_object *object);
    void *self; /* of both */
};

/* Sums; each run adds to them. */
struct volume_compaction {
    uint64_t volumes; /* that were rewritten, quarantined ones included */
    uint64_t moved_objects;
    uint64_t moved_bytes;     /* payload bytes of those */
    uint64_t freed_bytes;     /* of volumes that have nothing alive any more */
    uint64_t damaged_objects; /* found and kept where they are */
};

/* Rewrites the one volume, of a store that volume_store_open made, with the highest share of
 * garbage, if there is room for what lives in it; `found` says whether there was one. When the
 * disk is below its reserve, much smaller shares are enough. CANCELLED, COMPACTION_STOPPED where
 * pace said so: what was copied until then counts. */
bool volume_compaction_run(struct hot_store *store, const struct volume_compaction_options *options,
                           struct volume_compaction *sums, bool *found, struct error *error);

/* Between runs: makes the removals of the last moments durable, and seals volumes that nobody
 * appends to and that are worth rewriting. */
bool volume_compaction_prepare(struct hot_store *store, const struct volume_compaction_options *options,
                               struct error *error);

#endif
