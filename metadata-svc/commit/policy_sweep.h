/* Lets the records of a bucket follow a change of its policy: max_versions, version_retention,
 * expire_after and delete_retention hold for what is there as for what comes.
 *
 * The commit that changes the policy begins a sweep, where the change makes anything due earlier; what becomes due
 * later needs none, since a timer looks at its record anew. A sweep goes through the older versions, the latest ones,
 * or both, in small steps, each by a timer of its own, so that commits never wait for more than one. Where it
 * stands is told by an entry in the record store, so that a restart goes on from there. A bucket has one sweep at a
 * time: a change in the middle of it begins it anew. Used by the commit engine only. */
#ifndef WAYBILL_COMMIT_POLICY_SWEEP_H
#define WAYBILL_COMMIT_POLICY_SWEEP_H

#include "metadata-svc/commit/change_builder.h"

/* What one step looks at. An older version may have to be removed; a latest one only gets a timer. */
enum { SWEEP_VERSIONS_STEP = 64, SWEEP_HEADS_STEP = 256 };

/* False only when the store fails. */
bool policy_sweep_begin(struct change_builder *builder, const struct bucket *before, const struct bucket *after,
                        struct arena *arena, struct error *error);
/* Takes the timer away, and goes on with the sweep that it is of. False only when the store fails. */
bool policy_sweep_step(struct change_builder *builder, const struct timer *timer, struct arena *arena,
                       struct error *error);

#endif
