/* Values of the record store in memory: bounded in bytes, and such that a scan cannot wash out
 * what is read again and again.
 *
 * How: two queues in order of use. A value enters the first one, on probation; a hit moves it to
 * the second, which is protected and has four fifths of the room; what falls out of the
 * second goes back to the first, and what falls out of the first is forgotten. This is
 * segmented LRU (Karedla, Love, Wherry: Caching Strategies to Improve Disk System
 * Performance, 1994). Keys are spread over shards with a lock each.
 *
 * A cache that is filled beside a writer must not keep what was read before a write and filled
 * in after it. So a writer tells of each key before and after its write: in between the key
 * misses, and a fill counts only if no write of its shard began since record_cache_miss.
 *
 * Any thread. */
#ifndef WAYBILL_STORE_RECORD_CACHE_H
#define WAYBILL_STORE_RECORD_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/bytes.h"

struct record_cache;

struct record_cache *record_cache_new(size_t max_bytes);
void record_cache_free(struct record_cache *cache);

/* A copy of the value in the arena. On a miss `ticket` is for record_cache_fill. */
bool record_cache_get(struct record_cache *cache, struct bytes key, struct arena *arena, struct bytes *value,
                      uint64_t *ticket);
/* What the store had after the miss. */
void record_cache_fill(struct record_cache *cache, struct bytes key, struct bytes value, uint64_t ticket);

/* Around a write of the key. `value` is NULL when it was deleted, or when it is not known what
 * the store has. */
void record_cache_write_begins(struct record_cache *cache, struct bytes key);
void record_cache_write_ends(struct record_cache *cache, struct bytes key, const struct bytes *value);

struct record_cache_stats {
    uint64_t hits;
    uint64_t misses;
    size_t bytes; /* of keys, values and what it takes to find them */
    size_t entries;
};

void record_cache_stats(struct record_cache *cache, struct record_cache_stats *stats);

#endif
