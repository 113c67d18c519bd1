/* disk.h over POSIX. Paths are opened relative to a descriptor of the root, so that the root
 * may move and nobody leaves it by accident. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/base/disk.h"

struct posix_disk {
    struct disk base;
    int root;
};

struct posix_file {
    struct disk_file base;
    int descriptor;
    char path[]; /* for the words of errors */
};

enum { FILE_MODE = 0640, DIRECTORY_MODE = 0750, PATH_MAX_BYTES = 4096, RESERVE_FREE_SHARE = 16 };

static int root_of(const struct disk *disk) {
    return ((const struct posix_disk *)disk)->root;
}

static int descriptor_of(const struct disk_file *file) {
    return ((const struct posix_file *)file)->descriptor;
}

static const char *path_of(const struct disk_file *file) {
    return ((const struct posix_file *)file)->path;
}

static struct disk_file *posix_open(struct disk *disk, const char *path, bool create, struct error *error) {
    int descriptor = openat(root_of(disk), path, O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), FILE_MODE);
    if (descriptor < 0) {
        error_set_errno(error, errno, "opening %s", path);
        return NULL;
    }
    size_t path_bytes = strlen(path) + 1;
    struct posix_file *file = malloc(sizeof *file + path_bytes);
    if (file == NULL) {
        abort();
    }
    file->base.ops = disk->ops;
    file->descriptor = descriptor;
    memcpy(file->path, path, path_bytes);
    return &file->base;
}

static void posix_close(struct disk_file *file) {
    close(descriptor_of(file)); /* all that must last was synced before */
    free(file);
}

static bool posix_write(struct disk_file *file, uint64_t offset, struct bytes data, struct error *error) {
    while (data.size > 0) {
        ssize_t written = pwrite(descriptor_of(file), data.data, data.size, (off_t)offset);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return error_set_errno(error, written == 0 ? EIO : errno, "writing %s", path_of(file));
        }
        data.data += written;
        data.size -= (size_t)written;
        offset += (uint64_t)written;
    }
    return true;
}

static int64_t posix_read(struct disk_file *file, uint64_t offset, void *out, size_t size, struct error *error) {
    size_t done = 0;
    while (done < size) {
        ssize_t got = pread(descriptor_of(file), (uint8_t *)out + done, size - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            error_set_errno(error, errno, "reading %s", path_of(file));
            return -1;
        }
        if (got == 0) {
            break;
        }
        done += (size_t)got;
    }
    return (int64_t)done;
}

static bool posix_sync(struct disk_file *file, struct error *error) {
    return fdatasync(descriptor_of(file)) == 0 || error_set_errno(error, errno, "flushing %s", path_of(file));
}

/* File systems that cannot do it are left to their own limits. */
static bool posix_write_back(struct disk_file *file, uint64_t offset, uint64_t size, enum disk_write_back how,
                             struct error *error) {
    unsigned flags = SYNC_FILE_RANGE_WRITE;
    flags |= how != DISK_WRITE_BACK_BEGIN ? SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WAIT_AFTER : 0;
    if (sync_file_range(descriptor_of(file), (off_t)offset, (off_t)size, flags) != 0 && errno != ENOSYS &&
        errno != EINVAL && errno != ESPIPE && errno != EOPNOTSUPP) {
        return error_set_errno(error, errno, "writing back %s", path_of(file));
    }
    if (how == DISK_WRITE_BACK_FORGET) {
        posix_fadvise(descriptor_of(file), (off_t)offset, (off_t)size, POSIX_FADV_DONTNEED); /* a hint */
    }
    return true;
}

static void posix_reserve(struct disk_file *file, uint64_t offset, uint64_t size) {
    struct statvfs status;
    bool roomy = fstatvfs(descriptor_of(file), &status) == 0 &&
                 (uint64_t)status.f_bavail * status.f_frsize / RESERVE_FREE_SHARE >= size;
    if (roomy) {
        fallocate(descriptor_of(file), FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)size);
    }
}

static bool posix_allocate(struct disk_file *file, uint64_t offset, uint64_t size, struct error *error) {
    int result;
    do {
        result = posix_fallocate(descriptor_of(file), (off_t)offset, (off_t)size);
    } while (result == EINTR);
    return result == 0 || error_set_errno(error, result, "reserving space for %s", path_of(file));
}

static bool posix_truncate(struct disk_file *file, uint64_t size, struct error *error) {
    return ftruncate(descriptor_of(file), (off_t)size) == 0 ||
           error_set_errno(error, errno, "truncating %s", path_of(file));
}

static bool posix_size(struct disk_file *file, uint64_t *size, struct error *error) {
    struct stat status;
    if (fstat(descriptor_of(file), &status) != 0) {
        return error_set_errno(error, errno, "reading the size of %s", path_of(file));
    }
    *size = (uint64_t)status.st_size;
    return true;
}

static bool sync_directory_at(int root, const char *path, struct error *error) {
    int descriptor = openat(root, path[0] == '\0' ? "." : path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) {
        return error_set_errno(error, errno, "opening directory %s", path);
    }
    bool good = fsync(descriptor) == 0 || error_set_errno(error, errno, "flushing directory %s", path);
    close(descriptor);
    return good;
}

