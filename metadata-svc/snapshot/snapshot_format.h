/* The bytes of a snapshot file (docs/formats/snapshot.md): a header, chunks one after the
 * other, of which the last tells counts and the checksum of all before it. All integers
 * little-endian; no byte is without a checksum. */
#ifndef WAYBILL_SNAPSHOT_SNAPSHOT_FORMAT_H
#define WAYBILL_SNAPSHOT_SNAPSHOT_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/bytes.h"
#include "common/base/error.h"
#include "common/base/names.h"
#include "common/base/uuid.h"

enum {
    SNAPSHOT_FORMAT_VERSION = 1,
    SNAPSHOT_HEADER_BYTES = 64,
    SNAPSHOT_CHUNK_HEADER_BYTES = 32,
    SNAPSHOT_SHARD_BYTES = 36,           /* with the NUL */
    SNAPSHOT_CHUNK_BYTES = 256 * 1024,   /* of entries; one that is longer has a chunk of its own */
    SNAPSHOT_PIECE_BYTES = 1024 * 1024,  /* of payload bytes, as the spool has them */
    SNAPSHOT_BODY_MAX_BYTES = 256 << 20, /* more than an entry can have */
    SNAPSHOT_ENTRY_HEAD_BYTES = 8,
    SNAPSHOT_PAYLOAD_FIXED_BYTES = 28,
    SNAPSHOT_END_BYTES = 36,
};

struct snapshot_header {
    int64_t revision;
    int64_t take_unix_us;
    char shard[SNAPSHOT_SHARD_BYTES];
};

enum snapshot_chunk_type {
    SNAPSHOT_PAYLOAD = 1, /* a payload begins: which, and whose */
    SNAPSHOT_BYTES = 2,   /* its next bytes */
    SNAPSHOT_LOST = 3,    /* the spool had lost the rest of them; no body */
    SNAPSHOT_ENTRIES = 4, /* of the record store, in the order of their keys */
    SNAPSHOT_END = 5,
};

struct snapshot_chunk_header {
    enum snapshot_chunk_type type;
    uint64_t number; /* counts from 0 */
    uint32_t body_bytes;
    uint32_t body_crc32c;
};

/* A payload that waits in the spool. */
struct snapshot_payload {
    struct uuid id;
    uint64_t size_bytes;
    uint32_t crc32c;
    const char *bucket;
    const char *key;
};

/* What a snapshot holds. */
struct snapshot_totals {
    int64_t entries;
    int64_t payloads;      /* whole ones */
    int64_t payload_bytes; /* of those */
    int64_t lost_payloads; /* whose bytes the spool had lost */
};

void snapshot_header_encode(const struct snapshot_header *header, uint8_t out[SNAPSHOT_HEADER_BYTES]);
/* DATA_LOSS (NOT_A_SNAPSHOT, SNAPSHOT_CORRUPT), or UNIMPLEMENTED (SNAPSHOT_TOO_NEW). */
bool snapshot_header_decode(const uint8_t in[SNAPSHOT_HEADER_BYTES], struct snapshot_header *header,
                            struct error *error);

void snapshot_chunk_header_encode(const struct snapshot_chunk_header *header, uint8_t out[SNAPSHOT_CHUNK_HEADER_BYTES]);
/* False when these are no valid header. */
bool snapshot_chunk_header_decode(const uint8_t in[SNAPSHOT_CHUNK_HEADER_BYTES], struct snapshot_chunk_header *header);

void snapshot_payload_append(struct buffer *body, const struct snapshot_payload *payload);
/* Borrows from the body. */
bool snapshot_payload_decode(struct bytes body, struct snapshot_payload *payload);

void snapshot_entry_append(struct buffer *body, struct bytes key, struct bytes value);
/* Takes the first entry off; false when there is no whole one. */
bool snapshot_entry_take(struct bytes *body, struct bytes *key, struct bytes *value);

/* `crc32c`: of all that stands before the chunk. */
void snapshot_end_append(struct buffer *body, const struct snapshot_totals *totals, uint32_t crc32c);
bool snapshot_end_decode(struct bytes body, struct snapshot_totals *totals, uint32_t *crc32c);

#endif
