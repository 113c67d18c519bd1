/* What to store beside the events that are next: while many of a few buckets wait, those of other
 * buckets would wait behind all of them, since the event stream has one order. So, as long as there
 * is more than a batch to come, each batch is followed by some events of other buckets, in turns
 * (round robin, so many of each). Their deliveries come later and find the objects stored.
 *
 * One thread. */
#ifndef WAYBILL_INGEST_LOOK_AHEAD_H
#define WAYBILL_INGEST_LOOK_AHEAD_H

#include "common/base/arena.h"
#include "common/stream/stream_connection.h"
#include "object-svc/ingest/staged_change.h"

struct look_ahead;

enum {
    LOOK_AHEAD_MAX = 128,        /* events at once */
    LOOK_AHEAD_OF_A_BUCKET = 8,  /* of these, from one bucket */
    LOOK_AHEAD_BUCKETS_MAX = 32, /* that are asked for at once */
};

/* `filter` is the pattern of the events' subjects; it and the connection outlive it. */
struct look_ahead *look_ahead_new(struct stream_connection *connection, const char *stream, const char *filter);
/* NULL is fine. */
void look_ahead_free(struct look_ahead *self);

/* Before each look: the subjects that have their turn without it, those of the batch. */
void look_ahead_begin(struct look_ahead *self);
void look_ahead_pass_over(struct look_ahead *self, const char *subject);
/* Finds up to LOOK_AHEAD_MAX staged changes of other subjects behind the `after`th event, about most_bytes
 * of payloads. They are in the arena. What goes wrong is no more than that nothing is found:
 * everything comes in its order, too. */
size_t look_ahead_take(struct look_ahead *self, uint64_t after, uint64_t most_bytes, struct arena *arena,
                       struct staged_change found[LOOK_AHEAD_MAX]);

#endif
