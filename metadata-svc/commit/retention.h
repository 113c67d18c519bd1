/* What a bucket's policy makes due: records expire, tombstones are purged, old versions go. (What
 * is due for payloads is in payload_changes.h.)
 *
 * A commit writes a timer for each, in its own batch; when it is due the housekeeper hands it
 * back to the committer as a request of its own (COMMIT_TIMERS), and what it asks for is looked
 * at anew: the record may have changed, or the policy. An expiry is a commit like a delete,
 * with a version, a revision and an event. A purge and a trim take away what no reader of
 * latest versions sees; they have no event.
 *
 * A policy that changes holds for what is there, too: policy_sweep.h goes through the bucket.
 *
 * Never taken away: a version that readers get, or may come to get since all newer ones may fail
 * yet, one whose payload is still in flight, and one whose payload an older version shares; they are looked at again
 * later. Used by the commit engine only. */
#ifndef WAYBILL_COMMIT_RETENTION_H
#define WAYBILL_COMMIT_RETENTION_H

#include "metadata-svc/commit/change_builder.h"

/* For a version that has just been put into the batch as the latest of its key: schedules its
 * end and that of `old`, the one before (NULL for none), and lets versions beyond max_versions
 * go. False only when the store fails. */
bool retention_after_commit(struct change_builder *builder, const struct bucket *bucket, const struct record *record,
                            const struct record *old, struct arena *arena, struct error *error);

/* For a version that is there already, held to the policy as it is now (policy_sweep.h): an older one
 * goes, or is looked at again when that is due; */
bool retention_review_version(struct change_builder *builder, const struct bucket *bucket,
                              const struct record_head *head, int64_t version, struct arena *arena,
                              struct error *error);
/* and for a latest one its end is scheduled. */
void retention_review_head(struct change_builder *builder, const struct bucket *bucket, const struct record *record,
                           struct arena *arena);

/* Does what fell due. False only when the store fails. */
bool change_timers(struct change_builder *builder, struct commit_request *request);

#endif