/* Whoever made it may not have come to sync its name. Above what is ours there may be directories that are
 * not to be read, or are on a file system that has nothing to sync. */
static bool sync_if_possible(int root, const char *path, struct error *error) {
    int descriptor = openat(root, path[0] == '\0' ? "." : path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) {
        return errno == EACCES || errno == EPERM || error_set_errno(error, errno, "opening directory %s", path);
    }
    bool good = fsync(descriptor) == 0 || errno == EINVAL || errno == EROFS ||
                error_set_errno(error, errno, "flushing directory %s", path);
    close(descriptor);
    return good;
}

/* One that exists is fine. Its name is made durable, so that what is synced in it lasts. */
static bool make_one(int root, const char *path, struct error *error) {
    bool made = mkdirat(root, path, DIRECTORY_MODE) == 0;
    if (!made && errno != EEXIST) {
        return error_set_errno(error, errno, "making directory %s", path);
    }
    char above[PATH_MAX_BYTES];
    const char *slash = strrchr(path, '/');
    size_t size = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
    memcpy(above, path, size);
    above[size] = '\0';
    return made ? sync_directory_at(root, above, error) : sync_if_possible(root, above, error);
}

static bool make_path(int root, const char *path, struct error *error) {
    char part[PATH_MAX_BYTES];
    size_t size = strlen(path);
    if (size >= sizeof part) {
        return error_set_errno(error, ENAMETOOLONG, "making directory %.64s", path);
    }
    for (size_t i = 1; i <= size; i++) {
        if (path[i] == '/' || path[i] == '\0') {
            memcpy(part, path, i);
            part[i] = '\0';
            if (!make_one(root, part, error)) {
                return false;
            }
        }
    }
    return true;
}

static bool posix_make_directory(struct disk *disk, const char *path, struct error *error) {
    return make_path(root_of(disk), path, error);
}

static bool posix_sync_directory(struct disk *disk, const char *path, struct error *error) {
    return sync_directory_at(root_of(disk), path, error);
}

static bool posix_rename(struct disk *disk, const char *from, const char *to, struct error *error) {
    return renameat(root_of(disk), from, root_of(disk), to) == 0 ||
           error_set_errno(error, errno, "renaming %s to %s", from, to);
}

static bool posix_unlink(struct disk *disk, const char *path, struct error *error) {
    return unlinkat(root_of(disk), path, 0) == 0 || errno == ENOENT ||
           error_set_errno(error, errno, "removing %s", path);
}

static bool posix_list(struct disk *disk, const char *path, disk_name_visitor *visit, void *context,
                       struct error *error) {
    int descriptor = openat(root_of(disk), path[0] == '\0' ? "." : path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = descriptor >= 0 ? fdopendir(descriptor) : NULL;
    if (directory == NULL) {
        error_set_errno(error, errno, "listing %s", path);
        if (descriptor >= 0) {
            close(descriptor);
        }
        return false;
    }
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(directory);
        if (entry == NULL) {
            break;
        }
        bool self = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
        if (!self && !visit(context, entry->d_name)) {
            errno = 0;
            break;
        }
    }
    bool good = errno == 0 || error_set_errno(error, errno, "listing %s", path);
    closedir(directory);
    return good;
}

static bool posix_space(struct disk *disk, struct disk_space *space, struct error *error) {
    struct statvfs status;
    if (fstatvfs(root_of(disk), &status) != 0) {
        return error_set_errno(error, errno, "asking for the free space");
    }
    *space = (struct disk_space){.free_bytes = (uint64_t)status.f_bavail * status.f_frsize,
                                 .total_bytes = (uint64_t)status.f_blocks * status.f_frsize};
    return true;
}

static void posix_free(struct disk *disk) {
    close(root_of(disk));
    free(disk);
}

static const struct disk_ops posix_ops = {
    .open = posix_open,
    .close = posix_close,
    .write = posix_write,
    .read = posix_read,
    .sync = posix_sync,
    .write_back = posix_write_back,
    .reserve = posix_reserve,
    .allocate = posix_allocate,
    .truncate = posix_truncate,
    .size = posix_size,
    .make_directory = posix_make_directory,
    .sync_directory = posix_sync_directory,
    .rename = posix_rename,
    .unlink = posix_unlink,
    .list = posix_list,
    .space = posix_space,
    .free = posix_free,
};

bool posix_make_directories(const char *path, struct error *error) {
    return make_path(AT_FDCWD, path, error);
}

struct disk *posix_disk_new(const char *root, struct error *error) {
    if (!posix_make_directories(root, error)) {
        return NULL;
    }
    int descriptor = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) {
        error_set_errno(error, errno, "opening directory %s", root);
        return NULL;
    }
    struct posix_disk *disk = malloc(sizeof *disk);
    if (disk == NULL) {
        abort();
    }
    *disk = (struct posix_disk){{&posix_ops}, descriptor};
    return &disk->base;
}
