#include "object-svc/migrate/migrator.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/log.h"
#include "object-svc/migrate/cold_copier.h"

enum { SETTLE_MS = 20, PAUSE_AFTER_FAILURE_MS = 2000, PATH_BYTES = 4200 };

struct migrator {
    struct migrator_options options;
    struct cold_store_options configured;
    char file[PATH_BYTES];
    char uploads[PATH_BYTES];
    struct counter *objects_total;
    struct counter *bytes_total;
    struct stop_signal stop;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock; /* all that follows */
    struct migration_status status;
    uint64_t pass_copied; /* of the present pass */
    uint64_t pass_failed;
    struct stop_signal *copying; /* ends the pass under way; NULL while there is none */
    pthread_cond_t pass_ended;
};

/* ---- the copying ---- */

static void on_advance(void *self, uint64_t copied_objects, uint64_t copied_bytes, uint64_t present_objects) {
    struct migrator *migrator = self;
    pthread_mutex_lock(&migrator->lock);
    migrator->status.copied_objects += copied_objects;
    migrator->status.copied_bytes += copied_bytes;
    migrator->status.present_objects += present_objects;
    migrator->pass_copied += copied_objects;
    pthread_mutex_unlock(&migrator->lock);
    counter_add(migrator->objects_total, copied_objects);
    counter_add(migrator->bytes_total, copied_bytes);
}

static void on_failed(void *self, const struct cold_name *name, const struct error *error) {
    struct migrator *migrator = self;
    log_warn("migration_object_failed", LOG_ERROR(error), LOG_STR("bucket", name->bucket), LOG_STR("key", name->key),
             LOG_INT("version", name->version));
    pthread_mutex_lock(&migrator->lock);
    migrator->pass_failed++;
    if (migrator->pass_failed > migrator->status.failed_objects) {
        migrator->status.failed_objects = migrator->pass_failed;
    }
    migrator->status.error = *error;
    pthread_mutex_unlock(&migrator->lock);
}

/* Under the lock. */
static bool write_memo(struct migrator *migrator, const struct migration_memo *memo, struct error *error) {
    if (!migration_file_write(migrator->file, memo, error)) {
        return false;
    }
    migrator->status.memo = *memo;
    return true;
}

/* Writers that began before the migration write to one store only: what they write is copied if the
 * pass begins after their end. */
static bool wait_for_writers(struct migrator *migrator, struct stop_signal *copying) {
    while (cold_pair_has_single_writers(migrator->options.pair)) {
        if (stop_signal_pause(copying, SETTLE_MS)) {
            return false;
        }
    }
    return true;
}

/* Under the lock: a whole pass is over. */
static void judge_pass(struct migrator *migrator) {
    struct migration_memo memo = migrator->status.memo;
    struct error error = {0};
    if (memo.phase != MIGRATION_COPYING) {
        return;
    }
    migrator->status.passes++;
    migrator->status.failed_objects = migrator->pass_failed;
    if (migrator->pass_failed > 0 || (migrator->pass_copied > 0 && !memo.join_only)) {
        return;
    }
    migrator->status.error = (struct error){0};
    memo.phase = MIGRATION_COPIED;
    if (!write_memo(migrator, &memo, &error)) {
        migrator->status.error = error;
        return;
    }
    log_info("migration_copied", LOG_STR("target", memo.target), LOG_INT("objects", migrator->status.copied_objects),
             LOG_INT("bytes", migrator->status.copied_bytes));
}

static void run_pass(struct migrator *migrator, struct stop_signal *copying) {
    struct error error = {0};
    struct cold_copier copier = {
        .from = cold_pair_first(migrator->options.pair),
        .to = cold_pair_second(migrator->options.pair),
        .pace = {.clock = migrator->configured.clock, .bytes_per_second = migrator->options.bytes_per_second},
        .stop = copying,
        .advance = on_advance,
        .failed = on_failed,
        .self = migrator,
    };
    bool join_only = migrator->status.memo.join_only; /* does not change while there is a pass */
    bool whole = wait_for_writers(migrator, copying) && (join_only || cold_copier_run(&copier, &error));
    pthread_mutex_lock(&migrator->lock);
    if (whole) {
        judge_pass(migrator);
    } else if (error.code != ERROR_OK && error.code != ERROR_CANCELLED) {
        migrator->status.error = error;
        log_warn("migration_pass_broken", LOG_ERROR(&error), LOG_STR("hint", "it is tried again"));
    }
    pthread_mutex_unlock(&migrator->lock);
}

