#include "common/base/uuid.h"

#include <string.h>
#include <uuid/uuid.h>

struct uuid uuid_make(void) {
    struct uuid id;
    uuid_generate_random(id.raw);
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
