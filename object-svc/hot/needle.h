/* The bytes of a hot volume: its header, and the needles after it. docs/formats/hot-volume.md
 * describes and shows them. Pure functions; any thread. */
#ifndef WAYBILL_HOT_NEEDLE_H
#define WAYBILL_HOT_NEEDLE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/bytes.h"
#include "common/base/names.h"
#include "object-svc/hot/provenance.h"

enum {
    VOLUME_HEADER_BYTES = 512,
    VOLUME_REPLICA_MAX_BYTES = 128,
    NEEDLE_ALIGNMENT = 8,
    NEEDLE_FIXED_BYTES = 128, /* of a needle's header, before the names */
    NEEDLE_HEADER_MAX_BYTES = NEEDLE_FIXED_BYTES + NAME_BUCKET_MAX_BYTES + NAME_KEY_MAX_BYTES +
                              PROVENANCE_CONTENT_TYPE_MAX_BYTES + PROVENANCE_DESCRIPTOR_MAX_BYTES + 4 +
                              NEEDLE_ALIGNMENT - 1,
    NEEDLE_BLOCK_BYTES = 64 * 1024,
    NEEDLE_LARGE_BLOCK_BYTES = 1024 * 1024, /* of objects over NEEDLE_LARGE_BYTES */
};
#define NEEDLE_LARGE_BYTES (UINT64_C(4) << 30)
/* Far above what is wanted, far below what would wrap. */
#define NEEDLE_PAYLOAD_MAX_BYTES (UINT64_C(1) << 56)

struct volume_header {
    uint64_t id;
    uint64_t salt; /* random; repeated in each needle, so that no payload can pass for one */
    int64_t create_unix_us;
    char replica[VOLUME_REPLICA_MAX_BYTES + 1]; /* who made it */
};

void volume_header_encode(const struct volume_header *header, uint8_t out[VOLUME_HEADER_BYTES]);
/* False: damaged, or of a format that this version does not know. */
bool volume_header_decode(const uint8_t in[VOLUME_HEADER_BYTES], struct volume_header *header);

enum needle_kind {
    NEEDLE_OBJECT = 1,
    NEEDLE_SEAL = 2, /* the volume's last; has no names and no payload */
};

struct needle {
    enum needle_kind kind;
    uint64_t salt;          /* the volume's */
    uint64_t offset;        /* where in the volume this needle begins */
    uint64_t flushed_bytes; /* the volume up to here was durable when this needle was begun */
    uint32_t block_bytes;
    struct provenance provenance; /* zero in a seal */
};

/* The block size that a new object of this size gets. */
uint32_t needle_block_bytes(uint64_t size_bytes);
/* Length of the header with its padding. */
uint32_t needle_header_bytes(const struct needle *needle);
/* Length of header, payload, block checksums and padding. */
uint64_t needle_bytes(const struct needle *needle);
/* Appends the header. */
void needle_encode(const struct needle *needle, struct buffer *out);

/* Looks at the first NEEDLE_FIXED_BYTES of a header: 0 where it cannot be one, else how many
 * bytes needle_decode wants, at most NEEDLE_HEADER_MAX_BYTES. */
uint32_t needle_header_size(struct bytes fixed);
/* Checks and reads a header of exactly that many bytes. The names are copied into `names`,
 * which the provenance then borrows; so does its descriptor. */
bool needle_decode(struct bytes header, struct buffer *names, struct needle *needle);

#endif
