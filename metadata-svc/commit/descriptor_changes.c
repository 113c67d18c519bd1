#include "metadata-svc/commit/descriptor_changes.h"

#include <string.h>

#include "metadata-svc/store/descriptor.h"
#include "metadata-svc/store/layout.h"

/* Commits request->record, which has the content of a version of its key. */
static bool commit_copy(struct change_builder *builder, struct commit_request *request, const struct bucket *bucket,
                        const struct record_head *old, enum change_type type) {
    struct record *record = &request->record;
    record->version = old->record.version + 1;
    record->update_us = builder->now_us;
    record->expire_us = bucket_expiry_of(bucket, record);
    record->serving_version = record_state_serves(record->state) ? record->version : old->record.serving_version;
    record->cause = cause_of(request, SYSTEM_CAUSE_CLIENT);
    return request->validate_only ||
           (change_builder_share_payload(builder, record, request->arena, &request->error) &&
            change_builder_add_version(builder, bucket, record, old, type, request, &request->error));
}

static bool get_bucket_and_head(struct change_builder *builder, struct commit_request *request, struct bucket *bucket,
                                struct record_head *head) {
    struct kv_lookup lookup = overlay_lookup(&builder->overlay);
    const struct record *named = &request->record;
    bool found;
    if (!change_builder_get_bucket(builder, named->bucket, request->arena, bucket, &request->error) ||
        !record_store_get_head(lookup, named->bucket, named->key, request->arena, head, &found, &request->error)) {
        return false;
    }
    return found || error_set(&request->error, ERROR_NOT_FOUND, "RECORD_NOT_FOUND",
                              "there is no record \"%s\" in bucket \"%s\"", named->key, named->bucket);
}

/* ---- update ---- */

static bool is_replaced(const struct record_update *update, const char *name) {
    if (update->all_attributes) {
        return true;
    }
    for (size_t i = 0; i < update->name_count; i++) {
        if (strcmp(update->names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* Old attributes that are not replaced and the given ones, both sorted by name. */
static void merge_attributes(struct record *merged, const struct record *given, const struct record_update *update,
                             struct arena *arena) {
    const struct attribute *old = merged->attributes;
    size_t old_count = merged->attribute_count;
    struct attribute *out = arena_alloc(arena, (old_count + given->attribute_count) * sizeof *out);
    size_t count = 0;
    size_t next = 0;
    for (size_t i = 0; i < old_count; i++) {
        if (is_replaced(update, old[i].name)) {
            continue;
        }
        while (next < given->attribute_count && strcmp(given->attributes[next].name, old[i].name) < 0) {
            out[count++] = given->attributes[next++];
        }
        out[count++] = old[i];
    }
    while (next < given->attribute_count) {
        out[count++] = given->attributes[next++];
    }
    merged->attributes = out;
    merged->attribute_count = count;
}

bool change_update(struct change_builder *builder, struct commit_request *request) {
    struct bucket bucket;
    struct record_head old;
    if (!get_bucket_and_head(builder, request, &bucket, &old)) {
        return false;
    }
    if (old.record.state == RECORD_DELETED) {
        error_set(&request->error, ERROR_NOT_FOUND, "RECORD_DELETED", "the record is deleted");
        error_set_detail(&request->error, "version", "%lld", (long long)old.record.version);
        return false;
    }
    if (!commit_check_version(request, "record", old.record.version, &request->error)) {
        return false;
    }
    struct record merged = old.record;
    const struct record *given = &request->record;
    if (request->update.content_type) {
        merged.content_type = given->content_type;
    }
    if (request->update.expire_time) {
        merged.expire_us = given->expire_us;
        merged.expire_given = true;
    }
    merge_attributes(&merged, given, &request->update, request->arena);
    if (!descriptor_check(&merged, request->arena, &request->error) ||
        !descriptor_check_expiry(given->expire_us, builder->now_us, &request->error)) {
        return false;
    }
    request->record = merged;
    return commit_copy(builder, request, &bucket, &old, CHANGE_COMMITTED);
}

/* ---- restore ---- */

/* The newest version below the tombstone that has content. */
static bool find_before_tombstone(struct change_builder *builder, struct commit_request *request,
                                  const struct record_head *head, struct record *record) {
    bool found = false;
    for (int64_t version = head->record.version - 1; version > 0; version--) {
        if (!record_store_get_version(overlay_lookup(&builder->overlay), head->record.bucket, head->record.key, version,
                                      request->arena, record, &found, &request->error)) {
            return false;
        }
        if (!found || (record_state_serves(record->state))) {
            break;
        }
    }
    return found || error_set(&request->error, ERROR_NOT_FOUND, "VERSION_NOT_FOUND",
                              "no version from before the delete is kept any more");
}

static bool find_restored(struct change_builder *builder, struct commit_request *request,
                          const struct record_head *head, struct record *record) {
    int64_t version = request->restore_version;
    bool lives = head->record.state != RECORD_DELETED;
    if (lives && (version == 0 || version == head->record.version)) {
        return error_set(&request->error, ERROR_ALREADY_EXISTS, "RECORD_EXISTS",
                         "the record lives, at version %lld: name an older version to restore",
                         (long long)head->record.version);
    }
    if (version == 0) {
        return find_before_tombstone(builder, request, head, record);
    }
    bool found;
    if (!record_store_get_version(overlay_lookup(&builder->overlay), head->record.bucket, head->record.key, version,
                                  request->arena, record, &found, &request->error)) {
        return false;
    }
    return found || error_set(&request->error, ERROR_NOT_FOUND, "VERSION_NOT_FOUND", "version %lld is not kept",
                              (long long)version);
}

bool change_restore(struct change_builder *builder, struct commit_request *request) {
    struct bucket bucket;
    struct record_head old;
    struct record restored;
    if (!get_bucket_and_head(builder, request, &bucket, &old)) {
        return false;
    }
    bool lives = old.record.state != RECORD_DELETED;
    if (!commit_check_version(request, "record", lives ? old.record.version : 0, &request->error) ||
        !find_restored(builder, request, &old, &restored)) {
        return false;
    }
    if (!record_state_serves(restored.state)) {
        return error_set(&request->error, ERROR_FAILED_PRECONDITION, "VERSION_HAS_NO_CONTENT", "version %lld is %s",
                         (long long)restored.version,
                         restored.state == RECORD_DELETED ? "a tombstone" : "without its payload");
    }
    restored.uid = old.record.uid;
    restored.create_us = old.record.create_us;
    /* What was to expire then is not to vanish again at once. */
    restored.expire_given = false;
    request->record = restored;
    return commit_copy(builder, request, &bucket, &old, CHANGE_COMMITTED);
}
