// rooms: waybill_base
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/thread_turn.h"

static int nice_here(void) {
    errno = 0;
    int nice = getpriority(PRIO_PROCESS, (id_t)gettid());
    cr_assert_eq(errno, 0);
    return nice;
}

static void *tell_nice(void *out) {
    *(int *)out = nice_here();
    return NULL;
}

static void *stand_back(void *out) {
    pthread_t child;
    thread_turn_stand_back(12);
    cr_assert_eq(nice_here(), 12);
    thread_turn_stand_back(5);
    cr_assert_eq(nice_here(), 12, "it never comes forward");
    thread_turn_be_prompt();
    cr_assert_eq(nice_here(), 12, "short turns are no other place in the line");
    cr_assert_eq(pthread_create(&child, NULL, tell_nice, out), 0);
    pthread_join(child, NULL);
    return NULL;
}

Test(thread_turn, a_thread_stands_back_with_those_it_makes_and_nobody_else) {
    int before = nice_here();
    int child = 0;
    pthread_t thread;
    cr_assert_lt(before, 12, "the test itself does not stand back");
    cr_assert_eq(pthread_create(&thread, NULL, stand_back, &child), 0);
    pthread_join(thread, NULL);
    cr_assert_eq(child, 12);
    cr_assert_eq(nice_here(), before);
}

/* Nanoseconds; 0 where the system does not say. */
static uint64_t turn_here(void) {
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime_ns, deadline_ns, period_ns;
    } attributes = {.size = sizeof attributes};
    return syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) == 0 ? attributes.runtime_ns : 0;
}

static void *tell_turn(void *out) {
    *(uint64_t *)out = turn_here();
    return NULL;
}

static void *be_prompt(void *out) {
    uint64_t *turns = out;
    pthread_t child;
    thread_turn_be_prompt();
    turns[0] = turn_here();
    cr_assert_eq(pthread_create(&child, NULL, tell_turn, &turns[1]), 0);
    pthread_join(child, NULL);
    return NULL;
}

/* LevelDB makes its thread for merges on the first thread that writes. */
Test(thread_turn, threads_that_a_prompt_one_makes_take_turns_as_long_as_all) {
    uint64_t before = turn_here();
    uint64_t turns[2];
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, be_prompt, turns), 0);
    pthread_join(thread, NULL);
    if (before == 0 || turns[0] == before) {
        cr_skip_test("the system knows no lengths of turns");
    }
    cr_assert_lt(turns[0], before);
    cr_assert_eq(turns[1], before);
}
