#include "object-svc/tier/tier_mover.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "common/base/stop_signal.h"
#include "object-svc/tier/recall.h"

enum { READ_TIMES_SAVE_MS = 60000 };

struct tier_mover {
    struct tier_mover_options options;
    pthread_t thread;
    struct bucket_policy *policies; /* the thread's */
    size_t policy_count;
    int64_t policies_us; /* when they were read; 0: never */
    bool drops_failed;   /* said once */
    struct watermark watermark;
    struct recall *recall;
    int64_t saved_us; /* when the read times were */
    struct stop_signal stop;
};

/* Old policies are better than none, so a failure keeps them. */
static void refresh_policies(struct tier_mover *mover) {
    int64_t now_us = clock_monotonic_us(mover->options.ports.clock);
    if (mover->policies_us != 0 && now_us - mover->policies_us < mover->options.policy_refresh_ms * 1000) {
        return;
    }
    struct bucket_policy *policies;
    size_t count;
    struct error error = {0};
    if (!metadata_client_list_policies(mover->options.metadata, &policies, &count, &error)) {
        log_warn("policies_not_read", LOG_ERROR(&error), LOG_STR("hint", "is metadata-svc up? it is asked again"));
        return;
    }
    free(mover->policies);
    mover->policies = policies;
    mover->policy_count = count;
    mover->policies_us = now_us;
    cold_reads_set_policies(mover->options.cold_reads, policies, count);
}

static bool step(void *self, uint64_t bytes, struct error *error) {
    struct tier_mover *mover = self;
    (void)bytes;
    return !stop_signal_raised(&mover->stop) ||
           error_set(error, ERROR_CANCELLED, "DRAINING", "the service is shutting down");
}

static bool run_round(struct tier_mover *mover) {
    struct tier_rules rules = {
        .recall_stay_us = mover->options.recall_stay_ms * 1000,
        .move = {.step = step, .self = mover},
    };
    struct tier_round round = {0};
    struct drop_round drops = {0};
    bool more = false;
    for (size_t i = 0; i < mover->policy_count; i++) {
        more |= tier_core_run(&mover->options.ports, &rules, &mover->policies[i], &round);
        if (stop_signal_raised(&mover->stop)) {
            break;
        }
    }
    more |=
        mover->policies_us != 0 && recall_run(mover->recall, &rules.move, mover->policies, mover->policy_count, &round);
    more |= watermark_run(&mover->watermark, &mover->options.ports, &rules.move, mover->policies, mover->policy_count,
                          &round);
    more |= drop_core_run(&mover->options.ports, &mover->options.drops, &rules.move, &drops);
    if (drops.error.code != ERROR_OK && !mover->drops_failed) {
        log_warn("objects_not_dropped", LOG_ERROR(&drops.error), LOG_STR("hint", "it is tried again"));
    }
    mover->drops_failed = drops.error.code != ERROR_OK;
    bool did = round.moved_objects > 0 || round.recalled_objects > 0 || round.failed_objects > 0 ||
               drops.dropped[OBJECT_TIER_HOT] > 0 || drops.dropped[OBJECT_TIER_COLD] > 0;
    if (mover->options.round_done != NULL && did) {
        mover->options.round_done(mover->options.self, &round, &drops);
    }
    return more;
}

/* A move writes and reads back; one that could only do the first would leave a copy that is not told of. */
static bool cold_is_there(const struct tier_mover *mover) {
    struct cold_breaker *breaker = mover->options.breaker;
    return breaker == NULL ||
           (cold_breaker_ready(breaker, COLD_PATH_WRITE) && cold_breaker_ready(breaker, COLD_PATH_READ));
}

static void save_read_times(struct tier_mover *mover) {
    struct error error = {0};
    mover->saved_us = clock_monotonic_us(mover->options.ports.clock);
    if (!read_times_save(mover->options.read_times, &error)) {
        log_warn("read_times_not_saved", LOG_ERROR(&error),
                 LOG_STR("hint", "after a restart objects seem less used than they are"));
    }
}

static bool save_is_due(const struct tier_mover *mover) {
    return clock_monotonic_us(mover->options.ports.clock) - mover->saved_us > READ_TIMES_SAVE_MS * 1000LL;
}

static void *tier_mover_loop(void *argument) {
    struct tier_mover *mover = argument;
    bool more = false;
    while (!stop_signal_pause(&mover->stop, more ? 0 : mover->options.interval_ms)) {
        refresh_policies(mover);
        more = cold_is_there(mover) && tier_core_finish_noted(&mover->options.ports) && run_round(mover);
        if (save_is_due(mover)) {
            save_read_times(mover);
        }
    }
    save_read_times(mover);
    return NULL;
}

struct tier_mover *tier_mover_start(const struct tier_mover_options *options) {
    struct tier_mover *mover = calloc(1, sizeof *mover);
    if (mover == NULL) {
        abort();
    }
    mover->options = *options;
    mover->watermark = (struct watermark){.rules = options->watermark, .times = options->read_times};
    struct recall_options recall = {.ports = options->ports,
                                    .notes = options->recall_notes,
                                    .watermark = options->watermark,
                                    .is_mine = options->is_mine,
                                    .self = options->self};
    mover->recall = recall_new(&recall);
    mover->saved_us = clock_monotonic_us(options->ports.clock);
    stop_signal_init(&mover->stop);
    if (pthread_create(&mover->thread, NULL, tier_mover_loop, mover) != 0) {
        abort();
    }
    pthread_setname_np(mover->thread, "tier-mover");
    return mover;
}

void tier_mover_stop(struct tier_mover *mover) {
    if (mover == NULL) {
        return;
    }
    stop_signal_raise(&mover->stop);
    pthread_join(mover->thread, NULL);
    stop_signal_destroy(&mover->stop);
    recall_free(mover->recall);
    free(mover->policies);
    free(mover);
}
