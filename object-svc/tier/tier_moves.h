/* Moves of objects between the tiers of this replica, as the storage policy, a watermark or a
 * person asks for them.
 *
 * Order of a demotion (promise 7): cold write durable ▸ verified by reading it back ▸ reported and
 * committed ▸ only then the hot copy goes. Of a promotion: hot write durable ▸ reported and
 * committed; the cold copy stays, so nothing is given up. Each step may be repeated after a crash.
 *
 * No clock is read and no network I/O done but through the ports. Any thread. */
#ifndef WAYBILL_TIER_TIER_MOVES_H
#define WAYBILL_TIER_TIER_MOVES_H

#include "common/base/clock.h"
#include "object-svc/cold/cold_store.h"
#include "object-svc/hot/hot_store.h"
#include "object-svc/tier/move_guard.h"
#include "object-svc/tier/move_notes.h"
#include "object-svc/upstream/metadata_client.h"
#include "object-svc/upstream/object_catalog.h"
#include "object-svc/upstream/object_report.h"

enum { TIER_BATCH_OBJECTS = 16 };

struct tier_ports {
    struct hot_store *hot;
    struct cold_store *cold;
    struct report_sink sink;
    const struct clock *clock;
    /* What the records say, for copies that turn out not to be wanted; `check` NULL: they are left
     * to a scrub. */
    struct object_catalog catalog;
    /* NULL where nobody else moves, or no crash is to be cleared up after. */
    struct move_guard *guard;
    struct move_notes *notes;
    /* Told of an object that could not be moved since a copy of it is damaged; may be NULL. */
    void (*on_corrupt)(void *self, enum object_tier tier, const struct moved_object *object);
    void *self;
};

/* What goes with one move. */
struct tier_move {
    int64_t wait_ms; /* for another thread that moves the same object */
    /* Told of each piece that was copied; false ends the move with the error it fills. May be NULL. */
    bool (*step)(void *self, uint64_t bytes, struct error *error);
    void *self;
};

/* Copies a hot object to the cold store, and gives the hot copy up with `leaves_hot`. An object
 * whose cold copy is known is not written again where that one is still there. NOT_FOUND
 * (OBJECT_NOT_FOUND) where it has left hot meanwhile, or no version needs it any more: then no copy
 * of it is left here. UNAVAILABLE, OBJECT_MOVING where another thread has it in hand. */
bool tier_demote(const struct tier_ports *ports, const struct moved_object *object, bool leaves_hot,
                 const struct tier_move *move, struct error *error);
/* As tier_demote, of several small objects with one report and one removal from hot for all, and each for itself:
 * in order up to the first that cannot be copied, and those before it to their end. Returns how many it came to, at
 * least one, each with its error (ERROR_OK: it was demoted). `count` is 1 to TIER_BATCH_OBJECTS, and `wait_ms` 0
 * where it is more than 1. */
size_t tier_demote_batch(const struct tier_ports *ports, const struct moved_object *objects, size_t count,
                         bool leaves_hot, const struct tier_move *move, struct error *errors);
/* Copies a cold object to hot, unless it is there. NOT_FOUND as above; RESOURCE_EXHAUSTED,
 * HOT_STORE_FULL where there is no room. */
bool tier_promote(const struct tier_ports *ports, const struct moved_object *object, const struct tier_move *move,
                  struct error *error);
/* After a crash in the middle of a move: what it left is told to metadata-svc, or removed where no
 * version needs it. */
bool tier_finish_noted(const struct tier_ports *ports, enum object_tier tier, const struct moved_object *object,
                       struct error *error);

/* Removes the cold copy of an object that no version needs any more, unless the one of that name is
 * another's: after a restore of older metadata a name may come a second time. */
bool tier_remove_cold(const struct tier_ports *ports, const struct moved_object *object, struct error *error);

/* Whether what kept an object from being moved says nothing of the others, and passes by itself: somebody
 * else has it in hand, it is gone, or all is to end. */
bool tier_move_passed_over(const struct error *error);

struct moved_object moved_object_of(const struct hot_object *object);
/* The object of a version that is stored. INTERNAL, BAD_ANSWER where it says that it has none. */
bool moved_object_of_record(const Waybill__V1__Record *record, struct moved_object *object, struct error *error);

#endif
