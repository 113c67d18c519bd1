/* PutRecord, GetRecord, ListRecords, DeleteRecord. */
#include <string.h>

#include "common/base/names.h"
#include "common/checksum/crc32c.h"
#include "metadata-svc/api/change_call.h"
#include "metadata-svc/api/page_token.h"
#include "metadata-svc/api/request_checks.h"
#include "metadata-svc/store/layout.h"
#include "metadata-svc/store/record_codec.h"
#include "metadata-svc/store/record_store.h"
#include "waybill/v1/metadata_service.pb-c.h"

static bool check_name(const char *bucket, const char *key, struct error *error) {
    return name_check_bucket(bucket, "bucket", error) && name_check_key(key, "key", error);
}

/* ---- PutRecord ---- */

static bool take_inline(const Waybill__V1__InlinePayload *payload, struct commit_request *commit, struct error *error) {
    struct record *record = &commit->record;
    struct bytes data = bytes_of(payload->data.data, payload->data.len);
    uint32_t crc = crc32c(data);
    if (payload->has_crc32c_case != 0 && payload->crc32c != crc) {
        return error_set_field(error, "inline_payload.crc32c", "CHECKSUM_MISMATCH",
                               "the payload's CRC32C is %08x, the request says %08x", crc, payload->crc32c);
    }
    commit->payload_source = PAYLOAD_FROM_REQUEST;
    commit->inline_data = data;
    record->has_size = true;
    record->size = (int64_t)data.size;
    record->has_crc32c = true;
    record->crc32c = crc;
    record->sha256 = bytes_of(payload->sha256.data, payload->sha256.len);
    record->payload_id = uuid_make();
    return check_sha256(record->sha256, "inline_payload.sha256", error);
}

static bool take_announcement(const Waybill__V1__PayloadAnnouncement *payload, struct commit_request *commit,
                              struct error *error) {
    struct record *record = &commit->record;
    if (payload->has_size_case != 0 && payload->size < 0) {
        return error_set_field(error, "announced_payload.size", "BAD_SIZE", "a size is 0 or more");
    }
    commit->payload_source = PAYLOAD_FROM_PRODUCER;
    record->has_size = payload->has_size_case != 0;
    record->size = record->has_size ? payload->size : 0;
    record->has_crc32c = payload->has_crc32c_case != 0;
    record->crc32c = record->has_crc32c ? payload->crc32c : 0;
    record->sha256 = bytes_of(payload->sha256.data, payload->sha256.len);
    record->payload_id = uuid_make();
    return check_sha256(record->sha256, "announced_payload.sha256", error);
}

static bool take_payload(const Waybill__V1__PutRecordRequest *request, struct commit_request *commit,
                         struct error *error) {
    switch (request->payload_case) {
    case WAYBILL__V1__PUT_RECORD_REQUEST__PAYLOAD_INLINE_PAYLOAD:
        return take_inline(request->inline_payload, commit, error);
    case WAYBILL__V1__PUT_RECORD_REQUEST__PAYLOAD_ANNOUNCED_PAYLOAD:
        return take_announcement(request->announced_payload, commit, error);
    default:
        commit->payload_source = PAYLOAD_FROM_NOWHERE;
        return true;
    }
}

static bool take_put(const Waybill__V1__PutRecordRequest *request, struct change_call *change, struct error *error) {
    struct commit_request *commit = &change->commit;
    struct arena *arena = commit->arena;
    commit->record = record_make(request->bucket, request->key);
    struct attribute_view *views = arena_alloc(arena, request->n_attributes * sizeof *views);
    for (size_t i = 0; i < request->n_attributes; i++) {
        views[i] = (struct attribute_view){request->attributes[i]->key, request->attributes[i]->value};
    }
    return check_name(request->bucket, request->key, error) &&
           check_descriptor(request->content_type, views, request->n_attributes, arena, &commit->record, error) &&
           check_not_served_yet(request->schema_id[0] != '\0' || request->schema_version != 0, "schema_id", error) &&
           check_not_served_yet(request->expire_time != NULL, "expire_time", error) &&
           check_not_served_yet(request->payload_deadline != NULL, "payload_deadline", error) &&
           take_payload(request, commit, error) &&
           change_call_take_common(change, request->request_id, request->reason,
                                   request->has_if_version_match_case != 0, request->if_version_match,
                                   request->validate_only, &request->base, error);
}

static void answer_put(struct change_call *change) {
    const struct record *record = &change->commit.record;
    Waybill__V1__PutRecordResponse response = WAYBILL__V1__PUT_RECORD_RESPONSE__INIT;
    response.record = record_to_proto(record, change->commit.arena);
    if (record->state == RECORD_AWAITING_PAYLOAD) {
        response.upload_id = response.record->payload_id;
    }
    rpc_call_reply(change->call, &response.base);
}

