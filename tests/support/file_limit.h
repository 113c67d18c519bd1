/* Lets the process write no file longer than so many bytes: a write past that is cut off, the next one fails. */
#ifndef WAYBILL_TESTS_FILE_LIMIT_H
#define WAYBILL_TESTS_FILE_LIMIT_H

#include <assert.h>
#include <signal.h>
#include <sys/resource.h>

static inline void file_limit_set(rlim_t bytes) {
    struct rlimit limit;
    signal(SIGXFSZ, SIG_IGN);
    int result = getrlimit(RLIMIT_FSIZE, &limit);
    assert(result == 0);
    limit.rlim_cur = bytes;
    result = setrlimit(RLIMIT_FSIZE, &limit);
    assert(result == 0);
    (void)result;
}

static inline void file_limit_lift(void) {
    struct rlimit limit;
    int result = getrlimit(RLIMIT_FSIZE, &limit);
    assert(result == 0);
    limit.rlim_cur = limit.rlim_max;
    result = setrlimit(RLIMIT_FSIZE, &limit);
    assert(result == 0);
    (void)result;
}

#endif
