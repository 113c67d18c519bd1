#include "common/base/circuit.h"

#include <assert.h>
#include <stdlib.h>

void circuit_init(struct circuit *circuit, const struct circuit_limits *limits, unsigned seed) {
    assert(limits->failures > 0 && limits->first_pause_ms > 0 && limits->longest_pause_ms >= limits->first_pause_ms);
    *circuit = (struct circuit){.limits = *limits, .seed = seed};
}

bool circuit_ready(const struct circuit *circuit, int64_t now_us) {
    return circuit->state == CIRCUIT_CLOSED || now_us >= circuit->wait_us;
}

bool circuit_admit(struct circuit *circuit, int64_t now_us) {
    if (!circuit_ready(circuit, now_us)) {
        return false;
    }
    if (circuit->state != CIRCUIT_CLOSED) {
        circuit->state = CIRCUIT_HALF_OPEN;
        circuit->wait_us = now_us + circuit->limits.probe_ms * 1000;
    }
    return true;
}

bool circuit_succeeded(struct circuit *circuit) {
    bool closes = circuit->state != CIRCUIT_CLOSED;
    circuit->state = CIRCUIT_CLOSED;
    circuit->failures = 0;
    return closes;
}

static void open_circuit(struct circuit *circuit, int64_t now_us, int64_t pause_ms) {
    circuit->state = CIRCUIT_OPEN;
    circuit->pause_ms = pause_ms < circuit->limits.longest_pause_ms ? pause_ms : circuit->limits.longest_pause_ms;
    int64_t jitter_ms = (int64_t)rand_r(&circuit->seed) % (circuit->pause_ms / 4 + 1);
    circuit->wait_us = now_us + (circuit->pause_ms - jitter_ms) * 1000;
}

bool circuit_failed(struct circuit *circuit, int64_t now_us) {
    switch (circuit->state) {
    case CIRCUIT_CLOSED:
        if (++circuit->failures < circuit->limits.failures) {
            return false;
        }
        open_circuit(circuit, now_us, circuit->limits.first_pause_ms);
        return true;
    case CIRCUIT_HALF_OPEN:
        open_circuit(circuit, now_us, circuit->pause_ms * 2);
        return false;
    case CIRCUIT_OPEN:
        break; /* one that was under way when it opened */
    }
    return false;
}

void circuit_gave_up(struct circuit *circuit) {
    if (circuit->state == CIRCUIT_HALF_OPEN) {
        circuit->wait_us = 0;
    }
}

int64_t circuit_left_ms(const struct circuit *circuit, int64_t now_us) {
    return circuit_ready(circuit, now_us) ? 0 : (circuit->wait_us - now_us + 999) / 1000;
}
