/* Preloaded into a service, moves its wall clock: $CLOCK_SHIM is a file that the test has mapped, of which the first 8
 * bytes are how many microseconds the clock is ahead (tests/python/clock_shim.py). The monotonic clock goes on as ever.
 *
 * Whoever waits until a time of the wall clock wakes when the moved clock says so, as after a real
 * jump: at once where that went past it, and later where it went back. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { SLICE_NS = 20000000 };

typedef int cond_function(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *until);

static _Atomic int64_t *ahead_us;
static cond_function *real_timedwait;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("CLOCK_SHIM");
    real_timedwait = (cond_function *)dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    if (path == NULL || real_timedwait == NULL) {
        abort();
    }
    int file = open(path, O_RDWR | O_CLOEXEC);
    void *memory = mmap(NULL, sizeof *ahead_us, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (file < 0 || memory == MAP_FAILED) {
        abort();
    }
    ahead_us = memory;
}

static bool is_wall_clock(clockid_t clock) {
    return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
}

static void add_us(struct timespec *time, int64_t us) {
    int64_t ns = time->tv_nsec + us % 1000000 * 1000;
    time->tv_sec += us / 1000000 + (ns >= 1000000000) - (ns < 0);
    time->tv_nsec = ns - (ns >= 1000000000 ? 1000000000 : 0) + (ns < 0 ? 1000000000 : 0);
}

/* -errno on failure. Libraries that begin before this one call it, too, so nothing is looked up for it. */
static long real_syscall(long number, long a, long b, long c, long d, long e, long f) {
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

static long real_gettime(clockid_t clock, struct timespec *now) {
    return real_syscall(SYS_clock_gettime, clock, (long)now, 0, 0, 0, 0);
}

static long with_errno(long result) {
    if (result < 0) {
        errno = (int)-result;
        return -1;
    }
    return result;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    if (with_errno(real_gettime(clock, now)) < 0) {
        return -1;
    }
    if (is_wall_clock(clock) && ahead_us != NULL) {
        add_us(now, atomic_load(ahead_us));
    }
    return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec time;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &time);
    *now = (struct timeval){time.tv_sec, time.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out != NULL) {
        *out = now.tv_sec;
    }
    return now.tv_sec;
}

/* The end, by the real clock, of the next short wait on the way to a time of the moved one; false: it is past. */
static bool next_slice(const struct timespec *until, struct timespec *end) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t left_s = (int64_t)until->tv_sec - now.tv_sec;
    int64_t left_ns = until->tv_nsec - now.tv_nsec;
    if (left_s < 0 || (left_s == 0 && left_ns <= 0)) {
        return false;
    }
    bool near = left_s == 0 && left_ns < SLICE_NS;
    real_gettime(CLOCK_REALTIME, end);
    add_us(end, (near ? left_ns : SLICE_NS) / 1000 + 1);
    return true;
}

/* A time of the monotonic clock is a small number. */
static bool is_wall_time(const struct timespec *time) {
    return time->tv_sec > 1000000000 || time->tv_sec < 0;
}

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until) {
    if (!is_wall_time(until)) {
        return real_timedwait(condition, mutex, until);
    }
    int result = ETIMEDOUT;
    struct timespec end;
    while (result == ETIMEDOUT && next_slice(until, &end)) {
        result = real_timedwait(condition, mutex, &end);
    }
    return result;
}

/* Abseil waits so. */
long syscall(long number, ...) {
    va_list list;
    va_start(list, number);
    long a = va_arg(list, long);
    long b = va_arg(list, long);
    long c = va_arg(list, long);
    long d = va_arg(list, long);
    long e = va_arg(list, long);
    long f = va_arg(list, long);
    va_end(list);
    bool wall = number == SYS_futex && (b & FUTEX_CLOCK_REALTIME) != 0 && d != 0;
    if (!wall) {
        return with_errno(real_syscall(number, a, b, c, d, e, f));
    }
    const struct timespec *until = (const struct timespec *)d;
    long result = -ETIMEDOUT;
    struct timespec end;
    while (result == -ETIMEDOUT && next_slice(until, &end)) {
        result = real_syscall(number, a, b, c, (long)&end, e, f);
    }
    return with_errno(result);
}
