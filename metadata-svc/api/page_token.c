#include "metadata-svc/api/page_token.h"

#include <string.h>

#include "common/checksum/fingerprint.h"

enum { CHECK_BYTES = 8 };

/* Over listing and name, so that neither can be exchanged. */
static struct fingerprint check_of(struct arena *arena, const char *listing, struct bytes name) {
    size_t listing_size = strlen(listing) + 1;
    uint8_t *both = arena_alloc(arena, listing_size + name.size);
    memcpy(both, listing, listing_size);
    memcpy(both + listing_size, name.data, name.size);
    return fingerprint_of(bytes_of(both, listing_size + name.size));
}

static void put_hex(char *out, const uint8_t *data, size_t size) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        out[2 * i] = digits[data[i] >> 4];
        out[2 * i + 1] = digits[data[i] & 15];
    }
}

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

char *page_token_make(struct arena *arena, const char *listing, const char *last_name) {
    struct bytes name = bytes_of_string(last_name);
    struct fingerprint check = check_of(arena, listing, name);
    char *token = arena_zalloc(arena, 2 * (CHECK_BYTES + name.size) + 1);
    put_hex(token, check.raw, CHECK_BYTES);
    put_hex(token + (size_t)2 * CHECK_BYTES, name.data, name.size);
    return token;
}

const char *page_token_read(struct arena *arena, const char *listing, const char *token, struct error *error) {
    size_t digits = strlen(token);
    if (digits == 0) {
        return "";
    }
    bool good = digits % 2 == 0 && digits > (size_t)2 * CHECK_BYTES;
    uint8_t *raw = arena_zalloc(arena, digits / 2 + 1);
    for (size_t i = 0; good && i < digits / 2; i++) {
        int high = hex_digit(token[2 * i]);
        int low = hex_digit(token[2 * i + 1]);
        good = high >= 0 && low >= 0;
        raw[i] = (uint8_t)((unsigned)high << 4 | (unsigned)low);
    }
    if (good) {
        struct fingerprint check = check_of(arena, listing, bytes_of(raw + CHECK_BYTES, digits / 2 - CHECK_BYTES));
        good = memcmp(check.raw, raw, CHECK_BYTES) == 0;
    }
    if (!good) {
        error_set_field(error, "page_token", "BAD_PAGE_TOKEN", "this page token is not one of this listing");
        return NULL;
    }
    return (const char *)raw + CHECK_BYTES;
}
