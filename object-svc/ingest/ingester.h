/* The ingester: fetches staged changes from the event stream, a batch at a time, runs them
 * through the ingest core and answers the deliveries. One thread.
 *
 * What went wrong is delivered again after a pause that grows with each attempt, with jitter, or
 * is given up (retry_policy.h). Events that wait for their next attempt hold up no others until
 * there are `pending_max` of them. Where a whole batch waits for somebody who is full or away, the
 * ingester itself pauses. While more than a batch waits, buckets take turns (look_ahead.h). A batch that takes long
 * keeps its deliveries alive meanwhile. */
#ifndef WAYBILL_INGEST_INGESTER_H
#define WAYBILL_INGEST_INGESTER_H

#include "common/base/clock.h"
#include "common/observe/metrics.h"
#include "object-svc/ingest/dead_letters.h"
#include "object-svc/ingest/ingest_core.h"

struct ingester;

struct ingester_options {
    const char *shard;
    const char *nats_url;
    int64_t ack_wait_ms;       /* a delivery not answered by then is delivered to another replica */
    size_t batch;              /* deliveries at once, at most INGEST_BATCH_MAX */
    uint64_t batch_bytes;      /* payload bytes that share one flush; a larger payload comes alone */
    int64_t pending_max;       /* deliveries without an answer, or waiting for another attempt */
    struct ingest_ports ports; /* progress is the ingester's own */
    struct dead_letters *dead_letters;
    struct metrics *metrics;
    /* Whether payloads get from the event stream into the hot store, for health: not while the stream
     * cannot be read, nor while all that comes waits for somebody who is full or away. Any thread. */
    void (*on_state)(void *self, bool serving);
    void *self;
};

struct ingester *ingester_start(const struct ingester_options *options, struct error *error);
bool ingester_connected(struct ingester *ingester);
/* How long ago its thread last got on. It does whatever is away or slow, so a long silence means that
 * it hangs. Any thread. */
int64_t ingester_silence_ms(const struct ingester *ingester);
/* Objects stored since the start. */
struct counter *ingester_stored(const struct ingester *ingester);
/* Lets the batch in hand finish. */
void ingester_stop(struct ingester *ingester);

#endif
