#include "metadata-svc/store/record_cache.h"

/* uthash aborts when memory is gone, as our own allocations do. */
#define uthash_fatal(message) abort()
#include <pthread.h>
#include <stdlib.h>
#include <uthash.h>
/* uthash lets chains grow to ten before it makes more of them, and each link is a cache miss: a
 * twentieth of what GetRecord costs. A few more bytes of table for each record are cheaper. */
#undef HASH_BKT_CAPACITY_THRESH
#define HASH_BKT_CAPACITY_THRESH 4U
#include <utlist.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
    SHARDS = 32, /* a power of two */
    /* The protected queue's share of the room, in percent. */
    PROTECTED_PERCENT = 80,
    /* What an entry takes beside its bytes: the struct, its place in the table, malloc's own. */
    ENTRY_OVERHEAD = 96,
};

enum entry_state { BEING_WRITTEN, ON_PROBATION, PROTECTED };

struct entry {
    UT_hash_handle hh;
    struct entry *prev, *next; /* in its queue, newest first */
    enum entry_state state;
    unsigned writers; /* writes that have begun and not ended */
    uint32_t key_size;
    uint32_t value_size;
    uint8_t bytes[]; /* key, then value */
};

struct shard {
    pthread_mutex_t lock; /* all of it */
    struct entry *table;
    struct entry *probation;
    struct entry *protected;
    size_t probation_bytes;
    size_t protected_bytes;
    size_t entries;
    uint64_t writes; /* that have begun: what a ticket compares */
    uint64_t hits;
    uint64_t misses;
};

struct record_cache {
    size_t shard_max_bytes;
    struct shard shards[SHARDS];
};

struct record_cache *record_cache_new(size_t max_bytes) {
    struct record_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL) {
        abort();
    }
    cache->shard_max_bytes = max_bytes / SHARDS;
    for (int i = 0; i < SHARDS; i++) {
        pthread_mutex_init(&cache->shards[i].lock, NULL);
    }
    return cache;
}

void record_cache_free(struct record_cache *cache) {
    if (cache == NULL) {
        return;
    }
    for (int i = 0; i < SHARDS; i++) {
        struct entry *entry;
        struct entry *next;
        HASH_ITER(hh, cache->shards[i].table, entry, next) {
            HASH_DEL(cache->shards[i].table, entry);
            free(entry);
        }
        pthread_mutex_destroy(&cache->shards[i].lock);
    }
    free(cache);
}

/* ---- entries; the shard's lock is held ---- */

static size_t bytes_of_entry(const struct entry *entry) {
    return ENTRY_OVERHEAD + (size_t)entry->key_size + entry->value_size;
}

static void enqueue(struct shard *shard, struct entry *entry, enum entry_state state) {
    entry->state = state;
    if (state == PROTECTED) {
        DL_PREPEND(shard->protected, entry);
        shard->protected_bytes += bytes_of_entry(entry);
    } else if (state == ON_PROBATION) {
        DL_PREPEND(shard->probation, entry);
        shard->probation_bytes += bytes_of_entry(entry);
    }
}

static void dequeue(struct shard *shard, struct entry *entry) {
    if (entry->state == PROTECTED) {
        DL_DELETE(shard->protected, entry);
        shard->protected_bytes -= bytes_of_entry(entry);
    } else if (entry->state == ON_PROBATION) {
        DL_DELETE(shard->probation, entry);
        shard->probation_bytes -= bytes_of_entry(entry);
    }
}

static void forget(struct shard *shard, struct entry *entry) {
    dequeue(shard, entry);
    HASH_DEL(shard->table, entry);
    shard->entries--;
    free(entry);
}

/* The oldest entry of a queue, which utlist keeps as the head's `prev`. */
static void make_room(const struct record_cache *cache, struct shard *shard) {
    size_t protected_max = cache->shard_max_bytes / 100 * PROTECTED_PERCENT;
    while (shard->protected_bytes > protected_max) {
        struct entry *oldest = shard->protected->prev;
        dequeue(shard, oldest);
        enqueue(shard, oldest, ON_PROBATION);
    }
    while (shard->protected_bytes + shard->probation_bytes > cache->shard_max_bytes && shard->probation != NULL) {
        forget(shard, shard->probation->prev);
    }
}

