// rooms: waybill_base
#include <criterion/criterion.h>
#include <string.h>

#include "common/base/uuid.h"

Test(uuid, text_and_bytes_mean_the_same) {
    struct uuid id;
    char text[UUID_TEXT_BYTES];
    cr_assert(uuid_parse_text("00112233-4455-6677-8899-aABBccDdeEff", &id));
    for (size_t i = 0; i < 16; i++) {
        cr_assert_eq(id.raw[i], i * 0x11);
    }
    uuid_print(&id, text);
    cr_assert_str_eq(text, "00112233-4455-6677-8899-aabbccddeeff");
}

Test(uuid, what_is_none_is_refused) {
    static const char *const bad[] = {"",
                                      "0",
                                      "00112233-4455-6677-8899-aabbccddeef",
                                      "00112233-4455-6677-8899-aabbccddeefff",
                                      "00112233-4455-6677-8899-aabbccddeefg",
                                      "001122334-455-6677-8899-aabbccddeeff",
                                      "00112233445566778899aabbccddeeff",
                                      " 0112233-4455-6677-8899-aabbccddeeff",
                                      "{00112233-4455-6677-8899-aabbccddeef}"};
    struct uuid id;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_not(uuid_parse_text(bad[i], &id), "%s", bad[i]);
    }
}

Test(uuid, made_ones_differ_and_are_not_zero) {
    struct uuid ids[100];
    for (size_t i = 0; i < 100; i++) {
        ids[i] = uuid_make();
        cr_assert_not(uuid_is_zero(&ids[i]));
        cr_assert_eq(ids[i].raw[6] >> 4, 4, "a random one, by RFC 4122");
        for (size_t j = 0; j < i; j++) {
            cr_assert_not(uuid_equal(&ids[i], &ids[j]));
        }
    }
    struct uuid zero = {{0}};
    cr_assert(uuid_is_zero(&zero));
    cr_assert(uuid_equal(&zero, &(struct uuid){{0}}));
}
