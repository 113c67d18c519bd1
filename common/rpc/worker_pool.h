/* Threads for work that blocks: at most so many, made when first needed, kept until the end;
 * and a bounded queue before them, in which clients take turns (common/base/fair_queue.h). */
#ifndef WAYBILL_RPC_WORKER_POOL_H
#define WAYBILL_RPC_WORKER_POOL_H

#include "common/base/fair_queue.h"

struct worker_pool;

/* A piece of work, embedded in its object. */
struct worker_job {
    struct fair_item item; /* the pool's */
    void (*run)(struct worker_job *job);
};

/* `name` (at most 15 characters) is copied. One client's jobs take `client_percent` of the queue. */
struct worker_pool *worker_pool_new(const char *name, unsigned max_threads, unsigned max_waiting,
                                    unsigned client_percent);
/* Runs the job on a thread, now or later, unless all threads are busy and the queue, or the client's
 * share of it, is full. Any thread; never blocks. */
enum fair_verdict worker_pool_submit(struct worker_pool *pool, struct worker_job *job, uint64_t client);
/* Finishes what was submitted, ends the threads, frees. */
void worker_pool_free(struct worker_pool *pool);

#endif
