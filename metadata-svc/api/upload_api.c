/* UploadPayload: what comes over a stream goes to the upload core (upload/upload_core.h); one answer tells of
 * the payload and the record. */
#include <stdio.h>
#include <string.h>

#include "common/base/names.h"
#include "common/checksum/crc32c.h"
#include "common/rpc/proto_message.h"
#include "common/rpc/rpc_stream.h"
#include "metadata-svc/api/change_call.h"
#include "metadata-svc/api/request_checks.h"
#include "metadata-svc/store/record_codec.h"
#include "metadata-svc/store/record_store.h"
#include "metadata-svc/upload/upload_core.h"
#include "waybill/v1/payload_service.pb-c.h"

enum { UPLOAD_CHUNK_MAX_BYTES = 1024 * 1024 };

/* One upload stream. */
struct upload {
    struct metadata_api *api;
    struct rpc_stream *stream;
    struct arena *arena; /* of the whole stream */
    struct commit_request commit;
    struct upload_core core;
    struct fair_holder *place; /* among the bucket's uploads; NULL: none is needed yet */
};

/* ---- start ---- */

/* Of the request, from whatever offset it is sent. */
static struct fingerprint fingerprint_of_start(const Waybill__V1__NewRecordUpload *start, struct arena *arena) {
    Waybill__V1__NewRecordUpload whole = *start;
    whole.has_write_offset_case = WAYBILL__V1__NEW_RECORD_UPLOAD__HAS_WRITE_OFFSET__NOT_SET;
    size_t size = waybill__v1__new_record_upload__get_packed_size(&whole);
    uint8_t *packed = arena_alloc(arena, size);
    waybill__v1__new_record_upload__pack(&whole, packed);
    return fingerprint_of_message(bytes_of(packed, size));
}

static bool check_resumable(const Waybill__V1__NewRecordUpload *start, const struct commit_request *commit,
                            struct error *error) {
    if (start->has_write_offset_case == 0) {
        return true;
    }
    if (start->write_offset < 0) {
        return error_set_field(error, "new_record.write_offset", "BAD_RANGE", "an offset is 0 or more");
    }
    return !uuid_is_zero(&commit->request_id) || error_set_field(error, "new_record.request_id", "FIELD_REQUIRED",
                                                                 "an upload that is to be resumed needs a request_id");
}

static bool take_new_record(struct upload *upload, const Waybill__V1__NewRecordUpload *start, struct error *error) {
    struct commit_request *commit = &upload->commit;
    struct arena *arena = upload->arena;
    commit->kind = COMMIT_PUT;
    commit->record = record_make(start->bucket, start->key);
    commit->payload_source = PAYLOAD_FROM_SPOOL;
    struct attribute_view *views = arena_alloc(arena, start->n_attributes * sizeof *views);
    for (size_t i = 0; i < start->n_attributes; i++) {
        views[i] = (struct attribute_view){start->attributes[i]->key, start->attributes[i]->value};
    }
    if (!name_check_bucket(start->bucket, "new_record.bucket", error) ||
        !name_check_key(start->key, "new_record.key", error) ||
        !check_descriptor(start->content_type, views, start->n_attributes, arena, &commit->record, error) ||
        !check_not_served_yet(start->schema_id[0] != '\0' || start->schema_version != 0, "schema_id", error) ||
        !check_time(start->expire_time, "new_record.expire_time", &commit->record.expire_us, error) ||
        !check_payload_deadline(start->payload_deadline, "new_record.payload_deadline", &commit->payload_deadline_us,
                                error) ||
        !check_sha256(bytes_of(start->sha256.data, start->sha256.len), "new_record.sha256", error) ||
        !name_check_request_id(start->request_id, "new_record.request_id", &commit->request_id, error) ||
        !check_reason(start->reason, error) ||
        !check_if_version(start->has_if_version_match_case != 0, start->if_version_match, error)) {
        return false;
    }
    if (start->has_size_case != 0 && !check_payload_size(start->size, "new_record.size", error)) {
        return false;
    }
    if (!check_resumable(start, commit, error)) {
        return false;
    }
    if (start->has_write_offset_case != 0) {
        upload->core.upload_id = commit->request_id;
        upload->core.write_offset = start->write_offset;
    }
    upload->core.has_size = start->has_size_case != 0;
    upload->core.size = upload->core.has_size ? (uint64_t)start->size : 0;
    commit->record.sha256 = bytes_of(start->sha256.data, start->sha256.len);
    commit->record.payload_id = uuid_make();
    commit->reason = start->reason;
    commit->has_if_version = start->has_if_version_match_case != 0;
    commit->if_version = commit->has_if_version ? start->if_version_match : 0;
    commit->new_uid = uuid_make();
    commit->fingerprint = fingerprint_of_start(start, arena);
    return true;
}

