/* The C client library: records, buckets and objects of a Waybill.
 *
 *   struct waybill_client *client = waybill_client_new(NULL);
 *   struct waybill_put put = {.bucket = "photos", .key = "a.jpg", .content_type = "image/jpeg"};
 *   struct arena arena;
 *   arena_init(&arena);
 *   Waybill__V1__Record *record;
 *   struct error error;
 *   if (!waybill_put_file(client, &put, "a.jpg", NULL, &arena, &record, &error)) {
 *       fprintf(stderr, "%s %s: %s\n", error_code_name(error.code), error.reason, error.message);
 *   }
 *   arena_free(&arena);
 *   waybill_client_free(client);
 *
 * Ownership. What a call takes is borrowed until it returns. What it answers are the messages
 * of the contract (proto/waybill/v1), in the arena that the caller hands in and valid as long
 * as that; what a callback sees is valid until the callback returns.
 *
 * Threads. Any number of threads may use one client at the same time; an arena belongs to one.
 * Callbacks run on the calling thread, which must not free the client in them. Before
 * fork() no client may exist in the process: gRPC has threads.
 *
 * Errors. Functions return false and fill `error` with the server's code, reason and message
 * (docs/errors.md), or with one of these of the library's own:
 *   CANCELLED   CLIENT_CANCELLED   waybill_client_cancel was called
 *   DATA_LOSS   CHECKSUM_MISMATCH, SIZE_MISMATCH   an object's bytes are not what its record says
 *   INVALID_ARGUMENT   BAD_...   what is wrong before anything is sent
 *   FAILED_PRECONDITION   PAYLOAD_FAILED   the version waited for became FAILED
 *   DEADLINE_EXCEEDED   WAIT_TIMEOUT   a wait took too long
 *   INTERNAL   MALFORMED_RESPONSE   the answer cannot be read
 * and with the errno of a file that cannot be read.
 *
 * Retries. UNAVAILABLE, and RESOURCE_EXHAUSTED that comes with a delay, are tried again up to
 * max_attempts. Each write carries a request id, made here where the caller gives none, so
 * that a retry takes effect once. An upload goes on where it broke off, if the source can go back,
 * and is tried again as long as max_attempts in a row do not all bring nothing; a read goes on
 * where it broke off, at the same version. */
#ifndef WAYBILL_CLIENT_WAYBILL_CLIENT_H
#define WAYBILL_CLIENT_WAYBILL_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/bytes.h"
#include "common/base/error.h"
#include "waybill/v1/admin_service.pb-c.h"
#include "waybill/v1/metadata_service.pb-c.h"
#include "waybill/v1/object_service.pb-c.h"
#include "waybill/v1/payload_service.pb-c.h"

#define WAYBILL_DEFAULT_METADATA "127.0.0.1:7070"
#define WAYBILL_DEFAULT_BULK "127.0.0.1:7071"
#define WAYBILL_DEFAULT_OBJECT "127.0.0.1:7080"

enum {
    /* Payloads up to this length travel inside PutRecord, unless the bucket takes less. */
    WAYBILL_INLINE_MAX_BYTES = 64 * 1024,
    WAYBILL_DEFAULT_TIMEOUT_MS = 30000,
    WAYBILL_DEFAULT_ATTEMPTS = 8, /* some seconds: longer than a service takes to start again */
};

struct waybill_client;

/* ---- life ---- */

/* Zero and NULL mean the default. */
struct waybill_client_options {
    const char *metadata;  /* host:port of metadata-svc, small messages */
    const char *bulk;      /* host:port of metadata-svc, payloads */
    const char *object;    /* host:port of object-svc */
    int64_t timeout_ms;    /* of one call, over its attempts; streams have no deadline, but one
                              whose server is gone ends within 30 s */
    unsigned max_attempts; /* 1: no retries */
};

/* Connects when first needed. `options` may be NULL; it is copied. */
struct waybill_client *waybill_client_new(const struct waybill_client_options *options);
/* Only when no call is under way. NULL is fine. */
void waybill_client_free(struct waybill_client *client);
/* Ends uploads, reads, watches and waits under way with CANCELLED, and all that begin later;
 * short calls under way finish by themselves. Returns whether anything was there to end. Any
 * thread, not a signal handler. */
