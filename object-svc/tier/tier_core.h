/* The storage policy at work: objects old enough go to the cold store.
 *
 * Order of a move (promise 7): cold write durable ▸ verified by reading it back ▸ reported
 * and committed ▸ only then the hot copy goes. Each step may be repeated after a crash.
 *
 * The core reads no clock and does no network I/O but through what it is handed. One thread. */
#ifndef WAYBILL_TIER_TIER_CORE_H
#define WAYBILL_TIER_TIER_CORE_H

#include "common/base/clock.h"
#include "object-svc/cold/cold_store.h"
#include "object-svc/hot/hot_store.h"
#include "object-svc/upstream/metadata_client.h"
#include "object-svc/upstream/object_report.h"

struct tier_ports {
    struct hot_store *hot;
    struct cold_store *cold;
    struct report_sink sink;
    const struct clock *clock;
    /* Told of an object that could not be moved since a copy of it is damaged; may be NULL. */
    void (*on_corrupt)(void *self, const struct hot_object *object);
    void *self;
};

/* What a round did. */
struct tier_round {
    uint64_t moved_objects;
    uint64_t moved_bytes;
    uint64_t failed_objects;
};

/* Objects that one round moves at most, per bucket, so that policies are looked at anew. */
enum { TIER_ROUND_OBJECTS = 256 };

/* Moves what this bucket's policy asks for, up to TIER_ROUND_OBJECTS. Returns true when there
 * may be more to do at once. */
bool tier_core_run(const struct tier_ports *ports, const struct bucket_policy *policy, struct tier_round *round);

#endif
