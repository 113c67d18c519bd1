/* 16-byte ids: uid of a record, payload id, upload id, request id (RFC 4122 text form). */
#ifndef WAYBILL_BASE_UUID_H
#define WAYBILL_BASE_UUID_H

#include <stdbool.h>
#include <stdint.h>

struct uuid {
    uint8_t raw[16];
};

enum { UUID_TEXT_BYTES = 37 }; /* with the NUL */

/* A new random id. Any thread. */
struct uuid uuid_make(void);
/* Whether `text` is a UUID of 36 characters; then `out` holds it. */
bool uuid_parse_text(const char *text, struct uuid *out);
/* Lower-case text. */
void uuid_print(const struct uuid *id, char text[UUID_TEXT_BYTES]);
bool uuid_equal(const struct uuid *a, const struct uuid *b);
bool uuid_is_zero(const struct uuid *id);

#endif
