#include "common/checksum/crc32c.h"

#include <isa-l/crc.h>

/* ISA-L counts in int. */
enum { CRC32C_STEP_BYTES = 1 << 30 };

uint32_t crc32c_extend(uint32_t crc, struct bytes more) {
    /* crc32_iscsi neither inverts before nor after; the standard does both. */
    uint32_t state = ~crc;
    while (more.size > 0) {
        size_t step = more.size < CRC32C_STEP_BYTES ? more.size : CRC32C_STEP_BYTES;
        state = crc32_iscsi((unsigned char *)(uintptr_t)more.data, (int)step, state);
        more.data += step;
        more.size -= step;
    }
    return ~state;
}

/* ---- joining ----
 *
 * A checksum is a polynomial over GF(2) modulo CRC32C's, its bits in reverse: the highest is
 * x^0. More bytes behind it multiply it by x^8 for each. */

#define POLYNOMIAL UINT32_C(0x82f63b78)
#define X_TO_THE_0 (UINT32_C(1) << 31)
#define X_TO_THE_8 (UINT32_C(1) << 23)

static uint32_t multiply(uint32_t a, uint32_t b) {
    uint32_t product = 0;
    for (uint32_t bit = X_TO_THE_0; bit != 0; bit >>= 1) {
        product ^= (a & bit) != 0 ? b : 0;
        b = (b >> 1) ^ ((b & 1) != 0 ? POLYNOMIAL : 0);
    }
    return product;
}

uint32_t crc32c_shift(uint64_t second_bytes) {
    uint32_t shift = X_TO_THE_0;
    uint32_t power = X_TO_THE_8;
    for (; second_bytes > 0; second_bytes >>= 1) {
        if ((second_bytes & 1) != 0) {
            shift = multiply(shift, power);
        }
        power = multiply(power, power);
    }
    return shift;
}

uint32_t crc32c_join(uint32_t first, uint32_t second, uint32_t shift) {
    return multiply(first, shift) ^ second;
}
