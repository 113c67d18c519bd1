/* Metrics: a registry that main makes and hands to the rooms, written out in Prometheus'
 * text format 0.0.4.
 *
 *   struct counter *failures = metrics_counter(metrics, "waybill_object_failures_total",
 *                                              "Objects that could not be stored.",
 *                                              METRIC_LABELS({"reason", "checksum"}));
 *   counter_add(failures, 1);
 *
 * Counting is atomic and takes no lock: any thread, any path. Making a metric takes the
 * registry's lock: do it when a room is made, and keep the pointer. The registry owns every
 * metric and frees it with itself; texts handed in are copied.
 *
 * Asking for a metric that exists (same name, same labels) returns the one there is. What is
 * a mistake in the program aborts it: a bad name, one name with two types, help texts or sets
 * of label names, the same callback metric twice, a label value that is not UTF-8. */
#ifndef WAYBILL_OBSERVE_METRICS_H
#define WAYBILL_OBSERVE_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/bytes.h"

struct metrics;
struct counter;
struct gauge;
struct histogram;

enum { METRIC_MAX_LABELS = 6, METRIC_MAX_VALUE_BYTES = 256 };

struct metric_label {
    const char *name; /* NULL ends the list */
    const char *value;
};

/* A list of labels; NULL where a metric has none. */
#define METRIC_LABELS(...) ((const struct metric_label[]){__VA_ARGS__, {0}})

/* Upper bounds of a histogram's buckets, rising, without the last, infinite one. */
struct metric_buckets {
    const double *bounds;
    size_t count;
};

extern const struct metric_buckets metric_buckets_seconds; /* 25 us to 60 s */
extern const struct metric_buckets metric_buckets_bytes;   /* 256 B to 4 GiB, by 4 */
extern const struct metric_buckets metric_buckets_count;   /* 1 to 4096, by 2 */

struct metrics *metrics_new(void);
/* Nobody may count or scrape any more. */
void metrics_free(struct metrics *metrics);

struct counter *metrics_counter(struct metrics *metrics, const char *name, const char *help,
                                const struct metric_label *labels);
struct gauge *metrics_gauge(struct metrics *metrics, const char *name, const char *help,
                            const struct metric_label *labels);
struct histogram *metrics_histogram(struct metrics *metrics, const char *name, const char *help,
                                    const struct metric_label *labels, const struct metric_buckets *buckets);

/* A value that is read at each scrape, on the scraping thread: must be quick, must not touch
 * the registry, and `self` must live until the last scrape. */
typedef double metric_reader(void *self);
void metrics_gauge_callback(struct metrics *metrics, const char *name, const char *help,
                            const struct metric_label *labels, metric_reader *read, void *self);
void metrics_counter_callback(struct metrics *metrics, const char *name, const char *help,
                              const struct metric_label *labels, metric_reader *read, void *self);

void counter_add(struct counter *counter, uint64_t amount);
uint64_t counter_value(const struct counter *counter);

void gauge_set(struct gauge *gauge, int64_t value);
void gauge_add(struct gauge *gauge, int64_t amount); /* may be negative */
int64_t gauge_value(const struct gauge *gauge);

/* A value equal to a bound falls into that bound's bucket. NaN is dropped. */
void histogram_observe(struct histogram *histogram, double value);
/* For the seconds histograms: what a monotonic clock measured. */
void histogram_observe_us(struct histogram *histogram, int64_t duration_us);
uint64_t histogram_count(const struct histogram *histogram);

/* ---- families whose label values are known only while running ----
 *
 * At most max_series series are made; what comes after is counted in one more series whose
 * label values are all "other". Looking up is lock-free; only a new series takes the lock. */

struct counter_family;
struct histogram_family;

/* `label_names` ends with NULL, at most METRIC_MAX_LABELS. */
struct counter_family *metrics_counter_family(struct metrics *metrics, const char *name, const char *help,
                                              const char *const *label_names, size_t max_series);
struct histogram_family *metrics_histogram_family(struct metrics *metrics, const char *name, const char *help,
                                                  const char *const *label_names, const struct metric_buckets *buckets,
                                                  size_t max_series);
/* One value for each label name. Values that are not UTF-8, or longer than
 * METRIC_MAX_VALUE_BYTES, go to the "other" series too. Any thread; the result lives as long
 * as the registry. */
struct counter *counter_family_get(struct counter_family *family, const char *const *values);
struct histogram *histogram_family_get(struct histogram_family *family, const char *const *values);
/* The same, but NULL where there is no such series yet. */
struct histogram *histogram_family_find(struct histogram_family *family, const char *const *values);

/* Appends the text format: families by name, series in the order in which they were made. */
void metrics_write(struct metrics *metrics, struct buffer *out);

#endif
