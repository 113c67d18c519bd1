#include "common/base/stop_signal.h"

#include <time.h>

void stop_signal_init(struct stop_signal *signal) {
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&signal->lock, NULL);
    pthread_cond_init(&signal->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    signal->raised = false;
    signal->woken = false;
}

void stop_signal_destroy(struct stop_signal *signal) {
    pthread_cond_destroy(&signal->changed);
    pthread_mutex_destroy(&signal->lock);
}

void stop_signal_raise(struct stop_signal *signal) {
    pthread_mutex_lock(&signal->lock);
    signal->raised = true;
    pthread_cond_broadcast(&signal->changed);
    pthread_mutex_unlock(&signal->lock);
}

void stop_signal_wake(struct stop_signal *signal) {
    pthread_mutex_lock(&signal->lock);
    signal->woken = true;
    pthread_cond_broadcast(&signal->changed);
    pthread_mutex_unlock(&signal->lock);
}

bool stop_signal_raised(struct stop_signal *signal) {
    pthread_mutex_lock(&signal->lock);
    bool raised = signal->raised;
    pthread_mutex_unlock(&signal->lock);
    return raised;
}

bool stop_signal_pause(struct stop_signal *signal, int64_t pause_ms) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += pause_ms / 1000;
    until.tv_nsec += pause_ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&signal->lock);
    int timed_out = 0;
    while (!signal->raised && !signal->woken && timed_out == 0) {
        timed_out = pthread_cond_timedwait(&signal->changed, &signal->lock, &until);
    }
    signal->woken = false;
    bool raised = signal->raised;
    pthread_mutex_unlock(&signal->lock);
    return raised;
}