bool waybill_client_cancel(struct waybill_client *client);

/* ---- buckets ---- */

struct waybill_bucket {
    const char *name;
    Waybill__V1__StorageClass storage_class; /* 0: the server's default */
    int64_t cold_after_ms;                   /* -1: the server's default */
    int64_t expire_after_ms;                 /* 0: never */
    int64_t delete_retention_ms;             /* -1: the server's default */
    int64_t payload_deadline_ms;             /* -1: the server's default */
    int64_t inline_max_bytes;                /* -1: the server's default */
    int64_t version_retention_ms;            /* 0: for ever */
    int32_t max_versions;                    /* 0: all */
    int32_t promote_after_reads;             /* 0: never */
    bool overflow_to_cold;
    Waybill__V1__OnFailure on_failure; /* 0: the server's default */
    const char *request_id;            /* NULL: one is made */
    const char *reason;                /* NULL: none */
};
/* All defaults. */
#define WAYBILL_BUCKET_INIT                                                                                            \
    { .cold_after_ms = -1, .delete_retention_ms = -1, .payload_deadline_ms = -1, .inline_max_bytes = -1 }

bool waybill_create_bucket(struct waybill_client *client, const struct waybill_bucket *bucket, struct arena *arena,
                           Waybill__V1__Bucket **created, struct error *error);

/* The fields of a bucket's policy. */
enum waybill_bucket_field {
    WAYBILL_BUCKET_STORAGE_CLASS = 1 << 0,
    WAYBILL_BUCKET_COLD_AFTER = 1 << 1,
    WAYBILL_BUCKET_EXPIRE_AFTER = 1 << 2,
    WAYBILL_BUCKET_DELETE_RETENTION = 1 << 3,
    WAYBILL_BUCKET_PAYLOAD_DEADLINE = 1 << 4,
    WAYBILL_BUCKET_INLINE_MAX_BYTES = 1 << 5,
    WAYBILL_BUCKET_VERSION_RETENTION = 1 << 6,
    WAYBILL_BUCKET_MAX_VERSIONS = 1 << 7,
    WAYBILL_BUCKET_PROMOTE_AFTER_READS = 1 << 8,
    WAYBILL_BUCKET_ON_FAILURE = 1 << 9,
    WAYBILL_BUCKET_OVERFLOW_TO_COLD = 1 << 10,
};

struct waybill_bucket_update {
    struct waybill_bucket bucket; /* `name` says which */
    unsigned fields;              /* those that are taken over, also where that means the default */
    bool has_if_version_match;
    int64_t if_version_match; /* the bucket's version */
};
bool waybill_update_bucket(struct waybill_client *client, const struct waybill_bucket_update *update,
                           struct arena *arena, Waybill__V1__Bucket **updated, struct error *error);

struct waybill_bucket_delete {
    const char *name;
    bool has_if_version_match;
    int64_t if_version_match;
    const char *request_id; /* NULL: one is made */
    const char *reason;
};
/* Deletes a bucket that is empty. */
bool waybill_delete_bucket(struct waybill_client *client, const struct waybill_bucket_delete *what,
                           struct error *error);

bool waybill_get_bucket(struct waybill_client *client, const char *name, struct arena *arena,
                        Waybill__V1__Bucket **bucket, struct error *error);

/* How a listing goes through its pages. */
struct waybill_paging {
    int32_t page_size;      /* entries a page at most; 0: the server's default, or as the limit needs */
    int64_t limit;          /* entries in all; 0: no end */
    const char *page_token; /* the next_page_token to go on from; NULL: at the start */
};

/* Called per page; false ends the listing, with success. */
typedef bool waybill_bucket_page(void *context, const Waybill__V1__ListBucketsResponse *page);
/* `paging` may be NULL: all of them. */
bool waybill_list_buckets(struct waybill_client *client, const struct waybill_paging *paging,
                          waybill_bucket_page *visit, void *context, struct error *error);

/* ---- writing ---- */

struct waybill_time {
    int64_t seconds; /* since 1970, UTC */
    int32_t nanos;
};

