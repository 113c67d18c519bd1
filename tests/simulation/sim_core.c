#include "tests/simulation/sim_core.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <ucontext.h>
#include <unistd.h>

#include "common/base/uuid.h"
#include "tests/simulation/sim_fiber_switch.h"

enum {
    STACK_BYTES = 1 << 20,
    FIBERS_MAX = 256,
    STEPS_MAX = 3000000, /* of one run: more means that it turns in a circle */
};
#define WALL_START_US INT64_C(1700000000000000)

struct sim_fiber {
    const char *name;
    struct sim_process *process;
    void (*run)(void *argument);
    void *argument;
    struct fiber_context context;
    void *stack;
    int64_t due_us;
    uint64_t order; /* among those that are due together */
    bool waiting;
    bool ended;
};

static struct {
    uint64_t seed;
    uint64_t random;
    bool trace;
    char replay_options[64];
    int64_t now_us;
    int64_t wall_offset_us;
    struct sim_fiber *fibers[FIBERS_MAX];
    unsigned count;
    struct sim_fiber *current;
    uint64_t steps;
    uint64_t digest;
    struct fiber_context scheduler;
    void *stacks[FIBERS_MAX]; /* to be used again, also by the next run */
    unsigned stack_count;
} sim;

/* ---- chance ---- */

static uint64_t mix(uint64_t word) {
    word = (word ^ (word >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    word = (word ^ (word >> 27)) * UINT64_C(0x94d049bb133111eb);
    return word ^ (word >> 31);
}

uint64_t sim_random(void) {
    sim.random += UINT64_C(0x9e3779b97f4a7c15);
    return mix(sim.random);
}

int64_t sim_range(int64_t low, int64_t high) {
    return low + (int64_t)(sim_random() % (uint64_t)(high - low + 1));
}

bool sim_chance(unsigned per_mille) {
    return sim_random() % 1000 < per_mille;
}

void sim_payload_bytes(uint64_t number, uint64_t offset, void *out, size_t size) {
    uint8_t *at = out;
    for (size_t i = 0; i < size; i++) {
        uint64_t word = mix(number * UINT64_C(0xd1342543de82ef95) + (offset + i) / 8);
        at[i] = (uint8_t)(word >> (8 * ((offset + i) % 8)));
    }
}

/* The services' own randomness follows from the seed too: the linker sends their calls here. */
ssize_t __wrap_getrandom(void *out, size_t size, unsigned flags);
struct uuid __wrap_uuid_make(void);

ssize_t __wrap_getrandom(void *out, size_t size, unsigned flags) {
    (void)flags;
    sim_payload_bytes(sim_random(), 0, out, size);
    return (ssize_t)size;
}

struct uuid __wrap_uuid_make(void) {
    struct uuid id;
    sim_payload_bytes(sim_random(), 0, id.raw, sizeof id.raw);
    id.raw[6] = (uint8_t)((id.raw[6] & 0x0f) | 0x40);
    id.raw[8] = (uint8_t)((id.raw[8] & 0x3f) | 0x80);
    return id;
}

/* ---- time ---- */

int64_t sim_now_us(void) {
    return sim.now_us;
}

static int64_t wall_us(void *self) {
    (void)self;
    return WALL_START_US + sim.wall_offset_us + sim.now_us;
}

static int64_t monotonic_us(void *self) {
    (void)self;
    return sim.now_us;
}

const struct clock sim_clock = {wall_us, monotonic_us, NULL};

void sim_set_wall_clock(int64_t ahead_us) {
    sim.wall_offset_us = ahead_us;
}

/* ---- telling ---- */

static void print_head(FILE *out) {
    fprintf(out, "%10.3f ms  %-12s ", (double)sim.now_us / 1000, sim.current != NULL ? sim.current->name : "world");
}

void sim_trace(const char *format, ...) {
    if (sim.trace) {
        va_list arguments;
        va_start(arguments, format);
        print_head(stdout);
        vprintf(format, arguments);
        putchar('\n');
        va_end(arguments);
    }
}

void sim_fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fflush(stdout);
    fprintf(stdout, "BROKEN  ");
    print_head(stdout);
    vfprintf(stdout, format, arguments);
    fprintf(stdout, "\nreplay: sim --seed %llu%s --trace\n", (unsigned long long)sim.seed, sim.replay_options);
    va_end(arguments);
    fflush(stdout);
    _exit(SIM_EXIT_BROKEN);
}

/* An assertion of the product, or worse. */
static void die(int number) {
    signal(number, SIG_DFL);
    sim_fail("the program is killed by signal %d", number);
}

void sim_set_replay_options(const char *options) {
    snprintf(sim.replay_options, sizeof sim.replay_options, "%s", options);
}

/* ---- fibers ---- */

static void *take_stack(void) {
    if (sim.stack_count > 0) {
        return sim.stacks[--sim.stack_count];
    }
    void *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stack == MAP_FAILED) {
        abort();
    }
    return stack;
}

