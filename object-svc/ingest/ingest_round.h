/* A round of the ingester: deliveries that were fetched together go through the ingest core, in batches of
 * bounded bytes, and are answered. It knows no connection and no thread, so that a simulator can
 * drive the same code (with deliveries of its own). One thread. */
#ifndef WAYBILL_INGEST_INGEST_ROUND_H
#define WAYBILL_INGEST_INGEST_ROUND_H

#include "common/observe/metrics.h"
#include "common/stream/stream_consumer.h"
#include "object-svc/ingest/dead_letters.h"
#include "object-svc/ingest/ingest_core.h"
#include "object-svc/ingest/staged_change.h"

struct ingest_round;

struct ingest_round_options {
    int64_t ack_wait_ms;       /* deliveries of a batch that takes long are kept alive in time */
    uint64_t batch_bytes;      /* payload bytes that share one flush; a larger payload comes alone */
    struct ingest_ports ports; /* progress: told of each step */
    struct dead_letters *dead_letters;
    struct metrics *metrics;
};

/* Opens an appender of the hot store. */
struct ingest_round *ingest_round_new(const struct ingest_round_options *options, struct error *error);
/* NULL is fine. */
void ingest_round_free(struct ingest_round *round);
/* Objects stored since the start. */
struct counter *ingest_round_stored(const struct ingest_round *round);

/* Takes the deliveries, at most INGEST_BATCH_MAX. Returns how long to pause before the next are fetched: not
 * at all, unless all of these wait for somebody who is full or away. */
int64_t ingest_round_run(struct ingest_round *round, struct stream_delivery **deliveries, int count);
/* Stores what is to come in deliveries of its own later (look_ahead.h), at most INGEST_BATCH_MAX changes. What
 * goes wrong is left to those. */
void ingest_round_run_ahead(struct ingest_round *round, const struct staged_change *changes, size_t count);
/* The pause that the last run asked for. */
int64_t ingest_round_pause_ms(const struct ingest_round *round);
/* While there is nothing to do. */
void ingest_round_rest(struct ingest_round *round);

#endif
