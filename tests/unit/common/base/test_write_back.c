// rooms: waybill_base
#include <criterion/criterion.h>
#include <errno.h>

#include "common/base/write_back.h"

/* A file that only counts. */
struct counting_file {
    struct disk_file base;
    uint64_t begun;
    uint64_t written;
    uint64_t forgotten;
    bool fail;
};

static bool count(struct disk_file *base, uint64_t offset, uint64_t size, enum disk_write_back how,
                  struct error *error) {
    struct counting_file *file = (struct counting_file *)base;
    uint64_t *ends[] = {&file->begun, &file->written, &file->forgotten};
    cr_assert_eq(offset, *ends[how], "runs follow on each other");
    *ends[how] += size;
    return !file->fail || error_set_errno(error, EIO, "writing back");
}

static const struct disk_ops ops = {.write_back = count};

Test(write_back, leaves_at_most_a_step_unbegun_and_a_window_unwritten) {
    struct counting_file file = {.base.ops = &ops, .begun = 100, .written = 100};
    struct write_back write_back = write_back_from(100);
    struct error error;
    for (uint64_t end = 100; end < 64 << 20; end += 300000) {
        cr_assert(write_back_advance(&write_back, &file.base, end, &error));
        cr_assert_lt(end - file.begun, WRITE_BACK_STEP_BYTES);
        cr_assert_leq(file.begun - file.written, WRITE_BACK_WINDOW_BYTES);
        cr_assert_leq(file.begun, end, "nothing that is not there");
    }
    cr_assert_gt(file.written, 32 << 20);
    cr_assert_eq(file.forgotten, 0);
}

Test(write_back, forgets_what_is_far_behind_where_it_is_told_to) {
    struct counting_file file = {.base.ops = &ops};
    struct write_back write_back = write_back_from(0);
    struct error error;
    write_back.forgets = true;
    for (uint64_t end = 0; end < (uint64_t)3 * WRITE_BACK_KEPT_BYTES; end += WRITE_BACK_STEP_BYTES) {
        cr_assert(write_back_advance(&write_back, &file.base, end, &error));
        cr_assert_leq(file.written - file.forgotten, WRITE_BACK_KEPT_BYTES);
        cr_assert(file.forgotten == 0 || file.written - file.forgotten == WRITE_BACK_KEPT_BYTES);
    }
    cr_assert_gt(file.forgotten, WRITE_BACK_KEPT_BYTES);
    cr_assert(write_back_end(&write_back, &file.base, file.begun, &error));
    cr_assert_eq(file.forgotten, file.begun);
}

Test(write_back, keeps_what_went_by_while_it_was_not_to_forget) {
    struct counting_file file = {.base.ops = &ops};
    struct write_back write_back = write_back_from(0);
    struct error error;
    cr_assert(write_back_advance(&write_back, &file.base, 2 * (uint64_t)WRITE_BACK_KEPT_BYTES, &error));
    cr_assert_eq(file.forgotten, 0);
    uint64_t passed = write_back.kept;
    cr_assert_gt(passed, 0);
    write_back.forgets = true;
    file.forgotten = passed;
    cr_assert(write_back_advance(&write_back, &file.base, 3 * (uint64_t)WRITE_BACK_KEPT_BYTES, &error));
    cr_assert_gt(file.forgotten, passed);
}

Test(write_back, tells_of_a_failure) {
    struct counting_file file = {.base.ops = &ops, .fail = true};
    struct write_back write_back = write_back_from(0);
    struct error error;
    cr_assert(write_back_advance(&write_back, &file.base, WRITE_BACK_STEP_BYTES - 1, &error));
    cr_assert_not(write_back_advance(&write_back, &file.base, WRITE_BACK_STEP_BYTES, &error));
}
