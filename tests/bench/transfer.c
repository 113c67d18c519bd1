#include "tests/bench/transfer.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/base/clock.h"

struct transfer_state {
    const struct transfer *transfer;
    pthread_mutex_t lock; /* over the result */
    struct transfer_result *result;
};

/* False when nothing more is to be moved. */
static bool take_number(struct transfer_state *state, int64_t now, uint64_t *number) {
    const struct transfer *transfer = state->transfer;
    pthread_mutex_lock(&state->lock);
    struct transfer_result *result = state->result;
    bool more = now < result->end_us && (transfer->count == 0 || result->started < transfer->count);
    *number = result->started;
    result->started += more;
    pthread_mutex_unlock(&state->lock);
    return more;
}

/* The share of a span of time that lies in the measured time. */
static double share_measured(const struct transfer_result *result, int64_t from, int64_t to) {
    int64_t begin = from > result->begin_us ? from : result->begin_us;
    int64_t end = to < result->end_us ? to : result->end_us;
    return end > begin ? (double)(end - begin) / (double)(to - from) : 0;
}

static void *run_worker(void *argument) {
    struct transfer_state *state = argument;
    uint64_t number;
    int64_t from = clock_monotonic_us(&system_clock);
    while (take_number(state, from, &number)) {
        state->transfer->move(state->transfer->self, number);
        int64_t to = clock_monotonic_us(&system_clock);
        pthread_mutex_lock(&state->lock);
        struct transfer_result *result = state->result;
        result->moved += share_measured(result, from, to);
        if (to >= result->begin_us && to < result->end_us) {
            latency_add(&result->latency, to - from);
        }
        pthread_mutex_unlock(&state->lock);
        from = to;
    }
    return NULL;
}

void transfer_run(const struct transfer *transfer, struct transfer_result *result) {
    struct transfer_state state = {.transfer = transfer, .result = result};
    pthread_t *threads = calloc(transfer->workers, sizeof *threads);
    if (threads == NULL) {
        abort();
    }
    pthread_mutex_init(&state.lock, NULL);
    result->begin_us = clock_monotonic_us(&system_clock) + transfer->warm_up_us;
    result->end_us = transfer->measure_us > 0 ? result->begin_us + transfer->measure_us : INT64_MAX;
    for (unsigned i = 0; i < transfer->workers; i++) {
        if (pthread_create(&threads[i], NULL, run_worker, &state) != 0) {
            abort();
        }
    }
    for (unsigned i = 0; i < transfer->workers; i++) {
        pthread_join(threads[i], NULL);
    }
    if (transfer->measure_us == 0) {
        result->end_us = clock_monotonic_us(&system_clock);
    }
    pthread_mutex_destroy(&state.lock);
    free(threads);
}
