#include "common/base/thread_turn.h"

#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    SHORT_TURN_NS = 100000,
    /* SCHED_FLAG_RESET_ON_FORK of linux/sched.h: the threads that it makes take turns as all others. */
    FLAG_RESET_ON_FORK = 1,
};

/* As the kernel has it in linux/sched/types.h, which does not go together with sched.h. */
struct turn_attributes {
    uint32_t size;
    uint32_t policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns; /* of an ordinary thread: the length of a turn */
    uint64_t deadline_ns;
    uint64_t period_ns;
};

/* On Linux a nice value is one thread's. */
static int nice_of_thread(id_t thread) {
    return getpriority(PRIO_PROCESS, thread);
}

void thread_turn_stand_back(int nice) {
    id_t thread = (id_t)gettid();
    if (nice > nice_of_thread(thread)) {
        setpriority(PRIO_PROCESS, thread, nice);
    }
}

void thread_turn_be_prompt(void) {
    struct turn_attributes attributes = {
        .size = sizeof attributes,
        .policy = SCHED_OTHER,
        .flags = FLAG_RESET_ON_FORK,
        .nice = nice_of_thread((id_t)gettid()),
        .runtime_ns = SHORT_TURN_NS,
    };
    syscall(SYS_sched_setattr, 0, &attributes, 0);
}