/* What will be refused in the end is better refused before the bytes are sent. The commit
 * checks again, and decides. */
static bool check_early(struct upload *upload, struct error *error) {
    const struct commit_request *commit = &upload->commit;
    struct kv_lookup lookup = kv_lookup_of(upload->api->kv);
    struct bucket bucket;
    struct record_head head;
    bool found;
    if (!record_store_get_bucket(lookup, commit->record.bucket, upload->arena, &bucket, error)) {
        return false;
    }
    if (!commit->has_if_version || !uuid_is_zero(&commit->request_id)) {
        return true; /* a request that took effect already gets its answer whatever the version is now */
    }
    if (!record_store_get_head(lookup, commit->record.bucket, commit->record.key, upload->arena, &head, &found,
                               error)) {
        return false;
    }
    int64_t current = found && head.record.state != RECORD_DELETED ? head.record.version : 0;
    if (current != commit->if_version) {
        error_set(error, ERROR_ABORTED, "VERSION_MISMATCH",
                  "if_version_match is %lld, but the record is at version %lld", (long long)commit->if_version,
                  (long long)current);
        error_set_detail(error, "current_version", "%lld", (long long)current);
        return false;
    }
    return true;
}

static bool take_announced(struct upload *upload, const Waybill__V1__AnnouncedUpload *start, struct error *error) {
    struct commit_request *commit = &upload->commit;
    if (!uuid_parse_text(start->upload_id, &upload->core.upload_id)) {
        return error_set_field(error, "announced.upload_id", "BAD_UPLOAD_ID", "an upload id is a UUID");
    }
    if (start->write_offset < 0) {
        return error_set_field(error, "announced.write_offset", "BAD_RANGE", "an offset is 0 or more");
    }
    upload->core.write_offset = start->write_offset;
    commit->kind = COMMIT_FINISH_UPLOAD;
    commit->request_id = upload->core.upload_id; /* under which it is remembered */
    return true;
}

/* ---- where it goes on ---- */

/* Not while the outbox is full, and with a place among the bucket's uploads. */
static bool open_upload(struct upload *upload, struct error *error) {
    struct metadata_api *api = upload->api;
    if (upload->core.took_effect) {
        return true;
    }
    if (!change_check_outbox(api, true, error)) {
        return false;
    }
    upload->place = bucket_share_take(api->uploads, upload->commit.record.bucket, error);
    return upload->place != NULL && upload_core_open(&upload->core, error);
}

static bool begin_new_record(struct upload *upload, const Waybill__V1__NewRecordUpload *start, struct error *error) {
    return take_new_record(upload, start, error) && upload_core_find(&upload->core, error) &&
           (upload->core.took_effect || check_early(upload, error)) && open_upload(upload, error);
}

static bool begin_announced(struct upload *upload, const Waybill__V1__AnnouncedUpload *start, struct error *error) {
    return take_announced(upload, start, error) && upload_core_find(&upload->core, error) && open_upload(upload, error);
}

static bool begin(struct upload *upload, const Waybill__V1__UploadPayloadRequest *message, struct error *error) {
    const char *offset_field = "new_record.write_offset";
    bool good = false;
    if (message->message_case == WAYBILL__V1__UPLOAD_PAYLOAD_REQUEST__MESSAGE_NEW_RECORD) {
        good = begin_new_record(upload, message->new_record, error);
    } else if (message->message_case == WAYBILL__V1__UPLOAD_PAYLOAD_REQUEST__MESSAGE_ANNOUNCED) {
        offset_field = "announced.write_offset";
        good = begin_announced(upload, message->announced, error);
    } else {
        error_set_field(error, "message", "UPLOAD_NOT_STARTED", "an upload begins with new_record or announced");
    }
    if (!good && error->code == ERROR_OUT_OF_RANGE) {
        snprintf(error->field, sizeof error->field, "%s", offset_field);
    }
    return good;
}

/* ---- chunks ---- */

static bool take_chunk(struct upload *upload, const Waybill__V1__PayloadChunk *chunk, struct error *error) {
    struct bytes data = bytes_of(chunk->data.data, chunk->data.len);
    if (data.size > UPLOAD_CHUNK_MAX_BYTES) {
        return error_set_field(error, "chunk.data", "CHUNK_TOO_LARGE", "a chunk has at most %d bytes, this one %zu",
                               UPLOAD_CHUNK_MAX_BYTES, data.size);
    }
    if (chunk->has_crc32c_case != 0 && crc32c(data) != chunk->crc32c) {
        return error_set_field(error, "chunk.crc32c", "CHECKSUM_MISMATCH",
                               "the chunk at offset %llu does not have CRC32C %08x",
                               (unsigned long long)upload->core.received, chunk->crc32c);
    }
    return upload_core_append(&upload->core, data, error);
}