static void put_record(void *service, struct rpc_call *call) {
    Waybill__V1__PutRecordRequest *request =
        (Waybill__V1__PutRecordRequest *)rpc_call_decode(call, &waybill__v1__put_record_request__descriptor);
    if (request == NULL) {
        return;
    }
    struct error error = {0};
    struct change_call *change = change_call_begin(service, call, COMMIT_PUT, answer_put);
    if (!take_put(request, change, &error)) {
        rpc_call_fail(call, &error);
        return;
    }
    change_call_submit(change);
}

/* ---- DeleteRecord ---- */

static void answer_delete(struct change_call *change) {
    Waybill__V1__DeleteRecordResponse response = WAYBILL__V1__DELETE_RECORD_RESPONSE__INIT;
    response.record = record_to_proto(&change->commit.record, change->commit.arena);
    rpc_call_reply(change->call, &response.base);
}

static void delete_record(void *service, struct rpc_call *call) {
    Waybill__V1__DeleteRecordRequest *request =
        (Waybill__V1__DeleteRecordRequest *)rpc_call_decode(call, &waybill__v1__delete_record_request__descriptor);
    if (request == NULL) {
        return;
    }
    struct error error = {0};
    struct change_call *change = change_call_begin(service, call, COMMIT_DELETE, answer_delete);
    change->commit.record = record_make(request->bucket, request->key);
    if (!check_name(request->bucket, request->key, &error) ||
        !change_call_take_common(change, request->request_id, request->reason, request->has_if_version_match_case != 0,
                                 request->if_version_match, request->validate_only, &request->base, &error)) {
        rpc_call_fail(call, &error);
        return;
    }
    change_call_submit(change);
}

/* ---- GetRecord ---- */

static bool find_record(struct metadata_api *api, const Waybill__V1__GetRecordRequest *request, struct arena *arena,
                        struct record *record, struct error *error) {
    struct kv_lookup lookup = kv_lookup_of(api->kv);
    struct bucket bucket;
    struct record_head head;
    bool found;
    if (!record_store_get_bucket(lookup, request->bucket, arena, &bucket, error)) {
        return false;
    }
    if (request->version == 0) {
        if (!record_store_get_head(lookup, request->bucket, request->key, arena, &head, &found, error)) {
            return false;
        }
        *record = head.record;
    } else if (!record_store_get_version(lookup, request->bucket, request->key, request->version, arena, record, &found,
                                         error)) {
        return false;
    }
    if (!found) {
        return error_set(error, ERROR_NOT_FOUND, request->version == 0 ? "RECORD_NOT_FOUND" : "VERSION_NOT_FOUND",
                         "there is no such record in bucket \"%s\"", request->bucket);
    }
    if (record->state == RECORD_DELETED && !request->show_deleted) {
        error_set(error, ERROR_NOT_FOUND, "RECORD_DELETED", "the record is deleted");
        error_set_detail(error, "version", "%lld", (long long)record->version);
        return false;
    }
    return true;
}

static void get_record(void *service, struct rpc_call *call) {
    struct arena *arena = rpc_call_arena(call);
    Waybill__V1__GetRecordRequest *request =
        (Waybill__V1__GetRecordRequest *)rpc_call_decode(call, &waybill__v1__get_record_request__descriptor);
    if (request == NULL) {
        return;
    }
    struct error error = {0};
    struct record record;
    if (request->version < 0) {
        error_set_field(&error, "version", "BAD_VERSION", "a version is 1 or more, or 0 for the latest");
        rpc_call_fail(call, &error);
        return;
    }
    if (!check_name(request->bucket, request->key, &error) || !find_record(service, request, arena, &record, &error)) {
        rpc_call_fail(call, &error);
        return;
    }
    Waybill__V1__GetRecordResponse response = WAYBILL__V1__GET_RECORD_RESPONSE__INIT;
    response.record = record_to_proto(&record, arena);
    rpc_call_reply(call, &response.base);
}

/* ---- ListRecords ---- */

struct listing {
    const Waybill__V1__ListRecordsRequest *request;
    struct arena *arena;
    const char *name;  /* identifies the listing to its page tokens */
    const char *after; /* the last key of the page before */
    int32_t page_size;
};

/* The key under the cursor, NULL when the walk has left the listing. Every head key of the
 * bucket begins with the same bytes. */
