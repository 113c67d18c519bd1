/* QueryUpload and CancelUpload. */
#include "common/base/names.h"
#include "metadata-svc/api/change_call.h"
#include "metadata-svc/api/request_checks.h"
#include "metadata-svc/api/upload_state.h"
#include "metadata-svc/store/record_codec.h"
#include "waybill/v1/payload_service.pb-c.h"

static bool take_upload_id(const char *text, struct uuid *id, struct error *error) {
    return uuid_parse_text(text, id) || error_set_field(error, "upload_id", "BAD_UPLOAD_ID", "an upload id is a UUID");
}

/* ---- QueryUpload ---- */

static bool find_upload(struct metadata_api *api, const char *upload_id, struct arena *arena,
                        Waybill__V1__QueryUploadResponse *response, struct error *error) {
    struct uuid id;
    struct upload_state state;
    struct upload_info arrived = {0};
    if (!take_upload_id(upload_id, &id, error) || !payload_spool_verify_upload(api->spool, &id, error)) {
        return false;
    }
    /* Asked first: what takes effect meanwhile is then found there. */
    bool unfinished = payload_spool_find_upload(api->spool, &id, &arrived);
    if (!upload_state_find(api->kv, &id, arena, &state, error)) {
        return false;
    }
    switch (state.kind) {
    case UPLOAD_TOOK_EFFECT:
        response->persisted_size = state.record.size;
        response->complete = true;
        return true;
    case UPLOAD_NOT_AWAITED:
        return error_set(error, ERROR_FAILED_PRECONDITION, "PAYLOAD_NOT_AWAITED",
                         "the payload is not awaited any more");
    case UPLOAD_UNKNOWN:
        if (!unfinished) {
            return error_set(error, ERROR_NOT_FOUND, "UPLOAD_NOT_FOUND", "no upload of that id is awaited");
        }
        break;
    case UPLOAD_AWAITED:
        break;
    }
    response->persisted_size = (int64_t)arrived.persisted_bytes;
    response->expire_time = timestamp_to_proto(arrived.expire_unix_us, arena);
    return true;
}

static void query_upload(void *service, struct rpc_call *call) {
    const Waybill__V1__QueryUploadRequest *request =
        (Waybill__V1__QueryUploadRequest *)rpc_call_decode(call, &waybill__v1__query_upload_request__descriptor);
    if (request == NULL) {
        return;
    }
    struct error error = {0};
    Waybill__V1__QueryUploadResponse response = WAYBILL__V1__QUERY_UPLOAD_RESPONSE__INIT;
    if (find_upload(service, request->upload_id, rpc_call_arena(call), &response, &error)) {
        rpc_call_reply(call, &response.base);
    } else {
        rpc_call_fail(call, &error);
    }
}

/* ---- CancelUpload ---- */

static void answer_cancel(struct change_call *change) {
    Waybill__V1__CancelUploadResponse response = WAYBILL__V1__CANCEL_UPLOAD_RESPONSE__INIT;
    response.record = record_to_proto(&change->commit.record, change->commit.arena);
    rpc_call_reply(change->call, &response.base);
}

/* An upload that would make a record of its own: nothing is committed yet. */
static bool cancel_new_record(struct metadata_api *api, const struct uuid *upload_id) {
    struct upload_info upload;
    if (!payload_spool_find_upload(api->spool, upload_id, &upload) || uuid_equal(upload_id, &upload.payload_id)) {
        return false;
    }
    return payload_spool_cancel_upload(api->spool, upload_id);
}

static void cancel_upload(void *service, struct rpc_call *call) {
    struct metadata_api *api = service;
    const Waybill__V1__CancelUploadRequest *request =
        (Waybill__V1__CancelUploadRequest *)rpc_call_decode(call, &waybill__v1__cancel_upload_request__descriptor);
    if (request == NULL) {
        return;
    }
    struct error error = {0};
    struct change_call *change = change_call_begin(api, call, COMMIT_CANCEL_UPLOAD, answer_cancel);
    struct commit_request *commit = &change->commit;
    commit->record = record_make("", "");
    if (!take_upload_id(request->upload_id, &commit->record.payload_id, &error) ||
        !change_take_common(commit, request->request_id, request->reason, false, 0, false, rpc_call_request(call),
                            &error)) {
        rpc_call_fail(call, &error);
    } else if (cancel_new_record(api, &commit->record.payload_id)) {
        Waybill__V1__CancelUploadResponse response = WAYBILL__V1__CANCEL_UPLOAD_RESPONSE__INIT;
        rpc_call_reply(call, &response.base);
    } else {
        change_call_submit(change);
    }
}

void upload_calls_api_add_to(struct metadata_api *api, struct rpc_server *server) {
    rpc_server_add_unary(server, "/waybill.v1.PayloadService/QueryUpload", RPC_BLOCKING, query_upload, api);
    rpc_server_add_unary(server, "/waybill.v1.PayloadService/CancelUpload", RPC_INLINE, cancel_upload, api);
}
