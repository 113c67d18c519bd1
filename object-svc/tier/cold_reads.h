/* Counts how often objects are read from the cold store through this replica, for buckets whose
 * policy promotes what is read often.
 *
 * Bounded memory: COLD_READS_SETS sets of COLD_READS_WAYS counters; an object that finds its set full
 * takes the place of the one that was read longest ago, which then counts anew. Lost by a
 * restart. Any thread. */
#ifndef WAYBILL_TIER_COLD_READS_H
#define WAYBILL_TIER_COLD_READS_H

#include "common/base/clock.h"
#include "object-svc/upstream/metadata_client.h"

enum { COLD_READS_SETS = 4096, COLD_READS_WAYS = 4 };

struct cold_reads;

struct cold_reads *cold_reads_new(const struct clock *clock);
void cold_reads_free(struct cold_reads *reads); /* NULL is fine */
/* The buckets' policies as they are now; copied. */
void cold_reads_set_policies(struct cold_reads *reads, const struct bucket_policy *policies, size_t count);
/* One more read; true when the object has had as many as its bucket's policy wants: it is to be
 * promoted, and counts anew. */
bool cold_reads_note(struct cold_reads *reads, const char *bucket, const struct uuid *payload_id);

#endif
