// rooms: object_tier
#include "object-svc/tier/cold_reads.h"

#include <criterion/criterion.h>

static struct cold_reads *reads;
static const struct bucket_policy policies[] = {{.bucket = "often", .promote_after_reads = 3}, {.bucket = "never"}};

static void set_up(void) {
    reads = cold_reads_new(&system_clock);
    cold_reads_set_policies(reads, policies, 2);
}

static void tear_down(void) {
    cold_reads_free(reads);
}

TestSuite(cold_reads, .init = set_up, .fini = tear_down);

Test(cold_reads, an_object_is_promoted_after_as_many_reads_as_its_bucket_wants) {
    struct uuid id = uuid_make();
    struct uuid other = uuid_make();
    for (int round = 0; round < 2; round++) {
        cr_assert_not(cold_reads_note(reads, "often", &id));
        cr_assert_not(cold_reads_note(reads, "often", &other));
        cr_assert_not(cold_reads_note(reads, "often", &id));
        cr_assert(cold_reads_note(reads, "often", &id), "and then it counts anew");
        cr_assert_not(cold_reads_note(reads, "often", &other));
        cr_assert(cold_reads_note(reads, "often", &other));
    }
}

Test(cold_reads, a_bucket_that_does_not_promote_never_does) {
    struct uuid id = uuid_make();
    for (int i = 0; i < 10; i++) {
        cr_assert_not(cold_reads_note(reads, "never", &id));
        cr_assert_not(cold_reads_note(reads, "unknown", &id));
    }
}

Test(cold_reads, a_new_policy_holds_at_once) {
    struct bucket_policy eager = {.bucket = "never", .promote_after_reads = 1};
    struct uuid id = uuid_make();
    cold_reads_set_policies(reads, &eager, 1);
    cr_assert(cold_reads_note(reads, "never", &id));
    for (int i = 0; i < 5; i++) {
        cr_assert_not(cold_reads_note(reads, "often", &id));
    }
}

Test(cold_reads, an_object_that_is_read_among_very_many_others_still_counts) {
    struct uuid id = uuid_make();
    bool promoted = false;
    for (int i = 0; i < 3; i++) {
        for (int other = 0; other < 2000; other++) {
            struct uuid once = uuid_make();
            cr_assert_not(cold_reads_note(reads, "often", &once));
        }
        promoted = cold_reads_note(reads, "often", &id);
    }
    cr_assert(promoted);
}
