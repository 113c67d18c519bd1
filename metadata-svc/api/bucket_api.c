/* CreateBucket, UpdateBucket, DeleteBucket, GetBucket, ListBuckets. */
#include <string.h>

#include "common/base/names.h"
#include "metadata-svc/api/change_call.h"
#include "metadata-svc/api/page_token.h"
#include "metadata-svc/api/request_checks.h"
#include "metadata-svc/store/layout.h"
#include "metadata-svc/store/record_codec.h"
#include "metadata-svc/store/record_store.h"
#include "waybill/v1/metadata_service.pb-c.h"

enum { INLINE_MAX_BYTES = 64 * 1024 };

#define COLD_AFTER_DEFAULT_US (24LL * 3600 * 1000000)

enum { MAX_VERSIONS_MAX = 1000000, PROMOTE_AFTER_READS_MAX = 1000000 };

static bool take_storage(const Waybill__V1__StoragePolicy *storage, struct bucket *bucket, struct error *error) {
    static const Waybill__V1__StoragePolicy unset = WAYBILL__V1__STORAGE_POLICY__INIT;
    const Waybill__V1__StoragePolicy *given = storage != NULL ? storage : &unset;
    bucket->storage_class = given->storage_class == WAYBILL__V1__STORAGE_CLASS__STORAGE_CLASS_UNSPECIFIED
                                ? STORAGE_HOT_AND_COLD
                                : (enum storage_class)given->storage_class;
    if (bucket->storage_class < STORAGE_HOT || bucket->storage_class > STORAGE_COLD) {
        return error_set_field(error, "bucket.storage.storage_class", "BAD_STORAGE_CLASS",
                               "there is no storage class %d", (int)given->storage_class);
    }
    if (given->max_versions < 0 || given->max_versions > MAX_VERSIONS_MAX) {
        return error_set_field(error, "bucket.storage.max_versions", "BAD_MAX_VERSIONS", "max_versions is 0 to %d",
                               MAX_VERSIONS_MAX);
    }
    if (given->promote_after_reads < 0 || given->promote_after_reads > PROMOTE_AFTER_READS_MAX) {
        return error_set_field(error, "bucket.storage.promote_after_reads", "BAD_PROMOTE_AFTER_READS",
                               "promote_after_reads is 0 to %d", PROMOTE_AFTER_READS_MAX);
    }
    bucket->max_versions = given->max_versions;
    bucket->promote_after_reads = given->promote_after_reads;
    bucket->overflow_to_cold = given->overflow_to_cold;
    return check_duration(given->cold_after, "bucket.storage.cold_after", COLD_AFTER_DEFAULT_US, &bucket->cold_after_us,
                          error) &&
           check_duration(given->expire_after, "bucket.storage.expire_after", 0, &bucket->expire_after_us, error) &&
           check_duration(given->version_retention, "bucket.storage.version_retention", 0,
                          &bucket->version_retention_us, error);
}

static bool take_failure_policy(const Waybill__V1__Bucket *message, struct bucket *bucket, struct error *error) {
    int on_failure = (int)message->on_failure;
    if (on_failure < 0 || on_failure > ON_FAILURE_REVERT) {
        return error_set_field(error, "bucket.on_failure", "BAD_ON_FAILURE", "there is no on_failure %d", on_failure);
    }
    bucket->on_failure = on_failure == 0 ? ON_FAILURE_KEEP_FAILED : (enum on_failure)on_failure;
    if (!check_payload_deadline(message->payload_deadline, "bucket.payload_deadline", &bucket->payload_deadline_us,
                                error)) {
        return false;
    }
    if (bucket->payload_deadline_us == 0) {
        bucket->payload_deadline_us = BUCKET_PAYLOAD_DEADLINE_DEFAULT_US;
    }
    return true;
}

static bool take_bucket(const Waybill__V1__Bucket *message, struct bucket *bucket, struct error *error) {
    if (message == NULL) {
        return error_set_field(error, "bucket", "FIELD_REQUIRED", "bucket is required");
    }
    bucket->name = message->name;
    bucket->inline_max_bytes = message->has_inline_max_bytes_case != 0 ? message->inline_max_bytes : INLINE_MAX_BYTES;
    if (bucket->inline_max_bytes < 0 || bucket->inline_max_bytes > INLINE_MAX_BYTES) {
        return error_set_field(error, "bucket.inline_max_bytes", "BAD_INLINE_MAX_BYTES", "inline_max_bytes is 0 to %d",
                               INLINE_MAX_BYTES);
    }
    return name_check_bucket(message->name, "bucket.name", error) && take_storage(message->storage, bucket, error) &&
           check_duration(message->delete_retention, "bucket.delete_retention", BUCKET_DELETE_RETENTION_DEFAULT_US,
                          &bucket->delete_retention_us, error) &&
           check_not_served_yet(message->write_mode > WAYBILL__V1__WRITE_MODE__WRITE_MODE_DECOUPLED,
                                "bucket.write_mode", error) &&
           check_not_served_yet(message->has_decoupled_percent_case != 0 && message->decoupled_percent != 100,
                                "bucket.decoupled_percent", error) &&
           take_failure_policy(message, bucket, error);
}

