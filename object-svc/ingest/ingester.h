/* The ingester: fetches staged changes from the event stream, a batch at a time, runs them
 * through the ingest core and answers the deliveries. One thread.
 *
 * What went wrong is delivered again after a pause that grows with each delivery, with
 * jitter. A batch that takes long keeps its deliveries alive meanwhile. */
#ifndef WAYBILL_INGEST_INGESTER_H
#define WAYBILL_INGEST_INGESTER_H

#include "common/base/clock.h"
#include "common/observe/metrics.h"
#include "object-svc/ingest/ingest_core.h"

struct ingester;

struct ingester_options {
    const char *shard;
    const char *nats_url;
    int64_t ack_wait_ms;       /* a delivery not answered by then is delivered to another replica */
    size_t batch;              /* deliveries at once, at most INGEST_BATCH_MAX */
    struct ingest_ports ports; /* progress is the ingester's own */
    struct metrics *metrics;
    /* Whether events come in, for health; any thread. */
    void (*on_state)(void *self, bool connected);
    void *self;
};

struct ingester *ingester_start(const struct ingester_options *options, struct error *error);
bool ingester_connected(const struct ingester *ingester);
/* Objects stored since the start. */
struct counter *ingester_stored(const struct ingester *ingester);
/* Lets the batch in hand finish. */
void ingester_stop(struct ingester *ingester);

#endif
