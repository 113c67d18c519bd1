#include "object-svc/cold/cold_breaker.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"

struct path_state {
    struct circuit circuit;
    struct error cause; /* of the last failure */
};

struct cold_breaker {
    struct cold_store base;
    struct cold_store *behind;
    const struct clock *clock;
    pthread_mutex_t lock; /* paths */
    struct path_state paths[COLD_PATHS];
    struct counter *refused[COLD_PATHS]; /* NULL without metrics */
    struct counter *opened[COLD_PATHS];
};

struct breaker_writer {
    struct cold_writer base;
    struct cold_breaker *breaker;
    struct cold_writer *behind;
    bool told; /* how it went */
};

static const char *const path_names[COLD_PATHS] = {"write", "read"};

static struct cold_breaker *breaker_of(struct cold_store *store) {
    return (struct cold_breaker *)store;
}

/* ---- how calls went ---- */

/* Whether any other object would fare the same. */
static bool is_outage(const struct error *error) {
    switch (error->code) {
    case ERROR_UNAVAILABLE:
    case ERROR_RESOURCE_EXHAUSTED:
    case ERROR_DEADLINE_EXCEEDED:
    case ERROR_INTERNAL:
    case ERROR_UNKNOWN:
    case ERROR_PERMISSION_DENIED:
    case ERROR_UNAUTHENTICATED:
        return true;
    case ERROR_FAILED_PRECONDITION:
        return strcmp(error->reason, "COLD_STORE_REFUSED") != 0;
    default:
        return false;
    }
}

static void note_success(struct cold_breaker *breaker, enum cold_path path) {
    pthread_mutex_lock(&breaker->lock);
    bool closes = circuit_succeeded(&breaker->paths[path].circuit);
    pthread_mutex_unlock(&breaker->lock);
    if (closes) {
        log_info("cold_store_back", LOG_STR("path", path_names[path]));
    }
}

static void note_failure(struct cold_breaker *breaker, enum cold_path path, const struct error *error) {
    if (!is_outage(error)) {
        note_success(breaker, path);
        return;
    }
    pthread_mutex_lock(&breaker->lock);
    if (strcmp(error->reason, "DRAINING") == 0) { /* which is us */
        circuit_gave_up(&breaker->paths[path].circuit);
        pthread_mutex_unlock(&breaker->lock);
        return;
    }
    breaker->paths[path].cause = *error;
    bool opens = circuit_failed(&breaker->paths[path].circuit, clock_monotonic_us(breaker->clock));
    pthread_mutex_unlock(&breaker->lock);
    if (opens) {
        log_warn("cold_store_suspended", LOG_ERROR(error), LOG_STR("path", path_names[path]),
                 LOG_STR("hint", "it is asked now and then until it answers; hot objects and commits go on"));
        if (breaker->opened[path] != NULL) {
            counter_add(breaker->opened[path], 1);
        }
    }
}

static bool note(struct cold_breaker *breaker, enum cold_path path, bool good, const struct error *error) {
    if (good) {
        note_success(breaker, path);
    } else {
        note_failure(breaker, path, error);
    }
    return good;
}

static bool admit(struct cold_breaker *breaker, enum cold_path path, struct error *error) {
    pthread_mutex_lock(&breaker->lock);
    struct path_state *state = &breaker->paths[path];
    int64_t now_us = clock_monotonic_us(breaker->clock);
    bool admitted = circuit_admit(&state->circuit, now_us);
    if (!admitted) {
        error_set(error, ERROR_UNAVAILABLE, COLD_STORE_SUSPENDED,
                  "the cold store keeps failing and is left alone: %.250s", state->cause.message);
        error->retry_after_ms = circuit_left_ms(&state->circuit, now_us);
    }
    pthread_mutex_unlock(&breaker->lock);
    if (!admitted && breaker->refused[path] != NULL) {
        counter_add(breaker->refused[path], 1);
    }
    return admitted;
}

/* ---- writing ---- */

static struct cold_writer *breaker_begin(struct cold_store *store, const struct provenance *provenance,
                                         struct error *error) {
    struct cold_breaker *breaker = breaker_of(store);
    if (!admit(breaker, COLD_PATH_WRITE, error)) {
        return NULL;
    }
    struct cold_writer *behind = cold_store_begin(breaker->behind, provenance, error);
    if (behind == NULL) {
        note_failure(breaker, COLD_PATH_WRITE, error);
        return NULL;
    }
    struct breaker_writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL) {
        abort();
    }
    *writer = (struct breaker_writer){.base = {store->ops}, .breaker = breaker, .behind = behind};
    return &writer->base;
}

static bool breaker_append(struct cold_writer *base, struct bytes data, struct error *error) {
    struct breaker_writer *writer = (struct breaker_writer *)base;
    if (cold_writer_append(writer->behind, data, error)) {
        return true; /* which a store may do in memory, so it proves nothing */
    }
    writer->told = true;
    note_failure(writer->breaker, COLD_PATH_WRITE, error);
    return false;
}

static bool breaker_finish(struct cold_writer *base, struct error *error) {
    struct breaker_writer *writer = (struct breaker_writer *)base;
    struct cold_breaker *breaker = writer->breaker;
    bool good = cold_writer_finish(writer->behind, error);
    free(writer);
    return note(breaker, COLD_PATH_WRITE, good, error);
}