enum waybill_attribute_kind {
    WAYBILL_ATTRIBUTE_STRING,
    WAYBILL_ATTRIBUTE_INT,
    WAYBILL_ATTRIBUTE_DOUBLE,
    WAYBILL_ATTRIBUTE_BOOL,
    WAYBILL_ATTRIBUTE_TIME,
    WAYBILL_ATTRIBUTE_BYTES,
};

struct waybill_attribute {
    const char *name;
    enum waybill_attribute_kind kind;
    union {
        const char *text;
        int64_t number;
        double real;
        bool truth;
        struct waybill_time time;
        struct bytes raw;
    };
};

/* What a write says of its record. Zero and NULL: not said. */
struct waybill_put {
    const char *bucket;
    const char *key;
    const char *content_type;
    const struct waybill_attribute *attributes;
    size_t attribute_count;
    bool has_if_version_match;
    int64_t if_version_match; /* 0: the key must not exist */
    const char *request_id;   /* NULL: one is made */
    const char *reason;
    int64_t payload_deadline_ms;            /* 0: by the bucket's policy */
    const struct waybill_time *expire_time; /* NULL: by the bucket's policy */
};

/* Told of how far bytes are; often, so it should be quick. `total` is -1 while not known. */
struct waybill_progress {
    void (*advance)(void *self, int64_t done, int64_t total);
    void *self;
};

/* Where an upload's bytes come from. */
struct waybill_source {
    /* Up to `size` bytes, fewer only at the end (0: it was reached); -1 and the error on failure. */
    int64_t (*read)(void *self, void *out, size_t size, struct error *error);
    /* Goes to an offset from the first byte of the payload, so that an upload can begin again;
     * NULL where the source cannot. */
    bool (*seek)(void *self, int64_t offset, struct error *error);
    int64_t size; /* -1: not known */
    void *self;
};

/* Puts a record without payload. */
bool waybill_put_record(struct waybill_client *client, const struct waybill_put *put, struct arena *arena,
                        Waybill__V1__Record **record, struct error *error);
/* Puts bytes: inline where they are short enough, else streamed. `progress` may be NULL, here
 * and below. */
bool waybill_put_bytes(struct waybill_client *client, const struct waybill_put *put, struct bytes data,
                       const struct waybill_progress *progress, struct arena *arena, Waybill__V1__Record **record,
                       struct error *error);
/* Puts a file; a file that changes its length meanwhile is ABORTED, reason SOURCE_CHANGED. */
bool waybill_put_file(struct waybill_client *client, const struct waybill_put *put, const char *path,
                      const struct waybill_progress *progress, struct arena *arena, Waybill__V1__Record **record,
                      struct error *error);
/* Puts what can be read from the descriptor up to its end; streamed, whatever its length, if
 * it is no regular file. */
bool waybill_put_fd(struct waybill_client *client, const struct waybill_put *put, int fd,
                    const struct waybill_progress *progress, struct arena *arena, Waybill__V1__Record **record,
                    struct error *error);
/* Streams a source of any kind. */
bool waybill_put_source(struct waybill_client *client, const struct waybill_put *put,
                        const struct waybill_source *source, const struct waybill_progress *progress,
                        struct arena *arena, Waybill__V1__Record **record, struct error *error);

/* What is known of a payload that comes later. */
struct waybill_announcement {
    int64_t size; /* -1: not known */
    bool has_crc32c;
    uint32_t crc32c;
};
/* Puts a record and announces its payload; the answer has the upload id. */
bool waybill_announce(struct waybill_client *client, const struct waybill_put *put,
                      const struct waybill_announcement *announcement, struct arena *arena,
                      Waybill__V1__PutRecordResponse **response, struct error *error);
bool waybill_query_upload(struct waybill_client *client, const char *upload_id, struct arena *arena,
                          Waybill__V1__QueryUploadResponse **response, struct error *error);
/* Gives an upload up, and what has arrived of it; the record of an announced payload becomes FAILED. */
bool waybill_cancel_upload(struct waybill_client *client, const char *upload_id, const char *reason,
                           struct arena *arena, Waybill__V1__CancelUploadResponse **response, struct error *error);
/* Uploads an announced payload, from where an earlier upload of it broke off. The source has
 * the whole payload: what has arrived before is read as well, for the checksum, but not sent. */
