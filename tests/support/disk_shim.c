/* Preloaded into a service, makes the disk below one directory slow or failing, as a file that the test
 * has mapped says at each moment: $DISK_SHIM, a struct disk_shim (tests/python/disk_shim.py writes it).
 *
 * Each kind of call has a pause before it, an errno that it ends with instead of being made, how many
 * calls that is for (-1: all), and of how many in a thousand, at random (0: of each). With `trace` the path and the
 * outcome of every write, sync and rename goes, a line each, to the file next to it with ".trace" behind its name. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum kind { KIND_WRITE, KIND_SYNC, KIND_READ, KIND_OPEN, KIND_RENAME, KINDS };

struct fault {
    atomic_int pause_ms;
    atomic_int error;
    atomic_int times;
    atomic_int met; /* calls that it was for */
    atomic_int permille;
};

struct disk_shim {
    struct fault faults[KINDS];
    atomic_int trace;
    char below[512];
};

static struct disk_shim *shim;
static int trace_file = -1;
static const char *const names[KINDS] = {"write", "sync", "read", "open", "rename"};

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("DISK_SHIM");
    char trace_path[PATH_MAX];
    if (path == NULL) {
        return;
    }
    int file = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
    void *memory = mmap(NULL, sizeof *shim, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    snprintf(trace_path, sizeof trace_path, "%s.trace", path);
    trace_file = (int)syscall(SYS_openat, AT_FDCWD, trace_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0 || memory == MAP_FAILED || trace_file < 0) {
        abort();
    }
    shim = memory;
}

/* Whether the path lies in the directory. */
static bool concerns(const char *path) {
    size_t size = strlen(shim->below);
    return strncmp(path, shim->below, size) == 0 && (path[size] == '/' || path[size] == '\0');
}

static bool path_of_file(int file, char path[PATH_MAX]) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = readlink(link, path, PATH_MAX - 1);
    path[size > 0 ? size : 0] = '\0';
    return size > 0;
}

static bool path_at(int directory, const char *name, char path[PATH_MAX]) {
    char above[PATH_MAX] = "";
    if (name[0] != '/' && directory != AT_FDCWD) {
        path_of_file(directory, above);
    }
    return snprintf(path, PATH_MAX, "%s%s%s", above, above[0] != '\0' ? "/" : "", name) < PATH_MAX;
}

static bool is_meant(const struct fault *fault) {
    static _Thread_local unsigned seed;
    int permille = atomic_load(&fault->permille);
    if (seed == 0) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        seed = (unsigned)now.tv_nsec ^ (unsigned)(uintptr_t)&seed;
    }
    return permille == 0 || rand_r(&seed) % 1000 < permille;
}

static bool take(struct fault *fault) {
    int times = is_meant(fault) ? atomic_load(&fault->times) : 0;
    while (times > 0 && !atomic_compare_exchange_weak(&fault->times, &times, times - 1)) {
    }
    atomic_fetch_add(&fault->met, times != 0);
    return times != 0;
}

/* Ends early where the test takes the pause away. */
static void pause_for(struct fault *fault) {
    static const struct timespec step = {0, 1000000};
    struct timespec begin;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    do {
        nanosleep(&step, NULL);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000 <
             atomic_load(&fault->pause_ms));
}

static void trace(enum kind kind, const char *path, int error) {
    char line[PATH_MAX + 64];
    int size = snprintf(line, sizeof line, "%d %s %d %s\n", (int)getpid(), names[kind], error, path);
    ssize_t written = syscall(SYS_write, trace_file, line, (size_t)size);
    (void)written;
}

/* What is to happen to a call, which has the path: 0, or the errno that it ends with. */
static int meet(enum kind kind, const char *path) {
    struct fault *fault = &shim->faults[kind];
    int error = 0;
    if (!concerns(path)) {
        return error;
    }
    if (take(fault)) {
        if (atomic_load(&fault->pause_ms) > 0) {
            pause_for(fault);
        }
        error = atomic_load(&fault->error);
    }
    if (atomic_load(&shim->trace) != 0 && kind != KIND_READ && kind != KIND_OPEN) {
        trace(kind, path, error);
    }
    return error;
}

static bool is_idle(enum kind kind) {
    return shim == NULL || (atomic_load(&shim->faults[kind].times) == 0 && atomic_load(&shim->trace) == 0);
}

/* True with errno set where the call is to fail. */
static bool file_fails(enum kind kind, int file) {
    char path[PATH_MAX];
    int kept = errno;
    int error = is_idle(kind) || !path_of_file(file, path) ? 0 : meet(kind, path);
    errno = error != 0 ? error : kept;
    return error != 0;
}

static bool name_fails(enum kind kind, int directory, const char *name) {
    char path[PATH_MAX];
    int kept = errno;
    int error = is_idle(kind) || !path_at(directory, name, path) ? 0 : meet(kind, path);
    errno = error != 0 ? error : kept;
    return error != 0;
}

ssize_t write(int file, const void *data, size_t size) {
    return file_fails(KIND_WRITE, file) ? -1 : syscall(SYS_write, file, data, size);
}

ssize_t pwrite(int file, const void *data, size_t size, off_t offset) {
    return file_fails(KIND_WRITE, file) ? -1 : syscall(SYS_pwrite64, file, data, size, offset);
}

ssize_t pread(int file, void *data, size_t size, off_t offset) {
    return file_fails(KIND_READ, file) ? -1 : syscall(SYS_pread64, file, data, size, offset);
}

int fsync(int file) {
    return file_fails(KIND_SYNC, file) ? -1 : (int)syscall(SYS_fsync, file);
}

int fdatasync(int file) {
    return file_fails(KIND_SYNC, file) ? -1 : (int)syscall(SYS_fdatasync, file);
}

static mode_t mode_of(int flags, va_list list) {
    return (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(list, mode_t) : 0;
}

int openat(int directory, const char *name, int flags, ...) {
    va_list list;
    va_start(list, flags);
    mode_t mode = mode_of(flags, list);
    va_end(list);
    return name_fails(KIND_OPEN, directory, name) ? -1 : (int)syscall(SYS_openat, directory, name, flags, mode);
}

int open(const char *name, int flags, ...) {
    va_list list;
    va_start(list, flags);
    mode_t mode = mode_of(flags, list);
    va_end(list);
    return name_fails(KIND_OPEN, AT_FDCWD, name) ? -1 : (int)syscall(SYS_openat, AT_FDCWD, name, flags, mode);
}

int rename(const char *from, const char *to) {
    return name_fails(KIND_RENAME, AT_FDCWD, to) ? -1 : (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
}

int renameat(int from_directory, const char *from, int to_directory, const char *to) {
    return name_fails(KIND_RENAME, to_directory, to)
               ? -1
               : (int)syscall(SYS_renameat, from_directory, from, to_directory, to);
}
