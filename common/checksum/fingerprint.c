#include "common/checksum/fingerprint.h"

#include <xxhash.h>

#include "common/base/wire_reader.h"

struct fingerprint fingerprint_of(struct bytes data) {
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(data.data, data.size));
    struct fingerprint out;
    memcpy(out.raw, canonical.digest, sizeof out.raw);
    return out;
}

static void add(XXH128_hash_t *sum, struct bytes bytes) {
    XXH128_hash_t hash = XXH3_128bits(bytes.data, bytes.size);
    sum->low64 += hash.low64;
    sum->high64 += hash.high64;
}

struct fingerprint fingerprint_of_message(struct bytes wire) {
    XXH128_hash_t sum = {0, 0};
    struct wire_field field;
    while (wire_next(&wire, &field)) {
        add(&sum, field.whole);
    }
    if (wire.size > 0) {
        add(&sum, wire);
    }
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, sum);
    struct fingerprint out;
    memcpy(out.raw, canonical.digest, sizeof out.raw);
    return out;
}