static void answer_create(struct change_call *change) {
    Waybill__V1__CreateBucketResponse response = WAYBILL__V1__CREATE_BUCKET_RESPONSE__INIT;
    response.bucket = bucket_to_proto(&change->commit.bucket, change->commit.arena);
    rpc_call_reply(change->call, &response.base);
}

static void create_bucket(void *service, struct rpc_call *call) {
    Waybill__V1__CreateBucketRequest *request =
        (Waybill__V1__CreateBucketRequest *)rpc_call_decode(call, &waybill__v1__create_bucket_request__descriptor);
    if (request == NULL) {
        return;
    }
    struct error error = {0};
    struct change_call *change = change_call_begin(service, call, COMMIT_CREATE_BUCKET, answer_create);
    if (!take_bucket(request->bucket, &change->commit.bucket, &error) ||
        !change_take_common(&change->commit, request->request_id, request->reason, false, 0, request->validate_only,
                            rpc_call_request(call), &error)) {
        rpc_call_fail(call, &error);
        return;
    }
    change_call_submit(change);
}

/* ---- UpdateBucket ---- */

/* Which paths name which fields; storage alone names all of its own. */
static const struct mask_path {
    const char *path;
    unsigned fields;
} mask_paths[] = {
    {"storage", BUCKET_STORAGE_CLASS | BUCKET_COLD_AFTER | BUCKET_EXPIRE_AFTER | BUCKET_MAX_VERSIONS |
                    BUCKET_VERSION_RETENTION | BUCKET_PROMOTE_AFTER_READS | BUCKET_OVERFLOW_TO_COLD},
    {"storage.storage_class", BUCKET_STORAGE_CLASS},
    {"storage.cold_after", BUCKET_COLD_AFTER},
    {"storage.expire_after", BUCKET_EXPIRE_AFTER},
    {"storage.max_versions", BUCKET_MAX_VERSIONS},
    {"storage.version_retention", BUCKET_VERSION_RETENTION},
    {"storage.promote_after_reads", BUCKET_PROMOTE_AFTER_READS},
    {"storage.overflow_to_cold", BUCKET_OVERFLOW_TO_COLD},
    {"inline_max_bytes", BUCKET_INLINE_MAX_BYTES},
    {"delete_retention", BUCKET_DELETE_RETENTION},
    {"payload_deadline", BUCKET_PAYLOAD_DEADLINE},
    {"on_failure", BUCKET_ON_FAILURE},
    {"*", ~0u},
};

static bool take_path(const char *path, unsigned *fields, struct error *error) {
    for (size_t i = 0; i < sizeof mask_paths / sizeof mask_paths[0]; i++) {
        if (strcmp(mask_paths[i].path, path) == 0) {
            *fields |= mask_paths[i].fields;
            return true;
        }
    }
    return error_set_field(error, "update_mask", "BAD_UPDATE_MASK", "\"%s\" is no field that can be updated", path);
}

static bool take_mask(const Google__Protobuf__FieldMask *mask, unsigned *fields, struct error *error) {
    *fields = 0;
    for (size_t i = 0; mask != NULL && i < mask->n_paths; i++) {
        if (!take_path(mask->paths[i], fields, error)) {
            return false;
        }
    }
    return *fields != 0 ||
           error_set_field(error, "update_mask", "FIELD_REQUIRED", "update_mask says which fields are taken over");
}

static void answer_update(struct change_call *change) {
    Waybill__V1__UpdateBucketResponse response = WAYBILL__V1__UPDATE_BUCKET_RESPONSE__INIT;
    response.bucket = bucket_to_proto(&change->commit.bucket, change->commit.arena);
    rpc_call_reply(change->call, &response.base);
}

static void update_bucket(void *service, struct rpc_call *call) {
    Waybill__V1__UpdateBucketRequest *request =
        (Waybill__V1__UpdateBucketRequest *)rpc_call_decode(call, &waybill__v1__update_bucket_request__descriptor);
    if (request == NULL) {
        return;
    }
    struct error error = {0};
    struct change_call *change = change_call_begin(service, call, COMMIT_UPDATE_BUCKET, answer_update);
    if (!take_bucket(request->bucket, &change->commit.bucket, &error) ||
        !take_mask(request->update_mask, &change->commit.bucket_fields, &error) ||
        !change_take_common(&change->commit, request->request_id, request->reason,
                            request->has_if_version_match_case != 0, request->if_version_match, request->validate_only,
                            rpc_call_request(call), &error)) {
        rpc_call_fail(call, &error);
        return;
    }
    change_call_submit(change);
}

/* ---- DeleteBucket ---- */

static void answer_delete(struct change_call *change) {
    Waybill__V1__DeleteBucketResponse response = WAYBILL__V1__DELETE_BUCKET_RESPONSE__INIT;
    rpc_call_reply(change->call, &response.base);
}

