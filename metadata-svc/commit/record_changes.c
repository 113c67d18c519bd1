#include "metadata-svc/commit/record_changes.h"

#include "metadata-svc/commit/payload_entries.h"
#include "metadata-svc/store/descriptor.h"
#include "metadata-svc/store/layout.h"
#include "metadata-svc/store/record_codec.h"

/* `due_us` is of the timer that the payload had so far; 0 for none. */
static void put_payload_entry(struct change_builder *builder, struct commit_request *request, int64_t due_us) {
    const struct record *record = &request->record;
    struct payload_entry entry = {
        .place = request->payload_source == PAYLOAD_FROM_REQUEST ? PAYLOAD_INLINE
                 : request->payload_source == PAYLOAD_FROM_SPOOL ? PAYLOAD_SPOOLED
                                                                 : PAYLOAD_AWAITED,
        .bucket = record->bucket,
        .key = record->key,
        .version = record->version,
        .size = record->size,
        .crc32c = record->crc32c,
        .due_us = due_us,
    };
    if (entry.place == PAYLOAD_INLINE) {
        entry.data = request->inline_data;
    }
    payload_entry_put(builder, record, &entry, request->arena);
}

static bool check_inline_size(const struct commit_request *request, const struct bucket *bucket, struct error *error) {
    if (request->payload_source != PAYLOAD_FROM_REQUEST ||
        request->inline_data.size <= (size_t)bucket->inline_max_bytes) {
        return true;
    }
    return error_set_field(error, "inline_payload.data", "INLINE_PAYLOAD_TOO_LARGE",
                           "bucket \"%s\" takes payloads of up to %lld bytes inline, this one has %zu: use "
                           "UploadPayload",
                           bucket->name, (long long)bucket->inline_max_bytes, request->inline_data.size);
}

static enum record_state state_after_put(enum payload_source source) {
    switch (source) {
    case PAYLOAD_FROM_NOWHERE:
        return RECORD_COMMITTED;
    case PAYLOAD_FROM_PRODUCER:
        return RECORD_AWAITING_PAYLOAD;
    case PAYLOAD_FROM_REQUEST:
    case PAYLOAD_FROM_SPOOL:
        break;
    }
    return RECORD_STAGED;
}

bool change_put(struct change_builder *builder, struct commit_request *request) {
    struct kv_lookup lookup = overlay_lookup(&builder->overlay);
    struct record *record = &request->record;
    struct bucket bucket;
    struct record_head old;
    bool exists;
    if (!change_builder_get_bucket(builder, record->bucket, request->arena, &bucket, &request->error) ||
        !record_store_get_head(lookup, record->bucket, record->key, request->arena, &old, &exists, &request->error)) {
        return false;
    }
    bool lives = exists && old.record.state != RECORD_DELETED;
    if (!commit_check_version(request, "record", lives ? old.record.version : 0, &request->error) ||
        !descriptor_check_expiry(record->expire_us, builder->now_us, &request->error) ||
        !check_inline_size(request, &bucket, &request->error)) {
        return false;
    }
    record->version = (exists ? old.record.version : bucket.version_floor) + 1;
    record->uid = lives ? old.record.uid : request->new_uid;
    record->create_us = lives ? old.record.create_us : builder->now_us;
    record->update_us = builder->now_us;
    record->expire_given = record->expire_us > 0;
    record->expire_us = bucket_expiry_of(&bucket, record);
    record->state = state_after_put(request->payload_source);
    record->serving_version = record_state_serves(record->state) ? record->version
                              : lives                            ? old.record.serving_version
                                                                 : 0;
    record->cause = cause_of(request, SYSTEM_CAUSE_CLIENT);
    if (request->payload_source != PAYLOAD_FROM_NOWHERE) {
        int64_t deadline_us = request->payload_deadline_us;
        record->deadline_us = builder->now_us + (deadline_us > 0 ? deadline_us : bucket.payload_deadline_us);
    }
    if (request->validate_only) {
        return true;
    }
    if (request->payload_source != PAYLOAD_FROM_NOWHERE) {
        record->payload_version = record->version;
        put_payload_entry(builder, request, 0);
    }
    return change_builder_add_version(builder, &bucket, record, exists ? &old : NULL,
                                      record->state == RECORD_STAGED ? CHANGE_STAGED : CHANGE_COMMITTED, request,
                                      &request->error);
}

