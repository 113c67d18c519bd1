#include "metadata-svc/snapshot/restore_place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/failpoint.h"
#define STAGING "restoring"

/* ---- file system ---- */

/* Calls `visit` for each name but . and ..; false ends the walk. */
static bool each_name(const char *directory, bool (*visit)(void *context, const char *name), void *context,
                      struct error *error) {
    DIR *listing = opendir(directory);
    if (listing == NULL) {
        return error_set_errno(error, errno, "listing %s", directory);
    }
    bool good = true;
    const struct dirent *entry;
    errno = 0;
    while (good && (entry = readdir(listing)) != NULL) {
        good = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 || visit(context, entry->d_name);
    }
    if (good && errno != 0) {
        good = error_set_errno(error, errno, "listing %s", directory);
    }
    closedir(listing);
    return good;
}

static bool join(char out[PATH_MAX], const char *directory, const char *name, struct error *error) {
    return snprintf(out, PATH_MAX, "%s/%s", directory, name) < PATH_MAX ||
           error_set_errno(error, ENAMETOOLONG, "naming %s/%s", directory, name);
}

static bool sync_path(const char *path, struct error *error) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool good = fd >= 0 && fsync(fd) == 0;
    int saved = errno;
    if (fd >= 0) {
        close(fd);
    }
    return good || error_set_errno(error, saved, "making %s durable", path);
}

/* With the directories above it; `made` tells whether it was missing. */
static bool make_directory(const char *path, bool *made, struct error *error) {
    char above[PATH_MAX];
    snprintf(above, sizeof above, "%s", path);
    for (char *slash = strchr(above + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(above, 0777) != 0 && errno != EEXIST) {
            return error_set_errno(error, errno, "making %s", above);
        }
        *slash = '/';
    }
    *made = mkdir(path, 0777) == 0;
    struct stat status;
    if (!*made && errno != EEXIST) {
        return error_set_errno(error, errno, "making %s", path);
    }
    if (stat(path, &status) != 0 || !S_ISDIR(status.st_mode)) {
        return error_set_errno(error, ENOTDIR, "using %s", path);
    }
    return true;
}

/* ---- what is there already ---- */

static bool set_unfinished(const char *directory, struct error *error) {
    return error_set(
        error, ERROR_FAILED_PRECONDITION, "RESTORE_UNFINISHED",
        "a restore is under way in %s, or was cut off: if none runs, empty the directory, and restore again",
        directory);
}

bool restore_place_check(const char *data_dir, struct error *error) {
    char staged[PATH_MAX];
    if (!join(staged, data_dir, STAGING "/records", error)) {
        return false;
    }
    return access(staged, F_OK) != 0 || set_unfinished(data_dir, error);
}

struct inspection {
    const char *directory;
    const char *allowed; /* a directory in it, or NULL */
    struct error *error;
};

static bool check_name(void *context, const char *name) {
    const struct inspection *inspection = context;
    char path[PATH_MAX];
    if (strcmp(name, "lost+found") == 0 || !join(path, inspection->directory, name, inspection->error)) {
        return strcmp(name, "lost+found") == 0;
    }
    if (inspection->allowed != NULL && strcmp(path, inspection->allowed) == 0) {
        return true;
    }
    if (strcmp(name, STAGING) == 0) {
        return set_unfinished(inspection->directory, inspection->error);
    }
    return error_set(inspection->error, ERROR_FAILED_PRECONDITION, "DIRECTORY_NOT_EMPTY",
                     "%s is not empty (%s is there): restore into a new directory", inspection->directory, name);
}

static bool check_empty(const char *directory, const char *allowed, struct error *error) {
    struct inspection inspection = {directory, allowed, error};
    return each_name(directory, check_name, &inspection, error);
}

/* ---- taking away ---- */

struct walk {
    const char *from;
    const char *to;
    struct error *error;
};

static bool remove_one(void *context, const char *name) {
    const struct walk *walk = context;
    char path[PATH_MAX];
    struct error ignored;
    if (join(path, walk->from, name, &ignored)) {
        unlink(path);
    }
    return true;
}

/* With the files in it. */
static void remove_directory(const char *path) {
    struct walk walk = {.from = path};
    struct error ignored;
    each_name(path, remove_one, &walk, &ignored);
    rmdir(path);
}

static void remove_staging(const struct restore_place *place) {
    if (place->scratch[0] != '\0') {
        remove_directory(place->scratch);
    }
    rmdir(place->staging);
    if (place->spool_dir[0] != '\0') {
        rmdir(place->staged_spool);
    }
}

/* ---- begin ---- */

/* Where the directory really is, made where it was missing. */
static bool have_directory(char out[PATH_MAX], const char *path, bool *made, struct error *error) {
    return make_directory(path, made, error) &&
           (realpath(path, out) != NULL || error_set_errno(error, errno, "finding %s", path));
}

