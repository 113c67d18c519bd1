/* A flag that ends a thread's loop, with a pause that it cuts short. Any thread. */
#ifndef WAYBILL_BASE_STOP_SIGNAL_H
#define WAYBILL_BASE_STOP_SIGNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct stop_signal {
    pthread_mutex_t lock; /* raised, woken */
    pthread_cond_t changed;
    bool raised;
    bool woken;
};

void stop_signal_init(struct stop_signal *signal);
void stop_signal_destroy(struct stop_signal *signal);
/* From now on the loop ends. */
void stop_signal_raise(struct stop_signal *signal);
/* Cuts the current or the next pause short, once. */
void stop_signal_wake(struct stop_signal *signal);
bool stop_signal_raised(struct stop_signal *signal);
/* Waits at most pause_ms; returns whether the signal is raised. */
bool stop_signal_pause(struct stop_signal *signal, int64_t pause_ms);

#endif
