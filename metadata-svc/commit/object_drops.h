/* What becomes of an object once no version needs it any more. The batch that takes its last version
 * away writes, for each place that has it, that it is to be dropped there after a while; the replicas of
 * object-svc ask for what is due (ListDrops), drop it and report that, which takes the entry away.
 *
 * A payload that no version has is never wanted again, so an entry stays true whatever is
 * committed after it, and one that was written too early is not told of yet (store/due_drops.h). Used by the commit
 * engine only. */
#ifndef WAYBILL_COMMIT_OBJECT_DROPS_H
#define WAYBILL_COMMIT_OBJECT_DROPS_H

#include "metadata-svc/commit/change_builder.h"

/* `record`, with the state of its payload as it is now, was the last version that has it. */
void object_drops_add(struct change_builder *builder, const struct record *record, struct arena *arena);
/* The cold store has the record's object, which is not stored as far as the record goes: another try may come to use
 * it. The entry waits until no version has the payload. */
void object_drops_add_cold(struct change_builder *builder, const struct record *record, struct arena *arena);
/* A replica reports that it has dropped what ListDrops told; again is fine. */
void object_drops_done(struct change_builder *builder, const struct object_report *report, const char *replica,
                       struct arena *arena);

#endif
