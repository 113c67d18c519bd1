#include "metadata-svc/commit/bucket_changes.h"

#include "metadata-svc/commit/policy_sweep.h"
#include "metadata-svc/store/layout.h"
#include "metadata-svc/store/record_codec.h"

/* Puts the bucket as it is now, or takes it away, and logs the change. */
static void log_bucket(struct change_builder *builder, struct commit_request *request, enum change_type type,
                       const struct bucket *before) {
    struct bucket *bucket = &request->bucket;
    bucket->revision = change_builder_next_revision(builder);
    struct bytes key = layout_bucket_key(request->arena, bucket->name);
    change_builder_forget_bucket(builder);
    if (type == CHANGE_BUCKET_DELETED) {
        overlay_delete(&builder->overlay, key);
        if (bucket->version_floor > 0) {
            overlay_put(&builder->overlay, layout_floor_key(request->arena, bucket->name),
                        record_store_floor_value(bucket->version_floor, request->arena));
        }
    } else {
        overlay_put(&builder->overlay, key, record_store_bucket_value(bucket, request->arena));
    }
    struct change change = {
        .type = type,
        .previous_revision = before != NULL ? before->revision : 0,
        .previous_version = before != NULL ? before->version : 0,
        .request_id = request_id_of(request),
    };
    struct cause cause = cause_of(request, SYSTEM_CAUSE_CLIENT);
    change_builder_log_bucket(builder, &change, bucket, &cause, request->arena);
}

bool change_create_bucket(struct change_builder *builder, struct commit_request *request) {
    struct bucket existing;
    struct kv_lookup lookup = overlay_lookup(&builder->overlay);
    if (record_store_get_bucket(lookup, request->bucket.name, request->arena, &existing, &request->error)) {
        return error_set(&request->error, ERROR_ALREADY_EXISTS, "BUCKET_EXISTS", "there is a bucket \"%s\" already",
                         request->bucket.name);
    }
    if (request->error.code != ERROR_NOT_FOUND) {
        return false;
    }
    request->error = (struct error){0};
    struct bucket *bucket = &request->bucket;
    if (!record_store_get_floor(lookup, bucket->name, request->arena, &bucket->version_floor, &request->error)) {
        return false;
    }
    bucket->uid = request->new_uid;
    bucket->version = 1;
    bucket->create_us = builder->now_us;
    bucket->update_us = builder->now_us;
    if (!request->validate_only) {
        log_bucket(builder, request, CHANGE_BUCKET_CREATED, NULL);
    }
    return true;
}

static void take_fields(struct bucket *bucket, const struct bucket *from, unsigned fields) {
    if (fields & BUCKET_STORAGE_CLASS) {
        bucket->storage_class = from->storage_class;
    }
    if (fields & BUCKET_COLD_AFTER) {
        bucket->cold_after_us = from->cold_after_us;
    }
    if (fields & BUCKET_EXPIRE_AFTER) {
        bucket->expire_after_us = from->expire_after_us;
    }
    if (fields & BUCKET_MAX_VERSIONS) {
        bucket->max_versions = from->max_versions;
    }
    if (fields & BUCKET_PROMOTE_AFTER_READS) {
        bucket->promote_after_reads = from->promote_after_reads;
    }
    if (fields & BUCKET_OVERFLOW_TO_COLD) {
        bucket->overflow_to_cold = from->overflow_to_cold;
    }
    if (fields & BUCKET_VERSION_RETENTION) {
        bucket->version_retention_us = from->version_retention_us;
    }
    if (fields & BUCKET_INLINE_MAX_BYTES) {
        bucket->inline_max_bytes = from->inline_max_bytes;
    }
    if (fields & BUCKET_DELETE_RETENTION) {
        bucket->delete_retention_us = from->delete_retention_us;
    }
    if (fields & BUCKET_PAYLOAD_DEADLINE) {
        bucket->payload_deadline_us = from->payload_deadline_us;
    }
    if (fields & BUCKET_ON_FAILURE) {
        bucket->on_failure = from->on_failure;
    }
}

bool change_update_bucket(struct change_builder *builder, struct commit_request *request) {
    struct bucket before;
    if (!record_store_get_bucket(overlay_lookup(&builder->overlay), request->bucket.name, request->arena, &before,
                                 &request->error) ||
        !commit_check_version(request, "bucket", before.version, &request->error)) {
        return false;
    }
    struct bucket after = before;
    take_fields(&after, &request->bucket, request->bucket_fields);
    after.version++;
    after.update_us = builder->now_us;
    request->bucket = after;
    if (request->validate_only) {
        return true;
    }
    log_bucket(builder, request, CHANGE_BUCKET_UPDATED, &before);
    return policy_sweep_begin(builder, &before, &after, request->arena, &request->error);
}

bool change_delete_bucket(struct change_builder *builder, struct commit_request *request) {
    const char *name = request->bucket.name;
    struct bucket before;
    bool occupied;
    if (!record_store_get_bucket(overlay_lookup(&builder->overlay), name, request->arena, &before, &request->error) ||
        !commit_check_version(request, "bucket", before.version, &request->error) ||
        !overlay_any_under(&builder->overlay, layout_head_key(request->arena, name, ""), &occupied, &request->error)) {
        return false;
    }
    if (occupied) {
        return error_set(&request->error, ERROR_FAILED_PRECONDITION, "BUCKET_NOT_EMPTY",
                         "bucket \"%s\" holds records; deleted ones count until their retention ends", name);
    }
    request->bucket = before;
    request->bucket.version++;
    request->bucket.update_us = builder->now_us;
    if (!request->validate_only) {
        log_bucket(builder, request, CHANGE_BUCKET_DELETED, &before);
        overlay_delete(&builder->overlay, layout_sweep_key(request->arena, name));
    }
    return true;
}
