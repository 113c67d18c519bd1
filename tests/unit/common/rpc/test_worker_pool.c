// rooms: waybill_rpc
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>

#include "common/rpc/worker_pool.h"

TestSuite(worker_pool, .timeout = 60);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned running;
static bool gate_open;
static atomic_uint done;

static void wait_at_gate(struct worker_job *job) {
    (void)job;
    pthread_mutex_lock(&lock);
    running++;
    pthread_cond_broadcast(&changed);
    while (!gate_open) {
        pthread_cond_wait(&changed, &lock);
    }
    pthread_mutex_unlock(&lock);
    atomic_fetch_add(&done, 1);
}

static void open_gate(void) {
    pthread_mutex_lock(&lock);
    gate_open = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

Test(worker_pool, takes_as_many_as_threads_and_places_and_finishes_them) {
    struct worker_pool *pool = worker_pool_new("test", 3, 2, 100);
    struct worker_job jobs[6] = {0};
    for (int i = 0; i < 6; i++) {
        jobs[i].run = wait_at_gate;
        cr_assert_eq(worker_pool_submit(pool, &jobs[i], 0), i < 5 ? FAIR_TAKEN : FAIR_FULL);
    }
    pthread_mutex_lock(&lock);
    while (running < 3) {
        pthread_cond_wait(&changed, &lock);
    }
    pthread_mutex_unlock(&lock);
    open_gate();
    worker_pool_free(pool);
    cr_assert_eq(atomic_load(&done), 5);
}

Test(worker_pool, without_threads_takes_nothing) {
    struct worker_pool *pool = worker_pool_new("test", 0, 0, 100);
    struct worker_job job = {.run = wait_at_gate};
    cr_assert_eq(worker_pool_submit(pool, &job, 0), FAIR_FULL);
    worker_pool_free(pool);
}

/* Notes its number, after the gate. */
struct numbered {
    struct worker_job job;
    unsigned number;
};

static unsigned order[8];
static unsigned ordered;

static void note_number(struct worker_job *job) {
    order[ordered++] = ((struct numbered *)job)->number;
}

Test(worker_pool, jobs_of_one_client_wait_behind_the_first_of_another) {
    struct worker_pool *pool = worker_pool_new("test", 1, 7, 100);
    struct worker_job first = {.run = wait_at_gate};
    struct numbered jobs[5] = {0};
    cr_assert_eq(worker_pool_submit(pool, &first, 1), FAIR_TAKEN);
    pthread_mutex_lock(&lock);
    while (running < 1) {
        pthread_cond_wait(&changed, &lock);
    }
    pthread_mutex_unlock(&lock);
    for (unsigned i = 0; i < 5; i++) {
        jobs[i] = (struct numbered){.job.run = note_number, .number = i};
        cr_assert_eq(worker_pool_submit(pool, &jobs[i].job, i < 4 ? 1 : 2), FAIR_TAKEN);
    }
    open_gate();
    worker_pool_free(pool);
    static const unsigned expected[] = {0, 4, 1, 2, 3};
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(order[i], expected[i]);
    }
}
