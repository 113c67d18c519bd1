/* Reads a snapshot file from its first byte to its last and believes nothing of it: every
 * checksum, count and order is verified. What the visitor was given is only worth something
 * once snapshot_read has returned true.
 *
 * Errors: DATA_LOSS with NOT_A_SNAPSHOT, SNAPSHOT_TRUNCATED or SNAPSHOT_CORRUPT;
 * UNIMPLEMENTED (SNAPSHOT_TOO_NEW); those of source and visitor. */
#ifndef WAYBILL_SNAPSHOT_SNAPSHOT_READER_H
#define WAYBILL_SNAPSHOT_SNAPSHOT_READER_H

#include "metadata-svc/snapshot/snapshot_writer.h"

struct snapshot_source {
    /* Up to `size` bytes, fewer only at the end of the file; -1 and the error on failure. */
    int64_t (*read)(void *self, void *out, size_t size, struct error *error);
    void *self;
};

/* Each is valid during the call; false ends the reading with the error filled. */
struct snapshot_visitor {
    /* A payload, its bytes in order, and whether they were all there. */
    bool (*payload_begin)(void *self, const struct snapshot_payload *payload, struct error *error);
    bool (*payload_bytes)(void *self, struct bytes data, struct error *error);
    bool (*payload_end)(void *self, bool whole, struct error *error);
    bool (*entry)(void *self, struct bytes key, struct bytes value, struct error *error);
    /* After the entries of a chunk: a good time to write them out. */
    bool (*entries_end)(void *self, struct error *error);
    void *self;
};

bool snapshot_read(const struct snapshot_source *source, const struct snapshot_visitor *visitor,
                   struct snapshot_summary *summary, struct error *error);

#endif
