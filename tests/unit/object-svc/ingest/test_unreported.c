// rooms: object_ingest
#include <criterion/criterion.h>
#include <string.h>

#include "object-svc/ingest/unreported.h"

static struct provenance provenance_of(uint8_t number, const char *key) {
    struct provenance provenance = {.bucket = "media", .key = key, .version = number, .size_bytes = 7, .crc32c = 9};
    provenance.payload_id.raw[0] = number;
    return provenance;
}

Test(unreported, the_oldest_come_first_each_once_until_they_are_removed) {
    struct unreported *left = unreported_new(10);
    char key[] = "a";
    for (uint8_t i = 1; i <= 3; i++) {
        struct provenance provenance = provenance_of(i, key);
        unreported_add(left, &provenance);
        unreported_add(left, &provenance);
        key[0]++; /* what is kept is a copy */
    }
    struct object_report reports[10];
    cr_assert_eq(unreported_count(left), 3);
    cr_assert_eq(unreported_oldest(left, reports, 2), 2);
    cr_assert_str_eq(reports[0].key, "a");
    cr_assert_str_eq(reports[1].key, "b");
    cr_assert_eq(reports[0].outcome, OBJECT_STORED);
    cr_assert_eq(reports[0].tier, OBJECT_TIER_HOT);
    cr_assert_eq(reports[0].size_bytes, 7);
    struct uuid first = reports[0].payload_id;
    unreported_remove(left, &first);
    unreported_remove(left, &first);
    cr_assert_eq(unreported_oldest(left, reports, 10), 2);
    cr_assert_str_eq(reports[0].key, "b");
    unreported_free(left);
}

Test(unreported, a_full_queue_forgets_the_oldest) {
    struct unreported *left = unreported_new(2);
    for (uint8_t i = 1; i <= 3; i++) {
        struct provenance provenance = provenance_of(i, "key");
        unreported_add(left, &provenance);
    }
    struct object_report reports[3];
    cr_assert_eq(unreported_oldest(left, reports, 3), 2);
    cr_assert_eq(reports[0].version, 2);
    unreported_free(left);
}
