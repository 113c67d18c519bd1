/* Series whose label values are known only while running.
 *
 * Each family has an index: a hash table of fixed size with open addressing, whose slots are
 * filled once and never change. A reader follows the slots without a lock; a writer fills one
 * under the index's lock and publishes it with release, so whoever sees the pointer sees what
 * it points to. The table is twice as large as the most series there may be, so that probing
 * ends soon and always. */
#include <stdlib.h>
#include <string.h>

#include "common/base/names.h"
#include "common/observe/metrics_registry.h"

struct series_slot {
    uint64_t hash;
    char *values[METRIC_MAX_LABELS];
    struct metric_series *series;
};

struct series_index {
    struct metrics *metrics;
    struct metric_definition definition; /* texts and buckets owned here */
    char *label_names[METRIC_MAX_LABELS];
    size_t labels;
    size_t max_series;
    size_t mask;          /* slots - 1 */
    pthread_mutex_t lock; /* guards `made` and the filling of slots; taken before the registry's */
    size_t made;
    struct metric_series *other;
    _Atomic(struct metric_series *) overflow; /* set once the family is full: no lock from then on */
    struct series_index *next;
    _Atomic(struct series_slot *) slots[];
};

/* The public names for an index of counters and one of histograms. */
struct counter_family {
    struct series_index index;
};
struct histogram_family {
    struct series_index index;
};

/* FNV-1a over the values and the NULs between them. */
static uint64_t hash_values(const struct series_index *index, const char *const *values) {
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < index->labels; i++) {
        const unsigned char *next = (const unsigned char *)values[i];
        do {
            hash = (hash ^ *next) * 1099511628211u;
        } while (*next++ != '\0');
    }
    return hash;
}

static bool slot_matches(const struct series_index *index, const struct series_slot *slot, uint64_t hash,
                         const char *const *values) {
    if (slot->hash != hash) {
        return false;
    }
    for (size_t i = 0; i < index->labels; i++) {
        if (strcmp(slot->values[i], values[i]) != 0) {
            return false;
        }
    }
    return true;
}

/* The slot with these values, or NULL; then `place` is the empty slot where they belong. */
static struct series_slot *probe(struct series_index *index, uint64_t hash, const char *const *values, size_t *place) {
    for (size_t i = hash & index->mask;; i = (i + 1) & index->mask) {
        struct series_slot *slot = atomic_load_explicit(&index->slots[i], memory_order_acquire);
        if (slot == NULL || slot_matches(index, slot, hash, values)) {
            *place = i;
            return slot;
        }
    }
}

static bool values_fit(const struct series_index *index, const char *const *values) {
    for (size_t i = 0; i < index->labels; i++) {
        if (strlen(values[i]) > METRIC_MAX_VALUE_BYTES || !utf8_valid(bytes_of_string(values[i]))) {
            return false;
        }
    }
    return true;
}

static struct metric_series *make_series(struct series_index *index, const char *const *values) {
    struct metric_label labels[METRIC_MAX_LABELS + 1] = {0};
    for (size_t i = 0; i < index->labels; i++) {
        labels[i] = (struct metric_label){index->label_names[i], values[i]};
    }
    bool made;
    return metrics_series(index->metrics, &index->definition, labels, &made);
}

/* Made when first needed, so that it is not on the page while nothing overflows. */
static struct metric_series *other_series(struct series_index *index) {
    if (index->other == NULL) {
        const char *values[METRIC_MAX_LABELS];
        for (size_t i = 0; i < index->labels; i++) {
            values[i] = "other";
        }
        index->other = make_series(index, values);
    }
    return index->other;
}

static struct metric_series *add_series(struct series_index *index, uint64_t hash, const char *const *values) {
    pthread_mutex_lock(&index->lock);
    struct metric_series *series;
    size_t place;
    struct series_slot *slot = probe(index, hash, values, &place); /* another thread may have been first */
    if (slot != NULL) {
        series = slot->series;
    } else if (index->made == index->max_series) {
        series = other_series(index);
        atomic_store_explicit(&index->overflow, series, memory_order_release);
    } else if (!values_fit(index, values)) {
        series = other_series(index);
    } else {
        series = make_series(index, values);
        slot = metrics_allocate(sizeof(void *), sizeof *slot);
        slot->hash = hash;
        for (size_t i = 0; i < index->labels; i++) {
            slot->values[i] = metrics_copy(values[i]);
        }
        slot->series = series;
        index->made++;
        atomic_store_explicit(&index->slots[place], slot, memory_order_release);
    }
    pthread_mutex_unlock(&index->lock);
    return series;
}

