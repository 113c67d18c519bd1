/* One change that somebody asks for, and what became of it.
 *
 * The caller checks what can be checked without the store, fills the request, submits it and
 * gets it back through `done` with the result filled in; then it owns it again. Pointers of
 * the request stay valid until then; those of the result live in request->arena. */
#ifndef WAYBILL_COMMIT_COMMIT_REQUEST_H
#define WAYBILL_COMMIT_COMMIT_REQUEST_H

#include "common/base/arena.h"
#include "common/base/error.h"
#include "common/base/fair_queue.h"
#include "common/checksum/fingerprint.h"
#include "metadata-svc/store/layout.h"
#include "metadata-svc/store/record.h"

enum commit_kind {
    COMMIT_CREATE_BUCKET,  /* bucket: name and policy */
    COMMIT_UPDATE_BUCKET,  /* bucket: the policy's new fields, as bucket_fields says */
    COMMIT_DELETE_BUCKET,  /* bucket: the name of an empty one */
    COMMIT_PUT,            /* record: what the caller says; payload says how its bytes come */
    COMMIT_FINISH_UPLOAD,  /* an announced payload is durable in the spool */
    COMMIT_CANCEL_UPLOAD,  /* record.payload_id: one that was announced and will not come */
    COMMIT_UPDATE,         /* record: the descriptor's new fields, as update says */
    COMMIT_RESTORE,        /* record.bucket and record.key; restore_version */
    COMMIT_DELETE,         /* record.bucket and record.key */
    COMMIT_REPORTS,        /* what object-svc did */
    COMMIT_TIMERS,         /* what fell due */
    COMMIT_RETRY_PAYLOAD,  /* record.payload_id: one that failed is staged again */
    COMMIT_CANCEL_PAYLOAD, /* record.payload_id: one in flight fails; one that failed is forgotten */
};

enum payload_source {
    PAYLOAD_FROM_NOWHERE,  /* metadata only */
    PAYLOAD_FROM_REQUEST,  /* inline_data goes into the batch: one flush for both */
    PAYLOAD_FROM_SPOOL,    /* durable in the spool already */
    PAYLOAD_FROM_PRODUCER, /* announced; FINISH_UPLOAD follows some day */
};

/* Which fields of the descriptor an update takes over. */
struct record_update {
    bool content_type;
    bool expire_time;
    bool all_attributes; /* they replace those of the version before */
    const char **names;  /* else: each of these is replaced, or removed if it is not given */
    size_t name_count;
};

/* Which fields of a bucket an update takes over. */
enum bucket_field {
    BUCKET_STORAGE_CLASS = 1 << 0,
    BUCKET_COLD_AFTER = 1 << 1,
    BUCKET_EXPIRE_AFTER = 1 << 2,
    BUCKET_MAX_VERSIONS = 1 << 3,
    BUCKET_VERSION_RETENTION = 1 << 4,
    BUCKET_INLINE_MAX_BYTES = 1 << 5,
    BUCKET_DELETE_RETENTION = 1 << 6,
    BUCKET_PAYLOAD_DEADLINE = 1 << 7,
    BUCKET_ON_FAILURE = 1 << 8,
    BUCKET_PROMOTE_AFTER_READS = 1 << 9,
    BUCKET_OVERFLOW_TO_COLD = 1 << 10,
};

enum object_outcome { OBJECT_STORED = 1, OBJECT_TIERED = 2, OBJECT_FAILED = 3, OBJECT_DROPPED = 4 };
enum report_verdict { REPORT_ACCEPTED = 1, REPORT_OBSOLETE = 2, REPORT_REJECTED = 3 };

struct object_report {
    const char *bucket;
    const char *key;
    int64_t version;
    struct uuid payload_id;
    enum object_outcome outcome;
    enum tier tier;
    int drop_tier; /* enum tier, or 0 for none */
    int64_t size;
    uint32_t crc32c;
    int64_t drop_due_us; /* DROPPED: of what ListDrops told; 0: a copy of a version that is kept */
    const char *error_reason;
    const char *error_message;
    int32_t attempts;
    /* Result. */
    enum report_verdict verdict;
    const char *message; /* why not accepted; "" else */
};

/* What a change did to payloads that were in flight, for metrics. */
struct payload_figures {
    unsigned deadlines_missed;
    unsigned kept_failed; /* compensations */
    unsigned reverted;
    unsigned redriven;
};

struct commit_request {
    enum commit_kind kind;
    struct arena *arena;
    uint64_t client; /* who asks, for turns in the queue (rpc_call_client); 0: the service itself */
    const char *actor;
    const char *reason;
    struct uuid request_id;         /* zero: none */
    struct fingerprint fingerprint; /* of the request, to tell it from another with its id */
    bool has_if_version;
    int64_t if_version; /* 0: must not exist */
    bool validate_only;

    struct bucket bucket;
    unsigned bucket_fields; /* of enum bucket_field */
    struct record record;
    struct record_update update;
    int64_t restore_version; /* 0: the newest one before the tombstone */
    struct uuid new_uid;     /* for a bucket or key that does not exist yet */
    enum payload_source payload_source;
    int64_t payload_deadline_us; /* time that the payload has from the commit on; 0: by the bucket's policy */
    struct bytes inline_data;

    const char *replica;
    struct object_report *reports;
    size_t report_count;
    int64_t report_number; /* the replica's; 0: it does not number them */

    const struct timer *timers;
    size_t timer_count;
    size_t redrives_max;        /* staged payloads that may be announced again */
    int64_t published_revision; /* what is newer is still to be announced for the first time */

    /* Called once, when the change is durable or refused. */
    void (*done)(struct commit_request *request);
    /* Takes a list of requests of one batch, linked by `next`, off the committer's hands, which has
     * the next batch to look after, and calls `done` of each from another thread, soon. NULL: the
     * committer calls it. */
    void (*finish)(struct commit_request *list);
    void *context;

    /* Result: committed, or the error. `record` and `bucket` then hold the after-image. */
    bool committed;
    struct bytes record_wire; /* of a change that made a version: the record, encoded */
    struct error error;
    /* Spooled payloads that nothing needs any more, now that this is durable. */
    struct uuid *released;
    size_t released_count;
    struct payload_figures payloads;

    /* The committer's. */
    struct commit_request *next;
    struct fair_item place;
    struct fair_holder *bucket_place;
};

/* Whether it commits bytes that are or will be in the spool or the record store. */
bool commit_brings_payload(const struct commit_request *request);
/* Whether it is the system's own work, which makes room. */
bool commit_is_upkeep(const struct commit_request *request);

/* Why the change is made. */
struct cause cause_of(const struct commit_request *request, enum system_cause system);
/* NULL for none. */
const struct uuid *request_id_of(const struct commit_request *request);
/* ABORTED (VERSION_MISMATCH) when the precondition names another version than the current one
 * of the `what`, "record" or "bucket"; 0 stands for one that does not exist. */
bool commit_check_version(const struct commit_request *request, const char *what, int64_t current, struct error *error);

#endif