/* Begins a pass if there is one to make. */
static bool enter_pass(struct migrator *migrator, struct stop_signal *copying) {
    pthread_mutex_lock(&migrator->lock);
    bool due = migrator->status.memo.phase == MIGRATION_COPYING && !stop_signal_raised(&migrator->stop);
    if (due) {
        migrator->pass_copied = 0;
        migrator->pass_failed = 0;
        migrator->status.present_objects = 0;
        migrator->copying = copying;
    }
    pthread_mutex_unlock(&migrator->lock);
    return due;
}

/* Whether the next pass should wait. */
static bool leave_pass(struct migrator *migrator) {
    pthread_mutex_lock(&migrator->lock);
    migrator->copying = NULL;
    bool trouble = migrator->status.error.code != ERROR_OK;
    pthread_cond_broadcast(&migrator->pass_ended);
    pthread_mutex_unlock(&migrator->lock);
    return trouble;
}

static void *migrator_loop(void *argument) {
    struct migrator *migrator = argument;
    bool trouble = false;
    bool worked = false;
    for (;;) {
        int64_t pause_ms = trouble ? PAUSE_AFTER_FAILURE_MS : worked ? 0 : INT32_MAX;
        if (stop_signal_pause(&migrator->stop, pause_ms)) {
            return NULL;
        }
        struct stop_signal copying;
        stop_signal_init(&copying);
        worked = enter_pass(migrator, &copying);
        trouble = false;
        if (worked) {
            run_pass(migrator, &copying);
            trouble = leave_pass(migrator);
        }
        stop_signal_destroy(&copying);
    }
}

/* ---- the steps ---- */

static enum cold_pair_mode mode_of(enum migration_phase phase) {
    switch (phase) {
    case MIGRATION_NONE:
    case MIGRATION_RETURNING: /* of hot volumes only */
        break;
    case MIGRATION_COPYING:
    case MIGRATION_COPIED:
        return COLD_FIRST_LEADS;
    case MIGRATION_SWITCHED:
        return COLD_SECOND_LEADS;
    case MIGRATION_FINISHED:
        return COLD_SECOND_ONLY;
    }
    return COLD_FIRST_ONLY;
}

static const char *phase_name(enum migration_phase phase) {
    static const char *const names[] = {"NONE", "COPYING", "COPIED", "SWITCHED", "FINISHED"};
    return names[phase];
}

/* Opens the target; NULL, or a store of another place than the configured one. */
static struct cold_store *open_target(struct migrator *migrator, const char *target, bool *is_configured,
                                      struct error *error) {
    struct arena arena;
    struct cold_store_options options;
    struct cold_store *store = NULL;
    arena_init(&arena);
    *is_configured = false;
    if (cold_target_parse(target, &migrator->configured, migrator->uploads, &arena, &options, error)) {
        *is_configured =
            strcmp(cold_target_place(&options, &arena), cold_target_place(&migrator->configured, &arena)) == 0;
        store = *is_configured ? NULL : cold_store_open(&options, error);
    }
    arena_free(&arena);
    return store;
}

/* Under the lock. */
static bool check_none(struct migrator *migrator, struct error *error) {
    return migrator->status.memo.phase == MIGRATION_NONE ||
           error_set(error, ERROR_FAILED_PRECONDITION, "MIGRATION_RUNNING", "a migration to %.200s is under way",
                     migrator->status.memo.target);
}

