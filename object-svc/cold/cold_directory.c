#include "object-svc/cold/cold_directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/disk.h"
#include "common/base/failpoint.h"
#include "common/base/log.h"
#include "object-svc/cold/cold_directory_parts.h"

/* Removes what this replica left half written. */
static bool clear_temporary(struct cold_directory *self, struct error *error) {
    int fd = openat(self->root, self->temporary, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (directory == NULL) {
        int saved = errno;
        if (fd >= 0) {
            close(fd);
        }
        return error_set_errno(error, saved, "opening the cold store's %s", self->temporary);
    }
    int removed = 0;
    bool ok = true;
    struct dirent *entry;
    while (ok && (entry = readdir(directory)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        ok = unlinkat(fd, entry->d_name, 0) == 0 ||
             error_set_errno(error, errno, "removing the cold store's %s/%s", self->temporary, entry->d_name);
        removed++;
    }
    closedir(directory);
    if (removed > 0) {
        log_info("cold_leftovers_removed", LOG_INT("files", removed));
    }
    return ok;
}

static bool check_replica(const char *replica, struct error *error) {
    bool good = replica != NULL && replica[0] != '\0' && replica[0] != '.' && strlen(replica) <= 128 &&
                strchr(replica, '/') == NULL;
    return good || error_set_field(error, "replica", "BAD_REPLICA",
                                   "a replica's name has 1 to 128 bytes, no '/', and does not begin with '.'");
}

static bool make_directory(struct cold_directory *self, const char *path, struct error *error) {
    return mkdirat(self->root, path, COLD_DIRECTORY_MODE) == 0 || errno == EEXIST ||
           error_set_errno(error, errno, "making the cold store's directory %s", path);
}

/* The root and those above it. */
static bool make_root(const char *directory, struct error *error) {
    if (directory == NULL || directory[0] == '\0' || strlen(directory) >= PATH_MAX) {
        return error_set_field(error, "cold.directory", "BAD_PATH", "the cold store's path is empty or too long");
    }
    return posix_make_directories(directory, error);
}

/* Directories that are empty now go; one that is not ends it. */
static void remove_empty(struct cold_directory *self, char *path) {
    struct stat status;
    char *slash;
    while ((slash = strrchr(path, '/')) != NULL && fstatat(self->root, path, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           unlinkat(self->root, path, AT_REMOVEDIR) == 0) {
        durable_directories_forget(&self->durable, &status);
        *slash = '\0';
    }
}

static bool cold_directory_remove(struct cold_store *store, const struct cold_name *name, struct error *error) {
    struct cold_directory *self = cold_directory_of(store);
    char path[COLD_PATH_MAX_BYTES];
    char sidecar[COLD_SIDECAR_PATH_BYTES];
    if (!cold_directory_check_writable(self, error) || !cold_object_path(name, path, error)) {
        return false;
    }
    cold_sidecar_path(path, sidecar);
    /* Bytes first: they are what makes the object one. */
    FAILPOINT("cold_directory.remove.before");
    bool there = unlinkat(self->root, path, 0) == 0;
    if (!there && errno != ENOENT && errno != ENOTDIR) {
        return error_set_errno(error, errno, "removing the cold store's %s", path);
    }
    FAILPOINT("cold_directory.remove.sidecar_left");
    if (unlinkat(self->root, sidecar, 0) != 0 && errno != ENOENT && errno != ENOTDIR) {
        return error_set_errno(error, errno, "removing the cold store's %s", sidecar);
    }
    *strrchr(path, '/') = '\0';
    if (there && !cold_directory_sync_one(self, path, error)) {
        return false;
    }
    remove_empty(self, path);
    return FAILPOINT("cold_directory.remove.after");
}

static void cold_directory_close(struct cold_store *store) {
    struct cold_directory *self = cold_directory_of(store);
    if (self->root >= 0) {
        close(self->root);
    }
    durable_directories_destroy(&self->durable);
    free(self);
}

static const struct cold_store_ops cold_directory_ops = {
    .name = "directory",
    .begin = cold_directory_begin,
    .append = cold_directory_append,
    .finish = cold_directory_finish,
    .abort = cold_directory_abort,
    .open_object = cold_directory_open_object,
    .reader_provenance = cold_directory_reader_provenance,
    .read = cold_directory_read,
    .close_reader = cold_directory_close_reader,
    .verify = cold_directory_verify,
    .remove = cold_directory_remove,
    .list = cold_directory_list,
    .close = cold_directory_close,
};

struct cold_store *cold_directory_open(const struct cold_store_options *options, struct error *error) {
    if (!check_replica(options->replica, error) || !make_root(options->directory, error)) {
        return NULL;
    }
    struct cold_directory *self = calloc(1, sizeof *self);
    if (self == NULL) {
        abort();
    }
    self->base.ops = &cold_directory_ops;
    self->clock = options->clock;
    durable_directories_init(&self->durable);
    snprintf(self->temporary, sizeof self->temporary, ".tmp/%s", options->replica);
    self->root = open(options->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (self->root < 0) {
        error_set_errno(error, errno, "opening the cold store %s", options->directory);
    } else if (make_directory(self, ".tmp", error) && make_directory(self, self->temporary, error) &&
               clear_temporary(self, error)) {
        return &self->base;
    }
    cold_directory_close(&self->base);
    return NULL;
}
