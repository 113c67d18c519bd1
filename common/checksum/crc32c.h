/* CRC32C (Castagnoli; RFC 3720 B.4), as gRPC, GCS and S3 name it: "123456789" gives e3069283.
 * ISA-L does the work with the machine's CRC and carry-less multiply instructions. */
#ifndef WAYBILL_CHECKSUM_CRC32C_H
#define WAYBILL_CHECKSUM_CRC32C_H

#include <stdint.h>

#include "common/base/bytes.h"

/* The checksum of what `crc` covers followed by `more`; crc 0 covers nothing. Any thread. */
uint32_t crc32c_extend(uint32_t crc, struct bytes more);

static inline uint32_t crc32c(struct bytes data) {
    return crc32c_extend(0, data);
}

#endif
