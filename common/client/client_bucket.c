/* Buckets, and how the services are doing. */
#include "common/client/client_parts.h"

static void fill_storage(const struct waybill_bucket *bucket, struct arena *arena, Waybill__V1__StoragePolicy *policy) {
    policy->storage_class = bucket->storage_class;
    policy->max_versions = bucket->max_versions;
    policy->promote_after_reads = bucket->promote_after_reads;
    if (bucket->cold_after_ms >= 0) {
        policy->cold_after = client_duration(bucket->cold_after_ms, arena);
    }
    if (bucket->expire_after_ms > 0) {
        policy->expire_after = client_duration(bucket->expire_after_ms, arena);
    }
}

bool waybill_create_bucket(struct waybill_client *client, const struct waybill_bucket *bucket, struct arena *arena,
                           Waybill__V1__Bucket **created, struct error *error) {
    char id[UUID_TEXT_BYTES];
    Waybill__V1__StoragePolicy storage = WAYBILL__V1__STORAGE_POLICY__INIT;
    fill_storage(bucket, arena, &storage);
    Waybill__V1__Bucket message = WAYBILL__V1__BUCKET__INIT;
    message.name = client_text(bucket->name);
    message.storage = &storage;
    if (bucket->inline_max_bytes >= 0) {
        message.has_inline_max_bytes_case = WAYBILL__V1__BUCKET__HAS_INLINE_MAX_BYTES_INLINE_MAX_BYTES;
        message.inline_max_bytes = bucket->inline_max_bytes;
    }
    if (bucket->payload_deadline_ms >= 0) {
        message.payload_deadline = client_duration(bucket->payload_deadline_ms, arena);
    }
    if (bucket->delete_retention_ms >= 0) {
        message.delete_retention = client_duration(bucket->delete_retention_ms, arena);
    }
    Waybill__V1__CreateBucketRequest request = WAYBILL__V1__CREATE_BUCKET_REQUEST__INIT;
    request.bucket = &message;
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
