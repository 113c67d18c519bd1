/* What must be true: a simple model of the shard's history, fed with every change event in the order
 * of revisions as soon as it is durable, and asked whenever somebody is told something.
 *
 * The log of one shard is one order of all that happened; the model holds each event to the state
 * before it (versions, revisions, preconditions, states), each answer to the log (what was
 * acknowledged is there, once, and came after it was asked for; what was refused could be refused at
 * some moment between question and answer), and each restart to what anybody had been told. */
#ifndef WAYBILL_SIM_MODEL_H
#define WAYBILL_SIM_MODEL_H

#include "metadata-svc/store/kv.h"
#include "metadata-svc/store/record.h"
#include "metadata-svc/store/record_store.h"

struct model;

enum { MODEL_BUCKETS = 3, MODEL_KEYS = 5 };

/* ---- operations of clients ---- */

enum model_op_kind {
    MODEL_PUT_METADATA,
    MODEL_PUT_INLINE,
    MODEL_PUT_STREAMED,
    MODEL_PUT_ANNOUNCED,
    MODEL_UPLOAD, /* the payload of an announced one */
    MODEL_UPDATE,
    MODEL_RESTORE,
    MODEL_DELETE,
};

struct model_op {
    unsigned number; /* from 1; also of its payload's bytes */
    enum model_op_kind kind;
    unsigned bucket;
    unsigned key;
    bool has_if_version;
    int64_t if_version;
    struct uuid request_id; /* zero: none; then it is tried once */
    uint64_t size;
    struct uuid payload_id;  /* MODEL_UPLOAD: whose bytes they are */
    unsigned payload_number; /* and which */
    struct uuid upload_id;   /* zero: the upload cannot be resumed */
    uint64_t write_offset;   /* from where on it sends */
    int64_t restore_version;

    /* The model's. */
    int64_t invoke_revision;
    unsigned commits;
    int64_t commit_revision;
    bool answered;
    struct bytes answer; /* the record, as it was told first */
};

/* ---- payloads ---- */

struct model_payload {
    struct model_payload *next;
    struct uuid id;
    unsigned number; /* of its bytes */
    unsigned bucket;
    char key[16];
    int64_t version; /* that brought it */
    int64_t size;
    uint32_t crc32c;
    enum record_state state;
    int64_t fail_us;  /* when it failed last; 0: never */
    unsigned garbled; /* pulls of it that brought nonsense */
    struct {
        enum tier tier;
        char replica[16];
    } locations[RECORD_MAX_LOCATIONS];
    size_t location_count;
};

struct model *model_new(const struct bucket *buckets);
void model_free(struct model *model);

const char *model_bucket_name(unsigned bucket);
const struct bucket *model_bucket(const struct model *model, unsigned bucket);
void model_key_name(unsigned key, char name[16]);

/* An operation is about to be asked for, for the first time. The model keeps a copy. */
struct model_op *model_invoke(struct model *model, const struct model_op *op);
/* It was acknowledged with this record. */
void model_acknowledged(struct model *model, struct model_op *op, const struct record *record);
/* It was refused. */
void model_refused(struct model *model, struct model_op *op, const struct error *error);

/* The newest durable revision. */
int64_t model_revision(const struct model *model);
/* The next event of the log, now durable. */
void model_commit(struct model *model, struct bytes event);
/* Somebody saw this revision: it must not go any more. */
void model_seen(struct model *model, int64_t revision);
/* metadata-svc started on this store. */
void model_restart(struct model *model, struct kv *kv);
/* What a reader is told now. */
void model_check_head(struct model *model, unsigned bucket, unsigned key, bool found, const struct record_head *head);
/* The event of a revision, as it was committed. */
struct bytes model_event(const struct model *model, int64_t revision);

/* NULL: no version ever had it. */
const struct model_payload *model_find_payload(const struct model *model, const struct uuid *id);
const struct model_payload *model_payloads(const struct model *model);
/* Whether the record's locations are what the policy wants before the spool may let go. */
bool model_policy_satisfied(const struct model *model, const struct model_payload *payload);
bool model_in_tier(const struct model_payload *payload, enum tier tier, const char *replica);
void model_check_bytes(const struct model_payload *payload, uint64_t offset, const uint8_t *data, size_t size,
                       const char *where);

/* A copy is said to be somewhere: called for each location that an event adds. */
void model_watch_copies(struct model *model,
                        void (*added)(void *self, const struct model_payload *payload, enum tier tier,
                                      const char *replica),
                        void *self);

/* A payload was reported as failed. */
void model_watch_failures(struct model *model, void (*failed)(void *self, const struct model_payload *payload),
                          void *self);
/* A pull of it brought nonsense. */
void model_note_garbled(struct model *model, const struct uuid *id);

/* The heads in the store are those of the model; for the end of a run. */
void model_check_store(struct model *model, struct kv *kv);

#endif
