#include "common/rpc/idle_poller.h"

#include "common/base/thread_turn.h"

/* How long it polls on without looking whether there is still work. */
enum { SPELL_MS = 20 };

void idle_poller_init(struct idle_poller *poller) {
    *poller = (struct idle_poller){.core = grpc_completion_queue_create_for_next(NULL)};
    pthread_mutex_init(&poller->lock, NULL);
    pthread_cond_init(&poller->changed, NULL);
}

static bool wait_for_work(struct idle_poller *poller) {
    pthread_mutex_lock(&poller->lock);
    while (poller->busy == 0 && !poller->stopping) {
        pthread_cond_wait(&poller->changed, &poller->lock);
    }
    bool stopping = poller->stopping;
    pthread_mutex_unlock(&poller->lock);
    return !stopping;
}

static void *run(void *argument) {
    struct idle_poller *poller = argument;
    thread_turn_stand_back(poller->nice);
    while (wait_for_work(poller)) {
        gpr_timespec spell = gpr_time_from_millis(SPELL_MS, GPR_TIMESPAN);
        grpc_completion_queue_next(poller->core, gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), spell), NULL);
    }
    return NULL;
}

bool idle_poller_start(struct idle_poller *poller, const char *name) {
    poller->runs = pthread_create(&poller->thread, NULL, run, poller) == 0;
    if (poller->runs) {
        pthread_setname_np(poller->thread, name);
    }
    return poller->runs;
}

void idle_poller_begin(struct idle_poller *poller) {
    pthread_mutex_lock(&poller->lock);
    if (++poller->busy == 1) {
        pthread_cond_signal(&poller->changed);
    }
    pthread_mutex_unlock(&poller->lock);
}

void idle_poller_end(struct idle_poller *poller) {
    pthread_mutex_lock(&poller->lock);
    poller->busy--;
    pthread_mutex_unlock(&poller->lock);
}

void idle_poller_stop(struct idle_poller *poller) {
    if (poller->runs) {
        pthread_mutex_lock(&poller->lock);
        poller->stopping = true;
        pthread_cond_signal(&poller->changed);
        pthread_mutex_unlock(&poller->lock);
        pthread_join(poller->thread, NULL);
    }
    grpc_completion_queue_shutdown(poller->core);
    while (grpc_completion_queue_next(poller->core, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).type !=
           GRPC_QUEUE_SHUTDOWN) {
    }
    grpc_completion_queue_destroy(poller->core);
    pthread_cond_destroy(&poller->changed);
    pthread_mutex_destroy(&poller->lock);
    poller->core = NULL;
}
