/* The ground the simulator stands on: chance, time, fibers and processes, all of one run and all
 * following from its seed.
 *
 * A fiber is a thread of the services as the simulator sees it. Only one runs at a time, until it
 * sleeps or waits; whose turn comes next is a matter of virtual time and of chance. A process owns
 * fibers. When it is killed every fiber of it runs on to its end at once, with all sleeps over
 * and all that it could still do to the world in vain (the world's parts ask sim_process_alive):
 * so what it held in memory is freed, as the kernel would free it.
 *
 * One run at a time in one thread; the state of the run is the module's own. */
#ifndef WAYBILL_SIM_CORE_H
#define WAYBILL_SIM_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/clock.h"

struct sim_fiber;

struct sim_process {
    const char *name;
    bool alive;
    unsigned life; /* counts its starts, so that what belongs to an earlier one can be told */
};

/* ---- a run ---- */

void sim_begin(uint64_t seed, bool trace);
/* A number that follows from all that happened so far. */
uint64_t sim_digest(void);
/* Frees what the run took; every fiber must have ended. */
void sim_end(void);
/* Lets fibers run until none is left or the time has come. */
void sim_run_until(int64_t time_us);
/* A promise is broken: tells it, the seed and how to replay it, and ends the program with
 * SIM_EXIT_BROKEN. */
void sim_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
#define SIM_CHECK(condition, ...)                                                                                      \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            sim_fail(__VA_ARGS__);                                                                                     \
        }                                                                                                              \
    } while (0)
enum { SIM_EXIT_BROKEN = 3 };
/* What sim_fail adds to its `sim --seed N`. */
void sim_set_replay_options(const char *options);
/* A line of the trace, with time and fiber; nothing unless the run is traced. */
void sim_trace(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- chance ---- */

uint64_t sim_random(void);
/* From `low` to `high`, both included. */
int64_t sim_range(int64_t low, int64_t high);
bool sim_chance(unsigned per_mille);
/* The bytes of payload `number` from `offset` on: what is read can be told right from wrong. */
void sim_payload_bytes(uint64_t number, uint64_t offset, void *out, size_t size);

/* ---- time ---- */

#define SIM_MS INT64_C(1000)
#define SIM_SECOND INT64_C(1000000)

/* Since the run began. */
int64_t sim_now_us(void);
/* The services' clock. Its wall time may jump; its monotonic one does not. */
extern const struct clock sim_clock;
/* By how much the wall time is ahead of what it was at the begin. */
void sim_set_wall_clock(int64_t ahead_us);

/* ---- fibers ---- */

/* `process` may be NULL: then nobody kills it. */
struct sim_fiber *sim_spawn(const char *name, struct sim_process *process, void (*run)(void *argument), void *argument);
struct sim_fiber *sim_current(void);
/* Gives the turn away for so long; at once again in a process that was killed. */
void sim_sleep(int64_t time_us);
/* Until sim_wake, at most so long. A wake that comes before the wait is not kept. */
void sim_wait(int64_t most_us);
/* NULL, or one that does not wait, is fine. */
void sim_wake(struct sim_fiber *fiber);
/* Fibers that have not ended. */
unsigned sim_fibers(void);

/* ---- processes ---- */

void sim_process_start(struct sim_process *process);
/* Not from one of its own fibers. On return they have all ended. */
void sim_process_kill(struct sim_process *process);
/* Whether the fiber that asks may still do something to the world. */
bool sim_alive(void);

#endif
