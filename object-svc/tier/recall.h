/* Brings the objects of a bucket back to hot, once its storage class becomes one that keeps them there.
 *
 * The class that a bucket's objects have followed is noted (recall_notes.h). Where it differs from the bucket's, a pass
 * over what the records say is in the cold store promotes what is in no hot volumes, in the order of every promotion
 * (tier_moves.h), and as long as hot stays below its low watermark: it never makes others leave. Replicas share a pass
 * by the objects' payload ids. A pass that leaves something to others, or to whoever has an object in hand, is followed
 * by another one after a pause that doubles; one that finds nothing of that kind ends it, and the class is noted. What
 * leaves hot later, by a watermark or since a person asks for it, does not come back by itself.
 *
 * A bucket that this replica did not know gets a pass where it was changed and is of class HOT; else its objects are
 * where they belong. One thread. */
#ifndef WAYBILL_TIER_RECALL_H
#define WAYBILL_TIER_RECALL_H

#include "object-svc/tier/watermark.h"

/* What one round does at most. */
enum { RECALL_ROUND_OBJECTS = 64 };
#define RECALL_ROUND_BYTES ((uint64_t)256 * 1024 * 1024)

struct recall;

struct recall_options {
    struct tier_ports ports;
    struct disk *notes; /* borrowed */
    struct watermark_rules watermark;
    /* Whether of all replicas this one is to promote the object. */
    bool (*is_mine)(void *self, const struct uuid *payload_id);
    void *self;
};

struct recall *recall_new(const struct recall_options *options);
void recall_free(struct recall *recall); /* NULL is fine */
/* `policies` are those of all buckets. Returns true when there is more to do at once. */
bool recall_run(struct recall *recall, const struct tier_move *move, const struct bucket_policy *policies,
                size_t policy_count, struct tier_round *round);

#endif
