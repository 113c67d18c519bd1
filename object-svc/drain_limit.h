/* The bound of a drain: calls and moves that are under way have until then. After it nothing is waited for any
 * more that a cold store keeps waiting: its requests are given up.
 *
 * One thread begins and ends it; a thread of its own watches the time. */
#ifndef WAYBILL_OBJECT_DRAIN_LIMIT_H
#define WAYBILL_OBJECT_DRAIN_LIMIT_H

#include <pthread.h>

#include "common/base/stop_signal.h"
#include "object-svc/stores.h"

struct drain_limit {
    struct stores *stores;
    int64_t until_us; /* monotonic */
    struct stop_signal over;
    pthread_t thread;
};

/* The stores are borrowed until the end. */
void drain_limit_begin(struct drain_limit *limit, struct stores *stores, int64_t grace_ms);
/* What of the grace is left, 0 or more. */
int64_t drain_limit_left_ms(const struct drain_limit *limit);
/* Once nobody uses the stores any more. */
void drain_limit_end(struct drain_limit *limit);

#endif
