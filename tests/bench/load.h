/* Closed-loop load on one gRPC method: a fixed number of calls outstanding, each answer
 * followed at once by the next request; and the latencies seen, as a histogram.
 *
 * The rate counts the answers of the measured time only, which begins after a warm-up and
 * lasts longer than asked for until there were as many answers as calls outstanding. Calls
 * refused with RESOURCE_EXHAUSTED are sent again after the time that the server asks for, and
 * their latency counts from the first attempt. Any other error ends the program: figures of a
 * run with errors mean nothing. */
#ifndef WAYBILL_BENCH_LOAD_H
#define WAYBILL_BENCH_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "common/rpc/rpc_channel.h"

/* Microseconds, exact below 256, then within 1 %. */
enum { LATENCY_EXACT = 256, LATENCY_STEPS = 128, LATENCY_OCTAVES = 32 };

struct latency {
    uint64_t total;
    uint64_t counts[LATENCY_EXACT + LATENCY_STEPS * LATENCY_OCTAVES];
};

void latency_add(struct latency *latency, int64_t us);
/* The value that the share (0 to 1) of all samples does not exceed; 0 without samples. */
int64_t latency_quantile(const struct latency *latency, double share);

/* The request of call `number`, valid until the next one is asked for. */
typedef const ProtobufCMessage *load_request(void *self, uint64_t number);
/* Whether the answer of call `number` is the one to its request. */
typedef bool load_check(void *self, uint64_t number, struct bytes response);

struct load {
    struct rpc_channel *channel;
    const char *path; /* "/package.Service/Method" */
    unsigned outstanding;
    int64_t warm_up_us;
    int64_t measure_us; /* 0: until all `calls` are answered */
    uint64_t calls;     /* 0: as many as the time allows */
    load_request *request;
    load_check *check; /* both are called one at a time */
    void *self;
};

struct load_result {
    uint64_t calls;   /* answered in the measured time */
    uint64_t started; /* numbers 0 to started - 1 were used */
    uint64_t refused; /* attempts that the server put off */
    int64_t took_us;
    struct latency latency;
};

/* Fills a result that the caller zeroed. */
void load_run(const struct load *load, struct load_result *result);
double load_rate(const struct load_result *result);

/* Prints "what: reason message" and ends the program with exit status 1. */
_Noreturn void load_die(const char *what, const struct error *error);

#endif
