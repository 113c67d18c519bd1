// rooms: waybill_checksum
#include <criterion/criterion.h>

#include "common/checksum/crc32c.h"

Test(crc32c, gives_the_published_check_values) {
    cr_assert_eq(crc32c(bytes_of_string("123456789")), 0xe3069283u);
    cr_assert_eq(crc32c((struct bytes){0}), 0u);
    /* RFC 3720 B.4: 32 bytes of zeroes. */
    uint8_t zeroes[32] = {0};
    cr_assert_eq(crc32c(bytes_of(zeroes, sizeof zeroes)), 0x8a9136aau);
}

Test(crc32c, extending_piece_by_piece_is_the_same_as_at_once) {
    struct bytes whole = bytes_of_string("123456789");
    for (size_t cut = 0; cut <= whole.size; cut++) {
        uint32_t head = crc32c(bytes_of(whole.data, cut));
        cr_assert_eq(crc32c_extend(head, bytes_of(whole.data + cut, whole.size - cut)), 0xe3069283u);
    }
}

Test(crc32c, joining_two_runs_is_the_same_as_one) {
    uint8_t bytes[300];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * 7 + 3);
    }
    uint32_t whole = crc32c(bytes_of(bytes, sizeof bytes));
    for (size_t cut = 0; cut <= sizeof bytes; cut++) {
        uint32_t first = crc32c(bytes_of(bytes, cut));
        uint32_t second = crc32c(bytes_of(bytes + cut, sizeof bytes - cut));
        cr_assert_eq(crc32c_join(first, second, crc32c_shift(sizeof bytes - cut)), whole, "cut at %zu", cut);
    }
}

Test(crc32c, joining_many_runs_tells_them_from_others) {
    uint8_t zeroes[4096] = {0};
    uint32_t block = crc32c(bytes_of(zeroes, sizeof zeroes));
    uint32_t shift = crc32c_shift(sizeof zeroes);
    uint32_t joined = 0;
    uint32_t whole = 0;
    for (int i = 0; i < 1000; i++) {
        joined = crc32c_join(joined, block, shift);
        whole = crc32c_extend(whole, bytes_of(zeroes, sizeof zeroes));
    }
    cr_assert_eq(joined, whole);
    cr_assert_neq(crc32c_join(joined, block ^ 1, shift), crc32c_join(joined, block, shift));
}
