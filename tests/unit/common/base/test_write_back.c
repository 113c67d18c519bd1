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
    uint64_t *end = how == DISK_WRITE_BACK_BEGIN ? &file->begun : &file->written;
    cr_assert_eq(offset, *end, "runs follow on each other");
    *end += size;
    file->forgotten += how == DISK_WRITE_BACK_FORGET ? size : 0;
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

Test(write_back, forgets_what_is_written_where_it_is_told_to) {
    struct counting_file file = {.base.ops = &ops};
    struct write_back write_back = write_back_from(0);
    struct error error;
    cr_assert(write_back_advance(&write_back, &file.base, 20 << 20, &error));
    cr_assert_eq(file.forgotten, 0);
    write_back.forgets = true;
    uint64_t before = file.written;
    cr_assert(write_back_advance(&write_back, &file.base, 40 << 20, &error));
    cr_assert_gt(file.forgotten, 0);
    cr_assert_eq(file.forgotten, file.written - before);
}

Test(write_back, tells_of_a_failure) {
    struct counting_file file = {.base.ops = &ops, .fail = true};
    struct write_back write_back = write_back_from(0);
    struct error error;
    cr_assert(write_back_advance(&write_back, &file.base, WRITE_BACK_STEP_BYTES - 1, &error));
    cr_assert_not(write_back_advance(&write_back, &file.base, WRITE_BACK_STEP_BYTES, &error));
}
