/* Finds the timers that are due, oldest first, in a time that does not grow with those that were
 * taken away.
 *
 * Most payloads are stored long before their timers are due, and LevelDB keeps what is deleted until it
 * is compacted: a walk that looks for the first timer that is left has to pass all of those. So
 * a walk begins where the one before ended, a second earlier; one in FULL_WALK_EVERY begins at the very first,
 * since a commit may be that slow. And where a walk was long it sets a mark a little ahead,
 * which ends those that follow; a mark that is passed is taken away.
 *
 * One thread. */
#ifndef WAYBILL_LIFECYCLE_DUE_TIMERS_H
#define WAYBILL_LIFECYCLE_DUE_TIMERS_H

#include "common/base/clock.h"
#include "metadata-svc/store/kv.h"
#include "metadata-svc/store/layout.h"

enum { DUE_TIMERS_FULL_WALK_EVERY = 600 };

/* Zero-initialized but for these: the first walk is a full one. */
struct due_timers {
    struct kv *kv;
    const struct clock *clock;
    int64_t long_walk_us; /* from here on a walk is long */
    int64_t walk_from_us;
    unsigned walks;
};

/* At most `max` timers, in the arena. Returns how many, or -1. What it returned is returned again
 * until it was taken away. */
int due_timers_read(struct due_timers *due, struct arena *arena, struct timer *timers, int max, struct error *error);

#endif
