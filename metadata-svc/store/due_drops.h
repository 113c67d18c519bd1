/* Which objects of a place no version needs any more and are due to be dropped there, as the record
 * store has them (commit/object_drops.h writes them). Any thread. */
#ifndef WAYBILL_STORE_DUE_DROPS_H
#define WAYBILL_STORE_DUE_DROPS_H

#include "metadata-svc/store/layout.h"
#include "metadata-svc/store/record_store.h"

struct due_drop {
    struct dropped_object object; /* in the arena */
    struct uuid payload_id;
    int64_t due_us;
};

/* Up to `max` of those that are due by now, the oldest first: of the place that `after` names, behind it; from the
 * first on where its due_us is 0. `more` tells whether there are others. */
bool due_drops_read(struct kv *kv, const struct layout_drop *after, int64_t now_us, struct arena *arena,
                    struct due_drop *drops, size_t max, size_t *count, bool *more, struct error *error);

#endif
