/* The thread that compacts hot volumes in the background (volume_compaction.h), at a bounded
 * rate, and makes removals durable within an interval. Stopped before the store is closed. */
#ifndef WAYBILL_HOT_HOT_COMPACTOR_H
#define WAYBILL_HOT_HOT_COMPACTOR_H

#include "common/base/clock.h"
#include "object-svc/hot/volume_compaction.h"

struct hot_compactor;

struct hot_compactor_options {
    struct hot_store *hot;     /* of volume_store_open; borrowed, as the clock */
    const struct clock *clock; /* monotonic */
    unsigned garbage_percent;
    int64_t bytes_per_second; /* read and copied, in the mean; 0: no limit */
    int64_t interval_ms;      /* how often it looks */
    /* After each volume, from the thread, with what this one brought. */
    void (*volume_done)(void *self, const struct volume_compaction *sums);
    /* For each damaged object that was found, from the thread. */
    void (*damaged)(void *self, const struct hot_object *object);
    void *self; /* of both; each may be NULL */
};

struct hot_compactor *hot_compactor_start(const struct hot_compactor_options *options);
/* Ends the work at the next megabyte. NULL is fine. */
void hot_compactor_stop(struct hot_compactor *compactor);

#endif
