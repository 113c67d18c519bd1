/* Threads for work that blocks: at most so many, made when first needed, kept until the end;
 * and a bounded queue before them. */
#ifndef WAYBILL_RPC_WORKER_POOL_H
#define WAYBILL_RPC_WORKER_POOL_H

#include <stdbool.h>

struct worker_pool;

/* A piece of work, embedded in its object. */
struct worker_job {
    void (*run)(struct worker_job *job);
    struct worker_job *next;
};

/* `name` (at most 15 characters) is copied. */
struct worker_pool *worker_pool_new(const char *name, unsigned max_threads, unsigned max_waiting);
/* Runs the job on a thread, now or later. False when all threads are busy and the queue is
 * full. Any thread; never blocks. */
bool worker_pool_submit(struct worker_pool *pool, struct worker_job *job);
/* Finishes what was submitted, ends the threads, frees. */
void worker_pool_free(struct worker_pool *pool);

#endif