static struct metric_series *get_series(struct series_index *index, const char *const *values) {
    uint64_t hash = hash_values(index, values);
    size_t place;
    struct series_slot *slot = probe(index, hash, values, &place);
    if (slot != NULL) {
        return slot->series;
    }
    struct metric_series *overflow = atomic_load_explicit(&index->overflow, memory_order_acquire);
    return overflow != NULL ? overflow : add_series(index, hash, values);
}

static struct series_index *index_new(struct metrics *metrics, const struct metric_definition *definition,
                                      const char *const *label_names, size_t max_series) {
    size_t slots = 2;
    while (slots < 2 * max_series) {
        slots *= 2;
    }
    struct series_index *index =
        metrics_allocate(CACHE_LINE_BYTES, sizeof *index + slots * sizeof(_Atomic(struct series_slot *)));
    index->metrics = metrics;
    index->definition = *definition;
    index->definition.name = metrics_copy(definition->name);
    index->definition.help = metrics_copy(definition->help);
    for (; label_names[index->labels] != NULL; index->labels++) {
        if (index->labels == METRIC_MAX_LABELS) {
            metrics_misused(definition->name, "too many labels");
        }
        index->label_names[index->labels] = metrics_copy(label_names[index->labels]);
    }
    index->max_series = max_series;
    index->mask = slots - 1;
    if (pthread_mutex_init(&index->lock, NULL) != 0) {
        abort();
    }
    pthread_mutex_lock(&metrics->lock);
    index->next = metrics->indexes;
    metrics->indexes = index;
    pthread_mutex_unlock(&metrics->lock);
    return index;
}

static void index_free(struct series_index *index) {
    for (size_t i = 0; i <= index->mask; i++) {
        struct series_slot *slot = atomic_load_explicit(&index->slots[i], memory_order_relaxed);
        if (slot == NULL) {
            continue;
        }
        for (size_t label = 0; label < index->labels; label++) {
            free(slot->values[label]);
        }
        free(slot);
    }
    for (size_t i = 0; i < index->labels; i++) {
        free(index->label_names[i]);
    }
    free((char *)index->definition.name);
    free((char *)index->definition.help);
    pthread_mutex_destroy(&index->lock);
    free(index);
}

void series_indexes_free(struct series_index *first) {
    while (first != NULL) {
        struct series_index *next = first->next;
        index_free(first);
        first = next;
    }
}

struct counter_family *metrics_counter_family(struct metrics *metrics, const char *name, const char *help,
                                              const char *const *label_names, size_t max_series) {
    struct metric_definition definition = {name, help, METRIC_COUNTER, NULL};
    return (struct counter_family *)index_new(metrics, &definition, label_names, max_series);
}

struct histogram_family *metrics_histogram_family(struct metrics *metrics, const char *name, const char *help,
                                                  const char *const *label_names, const struct metric_buckets *buckets,
                                                  size_t max_series) {
    struct metric_definition definition = {name, help, METRIC_HISTOGRAM, buckets};
    return (struct histogram_family *)index_new(metrics, &definition, label_names, max_series);
}

struct counter *counter_family_get(struct counter_family *family, const char *const *values) {
    return &get_series(&family->index, values)->as.counter;
}

struct histogram *histogram_family_get(struct histogram_family *family, const char *const *values) {
    return get_series(&family->index, values)->as.histogram;
}

struct histogram *histogram_family_find(struct histogram_family *family, const char *const *values) {
    size_t place;
    struct series_slot *slot = probe(&family->index, hash_values(&family->index, values), values, &place);
    return slot != NULL ? slot->series->as.histogram : NULL;
}