static const char *key_in_listing(const struct kv_cursor *cursor, const struct listing *listing,
                                  struct bytes bucket_keys) {
    if (!cursor->ops->cursor_valid(cursor)) {
        return NULL;
    }
    struct bytes whole = cursor->ops->cursor_key(cursor);
    if (!bytes_start_with(whole, bucket_keys)) {
        return NULL;
    }
    struct bytes key = bytes_of(whole.data + bucket_keys.size, whole.size - bucket_keys.size);
    if (!bytes_start_with(key, bytes_of_string(listing->request->prefix))) {
        return NULL;
    }
    char *out = arena_zalloc(listing->arena, key.size + 1);
    memcpy(out, key.data, key.size);
    return out;
}

static bool read_page(struct metadata_api *api, const struct listing *listing,
                      Waybill__V1__ListRecordsResponse *response, struct error *error) {
    const Waybill__V1__ListRecordsRequest *request = listing->request;
    struct arena *arena = listing->arena;
    struct bytes bucket_keys = layout_head_key(arena, request->bucket, "");
    const char *start = strcmp(listing->after, request->prefix) > 0 ? listing->after : request->prefix;
    const char *key;
    const char *last = NULL;
    bool good = true;
    response->records = arena_alloc(arena, (size_t)listing->page_size * sizeof *response->records);
    struct kv_cursor *cursor = api->kv->ops->cursor_open(api->kv);
    cursor->ops->cursor_seek(cursor, layout_head_key(arena, request->bucket, start));
    while (good && (key = key_in_listing(cursor, listing, bucket_keys)) != NULL) {
        struct record_head head;
        struct bytes value = arena_copy(arena, cursor->ops->cursor_value(cursor));
        good = record_store_decode_head(value, arena, &head, error);
        bool wanted =
            good && strcmp(key, listing->after) != 0 && (head.record.state != RECORD_DELETED || request->show_deleted);
        if (wanted && response->n_records == (size_t)listing->page_size) {
            response->next_page_token = page_token_make(arena, listing->name, last);
            break;
        }
        if (wanted) {
            response->records[response->n_records++] = record_to_proto(&head.record, arena);
            last = key;
        }
        cursor->ops->cursor_next(cursor);
    }
    good = good && cursor->ops->cursor_check(cursor, error);
    cursor->ops->cursor_close(cursor);
    return good;
}

static bool check_listing(struct metadata_api *api, struct listing *listing, struct error *error) {
    const Waybill__V1__ListRecordsRequest *request = listing->request;
    struct bucket bucket;
    if (!name_check_bucket(request->bucket, "bucket", error) ||
        !check_not_served_yet(request->delimiter[0] != '\0', "delimiter", error) ||
        !check_not_served_yet(request->filter[0] != '\0', "filter", error) ||
        !check_page_size(request->page_size, &listing->page_size, error)) {
        return false;
    }
    if (strlen(request->prefix) > NAME_KEY_MAX_BYTES) {
        return error_set_field(error, "prefix", "BAD_PREFIX", "a prefix has at most %d bytes", NAME_KEY_MAX_BYTES);
    }
    listing->name =
        arena_printf(listing->arena, "records %s %d %s", request->bucket, request->show_deleted, request->prefix);
    listing->after = page_token_read(listing->arena, listing->name, request->page_token, error);
    return listing->after != NULL &&
           record_store_get_bucket(kv_lookup_of(api->kv), request->bucket, listing->arena, &bucket, error);
}

static void list_records(void *service, struct rpc_call *call) {
    Waybill__V1__ListRecordsRequest *request =
        (Waybill__V1__ListRecordsRequest *)rpc_call_decode(call, &waybill__v1__list_records_request__descriptor);
    if (request == NULL) {
        return;
    }
    struct error error = {0};
    struct listing listing = {.request = request, .arena = rpc_call_arena(call)};
    Waybill__V1__ListRecordsResponse response = WAYBILL__V1__LIST_RECORDS_RESPONSE__INIT;
    if (check_listing(service, &listing, &error) && read_page(service, &listing, &response, &error)) {
        rpc_call_reply(call, &response.base);
    } else {
        rpc_call_fail(call, &error);
    }
}

void record_api_add_to(struct metadata_api *api, struct rpc_server *server) {
    rpc_server_add_unary(server, "/waybill.v1.MetadataService/PutRecord", RPC_INLINE, put_record, api);
    rpc_server_add_unary(server, "/waybill.v1.MetadataService/DeleteRecord", RPC_INLINE, delete_record, api);
    rpc_server_add_unary(server, "/waybill.v1.MetadataService/GetRecord", RPC_BLOCKING, get_record, api);
    rpc_server_add_unary(server, "/waybill.v1.MetadataService/ListRecords", RPC_BLOCKING, list_records, api);
}
