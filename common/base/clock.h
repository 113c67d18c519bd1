/* Time, as an interface: the protocol core asks only this, so that a simulator can give it
 * a clock of its own. */
#ifndef WAYBILL_BASE_CLOCK_H
#define WAYBILL_BASE_CLOCK_H

#include <stdint.h>

struct clock {
    /* Microseconds since 1970, UTC; may jump. For what is shown and stored. */
    int64_t (*unix_us)(void *self);
    /* Microseconds since some start; never goes back. For waits and durations. */
    int64_t (*monotonic_us)(void *self);
    void *self;
};

static inline int64_t clock_unix_us(const struct clock *clock) {
    return clock->unix_us(clock->self);
}

static inline int64_t clock_monotonic_us(const struct clock *clock) {
    return clock->monotonic_us(clock->self);
}

/* The machine's clock; any thread. */
extern const struct clock system_clock;

#endif
