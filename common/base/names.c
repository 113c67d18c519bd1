#include "common/base/names.h"

#include <string.h>

static bool is_bucket_edge(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool name_check_bucket(const char *bucket, const char *field, struct error *error) {
    size_t size = strlen(bucket);
    bool good = size >= NAME_BUCKET_MIN_BYTES && size <= NAME_BUCKET_MAX_BYTES && is_bucket_edge(bucket[0]) &&
                is_bucket_edge(bucket[size - 1]);
    for (size_t i = 0; good && i < size; i++) {
        good = is_bucket_edge(bucket[i]) || bucket[i] == '-';
    }
    if (!good) {
        return error_set_field(error, field, "BAD_BUCKET_NAME",
                               "a bucket's name has 3 to 63 characters a-z, 0-9 and '-', and '-' at neither end");
    }
    return true;
}

bool utf8_valid(struct bytes text) {
    const uint8_t *at = text.data;
    const uint8_t *end = at + text.size;
    while (at < end) {
        uint8_t lead = *at;
        if (lead < 0x80) {
            at++;
            continue;
        }
        size_t extra;
        uint32_t code;
        uint32_t least;
        if ((lead & 0xe0) == 0xc0) {
            extra = 1;
            code = lead & 0x1fu;
            least = 0x80;
        } else if ((lead & 0xf0) == 0xe0) {
            extra = 2;
            code = lead & 0x0fu;
            least = 0x800;
        } else if ((lead & 0xf8) == 0xf0) {
            extra = 3;
            code = lead & 0x07u;
            least = 0x10000;
        } else {
            return false;
        }
        if ((size_t)(end - at) <= extra) {
            return false;
        }
        for (size_t i = 1; i <= extra; i++) {
            if ((at[i] & 0xc0) != 0x80) {
                return false;
            }
            code = code << 6 | (at[i] & 0x3fu);
        }
        if (code < least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
            return false;
        }
        at += extra + 1;
    }
    return true;
}

/* C0 and DEL are one byte each; C1 is U+0080 to U+009F, two bytes c2 80 to c2 9f. */
static bool has_control_character(struct bytes text) {
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (c < 0x20 || c == 0x7f) {
            return true;
        }
        if (c == 0xc2 && i + 1 < text.size && text.data[i + 1] < 0xa0) {
            return true;
        }
    }
    return false;
}

static bool segment_allowed(const char *segment, size_t size) {
    bool dot = size == 1 && segment[0] == '.';
    bool dots = size == 2 && segment[0] == '.' && segment[1] == '.';
    return size > 0 && !dot && !dots;
}

bool name_check_key(const char *key, const char *field, struct error *error) {
    struct bytes text = bytes_of_string(key);
    if (text.size == 0 || text.size > NAME_KEY_MAX_BYTES) {
        return error_set_field(error, field, "BAD_KEY", "a key has 1 to %d bytes, this one %zu", NAME_KEY_MAX_BYTES,
                               text.size);
    }
    if (!utf8_valid(text)) {
        return error_set_field(error, field, "BAD_KEY", "a key is valid UTF-8");
    }
    if (has_control_character(text)) {
        return error_set_field(error, field, "BAD_KEY", "a key holds no control characters");
    }
    const char *segment = key;
    for (;;) {
        const char *slash = strchr(segment, '/');
        size_t size = slash != NULL ? (size_t)(slash - segment) : strlen(segment);
        if (!segment_allowed(segment, size)) {
            return error_set_field(error, field, "BAD_KEY",
                                   "between its slashes a key holds no empty, '.' or '..' segment");
        }
        if (slash == NULL) {
            return true;
        }
        segment = slash + 1;
    }
}

bool name_check_request_id(const char *text, const char *field, struct uuid *id, struct error *error) {
    *id = (struct uuid){0};
    if (text[0] == '\0') {
        return true;
    }
    if (!uuid_parse_text(text, id) || uuid_is_zero(id)) {
        return error_set_field(error, field, "BAD_REQUEST_ID", "a request id is a UUID that is not all zero");
    }
    return true;
}

char *utf8_clean(const char *text, struct arena *arena) {
    char *out = arena_strdup(arena, text);
    if (utf8_valid(bytes_of_string(out))) {
        return out;
    }
    size_t size = strlen(out);
    for (size_t cut = 1; cut <= 3 && cut < size; cut++) {
        if (utf8_valid(bytes_of(out, size - cut))) {
            out[size - cut] = '\0';
            return out;
        }
    }
    for (char *c = out; *c != '\0'; c++) {
        if ((unsigned char)*c >= 0x80) {
            *c = '?';
        }
    }
    return out;
}
