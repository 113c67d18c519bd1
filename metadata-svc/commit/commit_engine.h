/* What a commit does to the records: the rules of states, versions, preconditions and
 * idempotency, without threads, disk or clock of its own.
 *
 * A run takes requests in order, lets each see what those before it did, and writes all that
 * they changed as one synced batch: records, history, payloads in flight, request ids, and
 * one change event per change. Requests that are refused change nothing. If the write fails,
 * nothing of the batch may be believed: every request gets UNAVAILABLE and the engine stays
 * read-only until the service is restarted.
 *
 * One thread at a time. */
#ifndef WAYBILL_COMMIT_COMMIT_ENGINE_H
#define WAYBILL_COMMIT_COMMIT_ENGINE_H

#include "common/base/clock.h"
#include "metadata-svc/commit/commit_request.h"
#include "metadata-svc/store/kv.h"

struct commit_engine;

struct commit_engine_options {
    const char *shard; /* outlives the engine */
    /* How long a payload is staged before its event is published again; twice as long each time. 0:
     * never. */
    int64_t redrive_after_us;
    int64_t failed_retention_us; /* how long the bytes of failed payloads are kept */
    int64_t drop_delay_us;       /* how long objects are kept that no version needs any more */
};

/* Reads where the change log ends. */
struct commit_engine *commit_engine_new(struct kv *kv, const struct clock *clock,
                                        const struct commit_engine_options *options, struct error *error);
void commit_engine_free(struct commit_engine *engine);

/* Fills each request's result. False when the write failed; `error` then says why. */
bool commit_engine_run(struct commit_engine *engine, struct commit_request **requests, size_t count,
                       struct error *error);

/* The newest durable revision; 0 before the first. */
int64_t commit_engine_revision(const struct commit_engine *engine);
/* How long the last batch took to become durable. */
int64_t commit_engine_last_flush_us(const struct commit_engine *engine);

#endif
