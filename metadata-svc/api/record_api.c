/* PutRecord, UpdateRecord, DeleteRecord, RestoreRecord, GetRecord. */
#include <stdlib.h>
#include <string.h>

#include "common/base/names.h"
#include "metadata-svc/api/change_call.h"
#include "metadata-svc/api/put_request.h"
#include "metadata-svc/api/record_reading.h"
#include "metadata-svc/api/request_checks.h"
#include "metadata-svc/store/layout.h"
#include "metadata-svc/store/record_codec.h"
#include "metadata-svc/store/record_store.h"
#include "waybill/v1/metadata_service.pb-c.h"

static bool check_name(const char *bucket, const char *key, struct error *error) {
    return name_check_bucket(bucket, "bucket", error) && name_check_key(key, "key", error);
}

/* Every answer has its record as field 1: what comes before the `size` bytes of one that is
 * encoded already. */
enum { RECORD_FIELD_HEAD_MAX_BYTES = 6 };

static struct bytes field_head(uint8_t head[RECORD_FIELD_HEAD_MAX_BYTES], size_t size) {
    size_t count = 0;
    head[count++] = 1 << 3 | 2;
    for (; size >= 0x80; size >>= 7) {
        head[count++] = (uint8_t)(size | 0x80);
    }
    head[count++] = (uint8_t)size;
    return bytes_of(head, count);
}

/* ---- PutRecord ---- */

static void answer_put(struct change_call *change) {
    const struct commit_request *commit = &change->commit;
    uint8_t head[RECORD_FIELD_HEAD_MAX_BYTES];
    struct bytes wire = commit->record_wire;
    /* As it was encoded for the store, where this is the call that made it. */
    if (wire.size > 0 && commit->record.state != RECORD_AWAITING_PAYLOAD) {
        rpc_call_reply_wire(change->call, field_head(head, wire.size), wire);
    } else {
        rpc_call_reply(change->call, &put_request_answer(commit)->base);
    }
}

static void put_record(void *service, struct rpc_call *call) {
    Waybill__V1__PutRecordRequest *request =
        (Waybill__V1__PutRecordRequest *)rpc_call_decode(call, &waybill__v1__put_record_request__descriptor);
    if (request == NULL) {
        return;
    }
    struct error error = {0};
    struct change_call *change = change_call_begin(service, call, COMMIT_PUT, answer_put);
    if (!put_request_take(request, rpc_call_request(call), &change->commit, &error)) {
        rpc_call_fail(call, &error);
        return;
    }
    change_call_submit(change);
}

/* ---- UpdateRecord ---- */

#define ATTRIBUTE_PATH "attributes."

/* Which of the request's attributes the mask names. */
static bool is_named(const struct record_update *update, const char *name) {
    for (size_t i = 0; i < update->name_count; i++) {
        if (strcmp(update->names[i], name) == 0) {
            return true;
        }
    }
    return update->all_attributes;
}

static bool take_path(const char *path, struct record_update *update, struct error *error) {
    bool all = strcmp(path, "*") == 0;
    if (strncmp(path, ATTRIBUTE_PATH, strlen(ATTRIBUTE_PATH)) == 0) {
        update->names[update->name_count++] = path + strlen(ATTRIBUTE_PATH);
        return true;
    }
    if (!all && strcmp(path, "content_type") != 0 && strcmp(path, "attributes") != 0 &&
        strcmp(path, "expire_time") != 0) {
        return error_set_field(error, "update_mask", "BAD_UPDATE_MASK", "\"%s\" is no field that can be updated", path);
    }
    update->content_type |= all || strcmp(path, "content_type") == 0;
    update->all_attributes |= all || strcmp(path, "attributes") == 0;
    update->expire_time |= all || strcmp(path, "expire_time") == 0;
    return true;
}

/* Without a mask, what is set is meant (AIP-134). */
static bool take_mask(const Waybill__V1__UpdateRecordRequest *request, struct record_update *update,
                      struct arena *arena, struct error *error) {
    const Google__Protobuf__FieldMask *mask = request->update_mask;
    if (mask == NULL || mask->n_paths == 0) {
        update->content_type = request->content_type[0] != '\0';
        update->all_attributes = request->n_attributes > 0;
        update->expire_time = request->expire_time != NULL;
        return update->content_type || update->all_attributes || update->expire_time ||
               error_set_field(error, "update_mask", "FIELD_REQUIRED", "the update names no field");
    }
    if (mask->n_paths > (size_t)2 * RECORD_MAX_ATTRIBUTES) {
        return error_set_field(error, "update_mask", "BAD_UPDATE_MASK", "at most %d paths are taken",
                               2 * RECORD_MAX_ATTRIBUTES);
    }
    update->names = arena_alloc(arena, mask->n_paths * sizeof *update->names);
    for (size_t i = 0; i < mask->n_paths; i++) {
        if (!take_path(mask->paths[i], update, error)) {
            return false;
        }
    }
    return true;
}

static bool take_update(const Waybill__V1__UpdateRecordRequest *request, struct bytes wire,
                        struct commit_request *commit, struct error *error) {
    struct arena *arena = commit->arena;
    struct attribute_view *views = arena_alloc(arena, request->n_attributes * sizeof *views);
    size_t count = 0;
    commit->record = record_make(request->bucket, request->key);
    if (!check_name(request->bucket, request->key, error) || !take_mask(request, &commit->update, arena, error)) {
        return false;
    }
    for (size_t i = 0; i < request->n_attributes; i++) {
        if (is_named(&commit->update, request->attributes[i]->key)) {
            views[count++] = (struct attribute_view){request->attributes[i]->key, request->attributes[i]->value};
        }
    }
    return check_descriptor(request->content_type, views, count, arena, &commit->record, error) &&
           check_time(request->expire_time, "expire_time", &commit->record.expire_us, error) &&
           change_take_common(commit, request->request_id, request->reason, request->has_if_version_match_case != 0,
                              request->if_version_match, request->validate_only, wire, error);
}

