#include "object-svc/drain_limit.h"

#include <stdlib.h>

#include "common/base/log.h"

static void *watch_time(void *argument) {
    struct drain_limit *limit = argument;
    if (!stop_signal_pause(&limit->over, drain_limit_left_ms(limit))) {
        log_warn("drain_interrupts", LOG_STR("hint", "what waits for the cold store is given up; it is tried again "
                                                     "after the start"));
        stores_give_up(limit->stores);
    }
    return NULL;
}

void drain_limit_begin(struct drain_limit *limit, struct stores *stores, int64_t grace_ms) {
    *limit = (struct drain_limit){.stores = stores, .until_us = clock_monotonic_us(&system_clock) + grace_ms * 1000};
    stop_signal_init(&limit->over);
    if (pthread_create(&limit->thread, NULL, watch_time, limit) != 0) {
        abort();
    }
    pthread_setname_np(limit->thread, "drain-limit");
}

int64_t drain_limit_left_ms(const struct drain_limit *limit) {
    int64_t left_us = limit->until_us - clock_monotonic_us(&system_clock);
    return left_us > 0 ? (left_us + 999) / 1000 : 0;
}

void drain_limit_end(struct drain_limit *limit) {
    stop_signal_raise(&limit->over);
    pthread_join(limit->thread, NULL);
    stop_signal_destroy(&limit->over);
}
