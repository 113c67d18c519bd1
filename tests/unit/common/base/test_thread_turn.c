// rooms: waybill_base
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <sys/resource.h>
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
