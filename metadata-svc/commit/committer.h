/* The committer: one thread that drains a bounded queue of changes (commit_queue.h) and runs them, a batch at
 * a time, through the commit engine. While one batch is being flushed the next one gathers,
 * so that under load many commits share a flush (group commit). Where batches are large it waits
 * until most callers of the batches before are back, as long as they keep coming.
 *
 * Any thread submits. Completions run on the committer's thread, if their request names no finisher, and must not
 * block. */
#ifndef WAYBILL_COMMIT_COMMITTER_H
#define WAYBILL_COMMIT_COMMITTER_H

#include "common/base/clock.h"
#include "common/base/error.h"
#include "metadata-svc/commit/commit_engine.h"
#include "metadata-svc/commit/commit_queue.h"
#include "metadata-svc/store/store_room.h"

struct committer;

struct committer_options {
    struct commit_queue_options queue;
    unsigned max_batch;     /* changes in one batch */
    size_t max_batch_bytes; /* inline payload bytes in one batch */
    const struct clock *clock;
    struct store_room *room; /* borrowed; NULL: there is always some */
};

/* Hears of each batch, on the committer's thread. */
struct committer_observer {
    /* After a batch became durable and before its completions run. */
    void (*durable)(void *self, int64_t revision);
    /* After them: for whoever may take his time. */
    void (*answered)(void *self);
    /* For metrics; `records` changes took `flush_us` to flush. */
    void (*batch)(void *self, size_t records, int64_t flush_us);
    /* The store failed; every later change is refused. */
    void (*failed)(void *self, const struct error *error);
    void *self;
};

/* Starts the thread. The engine is used by it alone from now on. */
struct committer *committer_start(struct commit_engine *engine, const struct committer_options *options,
                                  struct committer_observer observer);
/* Queues a change; its `done` will be called. False, with the error set and `done` not called:
 * as commit_queue_push says, disk full (DISK_FULL, with RetryInfo) or stopping (DRAINING). */
bool committer_submit(struct committer *committer, struct commit_request *request, struct error *error);
/* The same, but waits for the result. */
bool committer_commit(struct committer *committer, struct commit_request *request, struct error *error);
/* Changes waiting now. */
unsigned committer_waiting(struct committer *committer);
/* Takes no more, finishes what waits, ends the thread and frees all but the engine. */
void committer_stop(struct committer *committer);

#endif
