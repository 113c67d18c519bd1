// rooms: waybill_observe
#include <criterion/criterion.h>

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/observe/metrics.h"

/* The page as text; the caller frees it. */
static char *scrape(struct metrics *metrics) {
    struct buffer out = {0};
    metrics_write(metrics, &out);
    buffer_append_u8(&out, '\0');
    return (char *)out.data;
}

static void expect_page(struct metrics *metrics, const char *expected) {
    char *text = scrape(metrics);
    cr_assert_str_eq(text, expected);
    free(text);
}

static void expect_line(struct metrics *metrics, const char *line) {
    char *text = scrape(metrics);
    cr_assert_not_null(strstr(text, line), "no \"%s\" in\n%s", line, text);
    free(text);
}

static double read_double(void *self) {
    return *(double *)self;
}

/* ---- the text ---- */

Test(metrics, an_empty_registry_writes_nothing) {
    struct metrics *metrics = metrics_new();
    expect_page(metrics, "");
    metrics_free(metrics);
}

Test(metrics, the_page_is_prometheus_text_families_by_name_series_as_made) {
    static const double bounds[] = {0.5, 1, 1048576};
    static const struct metric_buckets buckets = {bounds, 3};
    struct metrics *metrics = metrics_new();
    struct histogram *flush = metrics_histogram(metrics, "waybill_flush_seconds", "Flush.",
                                                METRIC_LABELS({"write_mode", "decoupled"}), &buckets);
    struct counter *second =
        metrics_counter(metrics, "waybill_bytes_total", "Bytes.", METRIC_LABELS({"tier", "hot"}, {"direction", "in"}));
    struct counter *third =
        metrics_counter(metrics, "waybill_bytes_total", "Bytes.", METRIC_LABELS({"tier", "cold"}, {"direction", "in"}));
    struct gauge *depth = metrics_gauge(metrics, "waybill_outbox_depth", "Depth.", NULL);
    double age = 1.25;
    metrics_gauge_callback(metrics, "waybill_age_seconds", "Age.", NULL, read_double, &age);
    histogram_observe(flush, 0.25);
    histogram_observe(flush, 0.75);
    histogram_observe(flush, 2e9);
    counter_add(second, 18446744073709551615u);
    counter_add(third, 3);
    gauge_set(depth, -7);
    expect_page(metrics, "# HELP waybill_age_seconds Age.\n"
                         "# TYPE waybill_age_seconds gauge\n"
                         "waybill_age_seconds 1.25\n"
                         "# HELP waybill_bytes_total Bytes.\n"
                         "# TYPE waybill_bytes_total counter\n"
                         "waybill_bytes_total{tier=\"hot\",direction=\"in\"} 18446744073709551615\n"
                         "waybill_bytes_total{tier=\"cold\",direction=\"in\"} 3\n"
                         "# HELP waybill_flush_seconds Flush.\n"
                         "# TYPE waybill_flush_seconds histogram\n"
                         "waybill_flush_seconds_bucket{write_mode=\"decoupled\",le=\"0.5\"} 1\n"
                         "waybill_flush_seconds_bucket{write_mode=\"decoupled\",le=\"1\"} 2\n"
                         "waybill_flush_seconds_bucket{write_mode=\"decoupled\",le=\"1048576\"} 2\n"
                         "waybill_flush_seconds_bucket{write_mode=\"decoupled\",le=\"+Inf\"} 3\n"
                         "waybill_flush_seconds_sum{write_mode=\"decoupled\"} 2000000001\n"
                         "waybill_flush_seconds_count{write_mode=\"decoupled\"} 3\n"
                         "# HELP waybill_outbox_depth Depth.\n"
                         "# TYPE waybill_outbox_depth gauge\n"
                         "waybill_outbox_depth -7\n");
    metrics_free(metrics);
}

Test(metrics, help_and_labels_are_escaped) {
    struct metrics *metrics = metrics_new();
    metrics_counter(metrics, "a_total", "one\ntwo \\ \"three\"", METRIC_LABELS({"b", "x\"y\\z\n\xc3\xbc"}));
    expect_page(metrics, "# HELP a_total one\\ntwo \\\\ \"three\"\n"
                         "# TYPE a_total counter\n"
                         "a_total{b=\"x\\\"y\\\\z\\n\xc3\xbc\"} 0\n");
    metrics_free(metrics);
}

