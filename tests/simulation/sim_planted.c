/* Planted bugs of metadata-svc. Each is a change of what its rooms are handed, or of a call from one
 * room to another, which the linker sends here. */
#include <stdlib.h>

#include "metadata-svc/commit/object_drops.h"
#include "metadata-svc/commit/payload_failing.h"
#include "metadata-svc/commit/retention.h"
#include "tests/simulation/sim_disk.h"
#include "tests/simulation/sim_metadata_parts.h"

/* For calls that have nothing at hand to tell it by. */
static enum sim_bug planted;

bool sim_lists_drops;

/* ---- calls between rooms ---- */

bool __real_bucket_policy_satisfied(const struct bucket *bucket, const struct record *record);
bool __wrap_bucket_policy_satisfied(const struct bucket *bucket, const struct record *record);

bool __wrap_bucket_policy_satisfied(const struct bucket *bucket, const struct record *record) {
    return planted == BUG_RELEASE_AT_FIRST_COPY || __real_bucket_policy_satisfied(bucket, record);
}

/* The version that is being failed; 0: none. */
static int64_t failing_version;

bool __real_payload_fail(struct change_builder *builder, struct commit_request *request, struct record *record,
                         enum system_cause system, const struct payload_failure *failure, struct error *error);
bool __wrap_payload_fail(struct change_builder *builder, struct commit_request *request, struct record *record,
                         enum system_cause system, const struct payload_failure *failure, struct error *error);

bool __wrap_payload_fail(struct change_builder *builder, struct commit_request *request, struct record *record,
                         enum system_cause system, const struct payload_failure *failure, struct error *error) {
    failing_version = planted == BUG_REVERT_PAST_NEWER ? record->version : 0;
    bool good = __real_payload_fail(builder, request, record, system, failure, error);
    failing_version = 0;
    return good;
}

bool __real_record_store_get_head(struct kv_lookup lookup, const char *bucket, const char *key, struct arena *arena,
                                  struct record_head *head, bool *found, struct error *error);
bool __wrap_record_store_get_head(struct kv_lookup lookup, const char *bucket, const char *key, struct arena *arena,
                                  struct record_head *head, bool *found, struct error *error);

/* Whoever makes a version fail takes it for the latest one. */
bool __wrap_record_store_get_head(struct kv_lookup lookup, const char *bucket, const char *key, struct arena *arena,
                                  struct record_head *head, bool *found, struct error *error) {
    bool good = __real_record_store_get_head(lookup, bucket, key, arena, head, found, error);
    if (failing_version != 0 && good && *found) {
        head->record.version = failing_version;
    }
    return good;
}

/* Whether old versions are being looked through, to be taken away. */
static bool trimming;

bool __real_retention_after_commit(struct change_builder *builder, const struct bucket *bucket,
                                   const struct record *record, const struct record *old, struct arena *arena,
                                   struct error *error);
bool __wrap_retention_after_commit(struct change_builder *builder, const struct bucket *bucket,
                                   const struct record *record, const struct record *old, struct arena *arena,
                                   struct error *error);

bool __wrap_retention_after_commit(struct change_builder *builder, const struct bucket *bucket,
                                   const struct record *record, const struct record *old, struct arena *arena,
                                   struct error *error) {
    trimming = true;
    bool good = __real_retention_after_commit(builder, bucket, record, old, arena, error);
    trimming = false;
    return good;
}

bool __real_record_store_get_version(struct kv_lookup lookup, const char *bucket, const char *key, int64_t version,
                                     struct arena *arena, struct record *record, bool *found, struct error *error);
bool __wrap_record_store_get_version(struct kv_lookup lookup, const char *bucket, const char *key, int64_t version,
                                     struct arena *arena, struct record *record, bool *found, struct error *error);

/* Whoever takes versions away takes those above for stored. */
bool __wrap_record_store_get_version(struct kv_lookup lookup, const char *bucket, const char *key, int64_t version,
                                     struct arena *arena, struct record *record, bool *found, struct error *error) {
    bool good = __real_record_store_get_version(lookup, bucket, key, version, arena, record, found, error);
    if (trimming && planted == BUG_NEEDED_VERSIONS_TRIMMED && good && *found && record->state != RECORD_DELETED) {
        record->state = RECORD_STORED;
    }
    return good;
}

bool __real_record_store_get_share(struct kv_lookup lookup, const struct uuid *payload_id, struct arena *arena,
                                   struct payload_share *share, bool *found, struct error *error);
bool __wrap_record_store_get_share(struct kv_lookup lookup, const struct uuid *payload_id, struct arena *arena,
                                   struct payload_share *share, bool *found, struct error *error);

/* Whoever takes versions away knows of no others. */
bool __wrap_record_store_get_share(struct kv_lookup lookup, const struct uuid *payload_id, struct arena *arena,
                                   struct payload_share *share, bool *found, struct error *error) {
    bool good = __real_record_store_get_share(lookup, payload_id, arena, share, found, error);
    *found = *found && !(trimming && planted == BUG_SHARED_DROPPED);
    return good;
}