static struct entry *add(struct shard *shard, struct bytes key, struct bytes value, uint64_t hash) {
    struct entry *entry = malloc(sizeof *entry + key.size + value.size);
    if (entry == NULL) {
        abort();
    }
    entry->writers = 0;
    entry->key_size = (uint32_t)key.size;
    entry->value_size = (uint32_t)value.size;
    memcpy(entry->bytes, key.data, key.size);
    if (value.size > 0) {
        memcpy(entry->bytes + key.size, value.data, value.size);
    }
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, shard->table, entry->bytes, key.size, (unsigned)hash, entry);
    shard->entries++;
    return entry;
}

static struct entry *find(struct shard *shard, struct bytes key, uint64_t hash) {
    struct entry *entry = NULL;
    HASH_FIND_BYHASHVALUE(hh, shard->table, key.data, key.size, (unsigned)hash, entry);
    return entry;
}

/* The key's shard, locked. */
static struct shard *lock_shard(struct record_cache *cache, struct bytes key, uint64_t *hash) {
    *hash = XXH3_64bits(key.data, key.size);
    struct shard *shard = &cache->shards[(*hash >> 32) % SHARDS];
    pthread_mutex_lock(&shard->lock);
    return shard;
}

/* ---- reading ---- */

bool record_cache_get(struct record_cache *cache, struct bytes key, struct arena *arena, struct bytes *value,
                      uint64_t *ticket) {
    uint64_t hash;
    struct shard *shard = lock_shard(cache, key, &hash);
    struct entry *entry = find(shard, key, hash);
    bool hit = entry != NULL && entry->state != BEING_WRITTEN;
    if (hit) {
        shard->hits++;
        *value = arena_copy(arena, bytes_of(entry->bytes + entry->key_size, entry->value_size));
        dequeue(shard, entry);
        enqueue(shard, entry, PROTECTED);
        make_room(cache, shard);
    } else {
        shard->misses++;
        *ticket = shard->writes;
    }
    pthread_mutex_unlock(&shard->lock);
    return hit;
}

void record_cache_fill(struct record_cache *cache, struct bytes key, struct bytes value, uint64_t ticket) {
    uint64_t hash;
    struct shard *shard = lock_shard(cache, key, &hash);
    if (shard->writes == ticket && find(shard, key, hash) == NULL) {
        enqueue(shard, add(shard, key, value, hash), ON_PROBATION);
        make_room(cache, shard);
    }
    pthread_mutex_unlock(&shard->lock);
}

/* ---- writing ---- */

void record_cache_write_begins(struct record_cache *cache, struct bytes key) {
    uint64_t hash;
    struct shard *shard = lock_shard(cache, key, &hash);
    shard->writes++;
    struct entry *entry = find(shard, key, hash);
    if (entry == NULL) {
        entry = add(shard, key, (struct bytes){0}, hash);
    } else {
        dequeue(shard, entry);
    }
    entry->state = BEING_WRITTEN;
    entry->writers++;
    pthread_mutex_unlock(&shard->lock);
}

void record_cache_write_ends(struct record_cache *cache, struct bytes key, const struct bytes *value) {
    uint64_t hash;
    struct shard *shard = lock_shard(cache, key, &hash);
    struct entry *entry = find(shard, key, hash);
    /* It stays out of the queues while it is written, so it is there. */
    if (--entry->writers == 0) {
        forget(shard, entry);
        if (value != NULL) {
            enqueue(shard, add(shard, key, *value, hash), ON_PROBATION);
            make_room(cache, shard);
        }
    }
    pthread_mutex_unlock(&shard->lock);
}

void record_cache_stats(struct record_cache *cache, struct record_cache_stats *stats) {
    *stats = (struct record_cache_stats){0};
    for (int i = 0; i < SHARDS; i++) {
        struct shard *shard = &cache->shards[i];
        pthread_mutex_lock(&shard->lock);
        stats->hits += shard->hits;
        stats->misses += shard->misses;
        stats->bytes += shard->probation_bytes + shard->protected_bytes;
        stats->entries += shard->entries;
        pthread_mutex_unlock(&shard->lock);
    }
}
