/* Where uploads come from: file descriptors. */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/client/client_parts.h"

/* Reads until `size` bytes are there or the end: a pipe gives what it has. */
static int64_t read_fully(void *self, void *out, size_t size, struct error *error) {
    struct client_fd_source *source = self;
    size_t have = 0;
    while (have < size) {
        uint8_t *at = (uint8_t *)out + have;
        ssize_t got = source->regular ? pread(source->fd, at, size - have, (off_t)(source->start + source->offset))
                                      : read(source->fd, at, size - have);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            error_set_errno(error, errno, "reading the payload");
            return -1;
        }
        if (got == 0) {
            break;
        }
        have += (size_t)got;
        source->offset += got;
    }
    return (int64_t)have;
}

static bool seek(void *self, int64_t offset, struct error *error) {
    (void)error;
    struct client_fd_source *source = self;
    source->offset = offset;
    return true;
}

bool client_fd_source_init(struct client_fd_source *source, int fd, struct error *error) {
    struct stat status;
    if (fstat(fd, &status) != 0) {
        return error_set_errno(error, errno, "looking at the payload");
    }
    if (S_ISDIR(status.st_mode)) {
        return error_set(error, ERROR_INVALID_ARGUMENT, "BAD_PAYLOAD", "a directory is no payload");
    }
    *source = (struct client_fd_source){.fd = fd, .source = {.read = read_fully, .size = -1, .self = source}};
    if (S_ISREG(status.st_mode)) {
        off_t start = lseek(fd, 0, SEEK_CUR);
        if (start < 0) {
            return error_set_errno(error, errno, "finding where the payload begins");
        }
        source->regular = true;
        source->start = start;
        source->source.seek = seek;
        source->source.size = status.st_size > start ? status.st_size - start : 0;
    }
    return true;
}