static void breaker_abort(struct cold_writer *base) {
    struct breaker_writer *writer = (struct breaker_writer *)base;
    cold_writer_abort(writer->behind);
    if (!writer->told) {
        pthread_mutex_lock(&writer->breaker->lock);
        circuit_gave_up(&writer->breaker->paths[COLD_PATH_WRITE].circuit);
        pthread_mutex_unlock(&writer->breaker->lock);
    }
    free(writer);
}

static bool breaker_remove(struct cold_store *store, const struct cold_name *name, struct error *error) {
    struct cold_breaker *breaker = breaker_of(store);
    return admit(breaker, COLD_PATH_WRITE, error) &&
           note(breaker, COLD_PATH_WRITE, cold_store_remove(breaker->behind, name, error), error);
}

/* ---- reading: a reader is the store's own ---- */

static struct cold_reader *breaker_open_object(struct cold_store *store, const struct cold_name *name,
                                               struct error *error) {
    struct cold_breaker *breaker = breaker_of(store);
    if (!admit(breaker, COLD_PATH_READ, error)) {
        return NULL;
    }
    struct cold_reader *reader = cold_store_open_object(breaker->behind, name, error);
    note(breaker, COLD_PATH_READ, reader != NULL, error);
    return reader;
}

static bool breaker_verify(struct cold_store *store, const struct provenance *expected, struct error *error) {
    struct cold_breaker *breaker = breaker_of(store);
    return admit(breaker, COLD_PATH_READ, error) &&
           note(breaker, COLD_PATH_READ, cold_store_verify(breaker->behind, expected, error), error);
}

static bool breaker_list(struct cold_store *store, const char *bucket, const char *key_prefix,
                         cold_entry_visitor *visit, void *context, struct error *error) {
    struct cold_breaker *breaker = breaker_of(store);
    return admit(breaker, COLD_PATH_READ, error) &&
           note(breaker, COLD_PATH_READ, cold_store_list(breaker->behind, bucket, key_prefix, visit, context, error),
                error);
}

/* ---- life ---- */

static void breaker_close(struct cold_store *store) {
    struct cold_breaker *breaker = breaker_of(store);
    cold_store_close(breaker->behind);
    pthread_mutex_destroy(&breaker->lock);
    free(breaker);
}

static const struct cold_store_ops breaker_ops = {
    .name = "breaker",
    .begin = breaker_begin,
    .append = breaker_append,
    .finish = breaker_finish,
    .abort = breaker_abort,
    .open_object = breaker_open_object,
    .verify = breaker_verify,
    .remove = breaker_remove,
    .list = breaker_list,
    .close = breaker_close,
};

static double write_suspended(void *self) {
    return cold_breaker_suspended(self, COLD_PATH_WRITE, NULL);
}

static double read_suspended(void *self) {
    return cold_breaker_suspended(self, COLD_PATH_READ, NULL);
}

static void register_metrics(struct cold_breaker *breaker, struct metrics *metrics) {
    static metric_reader *const suspended[COLD_PATHS] = {write_suspended, read_suspended};
    for (int i = 0; i < COLD_PATHS; i++) {
        const struct metric_label *labels = METRIC_LABELS({"path", path_names[i]});
        metrics_gauge_callback(metrics, "waybill_cold_suspended",
                               "1 while the cold store keeps failing and is left alone.", labels, suspended[i],
                               breaker);
        breaker->refused[i] = metrics_counter(metrics, "waybill_cold_refused_total",
                                              "Calls that failed at once while the cold store was left alone.", labels);
        breaker->opened[i] = metrics_counter(metrics, "waybill_cold_suspensions_total",
                                             "How often the cold store began to be left alone.", labels);
    }
}

struct cold_breaker *cold_breaker_new(struct cold_store *behind, const struct cold_breaker_options *options) {
    struct cold_breaker *breaker = calloc(1, sizeof *breaker);
    if (breaker == NULL) {
        abort();
    }
    breaker->base.ops = &breaker_ops;
    breaker->behind = behind;
    breaker->clock = options->clock;
    pthread_mutex_init(&breaker->lock, NULL);
    for (int i = 0; i < COLD_PATHS; i++) {
        circuit_init(&breaker->paths[i].circuit, &options->limits,
                     (unsigned)clock_unix_us(options->clock) + (unsigned)i);
    }
    if (options->metrics != NULL) {
        register_metrics(breaker, options->metrics);
    }
    return breaker;
}

struct cold_store *cold_breaker_store(struct cold_breaker *breaker) {
    return &breaker->base;
}

bool cold_breaker_ready(struct cold_breaker *breaker, enum cold_path path) {
    pthread_mutex_lock(&breaker->lock);
    bool ready = circuit_ready(&breaker->paths[path].circuit, clock_monotonic_us(breaker->clock));
    pthread_mutex_unlock(&breaker->lock);
    return ready;
}

bool cold_breaker_suspended(struct cold_breaker *breaker, enum cold_path path, struct error *cause) {
    pthread_mutex_lock(&breaker->lock);
    const struct path_state *state = &breaker->paths[path];
    bool suspended = state->circuit.state != CIRCUIT_CLOSED;
    if (suspended && cause != NULL) {
        *cause = state->cause;
    }
    pthread_mutex_unlock(&breaker->lock);
    return suspended;
}
