// rooms: object_ingest
#include <criterion/criterion.h>

#include "object-svc/ingest/attempt_table.h"

enum { SMALL = 4 };

Test(attempt_table, attempts_are_counted_by_payload_whatever_the_stream_counts) {
    struct attempt_table *table = attempt_table_new(ATTEMPT_TABLE_SLOTS);
    struct uuid one = uuid_make();
    struct uuid other = uuid_make();
    cr_assert_eq(attempt_table_add(table, &one, 70, 0), 1);
    cr_assert_eq(attempt_table_add(table, &one, 71, 0), 2);
    cr_assert_eq(attempt_table_add(table, &other, 1, 0), 1);
    cr_assert_eq(attempt_table_add(table, &one, 72, 0), 3);
    attempt_table_free(table);
}

Test(attempt_table, what_is_done_with_begins_anew) {
    struct attempt_table *table = attempt_table_new(SMALL);
    struct uuid id = uuid_make();
    attempt_table_add(table, &id, 1, 0);
    attempt_table_add(table, &id, 2, 0);
    attempt_table_forget(table, &id);
    cr_assert_eq(attempt_table_add(table, &id, 3, 0), 1);
    attempt_table_free(table);
}

Test(attempt_table, what_finds_no_place_is_counted_by_its_deliveries) {
    struct attempt_table *table = attempt_table_new(SMALL);
    for (int i = 0; i < SMALL; i++) {
        struct uuid id = uuid_make();
        cr_assert_eq(attempt_table_add(table, &id, 9, 0), 1);
    }
    struct uuid late = uuid_make();
    cr_assert_eq(attempt_table_add(table, &late, 9, 0), 9);
    attempt_table_free(table);
}

Test(attempt_table, what_went_elsewhere_gives_its_place_up) {
    struct attempt_table *table = attempt_table_new(SMALL);
    for (int i = 0; i < SMALL; i++) {
        struct uuid id = uuid_make();
        attempt_table_add(table, &id, 1, 0);
    }
    struct uuid late = uuid_make();
    cr_assert_eq(attempt_table_add(table, &late, 9, ATTEMPT_STALE_US), 9);
    cr_assert_eq(attempt_table_add(table, &late, 9, ATTEMPT_STALE_US + 1), 1);
    attempt_table_free(table);
}