static void enter(void) {
    struct sim_fiber *fiber = sim.current;
    fiber_entered(&fiber->context);
    fiber->run(fiber->argument);
    fiber->ended = true;
    fiber_leave(&fiber->context, &sim.scheduler);
}

struct sim_fiber *sim_spawn(const char *name, struct sim_process *process, void (*run)(void *argument),
                            void *argument) {
    SIM_CHECK(sim.count < FIBERS_MAX, "too many fibers");
    struct sim_fiber *fiber = calloc(1, sizeof *fiber);
    if (fiber == NULL) {
        abort();
    }
    *fiber = (struct sim_fiber){.name = name, .process = process, .run = run, .argument = argument};
    fiber->stack = take_stack();
    fiber->due_us = sim.now_us;
    fiber->order = sim_random();
    fiber_prepare(&fiber->context, fiber->stack, STACK_BYTES, enter);
    sim.fibers[sim.count++] = fiber;
    return fiber;
}

struct sim_fiber *sim_current(void) {
    return sim.current;
}

unsigned sim_fibers(void) {
    return sim.count;
}

static void forget(struct sim_fiber *fiber) {
    for (unsigned i = 0; i < sim.count; i++) {
        if (sim.fibers[i] == fiber) {
            sim.fibers[i] = sim.fibers[--sim.count];
            break;
        }
    }
    sim.stacks[sim.stack_count++] = fiber->stack;
    fiber_destroy(&fiber->context);
    free(fiber);
}

/* From the scheduler's own stack. */
static void resume(struct sim_fiber *fiber) {
    sim.current = fiber;
    fiber->waiting = false;
    fiber_switch(&sim.scheduler, &fiber->context);
    sim.current = NULL;
    if (fiber->ended) {
        forget(fiber);
    }
}

static void yield_until(int64_t due_us, bool waiting) {
    struct sim_fiber *fiber = sim.current;
    if (!sim_alive()) {
        return;
    }
    fiber->due_us = due_us;
    fiber->order = sim_random();
    fiber->waiting = waiting;
    fiber_switch(&fiber->context, &sim.scheduler);
}

void sim_sleep(int64_t time_us) {
    yield_until(sim.now_us + time_us, false);
}

void sim_wait(int64_t most_us) {
    yield_until(sim.now_us + most_us, true);
}

void sim_wake(struct sim_fiber *fiber) {
    if (fiber != NULL && fiber->waiting && fiber->due_us > sim.now_us) {
        fiber->due_us = sim.now_us;
        fiber->waiting = false;
    }
}

static struct sim_fiber *next_due(void) {
    struct sim_fiber *best = NULL;
    for (unsigned i = 0; i < sim.count; i++) {
        struct sim_fiber *fiber = sim.fibers[i];
        if (best == NULL || fiber->due_us < best->due_us ||
            (fiber->due_us == best->due_us && fiber->order < best->order)) {
            best = fiber;
        }
    }
    return best;
}

void sim_run_until(int64_t time_us) {
    struct sim_fiber *fiber;
    while ((fiber = next_due()) != NULL && fiber->due_us <= time_us) {
        if (fiber->due_us > sim.now_us) {
            sim.now_us = fiber->due_us;
        }
        SIM_CHECK(++sim.steps < STEPS_MAX, "more than %d steps", STEPS_MAX);
        sim.digest = mix(sim.digest ^ sim.random ^ (uint64_t)sim.now_us);
        resume(fiber);
    }
    if (sim.now_us < time_us) {
        sim.now_us = time_us;
    }
}

/* ---- processes ---- */

bool sim_alive(void) {
    return sim.current == NULL || sim.current->process == NULL || sim.current->process->alive;
}

void sim_process_start(struct sim_process *process) {
    process->alive = true;
    process->life++;
}

void sim_process_kill(struct sim_process *process) {
    SIM_CHECK(sim.current == NULL, "a process is killed by a fiber");
    process->alive = false;
    for (unsigned i = 0; i < sim.count;) {
        if (sim.fibers[i]->process != process) {
            i++;
            continue;
        }
        struct sim_fiber *fiber = sim.fibers[i];
        resume(fiber); /* ends, and another one takes its place in the list */
        SIM_CHECK(i == sim.count || sim.fibers[i] != fiber, "a fiber of a killed process goes on");
    }
}

/* ---- a run ---- */

void sim_begin(uint64_t seed, bool trace) {
    sim.seed = seed;
    sim.random = mix(seed + UINT64_C(0x5851f42d4c957f2d));
    sim.trace = trace;
    sim.now_us = 0;
    sim.wall_offset_us = 0;
    sim.current = NULL;
    sim.steps = 0;
    sim.digest = 0;
    signal(SIGABRT, die);
}

uint64_t sim_digest(void) {
    return sim.digest;
}

void sim_end(void) {
    SIM_CHECK(sim.count == 0, "%u fibers are left, one of them %s", sim.count, sim.fibers[0]->name);
}
