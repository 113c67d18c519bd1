/* Making files, and the names on the way to them, durable; and what a failure of that means for the store. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/log.h"
#include "object-svc/cold/cold_directory_parts.h"

enum { CLIMB_REMEMBERED = 8 }; /* of each climb, those nearest to the object */

bool cold_directory_check_writable(struct cold_directory *self, struct error *error) {
    return !atomic_load(&self->read_only) ||
           error_set(error, ERROR_UNAVAILABLE, "COLD_STORE_READ_ONLY",
                     "the cold store's directory is read-only after a disk error; restart object-svc once its disk is "
                     "well") ||
           error_retry_after(error, ERROR_RETRY_READ_ONLY_MS);
}

bool cold_directory_flush_failed(struct cold_directory *self, const char *path, struct error *error) {
    error_set_errno(error, errno, "syncing the cold store's %s", path);
    if (!atomic_exchange(&self->read_only, true)) {
        log_error("cold_directory_flush_failed", LOG_ERROR(error),
                  LOG_STR("hint", "the cold store takes no writes until a restart: check its disk first"));
    }
    return false;
}

/* The disk may tell one of several about a failure that befell them all. */
bool cold_directory_sync(struct cold_directory *self, int fd, const char *path, struct error *error) {
    return cold_directory_check_writable(self, error) &&
           (fsync(fd) == 0 || cold_directory_flush_failed(self, path, error)) &&
           cold_directory_check_writable(self, error);
}

/* Those that were synced on the way up from one object, to be remembered once all are. */
struct climb {
    int fds[CLIMB_REMEMBERED];
    struct stat statuses[CLIMB_REMEMBERED];
    size_t count;
};

static void end_climb(struct cold_directory *self, struct climb *climb, bool all_synced) {
    for (size_t i = 0; i < climb->count; i++) {
        if (all_synced) {
            durable_directories_add_take(&self->durable, climb->fds[i], &climb->statuses[i]);
        } else {
            close(climb->fds[i]);
        }
    }
}

/* Syncs a directory and says whether it is known that those above it need no sync. */
static bool sync_step(struct cold_directory *self, const char *path, struct climb *climb, bool *known,
                      struct error *error) {
    struct stat status;
    int fd = openat(self->root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return error_set_errno(error, errno, "opening the cold store's directory %s", path);
    }
    if (fstat(fd, &status) != 0) {
        error_set_errno(error, errno, "looking at the cold store's directory %s", path);
        close(fd);
        return false;
    }
    if (!cold_directory_sync(self, fd, path, error)) {
        close(fd);
        return false;
    }
    *known = durable_directories_has(&self->durable, &status);
    if (*known || climb->count == CLIMB_REMEMBERED) {
        close(fd);
    } else {
        climb->fds[climb->count] = fd;
        climb->statuses[climb->count++] = status;
    }
    return true;
}

bool cold_directory_sync_one(struct cold_directory *self, const char *path, struct error *error) {
    struct climb climb = {.count = 0};
    bool known;
    bool ok = sync_step(self, path, &climb, &known, error);
    end_climb(self, &climb, false);
    return ok;
}

bool cold_directory_sync_parents(struct cold_directory *self, const char *path, struct error *error) {
    char parent[COLD_SIDECAR_PATH_BYTES];
    struct climb climb = {.count = 0};
    bool known = false;
    bool ok = true;
    char *slash;
    snprintf(parent, sizeof parent, "%s", path);
    while (ok && !known && (slash = strrchr(parent, '/')) != NULL) {
        *slash = '\0';
        ok = sync_step(self, parent, &climb, &known, error);
    }
    if (ok && !known) {
        ok = cold_directory_sync(self, self->root, "root", error);
    }
    end_climb(self, &climb, ok);
    return ok;
}
