/* One upload stream: chunks go into the spool, the finish makes them durable, and only then the record
 * is committed. A stream that breaks leaves its bytes in the spool, if its upload can be resumed; the next one
 * goes on behind them. One that comes when the payload has taken effect already, since only the answer was lost,
 * gets it again.
 *
 * It knows no gRPC and no thread, so that a simulator can drive the same code. One thread per upload:
 *
 *   fill ▸ find ▸ open ▸ append* ▸ finish        leave, where it is still open in the end */
#ifndef WAYBILL_UPLOAD_UPLOAD_CORE_H
#define WAYBILL_UPLOAD_UPLOAD_CORE_H

#include "metadata-svc/commit/commit_request.h"
#include "metadata-svc/spool/payload_spool.h"
#include "metadata-svc/store/record_store.h"

struct upload_core {
    /* The owner's; filled before find. */
    struct kv *kv;
    struct payload_spool *spool;
    struct arena *arena;           /* of the whole stream */
    struct commit_request *commit; /* PUT: as the caller wants it. FINISH_UPLOAD: all but the kind is filled by find */
    struct uuid upload_id;         /* zero: it cannot be resumed */
    int64_t write_offset;
    bool has_size; /* the length that the caller told */
    uint64_t size;

    /* Its own. */
    struct payload_upload *spooled; /* NULL before open and after the end */
    bool took_effect;               /* before: commit->record is the answer */
    bool useless;                   /* the bytes that arrived are not those that are wanted */
    bool has_crc32c;                /* the checksum that was announced */
    uint32_t crc32c;
    uint64_t received;
};

/* What is known of the upload id. For an announced payload: NOT_FOUND (UPLOAD_NOT_FOUND), FAILED_PRECONDITION
 * (PAYLOAD_NOT_AWAITED). Of what took effect: INVALID_ARGUMENT (REQUEST_ID_REUSED), OUT_OF_RANGE
 * (WRONG_WRITE_OFFSET, with the right one as detail). */
bool upload_core_find(struct upload_core *upload, struct error *error);
/* Opens it in the spool, anew or behind what arrived before. Not after took_effect. */
bool upload_core_open(struct upload_core *upload, struct error *error);
bool upload_core_append(struct upload_core *upload, struct bytes data, struct error *error);

/* What the producer says at its end. */
struct upload_end {
    bool has_crc32c;
    uint32_t crc32c;
};
typedef bool upload_committer(void *self, struct commit_request *request, struct error *error);
/* Makes the payload durable and commits it; the answer is commit->record. */
bool upload_core_finish(struct upload_core *upload, const struct upload_end *end, upload_committer *commit, void *self,
                        struct error *error);
/* The stream broke off, or was refused; `useless`: nobody will go on with it. */
void upload_core_leave(struct upload_core *upload, bool useless);

/* ---- about uploads that are not finished ---- */

struct upload_progress {
    int64_t persisted_bytes;
    bool complete;          /* and took effect */
    int64_t expire_unix_us; /* as in struct upload_info */
};
/* NOT_FOUND, FAILED_PRECONDITION as above. */
bool upload_find_progress(struct kv *kv, struct payload_spool *spool, const struct uuid *upload_id, struct arena *arena,
                          struct upload_progress *progress, struct error *error);
/* Gives up an upload that would make a record of its own, of which nothing is committed yet; false where there is
 * none of that id. */
bool upload_cancel_new_record(struct payload_spool *spool, const struct uuid *upload_id);

#endif
