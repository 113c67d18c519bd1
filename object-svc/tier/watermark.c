#include "object-svc/tier/watermark.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "object-svc/cold/cold_breaker.h"

struct candidate {
    int64_t used_us; /* when it was last used */
    struct moved_object object;
};

/* The candidates that were not used for longest, as a heap whose root was used last. */
struct search {
    const struct watermark *watermark;
    const struct bucket_policy *policies;
    size_t policy_count;
    struct candidate *heap;
    size_t count;
    uint64_t wanted_bytes;
    uint64_t found_bytes;
};

static uint64_t capacity_of(const struct watermark_rules *rules, const struct hot_stats *stats) {
    return rules->capacity_bytes > 0 ? rules->capacity_bytes
           : stats->free_bytes > 0   ? stats->disk_bytes + stats->free_bytes
                                     : 0;
}

static uint64_t share_of(uint64_t capacity, unsigned percent) {
    return capacity / 100 * percent + capacity % 100 * percent / 100;
}

uint64_t watermark_room(const struct watermark_rules *rules, struct hot_store *hot) {
    struct hot_stats stats;
    hot_store_stats(hot, &stats);
    uint64_t capacity = capacity_of(rules, &stats);
    uint64_t low = share_of(capacity, rules->low_percent);
    if (rules->high_percent == 0 || capacity == 0) {
        return UINT64_MAX;
    }
    return stats.object_bytes < low ? low - stats.object_bytes : 0;
}

/* ---- finding ---- */

static bool may_go(const struct search *search, const char *bucket) {
    for (size_t i = 0; i < search->policy_count; i++) {
        if (strcmp(search->policies[i].bucket, bucket) == 0) {
            return search->policies[i].overflows;
        }
    }
    return false;
}

static void swap(struct candidate *a, struct candidate *b) {
    struct candidate c = *a;
    *a = *b;
    *b = c;
}

static void sift_up(struct search *search, size_t at) {
    while (at > 0 && search->heap[(at - 1) / 2].used_us < search->heap[at].used_us) {
        swap(&search->heap[(at - 1) / 2], &search->heap[at]);
        at = (at - 1) / 2;
    }
}

static void sift_down(struct search *search) {
    for (size_t at = 0;;) {
        size_t last = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < search->count; child++) {
            last = search->heap[child].used_us > search->heap[last].used_us ? child : last;
        }
        if (last == at) {
            return;
        }
        swap(&search->heap[at], &search->heap[last]);
        at = last;
    }
}

static void take_out_root(struct search *search) {
    search->found_bytes -= search->heap[0].object.size_bytes;
    search->heap[0] = search->heap[--search->count];
    sift_down(search);
}

/* Whether without the one that was used last there is enough still. */
static bool has_too_many(const struct search *search) {
    return search->count == WATERMARK_OBJECTS ||
           (search->count > 0 && search->found_bytes - search->heap[0].object.size_bytes >= search->wanted_bytes);
}

static bool consider(void *context, const struct hot_object *object) {
    struct search *search = context;
    int64_t read_us = read_times_get(search->watermark->times, &object->payload_id);
    int64_t used_us = read_us > object->store_unix_us ? read_us : object->store_unix_us;
    if (!may_go(search, object->bucket)) {
        return true;
    }
    bool enough = search->found_bytes >= search->wanted_bytes || search->count == WATERMARK_OBJECTS;
    if (enough && search->count > 0 && used_us >= search->heap[0].used_us) {
        return true;
    }
    while (has_too_many(search)) {
        take_out_root(search);
    }
    search->heap[search->count] = (struct candidate){used_us, moved_object_of(object)};
    search->found_bytes += object->size_bytes;
    sift_up(search, search->count++);
    return true;
}

static int by_use(const void *a, const void *b) {
    int64_t first = ((const struct candidate *)a)->used_us;
    int64_t second = ((const struct candidate *)b)->used_us;
    return first < second ? -1 : first > second;
}

/* ---- demoting ---- */

/* Returns how many bytes left hot; `stopped` where going on makes no sense now. */
static uint64_t demote_found(const struct search *search, const struct tier_ports *ports, const struct tier_move *move,
                             struct tier_round *round, bool *stopped) {
    uint64_t freed = 0;
    *stopped = false;
    for (size_t i = 0; i < search->count && freed < search->wanted_bytes && !*stopped; i++) {
        const struct moved_object *object = &search->heap[i].object;
        struct error error = {0};
        if (tier_demote(ports, object, true, move, &error)) {
            freed += object->size_bytes;
            round->moved_objects++;
            round->moved_bytes += object->cold_copy_known ? 0 : object->size_bytes;
            continue;
        }
        bool passed_over = tier_move_passed_over(&error);
        bool suspended = strcmp(error.reason, COLD_STORE_SUSPENDED) == 0; /* of which the breaker tells */
        *stopped = error.code == ERROR_CANCELLED || error.code == ERROR_RESOURCE_EXHAUSTED ||
                   (error.code == ERROR_UNAVAILABLE && !passed_over);
        if (!passed_over && !suspended) {
            round->failed_objects++;
            log_warn("watermark_move_failed", LOG_ERROR(&error), LOG_STR("bucket", object->bucket),
                     LOG_STR("key", object->key), LOG_INT("version", object->version));
        }
    }
    return freed;
}

static void tell_stuck(struct watermark *watermark, uint64_t used, uint64_t high) {
    if (!watermark->told) {
        watermark->told = true;
        log_warn("hot_above_watermark", LOG_INT("object_bytes", used), LOG_INT("high_bytes", high),
                 LOG_STR("hint", "no bucket lets more objects go to the cold store: add space, or set "
                                 "overflow_to_cold"));
    }
}

static bool drain(struct watermark *watermark, const struct tier_ports *ports, const struct tier_move *move,
                  struct search *search, struct tier_round *round, uint64_t used, uint64_t high) {
    struct error error = {0};
    bool stopped;
    if (!hot_store_visit_all(ports->hot, consider, search, &error)) {
        log_error("watermark_walk_failed", LOG_ERROR(&error));
        return false;
    }
    qsort(search->heap, search->count, sizeof *search->heap, by_use);
    uint64_t freed = demote_found(search, ports, move, round, &stopped);
    if (search->count == 0) {
        tell_stuck(watermark, used, high);
    }
    watermark->told = watermark->told && freed == 0;
    watermark->draining = freed < search->wanted_bytes;
    return freed > 0 && freed < search->wanted_bytes && !stopped;
}

bool watermark_run(struct watermark *watermark, const struct tier_ports *ports, const struct tier_move *move,
                   const struct bucket_policy *policies, size_t policy_count, struct tier_round *round) {
    struct hot_stats stats;
    hot_store_stats(ports->hot, &stats);
    uint64_t capacity = capacity_of(&watermark->rules, &stats);
    uint64_t high = share_of(capacity, watermark->rules.high_percent);
    uint64_t low = share_of(capacity, watermark->rules.low_percent);
    watermark->draining =
        watermark->rules.high_percent > 0 && capacity > 0 && stats.object_bytes > (watermark->draining ? low : high);
    if (!watermark->draining) {
        watermark->told = false;
        return false;
    }
    struct search search = {
        .watermark = watermark,
        .policies = policies,
        .policy_count = policy_count,
        .heap = calloc(WATERMARK_OBJECTS, sizeof *search.heap),
        .wanted_bytes = stats.object_bytes - low,
    };
    if (search.heap == NULL) {
        abort();
    }
    bool more = drain(watermark, ports, move, &search, round, stats.object_bytes, high);
    free(search.heap);
    return more;
}
