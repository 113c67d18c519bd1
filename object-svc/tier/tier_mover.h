/* The thread that runs the storage policy: every interval it goes through the buckets, whose
 * policies it asks metadata-svc for from time to time, keeps room in hot, and drops what no version needs
 * any more. */
#ifndef WAYBILL_TIER_TIER_MOVER_H
#define WAYBILL_TIER_TIER_MOVER_H

#include "object-svc/cold/cold_breaker.h"
#include "object-svc/tier/cold_reads.h"
#include "object-svc/tier/drop_core.h"
#include "object-svc/tier/watermark.h"

struct tier_mover;

struct tier_mover_options {
    struct tier_ports ports;
    struct cold_breaker *breaker; /* while it lets nothing through there are no rounds; NULL: none */
    struct drop_source drops;
    int64_t recall_stay_ms; /* see struct tier_rules */
    struct watermark_rules watermark;
    struct read_times *read_times;
    struct disk *recall_notes; /* borrowed */
    /* Whether of all replicas this one is to bring the object back to hot. */
    bool (*is_mine)(void *self, const struct uuid *payload_id);
    struct cold_reads *cold_reads; /* told of the policies */
    struct metadata_client *metadata;
    int64_t interval_ms;       /* between rounds */
    int64_t policy_refresh_ms; /* how old the policies may be */
    /* After each round that did something; for metrics. May be NULL. */
    void (*round_done)(void *self, const struct tier_round *round, const struct drop_round *drops);
    void *self;
};

struct tier_mover *tier_mover_start(const struct tier_mover_options *options);
/* Ends the move in hand at its next step. */
void tier_mover_stop(struct tier_mover *mover);

#endif
