/* The registry: families sorted by name, each with its series in a list. Only making and
 * scraping walk the lists, under the lock; those who count hold a pointer to their figure,
 * which never moves. All atomics are relaxed: a figure orders nothing but itself. */
#include "common/observe/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/names.h"
#include "common/observe/metrics_registry.h"

static const double seconds_bounds[] = {25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3,
                                        50e-3, 0.1,   0.25,   0.5,    1,      2.5,  5,      10,   30,    60};
const struct metric_buckets metric_buckets_seconds = {seconds_bounds, sizeof seconds_bounds / sizeof(double)};

static const double bytes_bounds[] = {256,     1024,     4096,     16384,     65536,      262144,    1048576,
                                      4194304, 16777216, 67108864, 268435456, 1073741824, 4294967296};
const struct metric_buckets metric_buckets_bytes = {bytes_bounds, sizeof bytes_bounds / sizeof(double)};

static const double count_bounds[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096};
const struct metric_buckets metric_buckets_count = {count_bounds, sizeof count_bounds / sizeof(double)};

/* ---- helpers ---- */

void *metrics_allocate(size_t alignment, size_t size) {
    void *memory = aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
    if (memory == NULL) {
        abort();
    }
    memset(memory, 0, size);
    return memory;
}

char *metrics_copy(const char *text) {
    char *copy = strdup(text);
    if (copy == NULL) {
        abort();
    }
    return copy;
}

void metrics_misused(const char *name, const char *problem) {
    log_error("metric_misused", LOG_STR("metric", name), LOG_STR("problem", problem));
    abort();
}

/* [a-zA-Z_:][a-zA-Z0-9_:]*, labels without the colon. */
static bool is_name(const char *text, bool label) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789:";
    bool digit_first = *text >= '0' && *text <= '9';
    return *text != '\0' && !digit_first && strspn(text, letters) == strlen(text) &&
           !(label && (strchr(text, ':') != NULL || strncmp(text, "__", 2) == 0));
}

static void check_definition(const struct metric_definition *definition) {
    if (!is_name(definition->name, false)) {
        metrics_misused(definition->name, "not a metric name");
    }
    if (definition->type != METRIC_HISTOGRAM) {
        return;
    }
    const struct metric_buckets *buckets = definition->buckets;
    for (size_t i = 0; i < buckets->count; i++) {
        if (!isfinite(buckets->bounds[i]) || (i > 0 && buckets->bounds[i] <= buckets->bounds[i - 1])) {
            metrics_misused(definition->name, "bucket bounds must be finite and rise");
        }
    }
}

static void check_label(const struct metric_definition *definition, const struct metric_label *label) {
    bool taken = definition->type == METRIC_HISTOGRAM && strcmp(label->name, "le") == 0;
    if (!is_name(label->name, true) || taken) {
        metrics_misused(definition->name, "not a label name");
    }
    if (!utf8_valid(bytes_of_string(label->value))) {
        metrics_misused(definition->name, "label value is not UTF-8");
    }
}

/* "a,b", to compare, and `a="x",b="y"`, to print; the caller frees both. */
static void join_labels(const struct metric_definition *definition, const struct metric_label *labels, char **names,
                        char **pairs) {
    struct buffer joined_names = {0};
    struct buffer joined_pairs = {0};
    size_t count = 0;
    for (; labels != NULL && labels->name != NULL; labels++, count++) {
        check_label(definition, labels);
        if (count == METRIC_MAX_LABELS) {
            metrics_misused(definition->name, "too many labels");
        }
        if (count > 0) {
            buffer_append(&joined_names, ",", 1);
            buffer_append(&joined_pairs, ",", 1);
        }
        buffer_append(&joined_names, labels->name, strlen(labels->name));
        buffer_append(&joined_pairs, labels->name, strlen(labels->name));
        buffer_append(&joined_pairs, "=\"", 2);
        metrics_append_escaped(&joined_pairs, labels->value, true);
        buffer_append(&joined_pairs, "\"", 1);
    }
    buffer_append_u8(&joined_names, '\0');
    buffer_append_u8(&joined_pairs, '\0');
    *names = (char *)joined_names.data;
    *pairs = (char *)joined_pairs.data;
}

/* ---- families and series ---- */

