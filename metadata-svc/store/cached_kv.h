/* A kv with a record cache before it: look-ups of buckets and of the latest versions of keys are
 * answered from memory where they can be. What passes through it keeps the cache right: a look-up
 * never gets a value that is older than what any other reader may have seen. Walks with a cursor
 * go past the cache. */
#ifndef WAYBILL_STORE_CACHED_KV_H
#define WAYBILL_STORE_CACHED_KV_H

#include "metadata-svc/store/kv.h"
#include "metadata-svc/store/record_cache.h"

/* Takes `inner`, which closing closes; `cache` outlives it. */
struct kv *cached_kv_new(struct kv *inner, struct record_cache *cache);

#endif