Test(metrics, callbacks_are_read_at_each_scrape) {
    struct metrics *metrics = metrics_new();
    double value = INFINITY;
    metrics_counter_callback(metrics, "a_total", "A.", METRIC_LABELS({"b", "c"}), read_double, &value);
    expect_line(metrics, "a_total{b=\"c\"} +Inf\n");
    value = -INFINITY;
    expect_line(metrics, "a_total{b=\"c\"} -Inf\n");
    value = NAN;
    expect_line(metrics, "a_total{b=\"c\"} NaN\n");
    value = 0.1;
    expect_line(metrics, "a_total{b=\"c\"} 0.1\n");
    value = 1e300;
    expect_line(metrics, "a_total{b=\"c\"} 1e+300\n");
    metrics_free(metrics);
}

/* ---- histograms ---- */

Test(metrics, a_value_on_a_bound_falls_into_that_bucket) {
    static const double bounds[] = {1, 2};
    static const struct metric_buckets buckets = {bounds, 2};
    struct metrics *metrics = metrics_new();
    struct histogram *histogram = metrics_histogram(metrics, "h", "H.", NULL, &buckets);
    histogram_observe(histogram, 1);
    expect_line(metrics, "h_bucket{le=\"1\"} 1\nh_bucket{le=\"2\"} 1\nh_bucket{le=\"+Inf\"} 1\n");
    histogram_observe(histogram, nextafter(1, 2));
    expect_line(metrics, "h_bucket{le=\"1\"} 1\nh_bucket{le=\"2\"} 2\nh_bucket{le=\"+Inf\"} 2\n");
    histogram_observe(histogram, nextafter(2, 3));
    expect_line(metrics, "h_bucket{le=\"1\"} 1\nh_bucket{le=\"2\"} 2\nh_bucket{le=\"+Inf\"} 3\n");
    histogram_observe(histogram, -5);
    histogram_observe(histogram, NAN);
    expect_line(metrics, "h_bucket{le=\"1\"} 2\nh_bucket{le=\"2\"} 3\nh_bucket{le=\"+Inf\"} 4\n");
    cr_assert_eq(histogram_count(histogram), 4);
    metrics_free(metrics);
}

Test(metrics, microseconds_fall_onto_the_bounds_exactly) {
    struct metrics *metrics = metrics_new();
    struct histogram *histogram = metrics_histogram(metrics, "h", "H.", NULL, &metric_buckets_seconds);
    histogram_observe_us(histogram, 25);
    expect_line(metrics, "h_bucket{le=\"2.5e-05\"} 1\n");
    histogram_observe_us(histogram, 2500);
    histogram_observe_us(histogram, 2501);
    expect_line(metrics, "h_bucket{le=\"0.0025\"} 2\n");
    histogram_observe_us(histogram, 60000000);
    expect_line(metrics, "h_bucket{le=\"60\"} 4\n");
    histogram_observe_us(histogram, 60000001);
    expect_line(metrics, "h_bucket{le=\"60\"} 4\nh_bucket{le=\"+Inf\"} 5\n");
    metrics_free(metrics);
}

Test(metrics, the_ready_made_buckets_rise) {
    static const struct metric_buckets *const all[] = {&metric_buckets_seconds, &metric_buckets_bytes,
                                                       &metric_buckets_count};
    for (size_t set = 0; set < 3; set++) {
        for (size_t i = 1; i < all[set]->count; i++) {
            cr_assert_gt(all[set]->bounds[i], all[set]->bounds[i - 1]);
        }
    }
}

/* ---- identity ---- */

Test(metrics, the_same_name_and_labels_are_the_same_metric) {
    struct metrics *metrics = metrics_new();
    struct counter *first = metrics_counter(metrics, "a_total", "A.", METRIC_LABELS({"b", "c"}));
    cr_assert_eq(metrics_counter(metrics, "a_total", "A.", METRIC_LABELS({"b", "c"})), first);
    cr_assert_neq(metrics_counter(metrics, "a_total", "A.", METRIC_LABELS({"b", "d"})), first);
    counter_add(first, 2);
    cr_assert_eq(counter_value(first), 2);
    metrics_free(metrics);
}

