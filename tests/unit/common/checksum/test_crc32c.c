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
