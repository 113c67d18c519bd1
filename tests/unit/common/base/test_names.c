// rooms: waybill_base
#include <criterion/criterion.h>
#include <stdio.h>

#include "common/base/names.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

Test(names, a_bucket_is_a_subject_token_and_an_s3_prefix) {
    static const char *const good[] = {
        "abc", "a-c", "0b1", "a--b", "123", "a23456789-123456789-123456789-123456789-123456789-123456789-123"};
    static const char *const bad[] = {"",
                                      "ab",
                                      "-ab",
                                      "ab-",
                                      "aBc",
                                      "a.b",
                                      "a_b",
                                      "a b",
                                      "a/b",
                                      "a*b",
                                      "a>b",
                                      "d\xc3\xa9"
                                      "d",
                                      "ab\n",
                                      "a23456789-123456789-123456789-123456789-123456789-123456789-1234"};
    struct error error = {0};
    for (size_t i = 0; i < COUNT(good); i++) {
        cr_assert(name_check_bucket(good[i], "bucket", &error), "%s", good[i]);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        cr_assert_not(name_check_bucket(bad[i], "record.bucket", &error), "%s", bad[i]);
        cr_assert_eq(error.code, ERROR_INVALID_ARGUMENT);
        cr_assert_str_eq(error.reason, "BAD_BUCKET_NAME");
        cr_assert_str_eq(error.field, "record.bucket");
    }
}

Test(names, a_key_is_utf8_without_control_characters_and_odd_segments) {
    static const char *const good[] = {"a",
                                       "a/b/c",
                                       "...",
                                       "a/...",
                                       ".a",
                                       "a..",
                                       "k\xc3\xa9"
                                       "y",
                                       "\xf0\x9f\x93\xa6",
                                       " "};
    static const char *const bad[] = {"",
                                      "/",
                                      "/a",
                                      "a/",
                                      "a//b",
                                      ".",
                                      "..",
                                      "a/.",
                                      "../a",
                                      "a/../b",
                                      "a\n",
                                      "a\x1f",
                                      "a\x7f",
                                      "\xc2\x85",
                                      "\xc3",
                                      "\xff",
                                      "\xc0\xaf",
                                      "\xed\xa0\x80",
                                      "\xf4\x90\x80\x80"};
    struct error error = {0};
    for (size_t i = 0; i < COUNT(good); i++) {
        cr_assert(name_check_key(good[i], "key", &error), "%s", good[i]);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        cr_assert_not(name_check_key(bad[i], "record.key", &error), "%zu", i);
        cr_assert_eq(error.code, ERROR_INVALID_ARGUMENT);
        cr_assert_str_eq(error.reason, "BAD_KEY");
        cr_assert_str_eq(error.field, "record.key");
    }
}

Test(names, a_key_has_at_most_1024_bytes) {
    struct error error = {0};
    char key[1026];
    memset(key, 'k', 1025);
    key[1025] = '\0';
    cr_assert_not(name_check_key(key, "key", &error));
    cr_assert_str_eq(error.reason, "BAD_KEY");
    key[1024] = '\0';
    cr_assert(name_check_key(key, "key", &error));
}

Test(names, a_request_id_is_empty_or_a_uuid_but_not_zero) {
    struct error error = {0};
    struct uuid id = {{1}};
    cr_assert(name_check_request_id("", "request_id", &id, &error));
    cr_assert(uuid_is_zero(&id));
    cr_assert(name_check_request_id("6ba7b810-9dad-11d1-80b4-00c04fd430c8", "request_id", &id, &error));
    cr_assert_eq(id.raw[0], 0x6b);
    static const char *const bad[] = {"x", "6ba7b810-9dad-11d1-80b4-00c04fd430c", "6ba7b8109dad11d180b400c04fd430c8",
                                      "00000000-0000-0000-0000-000000000000", "{6ba7b810-9dad-11d1-80b4-00c04fd430}"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        cr_assert_not(name_check_request_id(bad[i], "request_id", &id, &error), "%s", bad[i]);
        cr_assert_str_eq(error.reason, "BAD_REQUEST_ID");
        cr_assert_str_eq(error.field, "request_id");
    }
}

/* Encodes a code point the plain way. */
static size_t encode(uint32_t code, uint8_t out[4]) {
    if (code < 0x80) {
        out[0] = (uint8_t)code;
        return 1;
    }
    size_t extra = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const uint8_t leads[] = {0, 0xc0, 0xe0, 0xf0};
    out[0] = (uint8_t)(leads[extra] | code >> (6 * extra));
    for (size_t i = 1; i <= extra; i++) {
        out[i] = (uint8_t)(0x80 | (code >> (6 * (extra - i)) & 0x3f));
    }
    return extra + 1;
}

Test(names, every_code_point_but_the_surrogates_is_utf8_and_no_part_of_one) {
    for (uint32_t code = 0; code <= 0x10ffff; code++) {
        uint8_t text[4];
        size_t size = encode(code, text);
        bool surrogate = code >= 0xd800 && code <= 0xdfff;
        cr_assert_eq(utf8_valid(bytes_of(text, size)), !surrogate, "U+%04X", code);
        cr_assert(size == 1 || !utf8_valid(bytes_of(text, size - 1)), "U+%04X cut", code);
        cr_assert(size == 1 || !utf8_valid(bytes_of(text + 1, size - 1)), "U+%04X without its lead", code);
    }
}
