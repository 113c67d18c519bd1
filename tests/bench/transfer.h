/* Closed-loop load of payloads: a fixed number of threads, each of which moves one payload after
 * the other. What is counted of a payload is the share of it that falls into the measured time,
 * as if its bytes moved evenly; so a few large ones give as fine a figure as many small ones. */
#ifndef WAYBILL_BENCH_TRANSFER_H
#define WAYBILL_BENCH_TRANSFER_H

#include "tests/bench/load.h"

struct transfer {
    unsigned workers;
    int64_t warm_up_us;
    int64_t measure_us; /* 0: until all of `count` are moved */
    uint64_t count;     /* 0: as many as the time allows */
    /* Moves payload `number`; ends the program on failure. Any number of threads. */
    void (*move)(void *self, uint64_t number);
    void *self;
};

struct transfer_result {
    double moved;     /* payloads in the measured time */
    uint64_t started; /* numbers 0 to started - 1 were used, and moved */
    int64_t begin_us; /* the measured time, on the monotonic clock */
    int64_t end_us;
    struct latency latency; /* of those that ended in it */
};

/* Fills a result that the caller zeroed. */
void transfer_run(const struct transfer *transfer, struct transfer_result *result);

#endif
