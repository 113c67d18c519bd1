/* One object is moved, promoted or dropped by one thread at a time: whoever is about to do so
 * enters the guard with its payload id, and leaves it in the end. Any thread; a thread is in it
 * with one object at most, so nobody waits in a circle. */
#ifndef WAYBILL_TIER_MOVE_GUARD_H
#define WAYBILL_TIER_MOVE_GUARD_H

#include <pthread.h>

#include "common/base/error.h"
#include "common/base/uuid.h"

enum { MOVE_GUARD_MAX = 64 }; /* threads that may be in it at once */

struct move_guard {
    pthread_mutex_t lock; /* all that follows */
    pthread_cond_t left;
    struct uuid inside[MOVE_GUARD_MAX];
    unsigned count;
};

void move_guard_init(struct move_guard *guard);
void move_guard_destroy(struct move_guard *guard);
/* Waits at most wait_ms for another thread that is in it with this object. UNAVAILABLE,
 * OBJECT_MOVING where it stays longer; a retry finds it gone some time. */
bool move_guard_enter(struct move_guard *guard, const struct uuid *payload_id, int64_t wait_ms, struct error *error);
void move_guard_leave(struct move_guard *guard, const struct uuid *payload_id);

#endif
