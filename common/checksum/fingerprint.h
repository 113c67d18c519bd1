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

/* Of a protobuf message in wire form, whatever order its fields come in: a map has none, and an
 * encoder may write it another way each time. The fingerprints of the fields are added up. */
struct fingerprint fingerprint_of_message(struct bytes wire);

#endif
