#include "object-svc/migrate/hot_migrator.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/log.h"
#include "common/base/stop_signal.h"
#include "object-svc/hot/dead_list.h"
#include "object-svc/hot/joined_disk.h"

enum { LOOK_MS = 200, PATH_BYTES = 4300 };

#define SCHEME "file://"

struct hot_migrator {
    struct hot_migrator_options options;
    char file[PATH_BYTES];
    struct disk *disk; /* the joined one */
    struct hot_store *hot;
    struct stop_signal stop;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock; /* all that follows */
    struct migration_memo memo;
    uint64_t begun_objects; /* that were to be moved when it began, or was taken up */
    uint64_t begun_bytes;
    bool complained;
};

/* ---- which volumes leave ---- */

/* The volumes of a directory, by their files and dead lists. */
struct volume_ids {
    uint64_t *ids;
    size_t count;
    size_t capacity;
};

static bool add_id(void *context, const char *name) {
    struct volume_ids *found = context;
    uint64_t id;
    if (!hot_volume_parse_name(name, &id) && !dead_list_parse_name(name, &id)) {
        return true;
    }
    if (found->count == found->capacity) {
        found->capacity = found->capacity == 0 ? 64 : found->capacity * 2;
        found->ids = realloc(found->ids, found->capacity * sizeof *found->ids);
        if (found->ids == NULL) {
            abort();
        }
    }
    found->ids[found->count++] = id;
    return true;
}

