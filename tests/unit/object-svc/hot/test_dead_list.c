// rooms: object_hot
#include "object-svc/hot/dead_list.h"
#include "tests/unit/object-svc/hot/golden.h"
#include "tests/unit/object-svc/hot/hot_fixture.h"

static const uint64_t salt = 0x1122334455667788;
static const struct dead_mark example = {.offset = 512,
                                         .payload_id = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}}};

Test(dead_list, a_mark_has_the_documented_bytes) {
    struct buffer encoded = {0};
    struct dead_mark again;
    dead_mark_encode(salt, &example, &encoded);
    golden_check(__FILE__, "hot-volume.md", "dead mark", buffer_bytes(&encoded));
    cr_assert_eq(encoded.size, DEAD_MARK_BYTES);
    cr_assert(dead_mark_decode(salt, encoded.data, &again));
    cr_assert_eq(again.offset, example.offset);
    cr_assert(uuid_equal(&again.payload_id, &example.payload_id));
    buffer_free(&encoded);
}

Test(dead_list, any_flipped_bit_and_another_volumes_salt_are_noticed) {
    struct buffer encoded = {0};
    struct dead_mark again;
    dead_mark_encode(salt, &example, &encoded);
    cr_assert_not(dead_mark_decode(salt + 1, encoded.data, &again));
    for (size_t bit = 0; bit < DEAD_MARK_BYTES * 8; bit++) {
        encoded.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_not(dead_mark_decode(salt, encoded.data, &again), "bit %zu", bit);
        encoded.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    static const uint8_t zeros[DEAD_MARK_BYTES];
    cr_assert_not(dead_mark_decode(salt, zeros, &again));
    buffer_free(&encoded);
}

Test(dead_list, marks_are_found_by_place_and_payload_and_can_be_taken_back) {
    enum { MARKS = 5000 }; /* more than are read at once */
    struct hot_fixture fixture;
    struct error error = {0};
    struct dead_list list;
    struct buffer marks = {0};
    fixture_init(&fixture);
    struct disk *disk = posix_disk_new(fixture.volumes, &error);
    cr_assert_not_null(disk);
    for (uint64_t i = 0; i < MARKS; i++) {
        struct dead_mark mark = {.offset = (i * 7919 % MARKS) * 8, .payload_id = fixture_payload_id(i)};
        dead_mark_encode(salt, &mark, &marks);
    }
    cr_assert(dead_list_write(disk, 3, 0, buffer_bytes(&marks), &error));
    cr_assert(dead_list_read(disk, 3, salt, 0, &list, &error));
    cr_assert_eq(list.count, MARKS);
    cr_assert_eq(list.end, MARKS * DEAD_MARK_BYTES);
    for (uint64_t i = 0; i < MARKS; i++) {
        struct uuid id = fixture_payload_id(i);
        cr_assert(dead_list_has(&list, (i * 7919 % MARKS) * 8, &id));
        cr_assert_not(dead_list_has(&list, (i * 7919 % MARKS) * 8 + 4, &id));
        id = fixture_payload_id(i + 1);
        cr_assert_not(dead_list_has(&list, (i * 7919 % MARKS) * 8, &id));
    }
    dead_list_free(&list);
    cr_assert(dead_list_cut(disk, 3, 10 * DEAD_MARK_BYTES, &error));
    cr_assert(dead_list_read(disk, 3, salt, 4 * DEAD_MARK_BYTES, &list, &error));
    cr_assert_eq(list.count, 6);
    dead_list_free(&list);
    cr_assert_not(dead_list_read(disk, 4, salt, 0, &list, &error));
    buffer_free(&marks);
    disk->ops->free(disk);
    fixture_end(&fixture);
}
