#include "cli/partial_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/values.h"

bool write_fully(int fd, struct bytes data, const char *name, struct error *error) {
    while (data.size > 0) {
        ssize_t wrote = write(fd, data.data, data.size);
        if (wrote < 0 && errno == EINTR) {
            continue;
        }
        if (wrote < 0 && errno == EPIPE) {
            return error_set(error, ERROR_CANCELLED, "OUTPUT_CLOSED", "nobody reads the output any more");
        }
        if (wrote < 0) {
            return error_set_errno(error, errno, "writing %s", name);
        }
        data = bytes_of(data.data + wrote, data.size - (size_t)wrote);
    }
    return true;
}

static bool is_special(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && !S_ISREG(status.st_mode);
}

/* mkstemp makes files for the owner alone; this one is to look as if made by open(). */
static void set_usual_mode(int fd) {
    mode_t mask = umask(0);
    umask(mask);
    (void)!fchmod(fd, 0666 & ~mask); /* a file system without modes is fine */
}

bool partial_file_open(struct partial_file *file, struct cli *cli, const char *path, struct error *error) {
    *file = (struct partial_file){.cli = cli, .path = path, .fd = -1};
    if (is_special(path)) {
        file->fd = open(path, O_WRONLY | O_CLOEXEC);
        return file->fd >= 0 || error_set_errno(error, errno, "opening %s", path);
    }
    const char *name = value_base_name(path);
    int room = (int)(name - path);
    file->partial = arena_printf(&cli->arena, "%.*s.%.200s.XXXXXX", room, path, name);
    file->fd = mkostemp(file->partial, O_CLOEXEC);
    if (file->fd < 0) {
        return error_set_errno(error, errno, "making a file beside %s", path);
    }
    interrupt_watch_file(cli->interrupt, file->partial);
    set_usual_mode(file->fd);
    return true;
}

bool partial_file_write(struct partial_file *file, struct bytes data, struct error *error) {
    return write_fully(file->fd, data, file->path, error);
}

bool partial_file_finish(struct partial_file *file, struct error *error) {
    int fd = file->fd;
    file->fd = -1;
    if (close(fd) != 0) {
        error_set_errno(error, errno, "writing %s", file->path);
        partial_file_abandon(file);
        return false;
    }
    if (file->partial != NULL && rename(file->partial, file->path) != 0) {
        error_set_errno(error, errno, "naming %s", file->path);
        partial_file_abandon(file);
        return false;
    }
    interrupt_watch_file(file->cli->interrupt, NULL);
    return true;
}

void partial_file_abandon(struct partial_file *file) {
    if (file->fd >= 0) {
        close(file->fd);
    }
    if (file->partial != NULL) {
        unlink(file->partial);
        interrupt_watch_file(file->cli->interrupt, NULL);
    }
}
