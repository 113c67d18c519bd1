#include "common/checksum/fingerprint.h"

#include <xxhash.h>

struct fingerprint fingerprint_of(struct bytes data) {
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(data.data, data.size));
    struct fingerprint out;
    memcpy(out.raw, canonical.digest, sizeof out.raw);
    return out;
}

/* ---- messages ---- */

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_LENGTH = 2, WIRE_FIXED32 = 5 };

static bool skip_varint(struct bytes *wire, uint64_t *value) {
    *value = 0;
    for (unsigned shift = 0; wire->size > 0 && shift < 64; shift += 7) {
        uint8_t byte = *wire->data++;
        wire->size--;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            return true;
        }
    }
    return false;
}

/* Takes one field off; the rest of the message, as one field, where it cannot be read. */
static struct bytes take_field(struct bytes *wire) {
    struct bytes whole = *wire;
    uint64_t tag;
    uint64_t size = 0;
    bool good = skip_varint(wire, &tag);
    if (good && (tag & 7) == WIRE_VARINT) {
        good = skip_varint(wire, &size);
        size = 0;
    } else if (good && (tag & 7) == WIRE_LENGTH) {
        good = skip_varint(wire, &size);
    } else if (good && ((tag & 7) == WIRE_FIXED64 || (tag & 7) == WIRE_FIXED32)) {
        size = (tag & 7) == WIRE_FIXED64 ? 8 : 4;
    } else {
        good = false;
    }
    if (!good || size > wire->size) {
        *wire = (struct bytes){0};
        return whole;
    }
    wire->data += size;
    wire->size -= size;
    return bytes_of(whole.data, whole.size - wire->size);
}

struct fingerprint fingerprint_of_message(struct bytes wire) {
    XXH128_hash_t sum = {0, 0};
    while (wire.size > 0) {
        struct bytes field = take_field(&wire);
        XXH128_hash_t hash = XXH3_128bits(field.data, field.size);
        sum.low64 += hash.low64;
        sum.high64 += hash.high64;
    }
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, sum);
    struct fingerprint out;
    memcpy(out.raw, canonical.digest, sizeof out.raw);
    return out;
}