#define ABORTS(name_, ...)                                                                                             \
    Test(metrics, name_, .signal = SIGABRT) {                                                                          \
        struct metrics *metrics = metrics_new();                                                                       \
        __VA_ARGS__;                                                                                                   \
    }

ABORTS(a_name_with_two_types_is_a_mistake, metrics_counter(metrics, "a", "A.", NULL);
       metrics_gauge(metrics, "a", "A.", NULL))
ABORTS(a_name_with_two_helps_is_a_mistake, metrics_counter(metrics, "a", "A.", NULL);
       metrics_counter(metrics, "a", "B.", NULL))
ABORTS(a_name_with_two_sets_of_labels_is_a_mistake, metrics_counter(metrics, "a", "A.", NULL);
       metrics_counter(metrics, "a", "A.", METRIC_LABELS({"b", "c"})))
ABORTS(a_bad_name_is_a_mistake, metrics_counter(metrics, "a-b", "A.", NULL))
ABORTS(a_bad_label_name_is_a_mistake, metrics_counter(metrics, "a", "A.", METRIC_LABELS({"a:b", ""})))
ABORTS(a_bucket_label_is_a_mistake,
       metrics_histogram(metrics, "a", "A.", METRIC_LABELS({"le", ""}), &metric_buckets_count))
ABORTS(a_label_that_is_not_utf8_is_a_mistake, metrics_counter(metrics, "a", "A.", METRIC_LABELS({"b", "\xff"})))
ABORTS(a_second_callback_is_a_mistake, double value = 0;
       metrics_gauge_callback(metrics, "a", "A.", NULL, read_double, &value);
       metrics_gauge_callback(metrics, "a", "A.", NULL, read_double, &value))

/* ---- families ---- */

static const char *const one_label[] = {"x", NULL};
static const char *const two_labels[] = {"x", "y", NULL};

static struct counter *get1(struct counter_family *family, const char *value) {
    return counter_family_get(family, (const char *const[]){value});
}

Test(metrics, a_family_finds_its_series_again) {
    struct metrics *metrics = metrics_new();
    struct counter_family *family = metrics_counter_family(metrics, "a_total", "A.", two_labels, 8);
    struct counter *first = counter_family_get(family, (const char *const[]){"ab", "c"});
    cr_assert_eq(counter_family_get(family, (const char *const[]){"ab", "c"}), first);
    cr_assert_neq(counter_family_get(family, (const char *const[]){"a", "bc"}), first);
    counter_add(first, 5);
    expect_line(metrics, "a_total{x=\"ab\",y=\"c\"} 5\na_total{x=\"a\",y=\"bc\"} 0\n");
    metrics_free(metrics);
}

Test(metrics, a_full_family_counts_the_rest_as_other) {
    struct metrics *metrics = metrics_new();
    struct counter_family *family = metrics_counter_family(metrics, "a_total", "A.", one_label, 2);
    counter_add(get1(family, "p"), 1);
    counter_add(get1(family, "q"), 1);
    for (int i = 0; i < 1000; i++) {
        char value[16];
        snprintf(value, sizeof value, "v%d", i);
        counter_add(get1(family, value), 1);
    }
    counter_add(get1(family, "p"), 1);
    expect_page(metrics, "# HELP a_total A.\n# TYPE a_total counter\n"
                         "a_total{x=\"p\"} 2\na_total{x=\"q\"} 1\na_total{x=\"other\"} 1000\n");
    metrics_free(metrics);
}

Test(metrics, a_value_called_other_is_not_a_second_series) {
    struct metrics *metrics = metrics_new();
    struct counter_family *family = metrics_counter_family(metrics, "a_total", "A.", one_label, 1);
    counter_add(get1(family, "other"), 1);
    counter_add(get1(family, "more"), 1);
    expect_page(metrics, "# HELP a_total A.\n# TYPE a_total counter\na_total{x=\"other\"} 2\n");
    metrics_free(metrics);
}

