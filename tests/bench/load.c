#include "tests/bench/load.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/clock.h"

enum { RETRY_AFTER_MS = 100 };

/* ---- latencies ---- */

enum { LATENCY_SLOTS = LATENCY_EXACT + LATENCY_STEPS * LATENCY_OCTAVES };

void latency_add(struct latency *latency, int64_t us) {
    uint64_t value = us > 0 ? (uint64_t)us : 0;
    size_t slot = value;
    if (value >= LATENCY_EXACT) {
        unsigned shift = 56 - (unsigned)__builtin_clzll(value); /* leaves 8 bits, the first of them set */
        slot = LATENCY_EXACT + (size_t)(shift - 1) * LATENCY_STEPS + (value >> shift) - LATENCY_STEPS;
    }
    latency->counts[slot < LATENCY_SLOTS ? slot : LATENCY_SLOTS - 1]++;
    latency->total++;
}

/* The middle of the slot. */
static int64_t slot_value(size_t slot) {
    if (slot < LATENCY_EXACT) {
        return (int64_t)slot;
    }
    size_t step = slot - LATENCY_EXACT;
    unsigned shift = (unsigned)(step / LATENCY_STEPS) + 1;
    return ((int64_t)(step % LATENCY_STEPS + LATENCY_STEPS) << shift) + (INT64_C(1) << (shift - 1));
}

int64_t latency_quantile(const struct latency *latency, double share) {
    uint64_t wanted = (uint64_t)(share * (double)latency->total);
    uint64_t seen = 0;
    for (size_t slot = 0; slot < LATENCY_SLOTS; slot++) {
        seen += latency->counts[slot];
        if (seen > wanted || (seen > 0 && seen == latency->total)) {
            return slot_value(slot);
        }
    }
    return 0;
}

/* ---- the load ---- */

struct caller {
    struct load_state *state;
    uint64_t number;
    int64_t sent_us;
    struct caller *next; /* in the list of those put off */
};

struct load_state {
    const struct load *load;
    int64_t begin_us;
    int64_t end_us;
    pthread_mutex_t lock; /* over all below */
    pthread_cond_t changed;
    struct load_result *result;
    struct caller *put_off;
    int64_t retry_after_ms;
    int64_t last_us;
    unsigned outstanding;
};

_Noreturn void load_die(const char *what, const struct error *error) {
    fprintf(stderr, "%s: %s %s\n", what, error != NULL ? error->reason : "", error != NULL ? error->message : "failed");
    exit(1);
}

static int64_t now_us(void) {
    return clock_monotonic_us(&system_clock);
}

static void land(void *context, struct bytes response, const struct error *error);

static void send(struct caller *caller) {
    const struct load *load = caller->state->load;
    struct error error;
    const ProtobufCMessage *request = load->request(load->self, caller->number);
    if (!rpc_channel_start(load->channel, load->path, NULL, request, land, caller, &error)) {
        load_die(load->path, &error);
    }
}

/* False when nothing more is to be sent. */
static bool send_next(struct caller *caller, int64_t now) {
    struct load_state *state = caller->state;
    if (now >= state->end_us || (state->load->calls > 0 && state->result->started == state->load->calls)) {
        return false;
    }
    caller->number = state->result->started++;
    caller->sent_us = now;
    send(caller);
    return true;
}

static void put_off(struct caller *caller, const struct error *error) {
    struct load_state *state = caller->state;
    state->result->refused++;
    state->retry_after_ms = error->retry_after_ms > 0 ? error->retry_after_ms : RETRY_AFTER_MS;
    caller->next = state->put_off;
    state->put_off = caller;
    pthread_cond_signal(&state->changed);
}

static void land_answered(struct caller *caller, struct bytes response) {
    struct load_state *state = caller->state;
    const struct load *load = state->load;
    if (!load->check(load->self, caller->number, response)) {
        load_die(load->path, NULL);
    }
    int64_t now = now_us();
    if (now >= state->end_us && state->result->calls < load->outstanding) {
        state->end_us = now + 1; /* a server that stood still has its time measured all the same */
    }
    if (now >= state->begin_us && now < state->end_us) {
        latency_add(&state->result->latency, now - caller->sent_us);
        state->result->calls++;
        state->last_us = now;
    }
    if (!send_next(caller, now)) {
        state->outstanding--;
        pthread_cond_signal(&state->changed);
    }
}

static void land(void *context, struct bytes response, const struct error *error) {
    struct caller *caller = context;
    struct load_state *state = caller->state;
    pthread_mutex_lock(&state->lock);
    if (error == NULL) {
        land_answered(caller, response);
    } else if (error->code == ERROR_RESOURCE_EXHAUSTED) {
        put_off(caller, error);
    } else {
        load_die(state->load->path, error);
    }
    pthread_mutex_unlock(&state->lock);
}

static void send_again(struct load_state *state) {
    struct caller *caller = state->put_off;
    state->put_off = NULL;
    int64_t wait_ms = state->retry_after_ms;
    pthread_mutex_unlock(&state->lock);
    usleep((useconds_t)wait_ms * 1000);
    pthread_mutex_lock(&state->lock);
    while (caller != NULL) {
        struct caller *next = caller->next;
        send(caller);
        caller = next;
    }
}

void load_run(const struct load *load, struct load_result *result) {
    struct caller *callers = calloc(load->outstanding, sizeof *callers);
    if (callers == NULL) {
        abort();
    }
    int64_t now = now_us();
    struct load_state state = {.load = load, .result = result, .begin_us = now + load->warm_up_us};
    state.end_us = load->measure_us > 0 ? state.begin_us + load->measure_us : INT64_MAX;
    pthread_mutex_init(&state.lock, NULL);
    pthread_cond_init(&state.changed, NULL);
    pthread_mutex_lock(&state.lock);
    for (unsigned i = 0; i < load->outstanding; i++) {
        callers[i].state = &state;
        state.outstanding += send_next(&callers[i], now_us());
    }
    while (state.outstanding > 0) {
        if (state.put_off != NULL) {
            send_again(&state);
        } else {
            pthread_cond_wait(&state.changed, &state.lock);
        }
    }
    pthread_mutex_unlock(&state.lock);
    result->took_us = (state.end_us < INT64_MAX ? state.end_us : state.last_us) - state.begin_us;
    pthread_cond_destroy(&state.changed);
    pthread_mutex_destroy(&state.lock);
    free(callers);
}

double load_rate(const struct load_result *result) {
    return result->took_us > 0 ? (double)result->calls * 1e6 / (double)result->took_us : 0;
}
