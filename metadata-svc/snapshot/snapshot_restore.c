#include "metadata-svc/snapshot/snapshot_restore.h"

#include "metadata-svc/snapshot/restore_place.h"
#include "metadata-svc/snapshot/spooled_entries.h"
#include "metadata-svc/store/change_log.h"

enum {
    CACHE_BYTES = 8 << 20,
    WRITE_BUFFER_BYTES = 16 << 20,
    SEGMENT_BYTES = 16 << 20, /* one that is nearly empty should not take much of the spool's limit */
};

struct restoring {
    struct restore_place place;
    struct kv *kv;
    struct disk *spool_disk;
    struct payload_spool *spool; /* NULL before the first payload */
    struct payload_upload *upload;
    struct kv_batch batch;
};

/* ---- payloads ---- */

static bool open_spool(struct restoring *restoring, struct error *error) {
    struct payload_spool_options options = {
        .segment_bytes = SEGMENT_BYTES, .max_bytes = INT64_MAX, .max_payloads = UINT64_MAX};
    restoring->spool_disk = posix_disk_new(restoring->place.staged_spool, error);
    restoring->spool =
        restoring->spool_disk != NULL ? payload_spool_open(restoring->spool_disk, &options, error) : NULL;
    return restoring->spool != NULL;
}

static bool payload_begin(void *self, const struct snapshot_payload *payload, struct error *error) {
    struct restoring *restoring = self;
    if (restoring->spool == NULL && !open_spool(restoring, error)) {
        return false;
    }
    restoring->upload = payload_upload_begin(restoring->spool, &payload->id, payload->bucket, payload->key, error);
    return restoring->upload != NULL;
}

static bool payload_bytes(void *self, struct bytes data, struct error *error) {
    struct restoring *restoring = self;
    return payload_upload_append(restoring->upload, data, error);
}

static bool payload_end(void *self, bool whole, struct error *error) {
    struct restoring *restoring = self;
    struct payload_upload *upload = restoring->upload;
    restoring->upload = NULL;
    if (!whole) {
        payload_upload_abort(upload);
        return true;
    }
    return payload_upload_finish(upload, error);
}

/* ---- entries ---- */

static bool take_entry(void *self, struct bytes key, struct bytes value, struct error *error) {
    struct restoring *restoring = self;
    (void)error;
    kv_batch_put(&restoring->batch, key, value);
    return true;
}

/* Not synced: all files are, before they get their names. */
static bool write_entries(void *self, struct error *error) {
    struct restoring *restoring = self;
    bool good = restoring->kv->ops->write(restoring->kv, &restoring->batch, false, error);
    kv_batch_clear(&restoring->batch);
    return good;
}

/* ---- do the parts fit each other? ---- */

struct comparison {
    struct payload_spool *spool;
    int64_t there;
    int64_t missing;
};

static bool compare_payload(void *context, const struct uuid *id, const struct payload_entry *entry,
                            struct error *error) {
    struct comparison *comparison = context;
    struct payload_info info;
    struct error absent = {0};
    (void)error;
    bool there = comparison->spool != NULL && payload_spool_stat(comparison->spool, id, &info, &absent) &&
                 info.size_bytes == (uint64_t)entry->size && info.crc32c == entry->crc32c;
    comparison->there += there ? 1 : 0;
    comparison->missing += there ? 0 : 1;
    return true;
}

static bool compare_parts(const struct restoring *restoring, const struct snapshot_summary *summary,
                          struct error *error) {
    struct kv *kv = restoring->kv;
    struct comparison comparison = {.spool = restoring->spool};
    int64_t oldest;
    int64_t newest;
    struct kv_cursor *cursor = kv->ops->cursor_open(kv);
    bool good = spooled_entries_each(cursor, compare_payload, &comparison, error);
    kv->ops->cursor_close(cursor);
    if (!good || !change_log_bounds(kv, &oldest, &newest, error)) {
        return false;
    }
    if (newest != summary->header.revision || comparison.there != summary->totals.payloads ||
        comparison.missing != summary->totals.lost_payloads) {
        return error_set(error, ERROR_DATA_LOSS, "SNAPSHOT_CORRUPT",
                         "the snapshot's records, payloads and revision do not belong together");
    }
    return true;
}

/* ---- the whole ---- */

static bool open_records(struct restoring *restoring, struct error *error) {
    struct leveldb_kv_options options = {.cache_bytes = CACHE_BYTES, .write_buffer_bytes = WRITE_BUFFER_BYTES};
    restoring->kv = leveldb_kv_open(restoring->place.staged_records, &options, error);
    return restoring->kv != NULL;
}

static bool fill(struct restoring *restoring, const struct snapshot_source *source, struct snapshot_summary *summary,
                 struct error *error) {
    struct snapshot_visitor visitor = {
        .payload_begin = payload_begin,
        .payload_bytes = payload_bytes,
        .payload_end = payload_end,
        .entry = take_entry,
        .entries_end = write_entries,
        .self = restoring,
    };
    return open_records(restoring, error) && snapshot_read(source, &visitor, summary, error) &&
           compare_parts(restoring, summary, error);
}

static void close_parts(struct restoring *restoring) {
    if (restoring->upload != NULL) {
        payload_upload_abort(restoring->upload);
    }
    payload_spool_close(restoring->spool);
    if (restoring->spool_disk != NULL) {
        restoring->spool_disk->ops->free(restoring->spool_disk);
    }
    if (restoring->kv != NULL) {
        restoring->kv->ops->close(restoring->kv);
    }
    kv_batch_free(&restoring->batch);
}

bool snapshot_restore(const struct snapshot_source *source, const char *data_dir, const char *spool_dir,
                      struct snapshot_summary *summary, struct error *error) {
    struct restoring restoring = {0};
    if (!restore_place_begin(&restoring.place, data_dir, spool_dir, error)) {
        return false;
    }
    bool good = fill(&restoring, source, summary, error);
    close_parts(&restoring);
    if (!good) {
        restore_place_abandon(&restoring.place);
        return false;
    }
    return restore_place_commit(&restoring.place, error);
}