Test(metrics, values_that_will_not_do_are_counted_as_other) {
    struct metrics *metrics = metrics_new();
    struct counter_family *family = metrics_counter_family(metrics, "a_total", "A.", one_label, 8);
    char longest[METRIC_MAX_VALUE_BYTES + 2];
    memset(longest, 'v', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    counter_add(get1(family, longest), 1);
    counter_add(get1(family, "\xff\xfe"), 1);
    expect_line(metrics, "a_total{x=\"other\"} 2\n");
    longest[METRIC_MAX_VALUE_BYTES] = '\0';
    counter_add(get1(family, longest), 1);
    expect_line(metrics, "v\"} 1\n");
    metrics_free(metrics);
}

Test(metrics, a_histogram_family_makes_only_what_is_asked_for) {
    struct metrics *metrics = metrics_new();
    struct histogram_family *family =
        metrics_histogram_family(metrics, "a_seconds", "A.", one_label, &metric_buckets_seconds, 4);
    const char *const value[] = {"v"};
    cr_assert_null(histogram_family_find(family, value));
    struct histogram *histogram = histogram_family_get(family, value);
    cr_assert_eq(histogram_family_find(family, value), histogram);
    histogram_observe_us(histogram, 1000000);
    expect_line(metrics, "a_seconds_sum{x=\"v\"} 1\na_seconds_count{x=\"v\"} 1\n");
    metrics_free(metrics);
}

/* ---- threads ---- */

enum { THREADS = 4, ROUNDS = 20000, VALUES = 24, MAX_SERIES = 16 };

struct shared {
    struct metrics *metrics;
    struct counter *counter;
    struct gauge *gauge;
    struct histogram *histogram;
    struct counter_family *family;
};

static void *count(void *argument) {
    struct shared *shared = argument;
    for (int i = 0; i < ROUNDS; i++) {
        counter_add(shared->counter, 1);
        gauge_add(shared->gauge, i % 2 == 0 ? 3 : -1);
        histogram_observe(shared->histogram, i % 8);
        char value[8];
        snprintf(value, sizeof value, "%d", i % VALUES);
        counter_add(get1(shared->family, value), 1);
    }
    return NULL;
}

/* Adds up the samples whose lines begin with `prefix`. */
static uint64_t total(const char *page, const char *prefix) {
    uint64_t sum = 0;
    for (const char *line = page; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, prefix, strlen(prefix)) == 0) {
            sum += strtoull(strchr(line, ' ') + 1, NULL, 10);
        }
    }
    return sum;
}

Test(metrics, nothing_is_lost_when_many_threads_count_and_one_scrapes) {
    struct metrics *metrics = metrics_new();
    struct shared shared = {
        .metrics = metrics,
        .counter = metrics_counter(metrics, "a_total", "A.", NULL),
        .gauge = metrics_gauge(metrics, "b", "B.", NULL),
        .histogram = metrics_histogram(metrics, "c", "C.", NULL, &metric_buckets_count),
        .family = metrics_counter_family(metrics, "d_total", "D.", one_label, MAX_SERIES),
    };
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, count, &shared), 0);
    }
    for (int i = 0; i < 50; i++) {
        char *page = scrape(metrics);
        cr_assert_eq(total(page, "c_bucket{le=\"+Inf\"}"), total(page, "c_count"));
        free(page);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    char *page = scrape(metrics);
    cr_assert_eq(counter_value(shared.counter), THREADS * ROUNDS);
    cr_assert_eq(gauge_value(shared.gauge), THREADS * ROUNDS);
    cr_assert_eq(histogram_count(shared.histogram), THREADS * ROUNDS);
    cr_assert_eq(total(page, "c_sum"), THREADS * (ROUNDS / 8) * 28);
    cr_assert_eq(total(page, "d_total{"), THREADS * ROUNDS);
    int series = 0;
    for (const char *next = page; (next = strstr(next, "\nd_total{")) != NULL; next++) {
        series++;
    }
    cr_assert_eq(series, MAX_SERIES + 1);
    free(page);
    metrics_free(metrics);
}