static struct metric_buckets copy_buckets(const struct metric_buckets *buckets) {
    double *bounds = metrics_allocate(sizeof(double), (buckets->count + 1) * sizeof(double));
    memcpy(bounds, buckets->bounds, buckets->count * sizeof(double));
    return (struct metric_buckets){bounds, buckets->count};
}

static void check_same(const struct metric_family *family, const struct metric_definition *definition,
                       const char *label_names) {
    if (family->type != definition->type || strcmp(family->help, definition->help) != 0 ||
        strcmp(family->label_names, label_names) != 0) {
        metrics_misused(definition->name, "two types, help texts or sets of labels for one name");
    }
    if (family->type == METRIC_HISTOGRAM &&
        (family->buckets.count != definition->buckets->count ||
         memcmp(family->buckets.bounds, definition->buckets->bounds, family->buckets.count * sizeof(double)) != 0)) {
        metrics_misused(definition->name, "two sets of buckets for one name");
    }
}

static struct metric_family *family_get(struct metrics *metrics, const struct metric_definition *definition,
                                        const char *label_names) {
    struct metric_family **place = &metrics->families;
    while (*place != NULL && strcmp((*place)->name, definition->name) < 0) {
        place = &(*place)->next;
    }
    if (*place != NULL && strcmp((*place)->name, definition->name) == 0) {
        check_same(*place, definition, label_names);
        return *place;
    }
    struct metric_family *family = metrics_allocate(sizeof(void *), sizeof *family);
    family->name = metrics_copy(definition->name);
    family->help = metrics_copy(definition->help);
    family->label_names = metrics_copy(label_names);
    family->type = definition->type;
    if (family->type == METRIC_HISTOGRAM) {
        family->buckets = copy_buckets(definition->buckets);
    }
    family->end = &family->first;
    family->next = *place;
    *place = family;
    return family;
}

static struct histogram *histogram_new(struct metric_buckets buckets) {
    struct histogram *histogram =
        metrics_allocate(CACHE_LINE_BYTES, sizeof *histogram + (buckets.count + 1) * sizeof histogram->counts[0]);
    histogram->buckets = buckets;
    return histogram;
}

static struct metric_series *series_get(struct metric_family *family, const char *labels, bool *made) {
    for (struct metric_series *series = family->first; series != NULL; series = series->next) {
        if (strcmp(series->labels, labels) == 0) {
            *made = false;
            return series;
        }
    }
    struct metric_series *series = metrics_allocate(CACHE_LINE_BYTES, sizeof *series);
    series->labels = metrics_copy(labels);
    if (family->type == METRIC_HISTOGRAM) {
        series->as.histogram = histogram_new(family->buckets);
    }
    *family->end = series;
    family->end = &series->next;
    *made = true;
    return series;
}

struct metric_series *metrics_series(struct metrics *metrics, const struct metric_definition *definition,
                                     const struct metric_label *labels, bool *made) {
    check_definition(definition);
    char *names;
    char *pairs;
    join_labels(definition, labels, &names, &pairs);
    pthread_mutex_lock(&metrics->lock);
    struct metric_series *series = series_get(family_get(metrics, definition, names), pairs, made);
    pthread_mutex_unlock(&metrics->lock);
    free(names);
    free(pairs);
    return series;
}

/* One that counts by itself, not one that is read through a callback. */
static struct metric_series *own_series(struct metrics *metrics, const struct metric_definition *definition,
                                        const struct metric_label *labels) {
    bool made;
    struct metric_series *series = metrics_series(metrics, definition, labels, &made);
    if (!made && series->callback.read != NULL) {
        metrics_misused(definition->name, "read through a callback already");
    }
    return series;
}

/* ---- life ---- */

struct metrics *metrics_new(void) {
    struct metrics *metrics = metrics_allocate(_Alignof(struct metrics), sizeof *metrics);
    if (pthread_mutex_init(&metrics->lock, NULL) != 0) {
        abort();
    }
    return metrics;
}

static void family_free(struct metric_family *family) {
    for (struct metric_series *series = family->first; series != NULL;) {
        struct metric_series *next = series->next;
        if (family->type == METRIC_HISTOGRAM) {
            free(series->as.histogram);
        }
        free(series->labels);
        free(series);
        series = next;
    }
    free((double *)family->buckets.bounds);
    free(family->name);
    free(family->help);
    free(family->label_names);
    free(family);
}

