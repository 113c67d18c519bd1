#include "metadata-svc/store/key_filter.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <xxhash.h>

enum { WORDS = 8 };

struct block {
    atomic_uint_least32_t words[WORDS];
};

struct key_filter {
    atomic_bool complete;
    uint32_t block_count;
    struct block blocks[];
};

/* Of the specification: odd constants that spread a hash over the words. */
static const uint32_t salts[WORDS] = {0x47b6137bU, 0x44974d91U, 0x8824ad5bU, 0xa2b7289dU,
                                      0x705495c7U, 0x2df1424bU, 0x9efc4947U, 0x5c6bfb31U};

struct key_filter *key_filter_new(size_t bytes) {
    size_t count = bytes / sizeof(struct block) > 0 ? bytes / sizeof(struct block) : 1;
    struct key_filter *filter = calloc(1, sizeof *filter + count * sizeof filter->blocks[0]);
    if (filter == NULL) {
        abort();
    }
    filter->block_count = (uint32_t)count;
    return filter;
}

void key_filter_free(struct key_filter *filter) {
    free(filter);
}

static uint32_t block_of(const struct key_filter *filter, uint64_t hash) {
    return (uint32_t)(((hash >> 32) * filter->block_count) >> 32);
}

static uint32_t bit_of(uint64_t hash, int word) {
    return 1U << (((uint32_t)hash * salts[word]) >> 27);
}

void key_filter_add(struct key_filter *filter, struct bytes key) {
    uint64_t hash = XXH3_64bits(key.data, key.size);
    struct block *block = &filter->blocks[block_of(filter, hash)];
    for (int i = 0; i < WORDS; i++) {
        atomic_fetch_or_explicit(&block->words[i], bit_of(hash, i), memory_order_relaxed);
    }
}

void key_filter_complete(struct key_filter *filter) {
    atomic_store_explicit(&filter->complete, true, memory_order_release);
}

/* Relaxed: whoever may know of a key learned of it behind its being added. */
bool key_filter_may_have(const struct key_filter *filter, struct bytes key) {
    if (!atomic_load_explicit(&filter->complete, memory_order_acquire)) {
        return true;
    }
    uint64_t hash = XXH3_64bits(key.data, key.size);
    const struct block *block = &filter->blocks[block_of(filter, hash)];
    for (int i = 0; i < WORDS; i++) {
        if ((atomic_load_explicit(&block->words[i], memory_order_relaxed) & bit_of(hash, i)) == 0) {
            return false;
        }
    }
    return true;
}
