/* The payload spool: where payload bytes wait, durable, until object-svc has pulled and stored
 * them. An append-only log in segment files of one size, preallocated and recycled; many
 * uploads are written into it side by side, so that the disk sees one sequential stream.
 * docs/formats/spool.md describes the format.
 *
 * An upload belongs to one thread; everything else may be called from any thread. No flush
 * happens under a lock that a reader needs.
 *
 * What is finished is durable and survives a restart until it is released; what is not is
 * gone after one. A release is not written down: after a crash a released payload may be
 * there again, so at start the owner goes through payload_spool_each and releases what no
 * record wants.
 *
 * After a failed write or flush the spool takes no more uploads (UNAVAILABLE,
 * SPOOL_READ_ONLY) until it is opened again; reading goes on. */
#ifndef WAYBILL_SPOOL_PAYLOAD_SPOOL_H
#define WAYBILL_SPOOL_PAYLOAD_SPOOL_H

#include "common/base/bytes.h"
#include "common/base/disk.h"
#include "common/base/error.h"
#include "common/base/uuid.h"

struct payload_spool;
struct payload_upload;

struct payload_spool_options {
    uint64_t segment_bytes; /* of each segment file; at least 64 KiB */
    uint64_t max_bytes;     /* of all segment files; no less than one segment */
};

struct payload_info {
    struct uuid payload_id;
    const char *bucket; /* valid during the visit */
    const char *key;
    uint64_t size_bytes;
    uint32_t crc32c;
};

struct payload_spool_stats {
    uint64_t live_bytes;    /* of payloads that wait or are being uploaded */
    uint64_t live_payloads; /* the same, counted */
    uint64_t used_bytes;    /* of segments in use */
    uint64_t limit_bytes;
};

/* Reads what the segments hold. The disk is borrowed until close. */
struct payload_spool *payload_spool_open(struct disk *disk, const struct payload_spool_options *options,
                                         struct error *error);
/* Every upload must be over. NULL is fine. */
void payload_spool_close(struct payload_spool *spool);

/* Starts an upload. RESOURCE_EXHAUSTED (SPOOL_FULL, with RetryInfo) when there is no room;
 * FAILED_PRECONDITION (UPLOAD_IN_PROGRESS, PAYLOAD_SPOOLED) when the id is being uploaded or
 * there already. */
struct payload_upload *payload_upload_begin(struct payload_spool *spool, const struct uuid *payload_id,
                                            const char *bucket, const char *key, struct error *error);
/* Appends the next bytes. SPOOL_FULL as above. After a failure only abort is left. */
bool payload_upload_append(struct payload_upload *upload, struct bytes data, struct error *error);
/* CRC32C of all that was appended. */
uint32_t payload_upload_crc32c(const struct payload_upload *upload);
/* Makes the payload durable and readable; uploads that finish at the same time share a flush.
 * Ends the upload in any case; on failure the payload is gone. */
bool payload_upload_finish(struct payload_upload *upload, struct error *error);
/* Ends the upload and gives its bytes up. */
void payload_upload_abort(struct payload_upload *upload);

/* Reads exactly `size` bytes, each verified. NOT_FOUND (PAYLOAD_NOT_SPOOLED), OUT_OF_RANGE
 * (READ_PAST_END), DATA_LOSS (PAYLOAD_CORRUPT). */
bool payload_spool_read(struct payload_spool *spool, const struct uuid *payload_id, uint64_t offset, void *out,
                        size_t size, struct error *error);
/* Gives a finished payload up; call it only once the commit that lets it go is durable. An id
 * that is not there is fine. A reader in mid-read keeps its bytes until it is done. */
void payload_spool_release(struct payload_spool *spool, const struct uuid *payload_id);

/* Visits every finished payload; the visit may release the one it sees. For the start, before
 * others use the spool. */
void payload_spool_each(struct payload_spool *spool, void (*visit)(void *context, const struct payload_info *info),
                        void *context);

void payload_spool_stats(struct payload_spool *spool, struct payload_spool_stats *stats);

#endif
