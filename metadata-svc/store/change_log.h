/* The change log: one encoded ChangeEvent per revision, written in the same batch as the
 * change itself (a transactional outbox). Publisher and watchers read it; the housekeeper
 * trims it below what is published.
 *
 * The newest entry is never trimmed, so that the last revision is known after a restart.
 * Any thread. */
#ifndef WAYBILL_STORE_CHANGE_LOG_H
#define WAYBILL_STORE_CHANGE_LOG_H

#include "common/base/error.h"
#include "metadata-svc/store/kv.h"

/* The oldest and newest revisions it holds; 0 and 0 when nothing was ever committed. */
bool change_log_bounds(struct kv *kv, int64_t *oldest, int64_t *newest, struct error *error);

/* One entry; valid during the call. False ends the reading. */
typedef bool change_log_visitor(void *context, int64_t revision, struct bytes event);

/* Visits entries from `revision` on, in order, until the visitor has enough or there are no
 * more. A gap is DATA_LOSS (reason CHANGE_LOG_GAP). OUT_OF_RANGE (REVISION_TRIMMED, with
 * oldest_revision as detail) when `revision` is below the oldest. */
bool change_log_read(struct kv *kv, int64_t revision, change_log_visitor *visit, void *context, struct error *error);

/* Removes up to max_entries entries older than `below`, oldest first, as far as they were
 * committed before keep_since_us, and with each the request id that it answers. Returns how
 * many, or -1. */
int64_t change_log_trim(struct kv *kv, int64_t below, int64_t keep_since_us, int64_t max_entries, struct error *error);

#endif
