/* The payload spool: where payload bytes wait, durable, until object-svc has pulled and stored
 * them. An append-only log in segment files of one size, preallocated and recycled; many
 * uploads are written into it side by side, so that the disk sees one sequential stream.
 * docs/formats/spool.md describes the format.
 *
 * An upload belongs to one thread; everything else may be called from any thread. No flush
 * happens under a lock that a reader, a release or the figures need.
 *
 * What is finished is durable and survives a restart until it is released; what is not is
 * gone after one. A release is not written down: after a restart a released payload may be
 * there again, wholly or in part, and so may one whose upload was finished but never
 * committed. So at start the owner goes through payload_spool_each and releases what no
 * record wants (spool_reconcile.h), before the first upload.
 *
 * After a failed write or flush what is on the disk is not known. Nothing is tried again: the
 * spool takes no more uploads (UNAVAILABLE, SPOOL_READ_ONLY) until it is opened again;
 * reading goes on. No space for a new segment is no failure, only SPOOL_FULL. */
#ifndef WAYBILL_SPOOL_PAYLOAD_SPOOL_H
#define WAYBILL_SPOOL_PAYLOAD_SPOOL_H

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/disk.h"
#include "common/base/error.h"
#include "common/base/names.h"
#include "common/base/uuid.h"

struct payload_spool;
struct payload_upload;

enum { PAYLOAD_SPOOL_SEGMENT_MIN_BYTES = 64 * 1024 };

struct payload_spool_options {
    uint64_t segment_bytes;    /* of each segment file, rounded down to 4 KiB; 0: 64 MiB. Segments of
                                  another size, from before, stay until they are empty */
    uint64_t max_bytes;        /* of all segment files; no less than one segment. Each start begins a new
                                  segment, so leave room for a few */
    uint64_t max_payloads;     /* that wait or are being uploaded, which bounds memory; 0: 1,000,000 */
    uint64_t dirty_bytes;      /* written and not flushed: from here on an appender flushes, from twice
                                  as much on they all wait for it; 0: 32 MiB */
    unsigned max_open_files;   /* kept open; those in use do not count; 0: 256 */
    const struct clock *clock; /* NULL: the machine's. Borrowed until close */
};

struct payload_info {
    struct uuid payload_id;
    char bucket[NAME_BUCKET_MAX_BYTES + 1]; /* "" where the frame that tells it is lost */
    char key[NAME_KEY_MAX_BYTES + 1];
    uint64_t size_bytes;
    uint32_t crc32c;
    int64_t create_unix_us; /* when the upload began */
    bool damaged;           /* found at the start: some of the bytes are lost; reading them says DATA_LOSS */
};

struct payload_spool_stats {
    uint64_t live_bytes;    /* of payloads that wait or are being uploaded */
    uint64_t live_payloads; /* the same, counted */
    uint64_t used_bytes;    /* of segments in use */
    uint64_t limit_bytes;
    uint64_t segments; /* files, the free ones included */
    uint64_t free_segments;
};

/* Reads what the segments hold: every frame header, and the data that was written after the
 * last flush that the log itself tells of. A torn tail is cut; damage elsewhere is logged and
 * costs only the payloads that it touches. The disk is borrowed until close.
 * INVALID_ARGUMENT (BAD_OPTION), or the disk's error. */
struct payload_spool *payload_spool_open(struct disk *disk, const struct payload_spool_options *options,
                                         struct error *error);
/* Flushes, so that the next start need not verify data. Every upload and read must be over.
 * NULL is fine. */
void payload_spool_close(struct payload_spool *spool);

/* Starts an upload. RESOURCE_EXHAUSTED (SPOOL_FULL, with RetryInfo) when there is no room;
 * FAILED_PRECONDITION (UPLOAD_IN_PROGRESS, PAYLOAD_SPOOLED) when the id is being uploaded or
 * there already; UNAVAILABLE (SPOOL_READ_ONLY). Room is taken as the bytes come. */
struct payload_upload *payload_upload_begin(struct payload_spool *spool, const struct uuid *payload_id,
                                            const char *bucket, const char *key, struct error *error);
/* Appends the next bytes, any number; they are copied or written before it returns. SPOOL_FULL
 * and SPOOL_READ_ONLY as above. After a failure only abort is left. */
bool payload_upload_append(struct payload_upload *upload, struct bytes data, struct error *error);
/* CRC32C and length of all that was appended. */
uint32_t payload_upload_crc32c(const struct payload_upload *upload);
uint64_t payload_upload_size(const struct payload_upload *upload);
/* Makes the payload durable and readable; uploads that finish at the same time share a flush.
 * Ends the upload in any case; on failure the payload is gone (after SPOOL_READ_ONLY the next
 * start may find it all the same). */
bool payload_upload_finish(struct payload_upload *upload, struct error *error);
/* Ends the upload and gives its bytes up. */
void payload_upload_abort(struct payload_upload *upload);

/* Reads exactly `size` bytes, each verified. NOT_FOUND (PAYLOAD_NOT_SPOOLED), OUT_OF_RANGE
 * (READ_PAST_END), DATA_LOSS (PAYLOAD_CORRUPT), or the disk's error; then `out` is undefined.
 * Frames are verified whole: ranges that begin and end where frames do cost no extra read, as
 * those of 1 MiB at multiples of it do for payloads that were appended in such pieces. */
bool payload_spool_read(struct payload_spool *spool, const struct uuid *payload_id, uint64_t offset, void *out,
                        size_t size, struct error *error);
/* What is known of a finished payload. NOT_FOUND (PAYLOAD_NOT_SPOOLED). */
bool payload_spool_stat(struct payload_spool *spool, const struct uuid *payload_id, struct payload_info *info,
                        struct error *error);
/* Gives a finished payload up; call it only once the commit that lets it go is durable. Does no
 * I/O. An id that is not there is fine. A reader in mid-read keeps its bytes until it is done. */
void payload_spool_release(struct payload_spool *spool, const struct uuid *payload_id);

/* Holds releases back: until payload_spool_let_go, as often as it was held, what is released can
 * still be read. Its room is not free meanwhile, but nobody is kept waiting for it: an upload
 * that finds no other room ends the hold of all that was released so far. */
void payload_spool_hold(struct payload_spool *spool);
void payload_spool_let_go(struct payload_spool *spool);

/* Visits every payload that was finished when it was called and still is there; the visit may
 * call the spool, and release what it sees. */
void payload_spool_each(struct payload_spool *spool, void (*visit)(void *context, const struct payload_info *info),
                        void *context);

/* Whether a disk failure made it read-only. */
bool payload_spool_failed(struct payload_spool *spool);
void payload_spool_stats(struct payload_spool *spool, struct payload_spool_stats *stats);

#endif
