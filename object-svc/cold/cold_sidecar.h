/* What stands beside an object's bytes in the directory: its provenance and its block
 * checksums as JSON, for people and any tool. docs/formats/cold-store.md shows one.
 *
 * Pure functions; any thread. */
#ifndef WAYBILL_COLD_COLD_SIDECAR_H
#define WAYBILL_COLD_COLD_SIDECAR_H

#include "common/base/arena.h"
#include "common/base/error.h"
#include "object-svc/hot/provenance.h"

/* More than the largest object's. */
enum { COLD_SIDECAR_MAX_BYTES = 64 * 1024 * 1024 };

struct cold_sidecar {
    struct provenance provenance;
    uint32_t block_bytes;
    struct bytes block_sums; /* CRC32C of each block, little-endian; none where one block is all */
};

/* The block size that a new object of this size gets: few enough for the JSON, small enough
 * to read one for a short range. */
uint32_t cold_sidecar_block_bytes(uint64_t size_bytes);

/* Appends the JSON. INVALID_ARGUMENT, BAD_CONTENT_TYPE where that is not UTF-8. */
bool cold_sidecar_encode(const struct cold_sidecar *sidecar, struct buffer *out, struct error *error);
/* Reads it; what it borrows is in the arena. False where it is damaged. */
bool cold_sidecar_decode(struct bytes text, struct arena *arena, struct cold_sidecar *out);

#endif
