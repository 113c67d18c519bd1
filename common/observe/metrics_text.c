/* Prometheus' text exposition format 0.0.4. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/observe/metrics_registry.h"

enum { NUMBER_BYTES = 40 };

static void append(struct buffer *out, const char *text) {
    buffer_append(out, text, strlen(text));
}

void metrics_append_escaped(struct buffer *out, const char *text, bool quotes) {
    for (; *text != '\0'; text++) {
        if (*text == '\n') {
            append(out, "\\n");
        } else if (*text == '\\') {
            append(out, "\\\\");
        } else if (*text == '"' && quotes) {
            append(out, "\\\"");
        } else {
            buffer_append(out, text, 1);
        }
    }
}

/* The shortest text that reads back as the same number. */
static void print_double(double value, char text[NUMBER_BYTES]) {
    if (isnan(value)) {
        strcpy(text, "NaN");
        return;
    }
    if (isinf(value)) {
        strcpy(text, value > 0 ? "+Inf" : "-Inf");
        return;
    }
    if (fabs(value) < 1e15 && value == (double)(int64_t)value) {
        snprintf(text, NUMBER_BYTES, "%.0f", value); /* 10, where %g would say 1e+01 */
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, NUMBER_BYTES, "%.*g", digits, value);
        if (strtod(text, NULL) == value) {
            return;
        }
    }
}

/* name<suffix>{labels,le="bound"} number */
static void append_sample(struct buffer *out, const struct metric_family *family, const char *suffix,
                          const char *labels, const char *bound, const char *number) {
    append(out, family->name);
    append(out, suffix);
    if (*labels != '\0' || bound != NULL) {
        append(out, "{");
        append(out, labels);
        if (bound != NULL) {
            append(out, *labels != '\0' ? ",le=\"" : "le=\"");
            append(out, bound);
            append(out, "\"");
        }
        append(out, "}");
    }
    append(out, " ");
    append(out, number);
    append(out, "\n");
}

/* The count is the sum of the buckets, so that the two agree even while others observe. */
static void append_histogram(struct buffer *out, const struct metric_family *family,
                             const struct metric_series *series) {
    struct histogram *histogram = series->as.histogram;
    char number[NUMBER_BYTES];
    char bound[NUMBER_BYTES];
    uint64_t cumulative = 0;
    for (size_t i = 0; i <= histogram->buckets.count; i++) {
        cumulative += atomic_load_explicit(&histogram->counts[i], memory_order_relaxed);
        print_double(i < histogram->buckets.count ? histogram->buckets.bounds[i] : INFINITY, bound);
        snprintf(number, sizeof number, "%" PRIu64, cumulative);
        append_sample(out, family, "_bucket", series->labels, bound, number);
    }
    uint64_t bits = atomic_load_explicit(&histogram->sum, memory_order_relaxed);
    double sum;
    memcpy(&sum, &bits, sizeof sum);
    char sum_text[NUMBER_BYTES];
    print_double(sum, sum_text);
    append_sample(out, family, "_sum", series->labels, NULL, sum_text);
    append_sample(out, family, "_count", series->labels, NULL, number);
}

static void append_series(struct buffer *out, const struct metric_family *family, const struct metric_series *series) {
    char number[NUMBER_BYTES];
    if (family->type == METRIC_HISTOGRAM) {
        append_histogram(out, family, series);
        return;
    }
    if (series->callback.read != NULL) {
        print_double(series->callback.read(series->callback.self), number);
    } else if (family->type == METRIC_COUNTER) {
        snprintf(number, sizeof number, "%" PRIu64, counter_value(&series->as.counter));
    } else {
        snprintf(number, sizeof number, "%" PRId64, gauge_value(&series->as.gauge));
    }
    append_sample(out, family, "", series->labels, NULL, number);
}

static void append_family(struct buffer *out, const struct metric_family *family) {
    static const char *const type_names[] = {"counter", "gauge", "histogram"};
    append(out, "# HELP ");
    append(out, family->name);
    append(out, " ");
    metrics_append_escaped(out, family->help, false);
    append(out, "\n# TYPE ");
    append(out, family->name);
    append(out, " ");
    append(out, type_names[family->type]);
    append(out, "\n");
    for (const struct metric_series *series = family->first; series != NULL; series = series->next) {
        append_series(out, family, series);
    }
}

void metrics_write(struct metrics *metrics, struct buffer *out) {
    pthread_mutex_lock(&metrics->lock);
    for (const struct metric_family *family = metrics->families; family != NULL; family = family->next) {
        append_family(out, family);
    }
    pthread_mutex_unlock(&metrics->lock);
}
