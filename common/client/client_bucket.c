/* Buckets, and how the services are doing. */
#include "common/client/client_parts.h"

/* ---- policies ---- */

/* A bucket of the contract; everything of it is in the arena. */
static Waybill__V1__Bucket *make_message(const struct waybill_bucket *bucket, struct arena *arena) {
    Waybill__V1__StoragePolicy *storage = arena_alloc(arena, sizeof *storage);
    waybill__v1__storage_policy__init(storage);
    storage->storage_class = bucket->storage_class;
    storage->max_versions = bucket->max_versions;
    storage->promote_after_reads = bucket->promote_after_reads;
    storage->overflow_to_cold = bucket->overflow_to_cold;
    if (bucket->cold_after_ms >= 0) {
        storage->cold_after = client_duration(bucket->cold_after_ms, arena);
    }
    if (bucket->expire_after_ms > 0) {
        storage->expire_after = client_duration(bucket->expire_after_ms, arena);
    }
    if (bucket->version_retention_ms > 0) {
        storage->version_retention = client_duration(bucket->version_retention_ms, arena);
    }
    Waybill__V1__Bucket *message = arena_alloc(arena, sizeof *message);
    waybill__v1__bucket__init(message);
    message->name = client_text(bucket->name);
    message->storage = storage;
    message->on_failure = bucket->on_failure;
    if (bucket->inline_max_bytes >= 0) {
        message->has_inline_max_bytes_case = WAYBILL__V1__BUCKET__HAS_INLINE_MAX_BYTES_INLINE_MAX_BYTES;
        message->inline_max_bytes = bucket->inline_max_bytes;
    }
    if (bucket->payload_deadline_ms >= 0) {
        message->payload_deadline = client_duration(bucket->payload_deadline_ms, arena);
    }
    if (bucket->delete_retention_ms >= 0) {
        message->delete_retention = client_duration(bucket->delete_retention_ms, arena);
    }
    return message;
}

static void fill_mask(unsigned fields, struct arena *arena, Google__Protobuf__FieldMask *mask) {
    static const struct {
        enum waybill_bucket_field field;
        const char *path;
    } paths[] = {
        {WAYBILL_BUCKET_STORAGE_CLASS, "storage.storage_class"},
        {WAYBILL_BUCKET_COLD_AFTER, "storage.cold_after"},
        {WAYBILL_BUCKET_EXPIRE_AFTER, "storage.expire_after"},
        {WAYBILL_BUCKET_DELETE_RETENTION, "delete_retention"},
        {WAYBILL_BUCKET_PAYLOAD_DEADLINE, "payload_deadline"},
        {WAYBILL_BUCKET_INLINE_MAX_BYTES, "inline_max_bytes"},
        {WAYBILL_BUCKET_VERSION_RETENTION, "storage.version_retention"},
        {WAYBILL_BUCKET_MAX_VERSIONS, "storage.max_versions"},
        {WAYBILL_BUCKET_PROMOTE_AFTER_READS, "storage.promote_after_reads"},
        {WAYBILL_BUCKET_OVERFLOW_TO_COLD, "storage.overflow_to_cold"},
        {WAYBILL_BUCKET_ON_FAILURE, "on_failure"},
    };
    mask->paths = arena_alloc(arena, sizeof paths / sizeof paths[0] * sizeof *mask->paths);
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        if (fields & paths[i].field) {
            mask->paths[mask->n_paths++] = (char *)paths[i].path;
        }
    }
}

/* ---- calls ---- */

bool waybill_create_bucket(struct waybill_client *client, const struct waybill_bucket *bucket, struct arena *arena,
                           Waybill__V1__Bucket **created, struct error *error) {
    char id[UUID_TEXT_BYTES];
    Waybill__V1__CreateBucketRequest request = WAYBILL__V1__CREATE_BUCKET_REQUEST__INIT;
    request.bucket = make_message(bucket, arena);
    request.request_id = client_request_id(bucket->request_id, id);
    request.reason = client_text(bucket->reason);
    Waybill__V1__CreateBucketResponse *response = (Waybill__V1__CreateBucketResponse *)client_call(
        client, client->metadata, "/waybill.v1.MetadataService/CreateBucket", &request.base,
        &waybill__v1__create_bucket_response__descriptor, arena, error);
    if (response == NULL) {
        return false;
    }
    *created = response->bucket;
    return response->bucket != NULL || client_bad_answer(error, "holds no bucket");
}

