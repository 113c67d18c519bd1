#include "metadata-svc/lifecycle/housekeeper.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/base/failpoint.h"
#include "common/base/log.h"
#include "common/base/stop_signal.h"
#include "metadata-svc/lifecycle/due_timers.h"
#include "metadata-svc/store/change_log.h"
#include "metadata-svc/store/drop_list.h"

enum {
    TIMER_PAUSE_MS = 100,
    TIDY_EVERY = 50, /* pauses */
    STEP_ENTRIES = 1000,
    STEP_TIMERS = 128,
    LONG_WALK_US = 500,
};

struct housekeeper {
    struct kv *kv;
    struct housekeeper_options options;
    pthread_t thread;
    struct stop_signal stop;
    /* The thread's: */
    struct due_timers due;
    bool timers_failed;  /* told already */
    int64_t redrives_us; /* monotonic: until when redrives are used up */
};

#define SECOND_US 1000000LL

/* ---- redrives ----
 *
 * Each takes its share of a second; a pause saves up a second's worth at most. */

static size_t redrives_left(struct housekeeper *housekeeper) {
    const struct housekeeper_options *options = &housekeeper->options;
    int64_t now_us = clock_monotonic_us(options->clock);
    if (housekeeper->redrives_us < now_us - SECOND_US) {
        housekeeper->redrives_us = now_us - SECOND_US;
    }
    if (!options->objects_served(options->self) || housekeeper->redrives_us >= now_us) {
        return 0;
    }
    return (size_t)((now_us - housekeeper->redrives_us) * options->redrives_per_second / SECOND_US);
}

static void redrives_used(struct housekeeper *housekeeper, size_t count) {
    if (count > 0) {
        housekeeper->redrives_us += (int64_t)count * SECOND_US / housekeeper->options.redrives_per_second;
    }
}

/* ---- what is due ---- */

/* Whether there may be more that is due. */
static bool run_due(struct housekeeper *housekeeper) {
    const struct housekeeper_options *options = &housekeeper->options;
    struct timer due[STEP_TIMERS];
    struct error error = {0};
    struct arena arena;
    arena_init(&arena);
    int count = due_timers_read(&housekeeper->due, &arena, due, STEP_TIMERS, &error);
    bool good = count >= 0;
    if (count > 0) {
        struct commit_request request = {
            .kind = COMMIT_TIMERS,
            .arena = &arena,
            .actor = "",
            .reason = "",
            .replica = "",
            .timers = due,
            .timer_count = (size_t)count,
            .redrives_max = redrives_left(housekeeper),
            .published_revision = options->published_revision(options->self),
        };
        good = FAILPOINT("timers.commit.before") && committer_commit(options->committer, &request, &error);
        if (good) {
            FAILPOINT("timers.commit.after");
            redrives_used(housekeeper, request.payloads.redriven);
            options->settle(options->self, &request);
        }
    }
    if (!good && !housekeeper->timers_failed) {
        log_warn("timers_failed", LOG_ERROR(&error), LOG_STR("hint", "they are tried again"));
    }
    housekeeper->timers_failed = !good;
    arena_free(&arena);
    return good && count == STEP_TIMERS;
}

/* ---- what is old ---- */

static void trim_change_log(struct housekeeper *housekeeper) {
    const struct housekeeper_options *options = &housekeeper->options;
    struct error error = {0};
    int64_t trimmed;
    do {
        int64_t now_us = clock_unix_us(options->clock);
        trimmed = change_log_trim(housekeeper->kv, options->published_revision(options->self),
                                  now_us - options->change_log_retention_us, STEP_ENTRIES, &error);
        if (trimmed < 0) {
            log_warn("housekeeping_failed", LOG_ERROR(&error), LOG_STR("hint", "it is tried again in a moment"));
            return;
        }
    } while (trimmed > 0 && !stop_signal_raised(&housekeeper->stop));
}

/* Of replicas that are gone for good: nobody else can drop what they have. */
static void trim_drop_list(struct housekeeper *housekeeper) {
    struct error error = {0};
    int64_t before_us = clock_unix_us(housekeeper->options.clock) - housekeeper->options.object_drop_retention_us;
    int64_t forgotten = 0;
    int64_t trimmed;
    do {
        trimmed = drop_list_trim(housekeeper->kv, before_us, STEP_ENTRIES, &error);
        forgotten += trimmed > 0 ? trimmed : 0;
    } while (trimmed == STEP_ENTRIES && !stop_signal_raised(&housekeeper->stop));
    if (trimmed < 0) {
        log_warn("housekeeping_failed", LOG_ERROR(&error), LOG_STR("hint", "it is tried again in a moment"));
    }
    if (forgotten > 0) {
        log_info("drops_forgotten", LOG_INT("objects", forgotten),
                 LOG_STR("hint", "nobody came to drop them for object_drop_retention; if their replica comes back, a "
                                 "scrub there finds them"));
    }
}

static void tidy(struct housekeeper *housekeeper) {
    trim_change_log(housekeeper);
    trim_drop_list(housekeeper);
}

static void expire_uploads(struct housekeeper *housekeeper) {
    uint64_t count = payload_spool_expire_uploads(housekeeper->options.spool);
    if (count > 0) {
        log_info("uploads_given_up", LOG_INT("uploads", count),
                 LOG_STR("hint", "nobody went on with them for upload_idle_timeout"));
    }
}

static void *housekeeper_loop(void *argument) {
    struct housekeeper *housekeeper = argument;
    for (unsigned round = 1; !stop_signal_pause(&housekeeper->stop, TIMER_PAUSE_MS); round++) {
        do {
            store_room_look(housekeeper->options.room);
        } while (run_due(housekeeper) && !stop_signal_raised(&housekeeper->stop));
        expire_uploads(housekeeper);
        if (round % TIDY_EVERY == 0) {
            tidy(housekeeper);
        }
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
    housekeeper->due = (struct due_timers){.kv = kv, .clock = options->clock, .long_walk_us = LONG_WALK_US};
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
