#include "object-svc/tier/cold_reads.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    struct uuid payload_id;
    uint32_t reads; /* 0: free */
    int64_t last_us;
};

struct cold_reads {
    const struct clock *clock;
    pthread_mutex_t lock;           /* all that follows */
    struct bucket_policy *policies; /* of those buckets only that promote */
    size_t policy_count;
    struct entry entries[COLD_READS_SETS][COLD_READS_WAYS];
};

struct cold_reads *cold_reads_new(const struct clock *clock) {
    struct cold_reads *reads = calloc(1, sizeof *reads);
    if (reads == NULL) {
        abort();
    }
    reads->clock = clock;
    pthread_mutex_init(&reads->lock, NULL);
    return reads;
}

void cold_reads_free(struct cold_reads *reads) {
    if (reads != NULL) {
        pthread_mutex_destroy(&reads->lock);
        free(reads->policies);
        free(reads);
    }
}

void cold_reads_set_policies(struct cold_reads *reads, const struct bucket_policy *policies, size_t count) {
    struct bucket_policy *kept = calloc(count + 1, sizeof *kept);
    size_t kept_count = 0;
    if (kept == NULL) {
        abort();
    }
    for (size_t i = 0; i < count; i++) {
        if (policies[i].promote_after_reads > 0) {
            kept[kept_count++] = policies[i];
        }
    }
    pthread_mutex_lock(&reads->lock);
    struct bucket_policy *old = reads->policies;
    reads->policies = kept;
    reads->policy_count = kept_count;
    pthread_mutex_unlock(&reads->lock);
    free(old);
}

/* Under the lock; 0: never. */
static unsigned wanted_reads(const struct cold_reads *reads, const char *bucket) {
    for (size_t i = 0; i < reads->policy_count; i++) {
        if (strcmp(reads->policies[i].bucket, bucket) == 0) {
            return reads->policies[i].promote_after_reads;
        }
    }
    return 0;
}

/* The object's entry, or the one whose place it takes. Payload ids are random. */
static struct entry *find_entry(struct cold_reads *reads, const struct uuid *payload_id) {
    struct entry *set = reads->entries[(payload_id->raw[14] << 8 | payload_id->raw[15]) % COLD_READS_SETS];
    struct entry *oldest = &set[0];
    for (size_t i = 0; i < COLD_READS_WAYS; i++) {
        if (set[i].reads > 0 && uuid_equal(&set[i].payload_id, payload_id)) {
            return &set[i];
        }
        oldest = set[i].reads == 0 || set[i].last_us < oldest->last_us ? &set[i] : oldest;
    }
    *oldest = (struct entry){.payload_id = *payload_id};
    return oldest;
}

bool cold_reads_note(struct cold_reads *reads, const char *bucket, const struct uuid *payload_id) {
    bool enough = false;
    pthread_mutex_lock(&reads->lock);
    unsigned wanted = wanted_reads(reads, bucket);
    if (wanted > 0) {
        struct entry *entry = find_entry(reads, payload_id);
        entry->last_us = clock_monotonic_us(reads->clock);
        enough = ++entry->reads >= wanted;
        if (enough) {
            *entry = (struct entry){0};
        }
    }
    pthread_mutex_unlock(&reads->lock);
    return enough;
}
