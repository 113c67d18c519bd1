#include "metadata-svc/lifecycle/housekeeper.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "common/base/stop_signal.h"
#include "metadata-svc/commit/commit_engine.h"
#include "metadata-svc/store/change_log.h"

enum { HOUSEKEEPER_PAUSE_MS = 5000, HOUSEKEEPER_STEP_ENTRIES = 1000 };

struct housekeeper {
    struct kv *kv;
    struct housekeeper_options options;
    pthread_t thread;
    struct stop_signal stop;
};

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
    } while (steps > 0 && !stop_signal_raised(&housekeeper->stop));
}

static void *housekeeper_loop(void *argument) {
    struct housekeeper *housekeeper = argument;
    while (!stop_signal_pause(&housekeeper->stop, HOUSEKEEPER_PAUSE_MS)) {
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
    stop_signal_init(&housekeeper->stop);
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
    stop_signal_raise(&housekeeper->stop);
    pthread_join(housekeeper->thread, NULL);
    stop_signal_destroy(&housekeeper->stop);
    free(housekeeper);
}
