/* Whoever acts on whether this replica has a copy of an object is alone with it: who moves, promotes or drops it,
 * and who reports a copy that it found. Else the copy that is reported might be given up between the look and the
 * report's answer, and a record would name what is gone.
 *
 * One enters with the payload id, and leaves in the end. Any thread. Who waits is in it with nothing else, so nobody
 * waits in a circle; ingest, and who moves several at once, are in it with a whole batch and never wait. */
#ifndef WAYBILL_TIER_MOVE_GUARD_H
#define WAYBILL_TIER_MOVE_GUARD_H

#include <pthread.h>

#include "common/base/error.h"
#include "common/base/uuid.h"

enum {
    MOVE_GUARD_MAX =
        2048, /* objects that are in hand at once: a batch of ingest, and a few of each thread that moves */
    MOVE_GUARD_CHAINS = 1024,
};

struct move_guard_place {
    struct uuid payload_id;
    uint16_t next; /* in its chain; 0: none */
};

struct move_guard {
    pthread_mutex_t lock; /* all that follows */
    pthread_cond_t left;
    struct move_guard_place places[MOVE_GUARD_MAX + 1]; /* from 1 on */
    uint16_t chains[MOVE_GUARD_CHAINS];                 /* of those inside, by their ids */
    uint16_t free;                                      /* the chain of the other places */
    unsigned count;
};

void move_guard_init(struct move_guard *guard);
void move_guard_destroy(struct move_guard *guard);
/* Waits at most wait_ms for another thread that is in it with this object. UNAVAILABLE,
 * OBJECT_MOVING where it stays longer; a retry finds it gone some time. */
bool move_guard_enter(struct move_guard *guard, const struct uuid *payload_id, int64_t wait_ms, struct error *error);
void move_guard_leave(struct move_guard *guard, const struct uuid *payload_id);

#endif
