/* The figures of metadata-svc's own paths (gRPC's are in common/observe/rpc_metrics.h). */
#ifndef WAYBILL_METADATA_SERVICE_METRICS_H
#define WAYBILL_METADATA_SERVICE_METRICS_H

#include "common/observe/metrics.h"
#include "metadata-svc/api/metadata_api.h"

struct service_metrics {
    struct histogram *flush_seconds;
    struct histogram *batch_records;
};

/* Registers them; those that are read at each scrape ask the api's rooms. */
void service_metrics_register(struct service_metrics *self, struct metrics *metrics, struct metadata_api *api);
/* For struct committer_observer. */
void service_metrics_batch(struct service_metrics *self, size_t records, int64_t flush_us);

#endif
