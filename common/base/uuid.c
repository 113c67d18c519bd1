#include "common/base/uuid.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* The kernel's random bytes for many ids at once: a system call each would cost more than all
 * else that a small request needs. */
enum { POOL_IDS = 64 };

static _Thread_local struct {
    struct uuid ids[POOL_IDS];
    unsigned left;
} pool;

static void fill_pool(void) {
    uint8_t *at = (uint8_t *)pool.ids;
    size_t missing = sizeof pool.ids;
    while (missing > 0) {
        ssize_t got = getrandom(at, missing, 0);
        if (got < 0 && errno != EINTR) {
            abort();
        }
        if (got > 0) {
            at += got;
            missing -= (size_t)got;
        }
    }
    pool.left = POOL_IDS;
}

/* Version 4 of RFC 4122. */
struct uuid uuid_make(void) {
    if (pool.left == 0) {
        fill_pool();
    }
    struct uuid id = pool.ids[--pool.left];
    id.raw[6] = (uint8_t)((id.raw[6] & 0x0f) | 0x40);
    id.raw[8] = (uint8_t)((id.raw[8] & 0x3f) | 0x80);
    return id;
}

/* Text has 8-4-4-4-12 digits: a dash comes before bytes 4, 6, 8 and 10. */
static bool dash_before(size_t byte) {
    return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

static int digit_of(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

bool uuid_parse_text(const char *text, struct uuid *out) {
    struct uuid id;
    const char *at = text;
    for (size_t i = 0; i < sizeof id.raw; i++) {
        if (dash_before(i) && *at++ != '-') {
            return false;
        }
        int high = digit_of(at[0]);
        int low = high < 0 ? -1 : digit_of(at[1]); /* what ends early is not read past its end */
        if (low < 0) {
            return false;
        }
        id.raw[i] = (uint8_t)(high << 4 | low);
        at += 2;
    }
    if (*at != '\0') {
        return false;
    }
    *out = id;
    return true;
}

void uuid_print(const struct uuid *id, char text[UUID_TEXT_BYTES]) {
    static const char digits[] = "0123456789abcdef";
    char *at = text;
    for (size_t i = 0; i < sizeof id->raw; i++) {
        if (dash_before(i)) {
            *at++ = '-';
        }
        *at++ = digits[id->raw[i] >> 4];
        *at++ = digits[id->raw[i] & 15];
    }
    *at = '\0';
}

bool uuid_equal(const struct uuid *a, const struct uuid *b) {
    return memcmp(a->raw, b->raw, sizeof a->raw) == 0;
}

bool uuid_is_zero(const struct uuid *id) {
    static const struct uuid zero;
    return uuid_equal(id, &zero);
}
