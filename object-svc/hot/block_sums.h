/* Checksums of an object's blocks: made while it is written, held against what is read, so
 * that any range can be verified before a byte of it is handed out.
 *
 * An object of one block needs none besides the CRC32C of the whole. */
#ifndef WAYBILL_HOT_BLOCK_SUMS_H
#define WAYBILL_HOT_BLOCK_SUMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/bytes.h"
#include "common/base/error.h"

/* How many block checksums an object of this size has: 0 where the whole is one block. */
uint64_t block_sums_count(uint64_t size_bytes, uint32_t block_bytes);

/* What is known of an object's bytes so far; one thread. */
struct block_sums {
    uint32_t block_bytes;
    bool per_block;     /* whether the object has more than one block */
    uint32_t whole;     /* CRC32C of all bytes added */
    uint64_t size;      /* bytes added */
    uint32_t block;     /* CRC32C of the block that is being filled */
    struct buffer done; /* those of the blocks before, little-endian */
};

/* `size_bytes` is the announced size. Keeps the memory of an earlier use; zero-initialize it
 * before the first. */
void block_sums_start(struct block_sums *sums, uint64_t size_bytes, uint32_t block_bytes);
void block_sums_add(struct block_sums *sums, struct bytes data);
/* All block checksums, as they are stored, once all bytes are added; borrowed until the next call. */
struct bytes block_sums_end(struct block_sums *sums);
void block_sums_free(struct block_sums *sums);

/* Where a block reader gets bytes and checksums from. */
struct block_source {
    /* Reads exactly that range of the object; where bytes are missing it calls `corrupt`. */
    bool (*read)(void *context, uint64_t offset, void *out, size_t size, struct error *error);
    /* Reads `count` stored checksums from block `first` on, little-endian. */
    bool (*sums)(void *context, uint64_t first, void *out, size_t count, struct error *error);
    /* Fills the error that names the object whose byte `offset` is in a damaged block; returns false. */
    bool (*corrupt)(void *context, uint64_t offset, struct error *error);
    void *context;
};

/* Verified reading of one object; one thread at a time. */
struct block_reader {
    struct block_source source;
    uint64_t size_bytes;
    uint32_t whole_crc32c;
    uint32_t block_bytes;
    uint8_t *block;        /* one verified block, for ranges that cut through it; NULL until needed */
    uint64_t block_offset; /* where it begins; UINT64_MAX: none */
};

void block_reader_start(struct block_reader *reader, const struct block_source *source, uint64_t size_bytes,
                        uint32_t whole_crc32c, uint32_t block_bytes);
/* Up to `size` bytes from `offset`, fewer only at the end; -1 on failure. */
int64_t block_reader_read(struct block_reader *reader, uint64_t offset, void *out, size_t size, struct error *error);
void block_reader_stop(struct block_reader *reader);

#endif