bool __real_record_store_find_object(struct kv_lookup lookup, const char *bucket, const char *key, int64_t version,
                                     const struct uuid *payload_id, struct arena *arena, struct record *record,
                                     bool *found, struct error *error);
bool __wrap_record_store_find_object(struct kv_lookup lookup, const char *bucket, const char *key, int64_t version,
                                     const struct uuid *payload_id, struct arena *arena, struct record *record,
                                     bool *found, struct error *error);

/* Nor does who lists them. */
bool __wrap_record_store_find_object(struct kv_lookup lookup, const char *bucket, const char *key, int64_t version,
                                     const struct uuid *payload_id, struct arena *arena, struct record *record,
                                     bool *found, struct error *error) {
    bool good = __real_record_store_find_object(lookup, bucket, key, version, payload_id, arena, record, found, error);
    *found = *found && !(sim_lists_drops && planted == BUG_SHARED_DROPPED);
    return good;
}

void __real_object_drops_add(struct change_builder *builder, const struct record *record, struct arena *arena);
void __wrap_object_drops_add(struct change_builder *builder, const struct record *record, struct arena *arena);

void __wrap_object_drops_add(struct change_builder *builder, const struct record *record, struct arena *arena) {
    if (planted != BUG_DROPS_FORGOTTEN) {
        __real_object_drops_add(builder, record, arena);
    }
}

struct payload_upload *__real_payload_upload_open(struct payload_spool *spool, const struct upload_start *start,
                                                  struct error *error);
struct payload_upload *__wrap_payload_upload_open(struct payload_spool *spool, const struct upload_start *start,
                                                  struct error *error);

struct payload_upload *__wrap_payload_upload_open(struct payload_spool *spool, const struct upload_start *start,
                                                  struct error *error) {
    struct upload_start believed = *start;
    struct upload_info info;
    if (planted == BUG_OFFSETS_BELIEVED) {
        bool there = payload_spool_find_upload(spool, &start->upload_id, &info);
        believed.write_offset = there ? info.persisted_bytes : 0;
    }
    return __real_payload_upload_open(spool, &believed, error);
}

/* ---- a way past the record cache ---- */

struct leaky_kv {
    struct kv base;
    struct sim_metadata *metadata;
};

/* Every third batch goes past the cache. */
static bool leaky_write(struct kv *kv, const struct kv_batch *batch, bool sync, struct error *error) {
    struct sim_metadata *metadata = ((struct leaky_kv *)kv)->metadata;
    struct kv *to = sim_chance(300) ? metadata->raw : metadata->inner;
    return to->ops->write(to, batch, sync, error);
}

static bool leaky_get(struct kv *kv, struct bytes key, struct arena *arena, struct bytes *value, bool *found,
                      struct error *error) {
    struct kv *inner = ((struct leaky_kv *)kv)->metadata->inner;
    return inner->ops->get(inner, key, arena, value, found, error);
}

static struct kv_cursor *leaky_cursor_open(struct kv *kv) {
    struct kv *inner = ((struct leaky_kv *)kv)->metadata->inner;
    return inner->ops->cursor_open(inner);
}

static void leaky_close(struct kv *kv) {
    struct kv *inner = ((struct leaky_kv *)kv)->metadata->inner;
    inner->ops->close(inner);
    free(kv);
}

/* A way around the cached store. */
static void plant_stale_cache(struct sim_metadata *metadata) {
    struct leaky_kv *leaky = calloc(1, sizeof *leaky);
    if (leaky == NULL) {
        abort();
    }
    metadata->inner = metadata->kv;
    metadata->wrapped_ops = *metadata->inner->ops;
    metadata->wrapped_ops.get = leaky_get;
    metadata->wrapped_ops.write = leaky_write;
    metadata->wrapped_ops.cursor_open = leaky_cursor_open;
    metadata->wrapped_ops.cursor_open_bulk = leaky_cursor_open;
    metadata->wrapped_ops.close = leaky_close;
    *leaky = (struct leaky_kv){{&metadata->wrapped_ops}, metadata};
    metadata->kv = &leaky->base;
}

/* ---- all ---- */

void sim_plant(struct sim_metadata *metadata) {
    planted = metadata->options.bug;
    switch (metadata->options.bug) {
    case BUG_ACK_BEFORE_FLUSH:
        sim_kv_set_way(metadata->store, SIM_KV_UNSYNCED);
        break;
    case BUG_PUBLISH_BEFORE_FLUSH:
        sim_kv_set_way(metadata->store, SIM_KV_VISIBLE_EARLY);
        break;
    case BUG_TORN_BATCH:
        sim_kv_set_way(metadata->store, SIM_KV_TORN);
        break;
    case BUG_FLUSH_FAILURE_DENIED:
        sim_kv_set_way(metadata->store, SIM_KV_DENIED);
        break;
    case BUG_REQUEST_IDS_FORGOTTEN:
        sim_kv_drop_keys(metadata->store, 'q');
        break;
    case BUG_STALE_CACHE:
        plant_stale_cache(metadata);
        break;
    case BUG_SPOOL_NOT_FLUSHED:
        sim_disk_plant_lying_sync(metadata->spool_disk);
        break;
    default:
        break;
    }
}
