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

/* The checksum of two runs of bytes from those of each, without the bytes: `shift` is
 * crc32c_shift of the second one's length. Any thread. */
uint32_t crc32c_join(uint32_t first, uint32_t second, uint32_t shift);
uint32_t crc32c_shift(uint64_t second_bytes);

#endif