bool waybill_update_bucket(struct waybill_client *client, const struct waybill_bucket_update *update,
                           struct arena *arena, Waybill__V1__Bucket **updated, struct error *error) {
    char id[UUID_TEXT_BYTES];
    Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
    fill_mask(update->fields, arena, &mask);
    Waybill__V1__UpdateBucketRequest request = WAYBILL__V1__UPDATE_BUCKET_REQUEST__INIT;
    request.bucket = make_message(&update->bucket, arena);
    request.update_mask = &mask;
    request.request_id = client_request_id(update->bucket.request_id, id);
    request.reason = client_text(update->bucket.reason);
    if (update->has_if_version_match) {
        request.has_if_version_match_case = WAYBILL__V1__UPDATE_BUCKET_REQUEST__HAS_IF_VERSION_MATCH_IF_VERSION_MATCH;
        request.if_version_match = update->if_version_match;
    }
    Waybill__V1__UpdateBucketResponse *response = (Waybill__V1__UpdateBucketResponse *)client_call(
        client, client->metadata, "/waybill.v1.MetadataService/UpdateBucket", &request.base,
        &waybill__v1__update_bucket_response__descriptor, arena, error);
    if (response == NULL) {
        return false;
    }
    *updated = response->bucket;
    return response->bucket != NULL || client_bad_answer(error, "holds no bucket");
}

bool waybill_delete_bucket(struct waybill_client *client, const struct waybill_bucket_delete *what,
                           struct error *error) {
    char id[UUID_TEXT_BYTES];
    struct arena arena;
    arena_init(&arena);
    Waybill__V1__DeleteBucketRequest request = WAYBILL__V1__DELETE_BUCKET_REQUEST__INIT;
    request.name = client_text(what->name);
    request.request_id = client_request_id(what->request_id, id);
    request.reason = client_text(what->reason);
    if (what->has_if_version_match) {
        request.has_if_version_match_case = WAYBILL__V1__DELETE_BUCKET_REQUEST__HAS_IF_VERSION_MATCH_IF_VERSION_MATCH;
        request.if_version_match = what->if_version_match;
    }
    bool ok = client_call(client, client->metadata, "/waybill.v1.MetadataService/DeleteBucket", &request.base,
                          &waybill__v1__delete_bucket_response__descriptor, &arena, error) != NULL;
    arena_free(&arena);
    return ok;
}

bool waybill_get_bucket(struct waybill_client *client, const char *name, struct arena *arena,
                        Waybill__V1__Bucket **bucket, struct error *error) {
    Waybill__V1__GetBucketRequest request = WAYBILL__V1__GET_BUCKET_REQUEST__INIT;
    request.name = client_text(name);
    Waybill__V1__GetBucketResponse *response = (Waybill__V1__GetBucketResponse *)client_call(
        client, client->metadata, "/waybill.v1.MetadataService/GetBucket", &request.base,
        &waybill__v1__get_bucket_response__descriptor, arena, error);
    if (response == NULL) {
        return false;
    }
    *bucket = response->bucket;
    return response->bucket != NULL || client_bad_answer(error, "holds no bucket");
}

bool waybill_get_status(struct waybill_client *client, enum waybill_service service, struct arena *arena,
                        Waybill__V1__GetStatusResponse **status, struct error *error) {
    Waybill__V1__GetStatusRequest request = WAYBILL__V1__GET_STATUS_REQUEST__INIT;
    struct rpc_channel *channel = service == WAYBILL_SERVICE_OBJECT ? client->object : client->metadata;
    *status = (Waybill__V1__GetStatusResponse *)client_call(
        client, channel, "/waybill.v1.AdminService/GetStatus", &request.base,
        &waybill__v1__get_status_response__descriptor, arena, error);
    return *status != NULL;
}
