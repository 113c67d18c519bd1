// rooms: object_ingest
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "object-svc/ingest/attempt_table.h"
#include "tests/unit/disk_place.h"

enum { SMALL = 4 };

Test(attempt_table, attempts_are_counted_by_payload_whatever_the_stream_counts) {
    struct attempt_table *table = attempt_table_open(NULL, ATTEMPT_TABLE_SLOTS);
    struct uuid one = uuid_make();
    struct uuid other = uuid_make();
    cr_assert_eq(attempt_table_add(table, &one, 70, 0), 1);
    cr_assert_eq(attempt_table_add(table, &one, 71, 0), 2);
    cr_assert_eq(attempt_table_add(table, &other, 1, 0), 1);
    cr_assert_eq(attempt_table_add(table, &one, 72, 0), 3);
    attempt_table_close(table);
}

Test(attempt_table, what_is_done_with_begins_anew) {
    struct attempt_table *table = attempt_table_open(NULL, SMALL);
    struct uuid id = uuid_make();
    attempt_table_add(table, &id, 1, 0);
    attempt_table_add(table, &id, 2, 0);
    attempt_table_forget(table, &id);
    cr_assert_eq(attempt_table_add(table, &id, 3, 0), 1);
    attempt_table_close(table);
}

Test(attempt_table, what_finds_no_place_is_counted_by_its_deliveries) {
    struct attempt_table *table = attempt_table_open(NULL, SMALL);
    for (int i = 0; i < SMALL; i++) {
        struct uuid id = uuid_make();
        cr_assert_eq(attempt_table_add(table, &id, 9, 0), 1);
    }
    struct uuid late = uuid_make();
    cr_assert_eq(attempt_table_add(table, &late, 9, 0), 9);
    attempt_table_close(table);
}

Test(attempt_table, what_went_elsewhere_gives_its_place_up) {
    struct attempt_table *table = attempt_table_open(NULL, SMALL);
    for (int i = 0; i < SMALL; i++) {
        struct uuid id = uuid_make();
        attempt_table_add(table, &id, 1, 0);
    }
    struct uuid late = uuid_make();
    cr_assert_eq(attempt_table_add(table, &late, 9, ATTEMPT_STALE_US), 9);
    cr_assert_eq(attempt_table_add(table, &late, 9, ATTEMPT_STALE_US + 1), 1);
    attempt_table_close(table);
}

/* ---- the file ---- */

static struct disk_place place;

static void set_up(void) {
    disk_place_make(&place);
}

static void tear_down(void) {
    disk_place_remove(&place);
}

static struct disk_file *open_file(void) {
    struct error error = {0};
    struct disk_file *file = place.disk->ops->open(place.disk, "attempts", false, &error);
    cr_assert_not_null(file, "%s", error.message);
    return file;
}

Test(attempt_table, attempts_survive_a_restart, .init = set_up, .fini = tear_down) {
    struct uuid one = uuid_make();
    struct uuid done = uuid_make();
    struct attempt_table *table = attempt_table_open(place.disk, ATTEMPT_TABLE_SLOTS);
    attempt_table_add(table, &one, 1, 1000000);
    attempt_table_add(table, &one, 2, 1000000);
    attempt_table_add(table, &done, 1, 1000000);
    attempt_table_forget(table, &done);
    /* Not closed, as after a kill. */
    struct attempt_table *next = attempt_table_open(place.disk, ATTEMPT_TABLE_SLOTS);
    cr_assert_eq(attempt_table_add(next, &one, 3, 2000000), 3);
    cr_assert_eq(attempt_table_add(next, &done, 2, 2000000), 1);
    attempt_table_close(next);
    attempt_table_close(table);
}

Test(attempt_table, the_file_has_the_documented_bytes, .init = set_up, .fini = tear_down) {
    static const uint8_t golden[32] = {0x81, 0x3a, 0x3b, 0x46, 0x01, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00,
                                       0x00, 0x00, 0xf1, 0x53, 0x65, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15,
                                       0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x00, 0x00, 0x00, 0x1f};
    struct uuid id = {{0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0, 0, 0, 0x1f}};
    struct attempt_table *table = attempt_table_open(place.disk, SMALL);
    attempt_table_add(table, &id, 1, 1700000000000000);
    attempt_table_add(table, &id, 2, 1700000000000000);
    uint8_t bytes[32];
    struct error error = {0};
    struct disk_file *file = open_file();
    cr_assert_eq(file->ops->read(file, 0, bytes, sizeof bytes, &error), (int64_t)sizeof bytes);
    cr_assert_arr_eq(bytes, golden, sizeof golden);
    file->ops->close(file);
    attempt_table_close(table);
}

Test(attempt_table, what_is_damaged_counts_as_never_tried, .init = set_up, .fini = tear_down) {
    struct uuid id = uuid_make();
    struct error error = {0};
    struct attempt_table *table = attempt_table_open(place.disk, SMALL);
    attempt_table_add(table, &id, 1, 0);
    attempt_table_close(table);
    struct disk_file *file = open_file();
    uint8_t bytes[32];
    cr_assert_eq(file->ops->read(file, 0, bytes, sizeof bytes, &error), (int64_t)sizeof bytes);
    for (uint64_t at = 0; at < sizeof bytes; at++) {
        uint8_t flipped = bytes[at] ^ 0x40;
        cr_assert(file->ops->write(file, 0, bytes_of(bytes, sizeof bytes), &error));
        cr_assert(file->ops->write(file, at, bytes_of(&flipped, 1), &error));
        table = attempt_table_open(place.disk, SMALL);
        cr_assert_eq(attempt_table_add(table, &id, 1, 0), 1, "byte %d", (int)at);
        attempt_table_close(table);
    }
    file->ops->close(file);
}