/* Under the lock. */
static bool begin_locked(struct migrator *migrator, const char *target, bool join_only, struct error *error) {
    struct migration_memo memo = {
        .id = uuid_make(),
        .phase = MIGRATION_COPYING,
        .join_only = join_only,
        .start_us = clock_unix_us(migrator->configured.clock),
    };
    bool is_configured;
    struct cold_store *store = open_target(migrator, target, &is_configured, error);
    if (store == NULL) {
        return is_configured ? error_set_field(error, "target", "BAD_TARGET", "the cold store is there already")
                             : false;
    }
    memcpy(memo.target, target, strlen(target) + 1);
    if (!write_memo(migrator, &memo, error)) {
        cold_store_close(store);
        return false;
    }
    migrator->status = (struct migration_status){.memo = memo};
    if (!cold_pair_set_second(migrator->options.pair, store)) {
        cold_store_close(store);
        migrator->status.memo.phase = MIGRATION_NONE;
        struct error ignored = {0};
        migration_file_remove(migrator->file, &ignored);
        return error_set(error, ERROR_FAILED_PRECONDITION, "TOO_MANY_MIGRATIONS",
                         "there were too many migrations since the service started; start it again");
    }
    cold_pair_set_mode(migrator->options.pair, mode_of(memo.phase));
    return true;
}

bool migrator_begin(struct migrator *migrator, const char *target, bool join_only, struct migration_status *status,
                    struct error *error) {
    pthread_mutex_lock(&migrator->lock);
    bool good = check_none(migrator, error) && begin_locked(migrator, target, join_only, error);
    *status = migrator->status;
    pthread_mutex_unlock(&migrator->lock);
    if (good) {
        stop_signal_wake(&migrator->stop);
    }
    return good;
}

static bool wrong_phase(enum migration_phase phase, struct error *error) {
    error_set(error, ERROR_FAILED_PRECONDITION, "MIGRATION_PHASE", "that is no step of a migration that is %s",
              phase_name(phase));
    error_set_detail(error, "phase", "%s", phase_name(phase));
    return false;
}

static bool is_cancellable(enum migration_phase phase) {
    return phase == MIGRATION_COPYING || phase == MIGRATION_COPIED;
}

/* Under the lock, which it gives up while it waits for the copying to end. */
static bool cancel(struct migrator *migrator, struct error *error) {
    while (migrator->copying != NULL) {
        stop_signal_raise(migrator->copying);
        pthread_cond_wait(&migrator->pass_ended, &migrator->lock);
    }
    if (!is_cancellable(migrator->status.memo.phase)) {
        return wrong_phase(migrator->status.memo.phase, error);
    }
    migrator->status.memo.phase = MIGRATION_NONE;
    cold_pair_set_mode(migrator->options.pair, COLD_FIRST_ONLY);
    return migration_file_remove(migrator->file, error);
}

static bool change_phase(struct migrator *migrator, enum migration_phase phase, struct error *error) {
    struct migration_memo memo = migrator->status.memo;
    memo.phase = phase;
    if (!write_memo(migrator, &memo, error)) {
        return false;
    }
    cold_pair_set_mode(migrator->options.pair, mode_of(phase));
    log_info("migration_phase", LOG_STR("phase", phase_name(phase)), LOG_STR("target", memo.target));
    return true;
}

/* Under the lock. */
static bool step_locked(struct migrator *migrator, enum migration_step step, struct error *error) {
    enum migration_phase phase = migrator->status.memo.phase;
    if (phase == MIGRATION_NONE) {
        return error_set(error, ERROR_NOT_FOUND, "MIGRATION_NOT_FOUND", "no migration is under way");
    }
    if (step == MIGRATION_SWITCH && phase == MIGRATION_COPIED) {
        return change_phase(migrator, MIGRATION_SWITCHED, error);
    }
    if (step == MIGRATION_BACK && phase == MIGRATION_SWITCHED) {
        return change_phase(migrator, MIGRATION_COPIED, error);
    }
    if (step == MIGRATION_FINISH && phase == MIGRATION_SWITCHED) {
        return change_phase(migrator, MIGRATION_FINISHED, error);
    }
    if (step == MIGRATION_CANCEL && is_cancellable(phase)) {
        return cancel(migrator, error);
    }
    return wrong_phase(phase, error);
}