static void answer_update(struct change_call *change) {
    Waybill__V1__UpdateRecordResponse response = WAYBILL__V1__UPDATE_RECORD_RESPONSE__INIT;
    response.record = record_to_proto(&change->commit.record, change->commit.arena);
    rpc_call_reply(change->call, &response.base);
}

static void update_record(void *service, struct rpc_call *call) {
    Waybill__V1__UpdateRecordRequest *request =
        (Waybill__V1__UpdateRecordRequest *)rpc_call_decode(call, &waybill__v1__update_record_request__descriptor);
    if (request == NULL) {
        return;
    }
    struct error error = {0};
    struct change_call *change = change_call_begin(service, call, COMMIT_UPDATE, answer_update);
    if (!take_update(request, rpc_call_request(call), &change->commit, &error)) {
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
        !change_take_common(&change->commit, request->request_id, request->reason,
                            request->has_if_version_match_case != 0, request->if_version_match, request->validate_only,
                            rpc_call_request(call), &error)) {
        rpc_call_fail(call, &error);
        return;
    }
    change_call_submit(change);
}

/* ---- RestoreRecord ---- */

static void answer_restore(struct change_call *change) {
    Waybill__V1__RestoreRecordResponse response = WAYBILL__V1__RESTORE_RECORD_RESPONSE__INIT;
    response.record = record_to_proto(&change->commit.record, change->commit.arena);
    rpc_call_reply(change->call, &response.base);
}

static void restore_record(void *service, struct rpc_call *call) {
    Waybill__V1__RestoreRecordRequest *request =
        (Waybill__V1__RestoreRecordRequest *)rpc_call_decode(call, &waybill__v1__restore_record_request__descriptor);
    if (request == NULL) {
        return;
    }
    struct error error = {0};
    struct change_call *change = change_call_begin(service, call, COMMIT_RESTORE, answer_restore);
    change->commit.record = record_make(request->bucket, request->key);
    change->commit.restore_version = request->version;
    if (!check_name(request->bucket, request->key, &error) || !check_version(request->version, "version", &error) ||
        !change_take_common(&change->commit, request->request_id, request->reason,
                            request->has_if_version_match_case != 0, request->if_version_match, request->validate_only,
                            rpc_call_request(call), &error)) {
        rpc_call_fail(call, &error);
        return;
    }
    change_call_submit(change);
}

/* ---- GetRecord ---- */

/* On a worker: a read that may wait for the disk. */
static void get_record_from_store(void *service, struct rpc_call *call) {
    struct arena *arena = rpc_call_arena(call);
    Waybill__V1__GetRecordRequest *request =
        (Waybill__V1__GetRecordRequest *)rpc_call_decode(call, &waybill__v1__get_record_request__descriptor);
    if (request == NULL) {
        return;
    }
    struct error error = {0};
    struct record record;
    if (!record_reading_find(service, request, arena, &record, &error)) {
        rpc_call_fail(call, &error);
        return;
    }
    Waybill__V1__GetRecordResponse response = WAYBILL__V1__GET_RECORD_RESPONSE__INIT;
    response.record = record_to_proto(&record, arena);
    rpc_call_reply(call, &response.base);
}

/* The latest version as it lies in the cache is the answer as it is: no decoding, no wait. */
static bool reply_from_cache(struct metadata_api *api, struct rpc_call *call,
                             const Waybill__V1__GetRecordRequest *request) {
    struct arena *arena = rpc_call_arena(call);
    struct bytes value;
    uint64_t ticket;
    if (request->version != 0 ||
        !record_cache_get(api->cache, layout_head_key(arena, request->bucket, request->key), arena, &value, &ticket)) {
        return false;
    }
    enum record_state state;
    uint8_t head[RECORD_FIELD_HEAD_MAX_BYTES];
    struct bytes wire = record_store_head_wire(value);
    if (!record_peek_state(wire, &state) || state == RECORD_DELETED) {
        return false;
    }
    rpc_call_reply_wire(call, field_head(head, wire.size), wire);
    return true;
}

static void get_record(void *service, struct rpc_call *call) {
    Waybill__V1__GetRecordRequest *request =
        (Waybill__V1__GetRecordRequest *)rpc_call_decode(call, &waybill__v1__get_record_request__descriptor);
    if (request == NULL) {
        return;
    }
    struct error error = {0};
    if (!record_reading_check(request, &error)) {
        rpc_call_fail(call, &error);
        return;
    }
    if (!reply_from_cache(service, call, request)) {
        rpc_call_move_to_worker(call, get_record_from_store);
    }
}

void record_api_add_to(struct metadata_api *api, struct rpc_server *server) {
    rpc_server_add_unary(server, "/waybill.v1.MetadataService/PutRecord", RPC_INLINE, put_record, api);
    rpc_server_add_unary(server, "/waybill.v1.MetadataService/UpdateRecord", RPC_INLINE, update_record, api);
    rpc_server_add_unary(server, "/waybill.v1.MetadataService/DeleteRecord", RPC_INLINE, delete_record, api);
    rpc_server_add_unary(server, "/waybill.v1.MetadataService/RestoreRecord", RPC_INLINE, restore_record, api);
    rpc_server_add_unary(server, "/waybill.v1.MetadataService/GetRecord", RPC_INLINE, get_record, api);
}