bool waybill_upload_source(struct waybill_client *client, const char *upload_id, const struct waybill_source *source,
                           const struct waybill_progress *progress, struct arena *arena, Waybill__V1__Record **record,
                           struct error *error);
bool waybill_upload_fd(struct waybill_client *client, const char *upload_id, int fd,
                       const struct waybill_progress *progress, struct arena *arena, Waybill__V1__Record **record,
                       struct error *error);

/* What becomes of a record when its payload stays as it is. Zero and NULL: left alone. */
struct waybill_update {
    const char *bucket;
    const char *key;
    const char *content_type; /* "": none */
    const struct waybill_attribute *attributes;
    size_t attribute_count;
    char *const *unset; /* names of attributes that go */
    size_t unset_count;
    bool unset_others;                      /* all attributes go that are not in `attributes` */
    const struct waybill_time *expire_time; /* seconds 0: never */
    bool has_if_version_match;
    int64_t if_version_match;
    const char *request_id; /* NULL: one is made */
    const char *reason;
};
bool waybill_update_record(struct waybill_client *client, const struct waybill_update *update, struct arena *arena,
                           Waybill__V1__Record **record, struct error *error);

struct waybill_delete {
    const char *bucket;
    const char *key;
    bool has_if_version_match;
    int64_t if_version_match;
    const char *request_id; /* NULL: one is made */
    const char *reason;
};
/* Commits a tombstone, which `record` is. */
bool waybill_delete(struct waybill_client *client, const struct waybill_delete *what, struct arena *arena,
                    Waybill__V1__Record **record, struct error *error);

struct waybill_restore {
    const char *bucket;
    const char *key;
    int64_t version; /* whose content comes back; 0: of the newest before the tombstone */
    bool has_if_version_match;
    int64_t if_version_match;
    const char *request_id; /* NULL: one is made */
    const char *reason;
};
/* Commits a version with the content of an older one, which brings a deleted record back. */
bool waybill_restore_record(struct waybill_client *client, const struct waybill_restore *restore, struct arena *arena,
                            Waybill__V1__Record **record, struct error *error);

/* ---- records ---- */

/* version 0: the latest. A tombstone is NOT_FOUND unless show_deleted. */
bool waybill_get_record(struct waybill_client *client, const char *bucket, const char *key, int64_t version,
                        bool show_deleted, struct arena *arena, Waybill__V1__Record **record, struct error *error);

/* Waits until a version has come to a state. FAILED and DELETED end the wait: FAILED_PRECONDITION. */
enum waybill_wait { WAYBILL_WAIT_STAGED, WAYBILL_WAIT_STORED };
/* timeout_ms 0: no end. On success `record` is the version as it then was. A version without
 * payload (COMMITTED) is there at once. */
bool waybill_wait(struct waybill_client *client, const char *bucket, const char *key, int64_t version,
                  enum waybill_wait until, int64_t timeout_ms, struct arena *arena, Waybill__V1__Record **record,
                  struct error *error);

struct waybill_list {
    const char *bucket;
    const char *prefix;    /* NULL: all */
    const char *delimiter; /* NULL: none */
    const char *filter;    /* conditions, see ListRecordsRequest; NULL: none */
    bool show_deleted;
    struct waybill_paging paging;
};
/* Called per page; false ends the listing, with success. */
typedef bool waybill_record_page(void *context, const Waybill__V1__ListRecordsResponse *page);
bool waybill_list_records(struct waybill_client *client, const struct waybill_list *list, waybill_record_page *visit,
                          void *context, struct error *error);

/* Called per page; false ends the listing, with success. */
typedef bool waybill_version_page(void *context, const Waybill__V1__ListRecordVersionsResponse *page);
/* The versions of a key, newest first; `paging` may be NULL: all of them. */
bool waybill_list_versions(struct waybill_client *client, const char *bucket, const char *key,
                           const struct waybill_paging *paging, waybill_version_page *visit, void *context,
                           struct error *error);

/* ---- payloads that were given up ---- */

