/* What the registry is made of. Part of metrics.c, metrics_family.c and metrics_text.c. */
#ifndef WAYBILL_OBSERVE_METRICS_REGISTRY_H
#define WAYBILL_OBSERVE_METRICS_REGISTRY_H

#include <pthread.h>
#include <stdatomic.h>

#include "common/observe/metrics.h"

struct counter {
    _Atomic uint64_t value;
};

struct gauge {
    _Atomic int64_t value;
};

struct histogram {
    struct metric_buckets buckets; /* bounds belong to the family */
    _Atomic uint64_t sum;          /* the bits of a double */
    _Atomic uint64_t counts[];     /* per bucket, not cumulative; the last is the infinite one */
};

struct metric_callback {
    metric_reader *read; /* NULL: the series counts by itself */
    void *self;
};

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

enum { CACHE_LINE_BYTES = 64 };

/* One set of label values. What threads write is on a cache line of its own. */
struct metric_series {
    union {
        struct counter counter;
        struct gauge gauge;
        struct histogram *histogram;
    } as __attribute__((aligned(CACHE_LINE_BYTES)));
    struct metric_callback callback __attribute__((aligned(CACHE_LINE_BYTES)));
    char *labels; /* `a="b",c="d"`, escaped; "" without labels */
    struct metric_series *next;
};

/* All series of one name. */
struct metric_family {
    char *name;
    char *help;
    char *label_names; /* "a,b" */
    enum metric_type type;
    struct metric_buckets buckets; /* HISTOGRAM; owned */
    struct metric_series *first;   /* in the order in which they were made */
    struct metric_series **end;
    struct metric_family *next; /* by name */
};

struct series_index;

struct metrics {
    pthread_mutex_t lock; /* guards everything below; never the figures themselves */
    struct metric_family *families;
    struct series_index *indexes; /* of families with values known only while running */
};

/* What a family is made from. */
struct metric_definition {
    const char *name;
    const char *help;
    enum metric_type type;
    const struct metric_buckets *buckets;
};

/* The series with these labels, made where it is missing; `made` says which. Takes the lock. */
struct metric_series *metrics_series(struct metrics *metrics, const struct metric_definition *definition,
                                     const struct metric_label *labels, bool *made);

/* Memory or death: the sizes are small and bounded. */
void *metrics_allocate(size_t alignment, size_t size);
char *metrics_copy(const char *text);
/* A mistake in the program. */
void metrics_misused(const char *name, const char *problem) __attribute__((noreturn));

/* Frees the indexes, not what they point to. */
void series_indexes_free(struct series_index *first);

/* Appends a label value, or with `quotes` false a help text, escaped. */
void metrics_append_escaped(struct buffer *out, const char *text, bool quotes);

#endif