void metrics_free(struct metrics *metrics) {
    if (metrics == NULL) {
        return;
    }
    series_indexes_free(metrics->indexes);
    for (struct metric_family *family = metrics->families; family != NULL;) {
        struct metric_family *next = family->next;
        family_free(family);
        family = next;
    }
    pthread_mutex_destroy(&metrics->lock);
    free(metrics);
}

/* ---- making ---- */

struct counter *metrics_counter(struct metrics *metrics, const char *name, const char *help,
                                const struct metric_label *labels) {
    struct metric_definition definition = {name, help, METRIC_COUNTER, NULL};
    return &own_series(metrics, &definition, labels)->as.counter;
}

struct gauge *metrics_gauge(struct metrics *metrics, const char *name, const char *help,
                            const struct metric_label *labels) {
    struct metric_definition definition = {name, help, METRIC_GAUGE, NULL};
    return &own_series(metrics, &definition, labels)->as.gauge;
}

struct histogram *metrics_histogram(struct metrics *metrics, const char *name, const char *help,
                                    const struct metric_label *labels, const struct metric_buckets *buckets) {
    struct metric_definition definition = {name, help, METRIC_HISTOGRAM, buckets};
    return own_series(metrics, &definition, labels)->as.histogram;
}

static void make_callback(struct metrics *metrics, const struct metric_definition *definition,
                          const struct metric_label *labels, struct metric_callback callback) {
    bool made;
    struct metric_series *series = metrics_series(metrics, definition, labels, &made);
    if (!made) {
        metrics_misused(definition->name, "a callback for a series that exists");
    }
    /* A scrape may be walking the list. */
    pthread_mutex_lock(&metrics->lock);
    series->callback = callback;
    pthread_mutex_unlock(&metrics->lock);
}

void metrics_gauge_callback(struct metrics *metrics, const char *name, const char *help,
                            const struct metric_label *labels, metric_reader *read, void *self) {
    struct metric_definition definition = {name, help, METRIC_GAUGE, NULL};
    make_callback(metrics, &definition, labels, (struct metric_callback){read, self});
}

void metrics_counter_callback(struct metrics *metrics, const char *name, const char *help,
                              const struct metric_label *labels, metric_reader *read, void *self) {
    struct metric_definition definition = {name, help, METRIC_COUNTER, NULL};
    make_callback(metrics, &definition, labels, (struct metric_callback){read, self});
}

/* ---- counting ---- */

void counter_add(struct counter *counter, uint64_t amount) {
    atomic_fetch_add_explicit(&counter->value, amount, memory_order_relaxed);
}

uint64_t counter_value(const struct counter *counter) {
    return atomic_load_explicit(&counter->value, memory_order_relaxed);
}

void gauge_set(struct gauge *gauge, int64_t value) {
    atomic_store_explicit(&gauge->value, value, memory_order_relaxed);
}

void gauge_add(struct gauge *gauge, int64_t amount) {
    atomic_fetch_add_explicit(&gauge->value, amount, memory_order_relaxed);
}

int64_t gauge_value(const struct gauge *gauge) {
    return atomic_load_explicit(&gauge->value, memory_order_relaxed);
}

static void add_to_sum(_Atomic uint64_t *sum, double value) {
    uint64_t old = atomic_load_explicit(sum, memory_order_relaxed);
    uint64_t new;
    do {
        double total;
        memcpy(&total, &old, sizeof total);
        total += value;
        memcpy(&new, &total, sizeof new);
    } while (!atomic_compare_exchange_weak_explicit(sum, &old, new, memory_order_relaxed, memory_order_relaxed));
}

void histogram_observe(struct histogram *histogram, double value) {
    if (isnan(value)) {
        return;
    }
    size_t bucket = 0;
    while (bucket < histogram->buckets.count && value > histogram->buckets.bounds[bucket]) {
        bucket++;
    }
    atomic_fetch_add_explicit(&histogram->counts[bucket], 1, memory_order_relaxed);
    add_to_sum(&histogram->sum, value);
}

void histogram_observe_us(struct histogram *histogram, int64_t duration_us) {
    /* Division, not multiplication by 1e-6: 25 us must be exactly the bound 25e-6. */
    histogram_observe(histogram, (double)duration_us / 1e6);
}

uint64_t histogram_count(const struct histogram *histogram) {
    uint64_t count = 0;
    for (size_t i = 0; i <= histogram->buckets.count; i++) {
        count += atomic_load_explicit(&histogram->counts[i], memory_order_relaxed);
    }
    return count;
}
