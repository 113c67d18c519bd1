// rooms: waybill_checksum
#include <criterion/criterion.h>
#include <stdlib.h>

#include "common/checksum/fingerprint.h"

static bool same(struct fingerprint a, struct fingerprint b) {
    return memcmp(a.raw, b.raw, sizeof a.raw) == 0;
}

static struct fingerprint of(const char *wire, size_t size) {
    return fingerprint_of_message(bytes_of(wire, size));
}

#define OF(wire) of(wire, sizeof(wire) - 1)

/* Fields: 1 varint 150, 2 text "ab", 3 fixed32, 4 fixed64. */
#define ONE "\x08\x96\x01"
#define TWO                                                                                                            \
    "\x12\x02"                                                                                                         \
    "ab"
#define THREE                                                                                                          \
    "\x1d"                                                                                                             \
    "abcd"
#define FOUR                                                                                                           \
    "\x21"                                                                                                             \
    "abcdefgh"

Test(fingerprint, a_message_is_the_same_in_any_order_of_its_fields) {
    cr_assert(same(OF(ONE TWO THREE FOUR), OF(FOUR TWO ONE THREE)));
    cr_assert(same(OF(TWO "\x12\x02"
                          "cd"),
                   OF("\x12\x02"
                      "cd" TWO)));
}

Test(fingerprint, any_other_field_makes_another_message) {
    cr_assert(!same(OF(ONE TWO), OF(ONE)));
    cr_assert(!same(OF(ONE TWO), OF(ONE "\x12\x02"
                                        "ac")));
    cr_assert(!same(OF(ONE TWO), OF("\x10\x96\x01" TWO)));
    cr_assert(!same(OF(ONE), OF(ONE ONE)), "twice is not once");
    cr_assert(!same(OF(ONE), OF("")));
}

Test(fingerprint, what_is_no_message_has_one_too) {
    cr_assert(same(OF("\x12\x7f"
                      "short"),
                   OF("\x12\x7f"
                      "short")));
    cr_assert(!same(OF("\x12\x7f"
                       "short"),
                    OF("\x12\x7f"
                       "shorz")));
    unsigned seed = 3;
    char noise[32];
    for (int round = 0; round < 100000; round++) {
        size_t size = (size_t)rand_r(&seed) % sizeof noise;
        for (size_t i = 0; i < size; i++) {
            noise[i] = (char)rand_r(&seed);
        }
        struct fingerprint before = of(noise, size);
        cr_assert(same(before, of(noise, size)));
    }
}
