/* A 128-bit fingerprint (XXH3) that tells one request from another: not for hostile input
 * that gains by a collision, but stable, so it may be stored. */
#ifndef WAYBILL_CHECKSUM_FINGERPRINT_H
#define WAYBILL_CHECKSUM_FINGERPRINT_H

#include "common/base/bytes.h"

struct fingerprint {
    uint8_t raw[16];
};

/* Any thread. */
struct fingerprint fingerprint_of(struct bytes data);

#endif