static int compare_ids(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

static bool is_among(void *self, const char *name) {
    const struct volume_ids *found = self;
    uint64_t id;
    return hot_volume_parse_name(name, &id) && found->count > 0 &&
           bsearch(&id, found->ids, found->count, sizeof id, compare_ids) != NULL;
}

/* Has what is in the other directory moved; `empty` tells whether there is nothing. False where it
 * cannot be listed. */
static bool move_out(struct hot_migrator *migrator, bool *empty, struct error *error) {
    struct disk *other = joined_disk_other(migrator->disk);
    struct volume_ids found = {0};
    bool good = other == NULL || other->ops->list(other, ".", add_id, &found, error);
    *empty = good && found.count == 0;
    if (found.count > 0) {
        qsort(found.ids, found.count, sizeof *found.ids, compare_ids);
    }
    if (good) {
        volume_store_move_out(migrator->hot, is_among, &found);
    }
    free(found.ids);
    return good;
}

/* ---- phases ---- */

static const char *phase_name(enum migration_phase phase) {
    static const char *const names[] = {"NONE", "COPYING", "COPIED", "SWITCHED", "FINISHED", "RETURNING"};
    return names[phase];
}

static bool is_moving(enum migration_phase phase) {
    return phase == MIGRATION_COPYING || phase == MIGRATION_RETURNING;
}

/* Under the lock. */
static bool set_phase(struct hot_migrator *migrator, enum migration_phase phase, struct error *error) {
    struct migration_memo memo = migrator->memo;
    memo.phase = phase;
    bool good = phase == MIGRATION_NONE ? migration_file_remove(migrator->file, error)
                                        : migration_file_write(migrator->file, &memo, error);
    if (good) {
        migrator->memo = memo;
        log_info("hot_migration_phase", LOG_STR("phase", phase_name(phase)), LOG_STR("target", memo.target));
    }
    return good;
}

/* Under the lock: from now on what is in the other directory is moved. */
static void turn_to(struct hot_migrator *migrator, bool second) {
    struct volume_leaving leaving;
    struct error error = {0};
    bool empty;
    joined_disk_prefer_second(migrator->disk, second);
    move_out(migrator, &empty, &error); /* and again, and again, until it is empty */
    volume_store_leaving(migrator->hot, &leaving);
    migrator->begun_objects = leaving.objects;
    migrator->begun_bytes = leaving.bytes;
}

/* Under the lock. A volume that was being made when the direction changed is met here. */
static void look(struct hot_migrator *migrator) {
    struct error error = {0};
    bool empty;
    enum migration_phase next = migrator->memo.phase == MIGRATION_COPYING ? MIGRATION_COPIED : MIGRATION_NONE;
    bool good = move_out(migrator, &empty, &error) && (!empty || set_phase(migrator, next, &error));
    if (!good && !migrator->complained) {
        log_warn("hot_migration_held_up", LOG_ERROR(&error), LOG_STR("hint", "it is tried again"));
    }
    migrator->complained = !good;
}

static void *hot_migrator_loop(void *argument) {
    struct hot_migrator *migrator = argument;
    bool moving = true;
    while (!stop_signal_pause(&migrator->stop, moving ? LOOK_MS : INT32_MAX)) {
        pthread_mutex_lock(&migrator->lock);
        moving = is_moving(migrator->memo.phase);
        if (moving) {
            look(migrator);
        }
        pthread_mutex_unlock(&migrator->lock);
    }
    return NULL;
}

/* ---- the target ---- */

static const char *path_of(const char *target) {
    return target + strlen(SCHEME);
}

static bool is_same_place(const char *one, const char *other) {
    char a[PATH_MAX];
    char b[PATH_MAX];
    return strcmp(one, other) == 0 || (realpath(one, a) != NULL && realpath(other, b) != NULL && strcmp(a, b) == 0);
}

static bool check_target(const char *target, struct error *error) {
    return (strncmp(target, SCHEME "/", strlen(SCHEME) + 1) == 0 && strlen(target) <= COLD_TARGET_MAX_BYTES &&
            path_of(target)[1] != '\0') ||
           error_set_field(error, "target", "BAD_TARGET", "hot volumes are moved to file:///path");
}

/* Volumes of others would be taken for ours. */
static struct disk *open_target(const char *target, bool is_new, struct error *error) {
    struct disk *disk = posix_disk_new(path_of(target), error);
    struct volume_ids found = {0};
    if (disk == NULL || !is_new) {
        return disk;
    }
    bool listed = disk->ops->list(disk, ".", add_id, &found, error);
    free(found.ids);
    if (!listed || (found.count > 0 && !error_set(error, ERROR_FAILED_PRECONDITION, "TARGET_NOT_EMPTY",
                                                  "there are hot volumes in %.200s already", path_of(target)))) {
        disk->ops->free(disk);
        return NULL;
    }
    return disk;
}

/* ---- the steps ---- */

/* Under the lock. */
static void fill_status(struct hot_migrator *migrator, struct hot_migration_status *status) {
    *status = (struct hot_migration_status){.memo = migrator->memo};
    volume_store_leaving(migrator->hot, &status->left);
    if (migrator->begun_objects > status->left.objects) {
        status->moved_objects = migrator->begun_objects - status->left.objects;
    }
    if (migrator->begun_bytes > status->left.bytes) {
        status->moved_bytes = migrator->begun_bytes - status->left.bytes;
    }
}

/* Under the lock. */
static bool begin_locked(struct hot_migrator *migrator, const char *target, struct error *error) {
    if (migrator->memo.phase != MIGRATION_NONE) {
        return error_set(error, ERROR_FAILED_PRECONDITION, "MIGRATION_RUNNING", "a migration to %.200s is under way",
                         migrator->memo.target);
    }
    if (!check_target(target, error)) {
        return false;
    }
    if (is_same_place(path_of(target), migrator->options.configured)) {
        return error_set_field(error, "target", "BAD_TARGET", "the hot volumes are there already");
    }
    struct disk *second = open_target(target, true, error);
    if (second == NULL) {
        return false;
    }
    if (!joined_disk_set_second(migrator->disk, second)) {
        second->ops->free(second);
        return error_set(error, ERROR_FAILED_PRECONDITION, "TOO_MANY_MIGRATIONS",
                         "there were too many migrations since the service started; start it again");
    }
    migrator->memo = (struct migration_memo){.id = uuid_make(), .start_us = clock_unix_us(migrator->options.clock)};
    memcpy(migrator->memo.target, target, strlen(target) + 1);
    if (!set_phase(migrator, MIGRATION_COPYING, error)) {
        migrator->memo = (struct migration_memo){0};
        return false;
    }
    turn_to(migrator, true);
    return true;
}

bool hot_migrator_begin(struct hot_migrator *migrator, const char *target, struct hot_migration_status *status,
                        struct error *error) {
    pthread_mutex_lock(&migrator->lock);
    bool good = begin_locked(migrator, target, error);
    fill_status(migrator, status);
    pthread_mutex_unlock(&migrator->lock);
    stop_signal_wake(&migrator->stop);
    return good;
}

/* Under the lock. */
static bool step_locked(struct hot_migrator *migrator, enum migration_step step, struct error *error) {
    enum migration_phase phase = migrator->memo.phase;
    if (phase == MIGRATION_NONE) {
        return error_set(error, ERROR_NOT_FOUND, "MIGRATION_NOT_FOUND", "no migration of the hot volumes is under way");
    }
    if (step == MIGRATION_FINISH && phase == MIGRATION_COPIED) {
        return set_phase(migrator, MIGRATION_FINISHED, error);
    }
    if (step == MIGRATION_CANCEL && (phase == MIGRATION_COPYING || phase == MIGRATION_COPIED)) {
        bool good = set_phase(migrator, MIGRATION_RETURNING, error);
        if (good) {
            turn_to(migrator, false);
        }
        return good;
    }
    error_set(error, ERROR_FAILED_PRECONDITION, "MIGRATION_PHASE",
              "that is no step of a migration of hot volumes that is %s", phase_name(phase));
    error_set_detail(error, "phase", "%s", phase_name(phase));
    return false;
}

bool hot_migrator_step(struct hot_migrator *migrator, enum migration_step step, struct hot_migration_status *status,
                       struct error *error) {
    pthread_mutex_lock(&migrator->lock);
    bool good = step_locked(migrator, step, error);
    fill_status(migrator, status);
    pthread_mutex_unlock(&migrator->lock);
    stop_signal_wake(&migrator->stop);
    return good;
}

bool hot_migrator_get(struct hot_migrator *migrator, struct hot_migration_status *status, struct error *error) {
    pthread_mutex_lock(&migrator->lock);
    fill_status(migrator, status);
    pthread_mutex_unlock(&migrator->lock);
    return status->memo.phase != MIGRATION_NONE ||
           error_set(error, ERROR_NOT_FOUND, "MIGRATION_NOT_FOUND", "no migration of the hot volumes is under way");
}

/* ---- life ---- */

static bool open_first(struct hot_migrator *migrator, const char *path, struct error *error) {
    struct disk *first = posix_disk_new(path, error);
    migrator->disk = first != NULL ? joined_disk_new(first) : NULL;
    return first != NULL;
}

/* A finished migration is over once the configuration names the directory. */
static bool open_finished(struct hot_migrator *migrator, bool is_configured, struct error *error) {
    if (is_configured) {
        migrator->memo = (struct migration_memo){0};
        return migration_file_remove(migrator->file, error) &&
               open_first(migrator, migrator->options.configured, error);
    }
    log_warn("hot_store_moved", LOG_STR("target", migrator->memo.target),
             LOG_STR("hint", "the hot volumes are there now; let the configuration (hot_dir) name it"));
    return open_first(migrator, path_of(migrator->memo.target), error);
}

static bool open_disks(struct hot_migrator *migrator, struct error *error) {
    struct migration_memo *memo = &migrator->memo;
    if (!migration_file_read(migrator->file, memo, error)) {
        return false;
    }
    if (memo->phase == MIGRATION_NONE) {
        return open_first(migrator, migrator->options.configured, error);
    }
    if (!check_target(memo->target, error)) {
        return false;
    }
    bool is_configured = is_same_place(path_of(memo->target), migrator->options.configured);
    if (memo->phase == MIGRATION_FINISHED) {
        return open_finished(migrator, is_configured, error);
    }
    if (is_configured) {
        return error_set(error, ERROR_FAILED_PRECONDITION, "MIGRATION_NOT_FINISHED",
                         "the configuration names the target of a migration that is %s: finish it first",
                         phase_name(memo->phase));
    }
    struct disk *second = NULL;
    if (!open_first(migrator, migrator->options.configured, error) ||
        (second = open_target(memo->target, false, error)) == NULL) {
        return false;
    }
    joined_disk_set_second(migrator->disk, second);
    joined_disk_prefer_second(migrator->disk, memo->phase != MIGRATION_RETURNING);
    return true;
}

struct hot_migrator *hot_migrator_open(const struct hot_migrator_options *options, struct error *error) {
    struct hot_migrator *migrator = calloc(1, sizeof *migrator);
    if (migrator == NULL) {
        abort();
    }
    migrator->options = *options;
    snprintf(migrator->file, sizeof migrator->file, "%s/hot.json", options->directory);
    stop_signal_init(&migrator->stop);
    pthread_mutex_init(&migrator->lock, NULL);
    bool good = (mkdir(options->directory, 0755) == 0 || errno == EEXIST) ||
                error_set_errno(error, errno, "making %s", options->directory);
    if (!good || !open_disks(migrator, error)) {
        hot_migrator_close(migrator);
        return NULL;
    }
    return migrator;
}

struct disk *hot_migrator_disk(struct hot_migrator *migrator) {
    return migrator->disk;
}

void hot_migrator_start(struct hot_migrator *migrator, struct hot_store *hot) {
    migrator->hot = hot;
    if (is_moving(migrator->memo.phase)) {
        turn_to(migrator, migrator->memo.phase == MIGRATION_COPYING);
    }
    if (pthread_create(&migrator->thread, NULL, hot_migrator_loop, migrator) != 0) {
        abort();
    }
    pthread_setname_np(migrator->thread, "hot-migrator");
    migrator->has_thread = true;
}

void hot_migrator_stop(struct hot_migrator *migrator) {
    if (migrator == NULL || !migrator->has_thread) {
        return;
    }
    stop_signal_raise(&migrator->stop);
    pthread_join(migrator->thread, NULL);
    migrator->has_thread = false;
}

void hot_migrator_close(struct hot_migrator *migrator) {
    if (migrator == NULL) {
        return;
    }
    if (migrator->disk != NULL) {
        migrator->disk->ops->free(migrator->disk);
    }
    stop_signal_destroy(&migrator->stop);
    pthread_mutex_destroy(&migrator->lock);
    free(migrator);
}