bool change_delete(struct change_builder *builder, struct commit_request *request) {
    struct kv_lookup lookup = overlay_lookup(&builder->overlay);
    const char *bucket_name = request->record.bucket;
    const char *key = request->record.key;
    struct bucket bucket;
    struct record_head old;
    bool exists;
    if (!change_builder_get_bucket(builder, bucket_name, request->arena, &bucket, &request->error) ||
        !record_store_get_head(lookup, bucket_name, key, request->arena, &old, &exists, &request->error)) {
        return false;
    }
    bool lives = exists && old.record.state != RECORD_DELETED;
    if (!lives) {
        error_set(&request->error, ERROR_NOT_FOUND, exists ? "RECORD_DELETED" : "RECORD_NOT_FOUND",
                  "there is no record \"%s\" in bucket \"%s\"", key, bucket_name);
        if (exists) {
            error_set_detail(&request->error, "version", "%lld", (long long)old.record.version);
        }
        return false;
    }
    if (!commit_check_version(request, "record", old.record.version, &request->error)) {
        return false;
    }
    struct record *tombstone = &request->record;
    *tombstone = record_make(bucket_name, key);
    tombstone->uid = old.record.uid;
    tombstone->version = old.record.version + 1;
    tombstone->state = RECORD_DELETED;
    tombstone->create_us = old.record.create_us;
    tombstone->update_us = builder->now_us;
    tombstone->cause = cause_of(request, SYSTEM_CAUSE_CLIENT);
    return request->validate_only ||
           change_builder_add_version(builder, &bucket, tombstone, &old, CHANGE_DELETED, request, &request->error);
}

/* The version that an upload belongs to, which may no longer be its key's latest. */
static bool find_awaiting(struct change_builder *builder, struct commit_request *request, struct payload_entry *entry,
                          struct record *record) {
    struct kv_lookup lookup = overlay_lookup(&builder->overlay);
    bool found;
    if (!record_store_get_payload(lookup, &request->record.payload_id, request->arena, entry, &found,
                                  &request->error)) {
        return false;
    }
    if (!found) {
        return error_set(&request->error, ERROR_NOT_FOUND, "UPLOAD_NOT_FOUND", "no upload of that id is awaited");
    }
    if (!record_store_get_version(lookup, entry->bucket, entry->key, entry->version, request->arena, record, &found,
                                  &request->error)) {
        return false;
    }
    if (!found || record->state != RECORD_AWAITING_PAYLOAD) {
        return error_set(&request->error, ERROR_FAILED_PRECONDITION, "PAYLOAD_NOT_AWAITED",
                         "the record does not await a payload");
    }
    return true;
}

static bool check_announcement(const struct record *announced, const struct record *uploaded, struct error *error) {
    if (announced->has_size && announced->size != uploaded->size) {
        return error_set_field(error, "chunk", "SIZE_MISMATCH", "%lld bytes were announced, %lld uploaded",
                               (long long)announced->size, (long long)uploaded->size);
    }
    if (announced->has_crc32c && announced->crc32c != uploaded->crc32c) {
        return error_set_field(error, "chunk", "CHECKSUM_MISMATCH", "CRC32C %08x was announced, %08x uploaded",
                               announced->crc32c, uploaded->crc32c);
    }
    return true;
}

bool change_finish_upload(struct change_builder *builder, struct commit_request *request) {
    struct payload_entry entry;
    struct record record;
    if (!find_awaiting(builder, request, &entry, &record) ||
        !check_announcement(&record, &request->record, &request->error)) {
        return false;
    }
    record.has_size = true;
    record.size = request->record.size;
    record.has_crc32c = true;
    record.crc32c = request->record.crc32c;
    record.state = RECORD_STAGED;
    record.cause = cause_of(request, SYSTEM_CAUSE_UPLOAD);
    if (!change_builder_update_version(builder, &record, CHANGE_STAGED, request_id_of(request), request->arena,
                                       &request->error)) {
        return false;
    }
    request->record = record;
    request->payload_source = PAYLOAD_FROM_SPOOL;
    put_payload_entry(builder, request, entry.due_us);
    return true;
}
