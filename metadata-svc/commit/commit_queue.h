/* Changes that wait for the committer, and in which order it gets them. The committer's lock guards it.
 *
 * Two lanes, each with a bound of its own, so that neither keeps the other out:
 * - callers' changes. Clients take turns and have a fair share of the places each (fair_queue.h), and so
 *   have buckets. Changes with a payload may not take all of the lane: the reserve is for those of
 *   metadata alone.
 * - upkeep: object-svc's reports and due timers, which let payloads go. Replicas take turns.
 * A batch has half for each lane, and what one leaves is the other's. */
#ifndef WAYBILL_COMMIT_COMMIT_QUEUE_H
#define WAYBILL_COMMIT_COMMIT_QUEUE_H

#include "metadata-svc/commit/commit_request.h"

struct commit_queue;

struct commit_queue_options {
    unsigned max_waiting;     /* callers' changes */
    unsigned max_upkeep;      /* 0: as many */
    unsigned reserve_percent; /* of max_waiting, for changes without payload */
    unsigned client_percent;  /* of max_waiting, that one client comes to alone; 0: 100 */
    unsigned bucket_percent;  /* the same for a bucket */
};

struct commit_queue *commit_queue_new(const struct commit_queue_options *options);
void commit_queue_free(struct commit_queue *queue);

/* RESOURCE_EXHAUSTED, with RetryInfo: COMMIT_QUEUE_FULL, KEPT_FOR_METADATA, CLIENT_OVER_SHARE or
 * BUCKET_OVER_SHARE. */
bool commit_queue_push(struct commit_queue *queue, struct commit_request *request, struct error *error);
/* Takes the next batch, up to most_changes changes, of which a request may have several, and
 * most_bytes of payloads, but one request at least. `batch` has room for most_changes. */
size_t commit_queue_take(struct commit_queue *queue, struct commit_request **batch, size_t most_changes,
                         size_t most_bytes);
/* In both lanes. */
unsigned commit_queue_waiting(const struct commit_queue *queue);

#endif
