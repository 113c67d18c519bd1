// rooms: waybill_base
#include <criterion/criterion.h>

#include "common/base/bytes.h"

Test(bytes, are_equal_by_content) {
    cr_assert(bytes_equal(bytes_of_string("ab"), bytes_of("abc", 2)));
    cr_assert_not(bytes_equal(bytes_of_string("ab"), bytes_of_string("abc")));
    cr_assert_not(bytes_equal(bytes_of_string("ab"), bytes_of_string("ac")));
    cr_assert(bytes_equal((struct bytes){0}, bytes_of("", 0)));
}

Test(bytes, start_with_a_prefix_also_an_empty_one) {
    cr_assert(bytes_start_with(bytes_of_string("abc"), bytes_of_string("ab")));
    cr_assert(bytes_start_with(bytes_of_string("abc"), (struct bytes){0}));
    cr_assert(bytes_start_with((struct bytes){0}, (struct bytes){0}));
    cr_assert_not(bytes_start_with(bytes_of_string("abc"), bytes_of_string("abcd")));
    cr_assert_not(bytes_start_with(bytes_of_string("abc"), bytes_of_string("b")));
}

Test(bytes, integers_lie_in_the_order_that_their_name_says) {
    uint8_t raw[8];
    put_le16(raw, 0x0102);
    cr_assert_eq(memcmp(raw, "\x02\x01", 2), 0);
    cr_assert_eq(get_le16(raw), 0x0102);
    put_le32(raw, 0x01020304);
    cr_assert_eq(memcmp(raw, "\x04\x03\x02\x01", 4), 0);
    cr_assert_eq(get_le32(raw), 0x01020304);
    put_le64(raw, 0x0102030405060708);
    cr_assert_eq(memcmp(raw, "\x08\x07\x06\x05\x04\x03\x02\x01", 8), 0);
    cr_assert_eq(get_le64(raw), 0x0102030405060708);
    put_be64(raw, 0x0102030405060708);
    cr_assert_eq(memcmp(raw, "\x01\x02\x03\x04\x05\x06\x07\x08", 8), 0);
    cr_assert_eq(get_be64(raw), 0x0102030405060708);
}

Test(bytes, integers_need_no_alignment) {
    uint8_t raw[9] = {0};
    put_le64(raw + 1, UINT64_MAX);
    cr_assert_eq(get_le64(raw + 1), UINT64_MAX);
    cr_assert_eq(raw[0], 0);
}

Test(buffer, keeps_what_is_appended_while_it_grows) {
    struct buffer buffer = {0};
    for (unsigned i = 0; i < 10000; i++) {
        buffer_append_le32(&buffer, i);
    }
    cr_assert_eq(buffer.size, 40000);
    for (unsigned i = 0; i < 10000; i++) {
        cr_assert_eq(get_le32(buffer.data + 4 * i), i);
    }
    buffer_free(&buffer);
    cr_assert_null(buffer.data);
}

Test(buffer, appends_each_kind) {
    static const uint8_t expected[] = {7, 2, 1, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 'a', 'b', 'c'};
    struct buffer buffer = {0};
    buffer_append_u8(&buffer, 7);
    buffer_append_le32(&buffer, 0x102);
    buffer_append_le64(&buffer, 3);
    buffer_append_be64(&buffer, 4);
    buffer_append(&buffer, "ab", 2);
    buffer_append_bytes(&buffer, bytes_of_string("c"));
    buffer_append(&buffer, NULL, 0);
    cr_assert(bytes_equal(buffer_bytes(&buffer), bytes_of(expected, sizeof expected)));
    buffer_free(&buffer);
}

Test(buffer, clear_keeps_the_memory_and_reserve_makes_room) {
    struct buffer buffer = {0};
    memset(buffer_reserve(&buffer, 1000), 1, 1000);
    buffer.size += 1000;
    const uint8_t *data = buffer.data;
    buffer_clear(&buffer);
    cr_assert_eq(buffer.size, 0);
    buffer_append(&buffer, "x", 1);
    cr_assert_eq(buffer.data, data);
    cr_assert_eq(buffer_reserve(&buffer, 5000), buffer.data + 1);
    cr_assert_geq(buffer.capacity, 5001);
    buffer_free(&buffer);
}
