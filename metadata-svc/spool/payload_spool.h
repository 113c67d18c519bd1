/* The payload spool: where payload bytes wait, durable, until object-svc has pulled and stored
 * them. An append-only log in segment files of one size, preallocated and recycled; many
 * uploads are written into it side by side, so that the disk sees one sequential stream.
 * docs/formats/spool.md describes the format.
 *
 * An upload belongs to one thread; everything else may be called from any thread. No flush
 * happens under a lock that a reader, a release or the figures need.
 *
 * What is finished is durable and survives a restart until it is released. So does an upload that
 * was begun under an upload id (payload_upload_open), as far as it came; others that are not
 * finished are gone after one. A release is not written down: after a restart a released payload may be
 * there again, wholly or in part, and so may one whose upload was finished but never
 * committed. So at start the owner goes through payload_spool_each and releases what no
 * record wants (spool_reconcile.h), before the first upload.
 *
 * Uploads that broke off wait for somebody to go on with them, for upload_idle_us at most. They
 * count towards all limits; but where an upload finds no room, they are given up for it, the
 * longest idle first, so that they never keep others from coming to their end. Of the bytes each
 * bucket has a fair share: those of one whose payloads are not pulled leave room for others'. By the
 * same rule an upload beyond its bucket's share takes the place of the bucket's own that wait.
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
    unsigned bucket_percent;   /* of max_bytes, that one bucket's payloads come to alone (fair_share.h); 0: 100 */
    uint64_t reserve_bytes;    /* left free on the disk by a segment that is made; 0: none. For somebody else on it */
    uint64_t max_payloads;     /* that wait or are being uploaded, which bounds memory; 0: 1,000,000 */
    uint64_t dirty_bytes;      /* written and not flushed: from here on an appender flushes, from twice
                                  as much on they all wait for it; 0: 32 MiB */
    int64_t upload_idle_us;    /* how long an upload that broke off is kept; 0: for ever */
    unsigned max_open_files;   /* kept open; those in use do not count; 0: 256 */
    const struct clock *clock; /* NULL: the machine's. Borrowed until close */
};

struct payload_info {
    struct uuid payload_id;
    struct uuid upload_id;                  /* zero where it could not be resumed */
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
    uint64_t idle_uploads;  /* of them: uploads that broke off and can be resumed */
    uint64_t idle_bytes;
    uint64_t used_bytes; /* of segments in use */
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

/* Starts an upload. RESOURCE_EXHAUSTED, with RetryInfo, when there is no room: SPOOL_FULL, or
 * BUCKET_OVER_SHARE where there is for other buckets; FAILED_PRECONDITION (UPLOAD_IN_PROGRESS, PAYLOAD_SPOOLED) when
 * the id is being uploaded or there already; UNAVAILABLE (SPOOL_READ_ONLY). Room is taken as the bytes come. */
struct payload_upload *payload_upload_begin(struct payload_spool *spool, const struct uuid *payload_id,
                                            const char *bucket, const char *key, struct error *error);
/* The same for an upload that can be resumed under its upload id, or goes on with one. */
struct upload_start {
    struct uuid upload_id;
    struct uuid payload_id; /* that it gets if it begins anew */
    const char *bucket;
    const char *key;
    uint64_t write_offset;
};
/* Besides the errors above: FAILED_PRECONDITION (UPLOAD_IN_PROGRESS) while another one has the
 * upload id; OUT_OF_RANGE (WRONG_WRITE_OFFSET, with the right one as detail). What arrived before
 * a restart is read once before it goes on. */
struct payload_upload *payload_upload_open(struct payload_spool *spool, const struct upload_start *start,
                                           struct error *error);
/* Of an upload that was resumed, this is what it got when it began. */
struct uuid payload_upload_payload_id(const struct payload_upload *upload);
/* Appends the next bytes, any number; they are copied or written before it returns. SPOOL_FULL,
 * BUCKET_OVER_SHARE and SPOOL_READ_ONLY as above, ABORTED (UPLOAD_GIVEN_UP). After a failure only suspend or abort
 * are left. */
bool payload_upload_append(struct payload_upload *upload, struct bytes data, struct error *error);
/* CRC32C and length of all that was appended. */
uint32_t payload_upload_crc32c(const struct payload_upload *upload);
uint64_t payload_upload_size(const struct payload_upload *upload);
/* Makes the payload durable and readable; uploads that finish at the same time share a flush.
 * Ends the upload in any case; on failure as suspend does (after SPOOL_READ_ONLY the next start may
 * find it finished all the same). One with an upload id is UPLOAD_IN_PROGRESS for others until
 * payload_spool_settle_upload, payload_spool_reopen or payload_spool_release. */
bool payload_upload_finish(struct payload_upload *upload, struct error *error);
/* Ends the upload for now: what was appended is made durable and waits to be resumed. Where that
 * cannot be, it is aborted. */
void payload_upload_suspend(struct payload_upload *upload);
/* Ends the upload and gives its bytes up. */
void payload_upload_abort(struct payload_upload *upload);

/* A finished payload is committed: nobody needs to resume its upload. */
void payload_spool_settle_upload(struct payload_spool *spool, const struct uuid *payload_id);
/* A finished payload could not be committed, but may be later: its upload can be resumed at its
 * end. Where it has no upload id it is released. */
void payload_spool_reopen(struct payload_spool *spool, const struct uuid *payload_id);

/* An upload that is not finished. */
struct upload_info {
    struct uuid upload_id;
    struct uuid payload_id;
    uint64_t persisted_bytes; /* durable, from the payload's start; of one from before the start: once verified */
    bool in_progress;
    int64_t expire_unix_us; /* when it is given up if nobody goes on with it; 0: not by itself */
};
/* False when there is none of that upload id. */
bool payload_spool_find_upload(struct payload_spool *spool, const struct uuid *upload_id, struct upload_info *info);
/* Reads what an upload that broke off had before the start, so that what is told of it then is there: what was
 * being written when the process was killed may be torn. Meanwhile it is in progress. False when the disk failed. */
bool payload_spool_verify_upload(struct payload_spool *spool, const struct uuid *upload_id, struct error *error);
/* Visits each that broke off; the visit may call the spool. */
void payload_spool_each_upload(struct payload_spool *spool,
                               void (*visit)(void *context, const struct upload_info *info), void *context);
/* Gives it up; false when there is none, or it is finished. */
bool payload_spool_cancel_upload(struct payload_spool *spool, const struct uuid *upload_id);
/* Gives up those that were idle for too long; how many. */
uint64_t payload_spool_expire_uploads(struct payload_spool *spool);

/* Reads exactly `size` bytes, each verified. NOT_FOUND (PAYLOAD_NOT_SPOOLED), OUT_OF_RANGE
 * (READ_PAST_END), DATA_LOSS (PAYLOAD_CORRUPT), or the disk's error; then `out` is undefined.
 * Frames are verified whole: ranges that begin and end where frames do cost no extra read, as
 * those of 1 MiB at multiples of it do for payloads that were appended in such pieces. */
bool payload_spool_read(struct payload_spool *spool, const struct uuid *payload_id, uint64_t offset, void *out,
                        size_t size, struct error *error);
/* What is known of a finished payload. NOT_FOUND (PAYLOAD_NOT_SPOOLED). */
bool payload_spool_stat(struct payload_spool *spool, const struct uuid *payload_id, struct payload_info *info,
                        struct error *error);
/* Gives a payload up, finished or not; call it only once the commit that lets it go is durable. The
 * room of an unfinished one is free at once, and who uploads it is told UPLOAD_GIVEN_UP. Does no
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