static bool have_directories(struct restore_place *place, const char *data_dir, const char *spool_dir,
                             struct error *error) {
    char beside[PATH_MAX];
    if (!have_directory(place->data_dir, data_dir, &place->made_data_dir, error)) {
        return false;
    }
    if (spool_dir == NULL) {
        if (!join(beside, place->data_dir, "spool", error)) {
            return false;
        }
        spool_dir = beside;
    }
    return have_directory(place->spool_dir, spool_dir, &place->made_spool_dir, error) &&
           join(place->staging, place->data_dir, STAGING, error) &&
           join(place->staged_records, place->staging, "records", error) &&
           join(place->staged_spool, place->spool_dir, STAGING, error);
}

static bool make_new(const char *path, struct error *error) {
    return mkdir(path, 0777) == 0 || error_set_errno(error, errno, "making %s", path);
}

static void remove_made(const struct restore_place *place) {
    if (place->made_spool_dir && place->spool_dir[0] != '\0') {
        rmdir(place->spool_dir);
    }
    if (place->made_data_dir) {
        rmdir(place->data_dir);
    }
}

bool restore_place_begin(struct restore_place *place, const char *data_dir, const char *spool_dir,
                         struct error *error) {
    *place = (struct restore_place){0};
    /* Of two restores at once only one makes the staging directory. */
    if (!have_directories(place, data_dir, spool_dir, error) ||
        !check_empty(place->data_dir, place->spool_dir, error) || !check_empty(place->spool_dir, NULL, error) ||
        !make_new(place->staging, error)) {
        remove_made(place);
        return false;
    }
    if (!make_new(place->staged_records, error) || !make_new(place->staged_spool, error)) {
        restore_place_abandon(place);
        return false;
    }
    return true;
}

/* Where the spool really is; "" where there is none yet. */
static void find_spool(char out[PATH_MAX], const char *spool_dir) {
    if (realpath(spool_dir, out) == NULL) {
        out[0] = '\0';
    }
}

bool restore_place_begin_records(struct restore_place *place, const char *data_dir, const char *spool_dir,
                                 struct error *error) {
    char spool[PATH_MAX];
    *place = (struct restore_place){0};
    find_spool(spool, spool_dir);
    if (!have_directory(place->data_dir, data_dir, &place->made_data_dir, error) ||
        !join(place->staging, place->data_dir, STAGING, error) ||
        !join(place->staged_records, place->staging, "records", error) ||
        !join(place->scratch, place->staging, "scratch", error) || !check_empty(place->data_dir, spool, error) ||
        !make_new(place->staging, error)) {
        remove_made(place);
        return false;
    }
    if (!make_new(place->staged_records, error) || !make_new(place->scratch, error)) {
        restore_place_abandon(place);
        return false;
    }
    return true;
}

/* ---- commit ---- */

static bool sync_one(void *context, const char *name) {
    const struct walk *walk = context;
    char path[PATH_MAX];
    return join(path, walk->from, name, walk->error) && sync_path(path, walk->error);
}

/* The files in a directory, and their names. */
static bool sync_files(const char *directory, struct error *error) {
    struct walk walk = {.from = directory, .error = error};
    return each_name(directory, sync_one, &walk, error) && sync_path(directory, error);
}

static bool move_one(void *context, const char *name) {
    const struct walk *walk = context;
    char from[PATH_MAX];
    char to[PATH_MAX];
    if (!join(from, walk->from, name, walk->error) || !join(to, walk->to, name, walk->error)) {
        return false;
    }
    return rename(from, to) == 0 || error_set_errno(walk->error, errno, "naming %s", to);
}

/* The spool first: without records nobody believes it. */
static bool give_names(const struct restore_place *place, struct error *error) {
    struct walk segments = {place->staged_spool, place->spool_dir, error};
    char records[PATH_MAX];
    bool with_spool = place->spool_dir[0] != '\0';
    if (with_spool &&
        (!each_name(place->staged_spool, move_one, &segments, error) || !sync_path(place->spool_dir, error))) {
        return false;
    }
    if (!join(records, place->data_dir, "records", error)) {
        return false;
    }
    return rename(place->staged_records, records) == 0 || error_set_errno(error, errno, "naming %s", records);
}

bool restore_place_commit(struct restore_place *place, struct error *error) {
    bool with_spool = place->spool_dir[0] != '\0';
    if (!sync_files(place->staged_records, error) || (with_spool && !sync_files(place->staged_spool, error)) ||
        !give_names(place, error)) {
        restore_place_abandon(place);
        return false;
    }
    FAILPOINT("restore.named");
    /* From here on it is there, and only power loss could still take it away. */
    remove_staging(place);
    return sync_path(place->data_dir, error);
}

/* ---- abandon ---- */

static bool remove_segment(void *context, const char *name) {
    return strncmp(name, "segment-", strlen("segment-")) != 0 || remove_one(context, name);
}

void restore_place_abandon(struct restore_place *place) {
    struct error ignored;
    struct walk staged = {.from = place->staged_spool};
    struct walk named = {.from = place->spool_dir};
    remove_directory(place->staged_records);
    if (place->spool_dir[0] != '\0') {
        each_name(place->staged_spool, remove_one, &staged, &ignored);
        /* Those that got their names already: there were none when this began. */
        each_name(place->spool_dir, remove_segment, &named, &ignored);
    }
    remove_staging(place);
    remove_made(place);
}