bool migrator_step(struct migrator *migrator, enum migration_step step, struct migration_status *status,
                   struct error *error) {
    pthread_mutex_lock(&migrator->lock);
    bool good = step_locked(migrator, step, error);
    *status = migrator->status;
    pthread_mutex_unlock(&migrator->lock);
    return good;
}

bool migrator_get(struct migrator *migrator, struct migration_status *status, struct error *error) {
    pthread_mutex_lock(&migrator->lock);
    *status = migrator->status;
    pthread_mutex_unlock(&migrator->lock);
    return status->memo.phase != MIGRATION_NONE ||
           error_set(error, ERROR_NOT_FOUND, "MIGRATION_NOT_FOUND", "no migration is under way");
}

/* ---- life ---- */

/* A finished migration is over once the configuration names the place. */
static bool take_up(struct migrator *migrator, struct error *error) {
    struct migration_memo *memo = &migrator->status.memo;
    bool is_configured;
    if (!migration_file_read(migrator->file, memo, error)) {
        return false;
    }
    if (memo->phase == MIGRATION_NONE) {
        return true;
    }
    struct cold_store *second = open_target(migrator, memo->target, &is_configured, error);
    if (is_configured && memo->phase == MIGRATION_FINISHED) {
        *memo = (struct migration_memo){0};
        return migration_file_remove(migrator->file, error);
    }
    if (is_configured) {
        return error_set(error, ERROR_FAILED_PRECONDITION, "MIGRATION_NOT_FINISHED",
                         "the configuration names the target of a migration that is %s: finish it first",
                         phase_name(memo->phase));
    }
    if (second == NULL) {
        return false;
    }
    cold_pair_set_second(migrator->options.pair, second);
    cold_pair_set_mode(migrator->options.pair, mode_of(memo->phase));
    if (memo->phase == MIGRATION_FINISHED) {
        log_warn("cold_store_moved", LOG_STR("target", memo->target),
                 LOG_STR("hint", "the cold store is there now; let the configuration name it"));
    }
    return true;
}

struct migrator *migrator_start(const struct migrator_options *options, struct error *error) {
    struct migrator *migrator = calloc(1, sizeof *migrator);
    if (migrator == NULL) {
        abort();
    }
    migrator->options = *options;
    migrator->configured = *options->configured;
    snprintf(migrator->file, sizeof migrator->file, "%s/cold.json", options->directory);
    snprintf(migrator->uploads, sizeof migrator->uploads, "%s/cold-uploads", options->directory);
    migrator->objects_total = metrics_counter(options->metrics, "waybill_migration_objects_total",
                                              "Objects copied to the new cold store.", NULL);
    migrator->bytes_total =
        metrics_counter(options->metrics, "waybill_migration_bytes_total", "Bytes of those objects.", NULL);
    stop_signal_init(&migrator->stop);
    pthread_mutex_init(&migrator->lock, NULL);
    pthread_cond_init(&migrator->pass_ended, NULL);
    bool good = mkdir(options->directory, 0755) == 0 || errno == EEXIST ||
                error_set_errno(error, errno, "making %s", options->directory);
    if (!good || !take_up(migrator, error)) {
        migrator_stop(migrator);
        return NULL;
    }
    if (pthread_create(&migrator->thread, NULL, migrator_loop, migrator) != 0) {
        abort();
    }
    pthread_setname_np(migrator->thread, "migrator");
    migrator->has_thread = true;
    stop_signal_wake(&migrator->stop);
    return migrator;
}

void migrator_stop(struct migrator *migrator) {
    if (migrator == NULL) {
        return;
    }
    stop_signal_raise(&migrator->stop);
    pthread_mutex_lock(&migrator->lock);
    if (migrator->copying != NULL) {
        stop_signal_raise(migrator->copying);
    }
    pthread_mutex_unlock(&migrator->lock);
    if (migrator->has_thread) {
        pthread_join(migrator->thread, NULL);
    }
    stop_signal_destroy(&migrator->stop);
    pthread_cond_destroy(&migrator->pass_ended);
    pthread_mutex_destroy(&migrator->lock);
    free(migrator);
}
