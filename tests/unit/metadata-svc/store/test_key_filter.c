// rooms: metadata_store
#include <criterion/criterion.h>
#include <stdio.h>

#include "metadata-svc/store/key_filter.h"

static struct bytes name(char *out, size_t size, int number) {
    return bytes_of(out, (size_t)snprintf(out, size, "key-%d", number));
}

Test(key_filter, says_yes_to_everything_until_it_is_complete) {
    struct key_filter *filter = key_filter_new(1 << 10);
    cr_assert(key_filter_may_have(filter, bytes_of_string("any")));
    key_filter_complete(filter);
    cr_assert(!key_filter_may_have(filter, bytes_of_string("any")));
    key_filter_free(filter);
}

Test(key_filter, never_denies_a_key_and_seldom_invents_one) {
    enum { KEYS = 100000 };
    char text[32];
    struct key_filter *filter = key_filter_new(KEYS * 10 / 8);
    for (int i = 0; i < KEYS; i++) {
        key_filter_add(filter, name(text, sizeof text, i));
    }
    key_filter_complete(filter);
    int invented = 0;
    for (int i = 0; i < KEYS; i++) {
        cr_assert(key_filter_may_have(filter, name(text, sizeof text, i)));
        invented += key_filter_may_have(filter, name(text, sizeof text, KEYS + i));
    }
    cr_assert_lt(invented, KEYS / 50, "%d of %d", invented, KEYS);
    key_filter_free(filter);
}

Test(key_filter, one_that_is_too_small_says_yes_too_often_and_nothing_else) {
    char text[32];
    struct key_filter *filter = key_filter_new(1);
    key_filter_complete(filter);
    for (int i = 0; i < 1000; i++) {
        key_filter_add(filter, name(text, sizeof text, i));
    }
    for (int i = 0; i < 1000; i++) {
        cr_assert(key_filter_may_have(filter, name(text, sizeof text, i)));
    }
    key_filter_free(filter);
}
