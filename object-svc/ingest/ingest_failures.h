/* What becomes of payloads that could not be stored: another try after a pause, or the end, told
 * to metadata-svc as FAILED. One thread. */
#ifndef WAYBILL_INGEST_INGEST_FAILURES_H
#define WAYBILL_INGEST_INGEST_FAILURES_H

#include "common/base/clock.h"
#include "object-svc/ingest/ingest_core.h"

struct ingest_failures;

/* Clock and disk outlive it; the disk is for the attempts, NULL: a restart forgets them. */
struct ingest_failures *ingest_failures_new(const struct retry_policy *policy, const struct report_sink *sink,
                                            const struct clock *clock, struct disk *attempts);
void ingest_failures_free(struct ingest_failures *failures);

/* Looks at every item whose outcome is RETRY: fills its fault, attempts and delay, and turns those
 * that are given up into FAILED or DEAD. Forgets the attempts of all others. */
void ingest_failures_settle(struct ingest_failures *failures, struct ingest_item *items, size_t count);

#endif
