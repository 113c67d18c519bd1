#include "object-svc/scrub/scrubber.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/base/log.h"

struct scrub_run {
    struct scrub_status status;  /* `counts` are in the result */
    struct scrub_result *result; /* NULL: no run */
};

struct scrubber {
    struct scrubber_options options;
    struct counter *found[SCRUB_KINDS];
    struct stop_signal stop;
    pthread_t thread;
    pthread_mutex_t lock;               /* all that follows */
    struct scrub_run runs[SCRUBS_KEPT]; /* newest first */
    bool running;
};

static void count_finding(void *self, const struct scrub_finding *finding) {
    struct scrubber *scrubber = self;
    counter_add(scrubber->found[finding->kind], 1);
}

/* ---- the runs that are kept ---- */

/* Under the lock. */
static void add_run(struct scrubber *scrubber, const struct scrub_options *options) {
    scrub_result_free(scrubber->runs[SCRUBS_KEPT - 1].result);
    for (size_t i = SCRUBS_KEPT - 1; i > 0; i--) {
        scrubber->runs[i] = scrubber->runs[i - 1];
    }
    scrubber->runs[0] = (struct scrub_run){
        .status = {.options = *options, .start_us = clock_unix_us(scrubber->options.ports.clock)},
        .result = scrub_result_new(),
    };
    scrubber->runs[0].status.id = uuid_make();
    if (options->bytes_per_second == 0) {
        scrubber->runs[0].status.options.bytes_per_second = scrubber->options.bytes_per_second;
    }
    scrubber->runs[0].status.options.confirm_ms = scrubber->options.confirm_ms;
    scrubber->running = true;
}

static void begin_by_interval(struct scrubber *scrubber) {
    struct scrub_options options = {.repair = true};
    pthread_mutex_lock(&scrubber->lock);
    if (!scrubber->running) {
        add_run(scrubber, &options);
    }
    pthread_mutex_unlock(&scrubber->lock);
}

/* ---- the thread ---- */

static void log_end(struct scrub_result *result, const struct error *error) {
    struct scrub_counts counts;
    scrub_result_counts(result, &counts);
    if (error->code != ERROR_OK) {
        log_warn("scrub_ended_early", LOG_ERROR(error), LOG_INT("objects", counts.objects));
        return;
    }
    log_info("scrub_done", LOG_INT("objects", counts.objects), LOG_INT("bytes", counts.bytes),
             LOG_INT("corrupt", counts.found[SCRUB_CORRUPT]), LOG_INT("missing", counts.found[SCRUB_MISSING]),
             LOG_INT("orphaned", counts.found[SCRUB_ORPHANED]), LOG_INT("unlisted", counts.found[SCRUB_UNLISTED]));
}

static void run_newest(struct scrubber *scrubber) {
    struct scrub_run *run = &scrubber->runs[0]; /* stays where it is while `running` */
    struct error error = {0};
    scrub_core_run(&scrubber->options.ports, &run->status.options, run->result, &error);
    log_end(run->result, &error);
    pthread_mutex_lock(&scrubber->lock);
    run->status.end_us = clock_unix_us(scrubber->options.ports.clock);
    run->status.error = error;
    scrubber->running = false;
    pthread_mutex_unlock(&scrubber->lock);
}

static bool is_begun(struct scrubber *scrubber) {
    pthread_mutex_lock(&scrubber->lock);
    bool begun = scrubber->running;
    pthread_mutex_unlock(&scrubber->lock);
    return begun;
}

static int64_t now_ms(const struct scrubber *scrubber) {
    return clock_monotonic_us(scrubber->options.ports.clock) / 1000;
}

static void *scrub_loop(void *argument) {
    struct scrubber *scrubber = argument;
    int64_t interval_ms = scrubber->options.interval_ms;
    int64_t due_ms = now_ms(scrubber) + interval_ms / 8;
    for (;;) {
        int64_t left_ms = interval_ms == 0 ? INT32_MAX : due_ms - now_ms(scrubber);
        if (stop_signal_pause(&scrubber->stop, left_ms > 0 ? left_ms : 0)) {
            return NULL;
        }
        if (interval_ms != 0 && now_ms(scrubber) >= due_ms) {
            begin_by_interval(scrubber);
        }
        if (is_begun(scrubber)) {
            run_newest(scrubber);
            due_ms = now_ms(scrubber) + interval_ms;
        }
    }
}

struct scrubber *scrubber_start(const struct scrubber_options *options) {
    struct scrubber *scrubber = calloc(1, sizeof *scrubber);
    if (scrubber == NULL) {
        abort();
    }
    scrubber->options = *options;
    scrubber->options.ports.repair.stop = &scrubber->stop;
    scrubber->options.ports.found = count_finding;
    scrubber->options.ports.self = scrubber;
    for (int kind = SCRUB_CORRUPT; kind < SCRUB_KINDS; kind++) {
        scrubber->found[kind] = metrics_counter(options->metrics, "waybill_scrub_errors_total",
                                                "Copies of objects that scrubs found not to be as they ought.",
                                                METRIC_LABELS({"kind", scrub_kind_name((enum scrub_kind)kind)}));
    }
    stop_signal_init(&scrubber->stop);
    pthread_mutex_init(&scrubber->lock, NULL);
    if (pthread_create(&scrubber->thread, NULL, scrub_loop, scrubber) != 0) {
        abort();
    }
    pthread_setname_np(scrubber->thread, "scrubber");
    return scrubber;
}

void scrubber_stop(struct scrubber *scrubber) {
    if (scrubber == NULL) {
        return;
    }
    stop_signal_raise(&scrubber->stop);
    pthread_join(scrubber->thread, NULL);
    stop_signal_destroy(&scrubber->stop);
    pthread_mutex_destroy(&scrubber->lock);
    for (size_t i = 0; i < SCRUBS_KEPT; i++) {
        scrub_result_free(scrubber->runs[i].result);
    }
    free(scrubber);
}

/* ---- asking ---- */

bool scrubber_begin(struct scrubber *scrubber, const struct scrub_options *options, struct uuid *id,
                    struct error *error) {
    pthread_mutex_lock(&scrubber->lock);
    bool free_now = !scrubber->running;
    if (free_now) {
        add_run(scrubber, options);
    }
    *id = scrubber->runs[0].status.id;
    pthread_mutex_unlock(&scrubber->lock);
    if (!free_now) {
        char text[UUID_TEXT_BYTES];
        uuid_print(id, text);
        error_set(error, ERROR_FAILED_PRECONDITION, "SCRUB_RUNNING", "a scrub is under way");
        error_set_detail(error, "scrub_id", "%s", text);
        return false;
    }
    stop_signal_wake(&scrubber->stop);
    return true;
}

bool scrubber_get(struct scrubber *scrubber, const struct uuid *id, size_t first, struct scrub_finding *findings,
                  size_t max, struct scrub_status *status, size_t *count, struct error *error) {
    bool found = false;
    pthread_mutex_lock(&scrubber->lock);
    for (size_t i = 0; i < SCRUBS_KEPT && !found; i++) {
        const struct scrub_run *run = &scrubber->runs[i];
        if (run->result != NULL && (uuid_is_zero(id) || uuid_equal(&run->status.id, id))) {
            *status = run->status;
            *count = scrub_result_findings(run->result, first, findings, max);
            scrub_result_counts(run->result, &status->counts);
            found = true;
        }
    }
    pthread_mutex_unlock(&scrubber->lock);
    return found || error_set(error, ERROR_NOT_FOUND, "SCRUB_NOT_FOUND", "there is no such scrub (any more)");
}