/* ---- finish ---- */

static bool commit_upload(void *self, struct commit_request *request, struct error *error) {
    return committer_commit(self, request, error);
}

static bool finish_upload(struct upload *upload, const Waybill__V1__FinishUpload *finish, struct error *error) {
    struct upload_end end = {finish->has_crc32c_case != 0, finish->crc32c};
    return upload_core_finish(&upload->core, &end, commit_upload, upload->api->committer, error);
}

/* ---- the stream ---- */

enum upload_step { UPLOAD_GOES_ON, UPLOAD_DONE, UPLOAD_FAILED };

static enum upload_step take_message(struct upload *upload, struct bytes wire, struct error *error) {
    bool started = upload->core.spooled != NULL || upload->core.took_effect;
    struct arena message_arena;
    arena_init(&message_arena);
    /* What the start says is needed until the end; a chunk only until it is spooled. */
    struct arena *arena = started ? &message_arena : upload->arena;
    enum upload_step step = UPLOAD_FAILED;
    Waybill__V1__UploadPayloadRequest *message = (Waybill__V1__UploadPayloadRequest *)proto_decode(
        &waybill__v1__upload_payload_request__descriptor, wire, arena, error);
    if (message == NULL) {
        step = UPLOAD_FAILED;
    } else if (!started) {
        step = begin(upload, message, error) ? UPLOAD_GOES_ON : UPLOAD_FAILED;
    } else if (message->message_case == WAYBILL__V1__UPLOAD_PAYLOAD_REQUEST__MESSAGE_CHUNK) {
        step = take_chunk(upload, message->chunk, error) ? UPLOAD_GOES_ON : UPLOAD_FAILED;
    } else if (message->message_case == WAYBILL__V1__UPLOAD_PAYLOAD_REQUEST__MESSAGE_FINISH) {
        step = finish_upload(upload, message->finish, error) ? UPLOAD_DONE : UPLOAD_FAILED;
    } else {
        error_set_field(error, "message", "UPLOAD_STARTED_TWICE", "after the start come chunks and a finish");
    }
    arena_free(&message_arena);
    return step;
}

static bool run_upload(struct upload *upload, struct error *error) {
    for (;;) {
        struct bytes wire;
        switch (rpc_stream_read(upload->stream, &wire, error)) {
        case RPC_READ_END:
            return error_set(error, ERROR_CANCELLED, "UPLOAD_ABORTED", "the stream ended without a finish");
        case RPC_READ_ERROR:
            return false;
        case RPC_READ_MESSAGE:
            break;
        }
        enum upload_step step = take_message(upload, wire, error);
        if (step != UPLOAD_GOES_ON) {
            return step == UPLOAD_DONE;
        }
    }
}

static void upload_payload(void *service, struct rpc_stream *stream) {
    struct metadata_api *api = service;
    struct error error = {0};
    struct arena arena;
    arena_init(&arena);
    struct upload upload = {.api = api, .stream = stream, .arena = &arena};
    upload.core = (struct upload_core){.kv = api->kv, .spool = api->spool, .arena = &arena, .commit = &upload.commit};
    upload.commit.arena = &arena;
    upload.commit.client = rpc_stream_client(stream);
    upload.commit.actor = "";
    upload.commit.reason = "";
    upload.commit.replica = "";
    int64_t start_us = clock_monotonic_us(api->clock);
    rpc_stream_limit_read(stream, api->upload_idle_ms);
    bool good = run_upload(&upload, &error);
    upload_core_leave(&upload.core, strcmp(error.reason, "CLIENT_SILENT") == 0);
    bucket_share_give(api->uploads, upload.place);
    if (good) {
        Waybill__V1__UploadPayloadResponse response = WAYBILL__V1__UPLOAD_PAYLOAD_RESPONSE__INIT;
        response.record = record_to_proto(&upload.commit.record, &arena);
        histogram_observe_us(api->upload_seconds, clock_monotonic_us(api->clock) - start_us);
        rpc_stream_finish_with(stream, &response.base);
    } else {
        rpc_stream_finish(stream, &error);
    }
    arena_free(&arena);
}

void upload_api_add_to(struct metadata_api *api, struct rpc_server *server) {
    rpc_server_add_stream(server, "/waybill.v1.PayloadService/UploadPayload", upload_payload, api);
}
