/* A kv with a record cache before it: look-ups of buckets and of the latest versions of keys are
 * answered from memory where they can be. What passes through it keeps the cache right: a look-up
 * never gets a value that is older than what any other reader may have seen. Walks with a cursor
 * go past the cache.
 *
 * Look-ups of keys that were never there are answered from a key filter; a thread fills it with
 * the keys of the store, and until it has them all they go to the store. */
#ifndef WAYBILL_STORE_CACHED_KV_H
#define WAYBILL_STORE_CACHED_KV_H

#include "metadata-svc/store/kv.h"
#include "metadata-svc/store/record_cache.h"

/* Takes `inner`, which closing closes; `cache` outlives it. */
struct kv *cached_kv_new(struct kv *inner, struct record_cache *cache, size_t filter_bytes);
/* Waits until the filter has all keys; for tests. */
void cached_kv_await_filter(struct kv *kv);

#endif
