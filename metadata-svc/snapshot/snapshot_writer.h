/* Writes a snapshot: all that the record store holds at one revision, and the bytes of the
 * payloads that waited in the spool then, while both go on being used.
 *
 * First come the payloads. From just before the state is fixed until they are all written, the
 * spool holds releases back, so that what became STORED meanwhile is in the snapshot like the
 * rest: a record that the snapshot has as STAGED comes with its bytes. A spool that runs full
 * does not wait for that; then the snapshot is ABORTED, unless it had what was let go.
 *
 * Memory: one piece of a payload, or one chunk of entries. */
#ifndef WAYBILL_SNAPSHOT_SNAPSHOT_WRITER_H
#define WAYBILL_SNAPSHOT_SNAPSHOT_WRITER_H

#include "metadata-svc/snapshot/snapshot_format.h"
#include "metadata-svc/spool/payload_spool.h"
#include "metadata-svc/store/kv.h"

/* Where the file's bytes go, in order. False ends the snapshot with the error that it filled;
 * it may block, for as long as it likes. */
struct snapshot_sink {
    /* Told once, before the first byte. */
    bool (*begin)(void *self, const struct snapshot_header *header, struct error *error);
    bool (*write)(void *self, struct bytes data, struct error *error);
    void *self;
};

/* The file as it was written. */
struct snapshot_summary {
    struct snapshot_header header;
    struct snapshot_totals totals;
    int64_t size_bytes;
    uint32_t crc32c; /* of all of it */
};

/* Any thread. ABORTED (SNAPSHOT_OVERTAKEN) as above; the store's, the spool's, the sink's errors. */
bool snapshot_write(struct kv *kv, struct payload_spool *spool, const char *shard, const struct clock *clock,
                    const struct snapshot_sink *sink, struct snapshot_summary *summary, struct error *error);

#endif
