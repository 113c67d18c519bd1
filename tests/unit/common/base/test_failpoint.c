// rooms: waybill_base
#include <criterion/criterion.h>

#include <signal.h>
#include <string.h>

#include "common/base/failpoint.h"

static int passes;

static void one_step(void) {
    passes += FAILPOINT("unit.one.before") ? 1 : 0;
    FAILPOINT("unit.one.after");
}

Test(failpoint, a_place_that_is_not_armed_is_passed) {
    one_step();
    cr_assert(failpoint_arm(""));
    one_step();
    cr_assert_eq(passes, 2);
}

Test(failpoint, the_first_pass_of_the_armed_place_ends_the_process, .signal = SIGKILL) {
    cr_assert(failpoint_arm("unit.one.before"));
    one_step();
}

Test(failpoint, the_pass_that_was_asked_for_ends_the_process_and_none_before, .signal = SIGKILL) {
    cr_assert(failpoint_arm("unit.one.after:3"));
    one_step();
    one_step();
    passes == 2 ? one_step() : raise(SIGABRT);
}

Test(failpoint, the_passes_before_the_one_that_was_asked_for_end_nothing) {
    cr_assert(failpoint_arm("unit.one.after:3"));
    one_step();
    one_step();
    cr_assert_eq(passes, 2);
}

Test(failpoint, a_name_that_no_place_has_is_refused) {
    cr_assert_not(failpoint_arm("unit.one"));
    cr_assert_not(failpoint_arm("unit.one.before.too:2"));
    one_step();
}

Test(failpoint, a_setting_is_a_name_and_maybe_a_count) {
    static const char *const good[] = {"", "a", "commit.write.before", "cold_s3.put.after:1", "a:999999"};
    static const char *const bad[] = {":", ":1", "a:", "a:0", "a:01", "a:-1", "a:1x", "a:1:1", "A", "a b", "a:1000000"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        cr_assert(failpoint_format.matches(good[i]), "%s", good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_assert_not(failpoint_format.matches(bad[i]), "%s", bad[i]);
    }
    char long_name[66] = {0};
    memset(long_name, 'a', 64);
    cr_assert(failpoint_format.matches(long_name));
    memset(long_name, 'a', 65);
    cr_assert_not(failpoint_format.matches(long_name));
}
