#include "common/base/uuid.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <uuid/uuid.h>

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

bool uuid_parse_text(const char *text, struct uuid *out) {
    return strlen(text) == UUID_TEXT_BYTES - 1 && uuid_parse(text, out->raw) == 0;
}

void uuid_print(const struct uuid *id, char text[UUID_TEXT_BYTES]) {
    uuid_unparse_lower(id->raw, text);
}

bool uuid_equal(const struct uuid *a, const struct uuid *b) {
    return memcmp(a->raw, b->raw, sizeof a->raw) == 0;
}

bool uuid_is_zero(const struct uuid *id) {
    return uuid_is_null(id->raw) != 0;
}