/* Called per page; false ends the listing, with success. */
typedef bool waybill_failed_page(void *context, const Waybill__V1__ListFailedPayloadsResponse *page);
/* `bucket` NULL: of all; `paging` NULL: all of them. */
bool waybill_list_failed(struct waybill_client *client, const char *bucket, const struct waybill_paging *paging,
                         waybill_failed_page *visit, void *context, struct error *error);
/* The dead letters of the object-svc that the client asks: events that it gave up, and whose failure no
 * record tells of. */
bool waybill_list_dead_letters(struct waybill_client *client, const char *bucket, const struct waybill_paging *paging,
                               waybill_failed_page *visit, void *context, struct error *error);
/* One payload, or dead letter; NOT_FOUND (PAYLOAD_NOT_FOUND) when it is not among them. */
bool waybill_get_failed(struct waybill_client *client, const char *payload_id, struct arena *arena,
                        Waybill__V1__FailedPayload **payload, struct error *error);

struct waybill_payload_change {
    const char *payload_id;
    const char *request_id; /* NULL: one is made, for retries of this call */
    const char *reason;     /* NULL: none */
};
/* Stages it again; `record` is then the version's. */
bool waybill_retry_payload(struct waybill_client *client, const struct waybill_payload_change *change,
                           struct arena *arena, Waybill__V1__Record **record, struct error *error);
/* Gives up one that is in flight, forgets one that has failed, or drops a dead letter. */
bool waybill_cancel_payload(struct waybill_client *client, const struct waybill_payload_change *change,
                            struct arena *arena, Waybill__V1__Record **record, struct error *error);

/* ---- reading ---- */

struct waybill_read {
    const char *bucket;
    const char *key;
    int64_t version; /* 0: the serving one */
    int64_t offset;  /* negative: that many bytes from the end */
    int64_t limit;   /* 0: to the end */
    bool has_if_version_match;
    int64_t if_version_match;
};

/* Where the bytes go, in order. False ends the read with the error that the sink filled. */
struct waybill_sink {
    /* The record, once, before the bytes; may be NULL. `first` and `length`: the bytes to come. */
    bool (*begin)(void *self, const Waybill__V1__Record *record, int64_t first, int64_t length, struct error *error);
    bool (*write)(void *self, struct bytes data, struct error *error);
    void *self;
};

/* What was read. */
struct waybill_read_result {
    Waybill__V1__Record *record; /* in the arena */
    Waybill__V1__ReadSource source;
    int64_t bytes;
    bool checked; /* the whole object was read and matches the record's CRC32C */
};

/* Reads an object. Every piece is checked against its CRC32C before the sink sees it, a whole
 * object at its end also against the record's. */
bool waybill_read_object(struct waybill_client *client, const struct waybill_read *read,
                         const struct waybill_sink *sink, struct arena *arena, struct waybill_read_result *result,
                         struct error *error);

/* ---- watching ---- */

struct waybill_watch {
    const char *bucket;                   /* NULL: all */
    const char *key_prefix;               /* NULL: all */
    int64_t start_revision;               /* 0: only what is committed from now on */
    const Waybill__V1__ChangeType *types; /* NULL: all */
    size_t type_count;
};

struct waybill_watcher {
    /* False ends the watch, with success. */
    bool (*change)(void *self, const Waybill__V1__ChangeEvent *event);
    /* The server is gone and will be called again; may be NULL. */
    void (*interrupted)(void *self, const struct error *why);
    void *self;
};

/* Follows the changes until the watcher or waybill_client_cancel ends it. When the server goes
 * away it calls again, after the last revision seen, for as long as it takes; it gives up
 * when max_attempts did not get through even once, or on an error that no retry can mend
 * (OUT_OF_RANGE: the revision was trimmed). */
bool waybill_watch(struct waybill_client *client, const struct waybill_watch *watch,
                   const struct waybill_watcher *watcher, struct error *error);

/* ---- backup ---- */

/* Where a snapshot's bytes go, in order. False ends it with the error that the sink filled. */
struct waybill_snapshot_sink {
    bool (*write)(void *self, struct bytes data, struct error *error);
    void *self;
};

/* Takes a snapshot of metadata-svc (proto/waybill/v1/admin_service.proto); what it is comes in
 * the response, which has no data. Every piece is checked before the sink sees it. A stream
 * that breaks ends it: only one that did not begin is tried again. */
