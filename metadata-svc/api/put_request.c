#include "metadata-svc/api/put_request.h"

#include "common/base/names.h"
#include "common/checksum/crc32c.h"
#include "metadata-svc/api/change_call.h"
#include "metadata-svc/api/request_checks.h"
#include "metadata-svc/store/record_codec.h"

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
    if (payload->has_size_case != 0 && !check_payload_size(payload->size, "announced_payload.size", error)) {
        return false;
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

static bool take_deadline(const Waybill__V1__PutRecordRequest *request, struct commit_request *commit,
                          struct error *error) {
    if (request->payload_deadline != NULL && commit->payload_source == PAYLOAD_FROM_NOWHERE) {
        return error_set_field(error, "payload_deadline", "PAYLOAD_REQUIRED",
                               "a record without a payload has no deadline for it");
    }
    return check_payload_deadline(request->payload_deadline, "payload_deadline", &commit->payload_deadline_us, error);
}

bool put_request_take(const Waybill__V1__PutRecordRequest *request, struct bytes wire, struct commit_request *commit,
                      struct error *error) {
    struct arena *arena = commit->arena;
    commit->record = record_make(request->bucket, request->key);
    struct attribute_view *views = arena_alloc(arena, request->n_attributes * sizeof *views);
    for (size_t i = 0; i < request->n_attributes; i++) {
        views[i] = (struct attribute_view){request->attributes[i]->key, request->attributes[i]->value};
    }
    return name_check_bucket(request->bucket, "bucket", error) && name_check_key(request->key, "key", error) &&
           check_descriptor(request->content_type, views, request->n_attributes, arena, &commit->record, error) &&
           check_time(request->expire_time, "expire_time", &commit->record.expire_us, error) &&
           check_not_served_yet(request->schema_id[0] != '\0' || request->schema_version != 0, "schema_id", error) &&
           take_payload(request, commit, error) && take_deadline(request, commit, error) &&
           change_take_common(commit, request->request_id, request->reason, request->has_if_version_match_case != 0,
                              request->if_version_match, request->validate_only, wire, error);
}

Waybill__V1__PutRecordResponse *put_request_answer(const struct commit_request *commit) {
    Waybill__V1__PutRecordResponse *response = arena_alloc(commit->arena, sizeof *response);
    waybill__v1__put_record_response__init(response);
    response->record = record_to_proto(&commit->record, commit->arena);
    if (commit->record.state == RECORD_AWAITING_PAYLOAD) {
        response->upload_id = response->record->payload_id;
    }
    return response;
}
