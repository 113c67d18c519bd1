/* A loop's sign of life: the loop beats whenever it gets on, a watchdog asks how long ago that was.
 * Beats belong to one thread, any thread may ask. */
#ifndef WAYBILL_BASE_PULSE_H
#define WAYBILL_BASE_PULSE_H

#include <stdatomic.h>
#include <stdint.h>

#include "common/base/clock.h"

struct pulse {
    const struct clock *clock;
    _Atomic int64_t beat_us; /* monotonic */
};

static inline void pulse_beat(struct pulse *pulse) {
    atomic_store_explicit(&pulse->beat_us, clock_monotonic_us(pulse->clock), memory_order_relaxed);
}

/* Beats for the first time. */
static inline void pulse_init(struct pulse *pulse, const struct clock *clock) {
    pulse->clock = clock;
    pulse_beat(pulse);
}

static inline int64_t pulse_silence_ms(const struct pulse *pulse) {
    return (clock_monotonic_us(pulse->clock) - atomic_load_explicit(&pulse->beat_us, memory_order_relaxed)) / 1000;
}

#endif
