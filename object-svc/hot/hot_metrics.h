/* The figures of a hot store as metrics: gauges that ask it, and what compaction did. */
#ifndef WAYBILL_HOT_HOT_METRICS_H
#define WAYBILL_HOT_HOT_METRICS_H

#include "common/observe/metrics.h"
#include "object-svc/hot/volume_compaction.h"

struct hot_metrics;

/* Both are borrowed; the metrics are not scraped any more once the store is closed. */
struct hot_metrics *hot_metrics_new(struct hot_store *hot, struct metrics *metrics);
/* NULL is fine. */
void hot_metrics_free(struct hot_metrics *metrics);
/* Adds what one compaction did. */
void hot_metrics_compacted(struct hot_metrics *metrics, const struct volume_compaction *sums);
/* Owned by the metrics. */
struct counter *hot_metrics_compacted_bytes(const struct hot_metrics *metrics);

#endif
