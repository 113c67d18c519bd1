#include "common/checksum/fingerprint.h"

#include <xxhash.h>

struct fingerprint fingerprint_of(struct bytes data) {
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(data.data, data.size));
    struct fingerprint out;
    memcpy(out.raw, canonical.digest, sizeof out.raw);
    return out;
}