bool waybill_take_snapshot(struct waybill_client *client, const struct waybill_snapshot_sink *sink, struct arena *arena,
                           Waybill__V1__SnapshotResponse **response, struct error *error);

/* ---- scrub ---- */

/* What a scrub of one object-svc is to do; zero: reads all, at the service's rate, and changes
 * nothing. */
struct waybill_scrub {
    const char *bucket;       /* NULL: all */
    bool repair;              /* damaged and missing copies are written anew, unlisted ones told of */
    bool quarantine;          /* what nobody needs is put aside */
    bool hot_only;            /* leaves the cold store to another replica */
    int64_t bytes_per_second; /* 0: the service's own */
};

/* Called again and again with how far it is, and the findings that are new. */
struct waybill_scrub_watcher {
    void (*look)(void *self, const Waybill__V1__GetScrubResponse *response);
    void *self;
};

/* Starts a scrub and waits for its end; what `end` then holds has no findings. ABORTED
 * (SCRUB_ENDED_EARLY) where it did not go through all. One that is cancelled here goes on there. */
bool waybill_scrub(struct waybill_client *client, const struct waybill_scrub *scrub,
                   const struct waybill_scrub_watcher *watcher, struct arena *arena,
                   Waybill__V1__GetScrubResponse **end, struct error *error);

/* ---- migration of the cold store, or the hot volumes, of one object-svc ---- */

/* Starts it; `target` is as AdminService.StartMigration takes it. */
bool waybill_start_migration(struct waybill_client *client, Waybill__V1__Tier tier, const char *target, bool join_only,
                             struct arena *arena, struct error *error);
bool waybill_get_migration(struct waybill_client *client, Waybill__V1__Tier tier, struct arena *arena,
                           Waybill__V1__Migration **migration, struct error *error);
bool waybill_change_migration(struct waybill_client *client, Waybill__V1__Tier tier, Waybill__V1__MigrationStep step,
                              struct arena *arena, Waybill__V1__Migration **migration, struct error *error);

/* Called again and again with how far it is. */
struct waybill_migration_watcher {
    void (*look)(void *self, const Waybill__V1__Migration *migration);
    void *self;
};
/* Waits until everything is copied. The copying goes on without whoever waits. */
bool waybill_await_migration(struct waybill_client *client, Waybill__V1__Tier tier,
                             const struct waybill_migration_watcher *watcher, struct arena *arena,
                             Waybill__V1__Migration **migration, struct error *error);

/* ---- moves of one object between tiers ---- */

struct waybill_move {
    const char *bucket;
    const char *key;
    int64_t version; /* 0: the serving one */
    bool to_cold;    /* out of hot, to the cold store; else from there to hot */
    bool wait;       /* until it is done */
};
/* Called again and again with how far it is. */
struct waybill_move_watcher {
    void (*look)(void *self, int64_t moved_bytes, int64_t size_bytes);
    void *self;
};
/* Begins it; `done` tells whether the object is where it is to be, and `record` where it is. A move
 * goes on without whoever waits. `watcher` may be NULL. */
bool waybill_move_object(struct waybill_client *client, const struct waybill_move *move,
                         const struct waybill_move_watcher *watcher, struct arena *arena, bool *done,
                         Waybill__V1__Record **record, struct error *error);

/* ---- rebuilding lost metadata ---- */

/* Called for each message of the listing; false ends it with the error that was filled. */
struct waybill_stored_visitor {
    bool (*take)(void *self, const Waybill__V1__ListStoredObjectsResponse *message, struct error *error);
    void *self;
};
/* What the objects in a tier of the object-svc say of themselves. One that breaks after its begin is not tried
 * again. */
bool waybill_list_stored_objects(struct waybill_client *client, Waybill__V1__Tier tier,
                                 const struct waybill_stored_visitor *visitor, struct error *error);

/* ---- status ---- */

enum waybill_service { WAYBILL_SERVICE_METADATA, WAYBILL_SERVICE_OBJECT };
bool waybill_get_status(struct waybill_client *client, enum waybill_service service, struct arena *arena,
                        Waybill__V1__GetStatusResponse **status, struct error *error);

#endif
