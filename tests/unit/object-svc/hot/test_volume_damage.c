// rooms: object_hot
#include "tests/unit/object-svc/hot/hot_fixture.h"

static struct hot_fixture fixture;

static void start(void) {
    fixture_init(&fixture);
    fixture_open(&fixture);
}

static void end(void) {
    fixture_end(&fixture);
}

TestSuite(volume_damage, .init = start, .fini = end);

/* Reads object 1 whole and in pieces; wrong bytes fail in fixture_try_read. */
static void read_every_way(uint64_t size) {
    struct error error = {0};
    if (fixture_try_read(&fixture, 1, 0, size, &error) < 0) {
        cr_assert_eq(error.code, ERROR_DATA_LOSS, "%s", error.message);
        cr_assert_str_eq(error.reason, "OBJECT_CORRUPT");
        cr_assert_not_null(strstr(error.message, "pictures"));
        cr_assert_not_null(strstr(error.message, "some/key-1"));
        cr_assert_not_null(strstr(error.message, "version 2"));
        cr_assert_str_eq(error.detail_key, "object");
    }
    for (uint64_t offset = 0; offset < size; offset += 50021) {
        if (fixture_try_read(&fixture, 1, offset, 1000, &error) < 0) {
            cr_assert_str_eq(error.reason, "OBJECT_CORRUPT");
        }
    }
}

Test(volume_damage, a_flipped_byte_of_a_small_object_is_never_returned) {
    fixture_store(&fixture, 1, 1, 300);
    uint64_t end_of_volume = fixture_volume_size(&fixture, 1);
    unsigned refused = 0;
    for (uint64_t offset = 512; offset < end_of_volume; offset++) {
        struct error error = {0};
        fixture_flip(&fixture, 1, offset, (uint8_t)(1 << (offset % 8)));
        refused += fixture_try_read(&fixture, 1, 0, 300, &error) < 0;
        read_every_way(300);
        fixture_flip(&fixture, 1, offset, (uint8_t)(1 << (offset % 8)));
    }
    /* All but the paddings matter. */
    cr_assert_geq(refused, end_of_volume - 512 - 16);
    fixture_check_object(&fixture, 1, 300);
}

Test(volume_damage, a_flipped_byte_of_an_object_of_many_blocks_is_never_returned) {
    const uint64_t size = 3 * 65536 + 1000;
    fixture_store(&fixture, 1, 1, size);
    uint64_t end_of_volume = fixture_volume_size(&fixture, 1);
    for (uint64_t offset = 512; offset < end_of_volume;
         offset += offset < 1000 || offset + 40 > end_of_volume ? 1 : 3511) {
        struct error error = {0};
        fixture_flip(&fixture, 1, offset, 0x40);
        if (offset > 800 && offset + 24 < end_of_volume) {
            cr_assert_eq(fixture_try_read(&fixture, 1, 0, size, &error), -1, "offset %llu", (unsigned long long)offset);
        }
        read_every_way(size);
        fixture_flip(&fixture, 1, offset, 0x40);
    }
    fixture_check_object(&fixture, 1, size);
}

Test(volume_damage, undamaged_blocks_are_still_served) {
    const uint64_t size = 3 * 65536;
    fixture_store(&fixture, 1, 1, size);
    struct error error = {0};
    uint64_t payload = fixture_volume_size(&fixture, 1) - 3 * 4 - 4 - size;
    fixture_flip(&fixture, 1, payload + 65536 + 77, 1);
    cr_assert_eq(fixture_try_read(&fixture, 1, 0, 65536, &error), 65536);
    cr_assert_eq(fixture_try_read(&fixture, 1, 65536, 1, &error), -1);
    cr_assert_eq(fixture_try_read(&fixture, 1, 131071, 2, &error), -1);
    cr_assert_eq(fixture_try_read(&fixture, 1, 131072, 65536, &error), 65536);
}

Test(volume_damage, a_volume_cut_short_yields_data_loss_not_short_reads) {
    const uint64_t size = 200000;
    fixture_store(&fixture, 1, 1, size);
    char path[160];
    fixture_volume_path(&fixture, 1, path);
    cr_assert_eq(truncate(path, 100000), 0);
    for (int round = 0; round < 2; round++) {
        struct error error = {0};
        cr_assert_eq(fixture_try_read(&fixture, 1, 0, size, &error), -1);
        cr_assert_str_eq(error.reason, "OBJECT_CORRUPT", "%s", error.message);
        cr_assert_eq(fixture_try_read(&fixture, 1, 150000, 10, &error), -1);
        fixture_reopen(&fixture);
    }
    /* Nothing is written over where the index still has entries. */
    fixture_store(&fixture, 2, 1, 150000);
    fixture_check_object(&fixture, 2, 150000);
    fixture_reopen(&fixture);
    fixture_check_object(&fixture, 2, 150000);
}
