// rooms: object_tier
#include "object-svc/tier/move_guard.h"

#include <criterion/criterion.h>
#include <string.h>

static struct move_guard guard;
static struct uuid ids[MOVE_GUARD_MAX + 1];

static void set_up(void) {
    move_guard_init(&guard);
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        ids[i] = uuid_make();
    }
}

static void tear_down(void) {
    move_guard_destroy(&guard);
}

TestSuite(move_guard, .init = set_up, .fini = tear_down);

static bool enter(size_t index, int64_t wait_ms) {
    struct error error = {0};
    bool entered = move_guard_enter(&guard, &ids[index], wait_ms, &error);
    cr_assert(entered || (error.code == ERROR_UNAVAILABLE && strcmp(error.reason, "OBJECT_MOVING") == 0 &&
                          error.retry_after_ms > 0));
    return entered;
}

static void leave(size_t index) {
    move_guard_leave(&guard, &ids[index]);
}

Test(move_guard, each_object_is_in_one_pair_of_hands) {
    for (size_t i = 0; i < MOVE_GUARD_MAX; i++) {
        cr_assert(enter(i, 0));
    }
    for (size_t i = 0; i < MOVE_GUARD_MAX; i++) {
        cr_assert_not(enter(i, 0));
    }
    for (size_t i = 0; i < MOVE_GUARD_MAX; i += 2) {
        leave(i);
    }
    for (size_t i = 0; i < MOVE_GUARD_MAX; i++) {
        cr_assert_eq(enter(i, 0), i % 2 == 0, "%zu", i);
    }
    for (size_t i = MOVE_GUARD_MAX; i > 0; i--) {
        leave(i - 1);
    }
}

Test(move_guard, objects_of_one_chain_do_not_keep_each_other_out) {
    for (size_t i = 1; i < 5; i++) {
        memcpy(ids[i].raw, ids[0].raw, 8);
    }
    for (size_t i = 0; i < 5; i++) {
        cr_assert(enter(i, 0));
    }
    leave(2); /* from the middle */
    leave(4); /* that entered last */
    leave(0); /* and first */
    cr_assert(enter(2, 0));
    cr_assert_not(enter(1, 0));
    cr_assert_not(enter(3, 0));
    leave(1);
    leave(2);
    leave(3);
}

Test(move_guard, more_than_it_takes_wait_for_room) {
    for (size_t i = 0; i < MOVE_GUARD_MAX; i++) {
        cr_assert(enter(i, 0));
    }
    cr_assert_not(enter(MOVE_GUARD_MAX, 0));
    leave(7);
    cr_assert(enter(MOVE_GUARD_MAX, 0));
    for (size_t i = 0; i <= MOVE_GUARD_MAX; i++) {
        if (i != 7) {
            leave(i);
        }
    }
}

static void *wait_for_the_first(void *entered) {
    *(bool *)entered = enter(0, 60000);
    return NULL;
}

Test(move_guard, whoever_waits_comes_in_once_it_is_free) {
    pthread_t thread;
    bool entered = false;
    cr_assert(enter(0, 0));
    cr_assert_not(enter(0, 1), "nor does anybody wait longer than he said");
    cr_assert_eq(pthread_create(&thread, NULL, wait_for_the_first, &entered), 0);
    leave(0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert(entered);
    leave(0);
}
