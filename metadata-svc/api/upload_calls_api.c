/* QueryUpload and CancelUpload. */
#include "common/base/names.h"
#include "metadata-svc/api/change_call.h"
#include "metadata-svc/api/request_checks.h"
#include "metadata-svc/store/record_codec.h"
#include "metadata-svc/upload/upload_core.h"
#include "waybill/v1/payload_service.pb-c.h"

static bool take_upload_id(const char *text, struct uuid *id, struct error *error) {
    return uuid_parse_text(text, id) || error_set_field(error, "upload_id", "BAD_UPLOAD_ID", "an upload id is a UUID");
}

/* ---- QueryUpload ---- */

static bool find_upload(struct metadata_api *api, const char *upload_id, struct arena *arena,
                        Waybill__V1__QueryUploadResponse *response, struct error *error) {
    struct uuid id;
    struct upload_progress progress;
    if (!take_upload_id(upload_id, &id, error) ||
        !upload_find_progress(api->kv, api->spool, &id, arena, &progress, error)) {
        return false;
    }
    response->persisted_size = progress.persisted_bytes;
    response->complete = progress.complete;
    response->expire_time = progress.complete ? NULL : timestamp_to_proto(progress.expire_unix_us, arena);
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
    } else if (upload_cancel_new_record(api->spool, &commit->record.payload_id)) {
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
