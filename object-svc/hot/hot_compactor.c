#include "object-svc/hot/hot_compactor.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "common/base/pace.h"
#include "common/base/stop_signal.h"

enum { FAILURE_PAUSE_MS = 10000 };

struct hot_compactor {
    struct hot_compactor_options options;
    struct stop_signal stop;
    pthread_t thread;
    struct pace pace; /* the thread's */
};

static bool wait_for_turn(void *context, uint64_t bytes) {
    struct hot_compactor *compactor = context;
    int64_t wait_ms = pace_after(&compactor->pace, bytes);
    return !(wait_ms > 0 ? stop_signal_pause(&compactor->stop, wait_ms) : stop_signal_raised(&compactor->stop));
}

static void pass_on_damage(void *context, const struct hot_object *object) {
    struct hot_compactor *compactor = context;
    if (compactor->options.damaged != NULL) {
        compactor->options.damaged(compactor->options.self, object);
    }
}

static void report(struct hot_compactor *compactor, const struct volume_compaction *sums) {
    if (sums->volumes > 0) {
        log_info("hot_volume_compacted", LOG_INT("moved_objects", sums->moved_objects),
                 LOG_INT("moved_bytes", sums->moved_bytes), LOG_INT("freed_bytes", sums->freed_bytes),
                 LOG_INT("damaged_objects", sums->damaged_objects));
    }
    if (compactor->options.volume_done != NULL) {
        compactor->options.volume_done(compactor->options.self, sums);
    }
}

/* Compacts until there is nothing worth it. */
static bool run_round(struct hot_compactor *compactor, struct error *error) {
    const struct hot_compactor_options *options = &compactor->options;
    struct volume_compaction_options how = {
        .garbage_percent = options->garbage_percent,
        .pace = wait_for_turn,
        .damaged = pass_on_damage,
        .self = compactor,
    };
    bool ok = volume_compaction_prepare(options->hot, &how, error);
    for (bool found = true; ok && found && !stop_signal_raised(&compactor->stop);) {
        struct volume_compaction sums = {0};
        ok = volume_compaction_run(options->hot, &how, &sums, &found, error);
        if (found) {
            report(compactor, &sums);
        }
    }
    return ok;
}

static void *compactor_loop(void *argument) {
    struct hot_compactor *compactor = argument;
    int64_t pause_ms = compactor->options.interval_ms;
    bool well = true;
    while (!stop_signal_pause(&compactor->stop, pause_ms)) {
        struct error error = {0};
        bool ok = run_round(compactor, &error) || error.code == ERROR_CANCELLED;
        if (!ok && well) {
            log_warn("hot_compaction_failed", LOG_ERROR(&error), LOG_STR("hint", "it is tried again"));
        }
        well = ok;
        pause_ms = ok ? compactor->options.interval_ms : FAILURE_PAUSE_MS;
    }
    return NULL;
}

struct hot_compactor *hot_compactor_start(const struct hot_compactor_options *options) {
    struct hot_compactor *compactor = calloc(1, sizeof *compactor);
    if (compactor == NULL) {
        abort();
    }
    compactor->options = *options;
    compactor->pace = (struct pace){.clock = options->clock, .bytes_per_second = options->bytes_per_second};
    stop_signal_init(&compactor->stop);
    if (pthread_create(&compactor->thread, NULL, compactor_loop, compactor) != 0) {
        abort();
    }
    pthread_setname_np(compactor->thread, "hot-compactor");
    return compactor;
}

void hot_compactor_stop(struct hot_compactor *compactor) {
    if (compactor == NULL) {
        return;
    }
    stop_signal_raise(&compactor->stop);
    pthread_join(compactor->thread, NULL);
    stop_signal_destroy(&compactor->stop);
    free(compactor);
}