static void delete_bucket(void *service, struct rpc_call *call) {
    Waybill__V1__DeleteBucketRequest *request =
        (Waybill__V1__DeleteBucketRequest *)rpc_call_decode(call, &waybill__v1__delete_bucket_request__descriptor);
    if (request == NULL) {
        return;
    }
    struct error error = {0};
    struct change_call *change = change_call_begin(service, call, COMMIT_DELETE_BUCKET, answer_delete);
    change->commit.bucket.name = request->name;
    if (!name_check_bucket(request->name, "name", &error) ||
        !change_take_common(&change->commit, request->request_id, request->reason,
                            request->has_if_version_match_case != 0, request->if_version_match, request->validate_only,
                            rpc_call_request(call), &error)) {
        rpc_call_fail(call, &error);
        return;
    }
    change_call_submit(change);
}

/* ---- GetBucket, ListBuckets ---- */

static void get_bucket(void *service, struct rpc_call *call) {
    struct metadata_api *api = service;
    struct arena *arena = rpc_call_arena(call);
    Waybill__V1__GetBucketRequest *request =
        (Waybill__V1__GetBucketRequest *)rpc_call_decode(call, &waybill__v1__get_bucket_request__descriptor);
    if (request == NULL) {
        return;
    }
    struct error error = {0};
    struct bucket bucket;
    if (!name_check_bucket(request->name, "name", &error) ||
        !record_store_get_bucket(kv_lookup_of(api->kv), request->name, arena, &bucket, &error)) {
        rpc_call_fail(call, &error);
        return;
    }
    Waybill__V1__GetBucketResponse response = WAYBILL__V1__GET_BUCKET_RESPONSE__INIT;
    response.bucket = bucket_to_proto(&bucket, arena);
    rpc_call_reply(call, &response.base);
}

static bool at_bucket(const struct kv_cursor *cursor) {
    if (!cursor->ops->cursor_valid(cursor)) {
        return false;
    }
    struct bytes key = cursor->ops->cursor_key(cursor);
    return key.size > 0 && key.data[0] == LAYOUT_BUCKET_PREFIX;
}

/* Fills a page of at most `size` buckets whose names come after `after`. */
static bool read_buckets(struct metadata_api *api, struct arena *arena, const char *after, int32_t size,
                         Waybill__V1__ListBucketsResponse *response, struct error *error) {
    struct kv_cursor *cursor = api->kv->ops->cursor_open(api->kv);
    bool good = true;
    response->buckets = arena_alloc(arena, (size_t)size * sizeof *response->buckets);
    cursor->ops->cursor_seek(cursor, layout_bucket_key(arena, after));
    for (; good && at_bucket(cursor); cursor->ops->cursor_next(cursor)) {
        struct bucket bucket;
        struct bytes value = arena_copy(arena, cursor->ops->cursor_value(cursor));
        good = record_store_decode_bucket(value, arena, &bucket, error);
        if (!good || strcmp(bucket.name, after) == 0) {
            continue;
        }
        if (response->n_buckets == (size_t)size) {
            const char *last = response->buckets[size - 1]->name;
            response->next_page_token = page_token_make(arena, "buckets", last);
            break;
        }
        response->buckets[response->n_buckets++] = bucket_to_proto(&bucket, arena);
    }
    good = good && cursor->ops->cursor_check(cursor, error);
    cursor->ops->cursor_close(cursor);
    return good;
}

static void list_buckets(void *service, struct rpc_call *call) {
    struct arena *arena = rpc_call_arena(call);
    Waybill__V1__ListBucketsRequest *request =
        (Waybill__V1__ListBucketsRequest *)rpc_call_decode(call, &waybill__v1__list_buckets_request__descriptor);
    if (request == NULL) {
        return;
    }
    struct error error = {0};
    int32_t size;
    const char *after = NULL;
    Waybill__V1__ListBucketsResponse response = WAYBILL__V1__LIST_BUCKETS_RESPONSE__INIT;
    bool good = check_page_size(request->page_size, &size, &error) &&
                (after = page_token_read(arena, "buckets", request->page_token, &error)) != NULL &&
                read_buckets(service, arena, after, size, &response, &error);
    if (good) {
        rpc_call_reply(call, &response.base);
    } else {
        rpc_call_fail(call, &error);
    }
}

void bucket_api_add_to(struct metadata_api *api, struct rpc_server *server) {
    rpc_server_add_unary(server, "/waybill.v1.MetadataService/CreateBucket", RPC_INLINE, create_bucket, api);
    rpc_server_add_unary(server, "/waybill.v1.MetadataService/UpdateBucket", RPC_INLINE, update_bucket, api);
    rpc_server_add_unary(server, "/waybill.v1.MetadataService/DeleteBucket", RPC_INLINE, delete_bucket, api);
    rpc_server_add_unary(server, "/waybill.v1.MetadataService/GetBucket", RPC_BLOCKING, get_bucket, api);
    rpc_server_add_unary(server, "/waybill.v1.MetadataService/ListBuckets", RPC_BLOCKING, list_buckets, api);
}
