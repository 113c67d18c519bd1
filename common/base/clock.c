#include "common/base/clock.h"

#include <stddef.h>
#include <time.h>

static int64_t read_clock(clockid_t id) {
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t system_unix_us(void *self) {
    (void)self;
    return read_clock(CLOCK_REALTIME);
}

static int64_t system_monotonic_us(void *self) {
    (void)self;
    return read_clock(CLOCK_MONOTONIC);
}

const struct clock system_clock = {system_unix_us, system_monotonic_us, NULL};
