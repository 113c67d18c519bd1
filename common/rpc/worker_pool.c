#include "common/rpc/worker_pool.h"

#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

struct worker_pool {
    char name[16];
    unsigned max_threads;
    unsigned max_waiting;
    pthread_mutex_t lock;
    pthread_cond_t work_or_stop;
    /* Under the lock. */
    struct fair_queue waiting;
    unsigned busy; /* threads in a job */
    unsigned threads;
    bool stopping;
    pthread_t thread[];
};

struct worker_pool *worker_pool_new(const char *name, unsigned max_threads, unsigned max_waiting,
                                    unsigned client_percent) {
    struct worker_pool *pool = calloc(1, sizeof *pool + max_threads * sizeof pool->thread[0]);
    if (pool == NULL) {
        abort();
    }
    snprintf(pool->name, sizeof pool->name, "%s", name);
    pool->max_threads = max_threads;
    pool->max_waiting = max_waiting;
    fair_queue_init(&pool->waiting, (uint64_t)max_threads + max_waiting, client_percent);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work_or_stop, NULL);
    return pool;
}

static void *work(void *argument) {
    struct worker_pool *pool = argument;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (fair_queue_peek(&pool->waiting) == NULL && !pool->stopping) {
            pthread_cond_wait(&pool->work_or_stop, &pool->lock);
        }
        struct fair_item *item = fair_queue_pop(&pool->waiting);
        if (item == NULL) {
            break;
        }
        struct worker_job *job = (struct worker_job *)((char *)item - offsetof(struct worker_job, item));
        pool->busy++;
        pthread_mutex_unlock(&pool->lock);
        job->run(job);
        pthread_mutex_lock(&pool->lock);
        pool->busy--;
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* Makes one more thread where one more job outnumbers the idle ones. False when there is no
 * thread at all. */
static bool grow(struct worker_pool *pool) {
    unsigned idle = pool->threads - pool->busy;
    if (fair_queue_count(&pool->waiting) < idle || pool->threads == pool->max_threads) {
        return true;
    }
    if (pthread_create(&pool->thread[pool->threads], NULL, work, pool) != 0) {
        return idle > 0;
    }
    pthread_setname_np(pool->thread[pool->threads], pool->name);
    pool->threads++;
    return true;
}

enum fair_verdict worker_pool_submit(struct worker_pool *pool, struct worker_job *job, uint64_t client) {
    enum fair_verdict verdict = FAIR_FULL;
    pthread_mutex_lock(&pool->lock);
    if (pool->busy + fair_queue_count(&pool->waiting) < (uint64_t)pool->max_threads + pool->max_waiting &&
        !pool->stopping && grow(pool)) {
        verdict = fair_queue_push(&pool->waiting, &job->item, client);
    }
    if (verdict == FAIR_TAKEN) {
        pthread_cond_signal(&pool->work_or_stop);
    }
    pthread_mutex_unlock(&pool->lock);
    return verdict;
}

void worker_pool_free(struct worker_pool *pool) {
    if (pool == NULL) {
        return;
    }
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->work_or_stop);
    pthread_mutex_unlock(&pool->lock);
    /* Nobody submits any more, so the number of threads stands. */
    for (unsigned i = 0; i < pool->threads; i++) {
        pthread_join(pool->thread[i], NULL);
    }
    fair_queue_destroy(&pool->waiting);
    pthread_cond_destroy(&pool->work_or_stop);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}
