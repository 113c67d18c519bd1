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
