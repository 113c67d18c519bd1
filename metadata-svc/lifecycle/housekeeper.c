#include "metadata-svc/lifecycle/housekeeper.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "common/base/log.h"
#include "metadata-svc/commit/commit_engine.h"
#include "metadata-svc/store/change_log.h"

enum { HOUSEKEEPER_PAUSE_SECONDS = 5, HOUSEKEEPER_STEP_ENTRIES = 1000 };

struct housekeeper {
    struct kv *kv;
    struct housekeeper_options options;
    pthread_t thread;
    pthread_mutex_t lock; /* stopping */
    pthread_cond_t changed;
    bool stopping;
};

static bool is_stopping(struct housekeeper *housekeeper) {
    pthread_mutex_lock(&housekeeper->lock);
    bool stopping = housekeeper->stopping;
    pthread_mutex_unlock(&housekeeper->lock);
    return stopping;
}

/* Returns whether it is time to stop. */
static bool pause_or_stop(struct housekeeper *housekeeper) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += HOUSEKEEPER_PAUSE_SECONDS;
    pthread_mutex_lock(&housekeeper->lock);
    int timed_out = 0;
    while (!housekeeper->stopping && timed_out == 0) {
        timed_out = pthread_cond_timedwait(&housekeeper->changed, &housekeeper->lock, &until);
    }
    bool stopping = housekeeper->stopping;
    pthread_mutex_unlock(&housekeeper->lock);
    return stopping;
}

static void tidy(struct housekeeper *housekeeper) {
    const struct housekeeper_options *options = &housekeeper->options;
    struct error error = {0};
    int64_t steps;
    do {
        int64_t now_us = clock_unix_us(options->clock);
        int64_t trimmed = change_log_trim(housekeeper->kv, options->published_revision(options->self),
                                          now_us - options->change_log_retention_us, HOUSEKEEPER_STEP_ENTRIES, &error);
        int64_t forgotten =
            trimmed < 0 ? -1 : commit_engine_forget_requests(housekeeper->kv, now_us, HOUSEKEEPER_STEP_ENTRIES, &error);
        if (forgotten < 0) {
            log_warn("housekeeping_failed", LOG_ERROR(&error), LOG_STR("hint", "it is tried again in a moment"));
            return;
        }
        steps = trimmed + forgotten;
    } while (steps > 0 && !is_stopping(housekeeper));
}

static void *housekeeper_loop(void *argument) {
    struct housekeeper *housekeeper = argument;
    while (!pause_or_stop(housekeeper)) {
        tidy(housekeeper);
    }
    return NULL;
}

struct housekeeper *housekeeper_start(struct kv *kv, const struct housekeeper_options *options) {
    struct housekeeper *housekeeper = calloc(1, sizeof *housekeeper);
    if (housekeeper == NULL) {
        abort();
    }
    housekeeper->kv = kv;
    housekeeper->options = *options;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&housekeeper->lock, NULL);
    pthread_cond_init(&housekeeper->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (pthread_create(&housekeeper->thread, NULL, housekeeper_loop, housekeeper) != 0) {
        abort();
    }
    pthread_setname_np(housekeeper->thread, "housekeeper");
    return housekeeper;
}

void housekeeper_stop(struct housekeeper *housekeeper) {
    if (housekeeper == NULL) {
        return;
    }
    pthread_mutex_lock(&housekeeper->lock);
    housekeeper->stopping = true;
    pthread_cond_signal(&housekeeper->changed);
    pthread_mutex_unlock(&housekeeper->lock);
    pthread_join(housekeeper->thread, NULL);
    pthread_cond_destroy(&housekeeper->changed);
    pthread_mutex_destroy(&housekeeper->lock);
    free(housekeeper);
}
