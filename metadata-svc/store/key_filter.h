/* Which keys may be in the store: a no is certain, a yes is not. Most writes are of keys that are
 * new, and asking LevelDB for what is not there costs more than all else that a commit does in
 * memory.
 *
 * A split block Bloom filter, as Apache Parquet specifies it
 * (https://github.com/apache/parquet-format/blob/master/BloomFilter.md): eight bits in one block of 32
 * bytes, so one cache miss an answer. About one wrong yes in a hundred at ten bits a key.
 * Keys are never taken out.
 *
 * Any thread. A key must be added before it is visible in the store. */
#ifndef WAYBILL_STORE_KEY_FILTER_H
#define WAYBILL_STORE_KEY_FILTER_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/bytes.h"

struct key_filter;

struct key_filter *key_filter_new(size_t bytes);
void key_filter_free(struct key_filter *filter);

void key_filter_add(struct key_filter *filter, struct bytes key);
/* From now on it knows all keys that the store had before it was made. */
void key_filter_complete(struct key_filter *filter);
/* Yes to everything until it is complete. */
bool key_filter_may_have(const struct key_filter *filter, struct bytes key);

#endif
