/* UploadPayload: chunks go into the spool, the finish makes them durable, and only then the
 * record is committed; one answer tells of both.
 *
 * A stream that breaks leaves its bytes in the spool, if its upload can be resumed; the next one goes
 * on behind them. One that comes when the payload has taken effect already, since only the
 * answer was lost, sends nothing but its finish and gets the answer again. */
#include <stdio.h>
#include <string.h>

#include "common/base/names.h"
#include "common/checksum/crc32c.h"
#include "common/rpc/proto_message.h"
#include "common/rpc/rpc_stream.h"
#include "metadata-svc/api/change_call.h"
#include "metadata-svc/api/request_checks.h"
#include "metadata-svc/api/upload_state.h"
#include "metadata-svc/store/record_codec.h"
#include "metadata-svc/store/record_store.h"
#include "waybill/v1/payload_service.pb-c.h"

enum { UPLOAD_CHUNK_MAX_BYTES = 1024 * 1024 };

/* One upload stream. */
struct upload {
    struct metadata_api *api;
    struct rpc_stream *stream;
    struct arena *arena; /* of the whole stream */
    struct commit_request commit;
    struct payload_upload *spooled; /* NULL before the start and after the end */
    struct fair_holder *place;      /* among the bucket's uploads; NULL: none is needed yet */
    struct uuid upload_id;          /* zero: it cannot be resumed */
    int64_t write_offset;
    bool took_effect; /* before: commit.record is the answer */
    bool useless;     /* the bytes that arrived are not those that are wanted */
    bool has_size;    /* the length that the caller told */
    uint64_t size;
    bool has_crc32c; /* the checksum that was announced */
    uint32_t crc32c;
    uint64_t received;
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
        upload->upload_id = commit->request_id;
        upload->write_offset = start->write_offset;
    }
    upload->has_size = start->has_size_case != 0;
    upload->size = upload->has_size ? (uint64_t)start->size : 0;
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
    if (!uuid_parse_text(start->upload_id, &upload->upload_id)) {
        return error_set_field(error, "announced.upload_id", "BAD_UPLOAD_ID", "an upload id is a UUID");
    }
    if (start->write_offset < 0) {
        return error_set_field(error, "announced.write_offset", "BAD_RANGE", "an offset is 0 or more");
    }
    upload->write_offset = start->write_offset;
    commit->kind = COMMIT_FINISH_UPLOAD;
    commit->request_id = upload->upload_id; /* under which it is remembered */
    return true;
}

/* What the payload has to be, as it was announced. */
static void take_announcement(struct upload *upload, const struct record *announced) {
    struct record *record = &upload->commit.record;
    *record = record_make(announced->bucket, announced->key);
    record->payload_id = upload->upload_id;
    upload->has_size = announced->has_size;
    upload->size = announced->has_size ? (uint64_t)announced->size : 0;
    upload->has_crc32c = announced->has_crc32c;
    upload->crc32c = announced->crc32c;
}

/* ---- where it goes on ---- */

static bool set_wrong_offset(int64_t right, struct error *error) {
    error_set(error, ERROR_OUT_OF_RANGE, "WRONG_WRITE_OFFSET", "the upload goes on at offset %lld", (long long)right);
    error_set_detail(error, "write_offset", "%lld", (long long)right);
    return false;
}

/* The bytes are part of the request that its id stands for. */
static void fingerprint_bytes(struct commit_request *commit) {
    struct buffer all = {0};
    buffer_append(&all, commit->fingerprint.raw, sizeof commit->fingerprint.raw);
    buffer_append_le64(&all, (uint64_t)commit->record.size);
    buffer_append_le32(&all, commit->record.crc32c);
    commit->fingerprint = fingerprint_of(buffer_bytes(&all));
    buffer_free(&all);
}

/* The payload is there wholly and committed: what is left is to ask for the answer. */
static bool ask_again(struct upload *upload, const struct upload_state *state, struct error *error) {
    struct commit_request *commit = &upload->commit;
    commit->record = state->record;
    fingerprint_bytes(commit);
    if (memcmp(commit->fingerprint.raw, state->fingerprint.raw, sizeof state->fingerprint.raw) != 0) {
        return error_set_field(error, "request_id", "REQUEST_ID_REUSED",
                               "this request_id was used for another request");
    }
    upload->took_effect = true;
    return upload->write_offset == state->record.size || set_wrong_offset(state->record.size, error);
}

/* What to blame where the bytes are fewer or more than was said. */
static const char *size_field(const struct upload *upload) {
    return upload->commit.kind == COMMIT_FINISH_UPLOAD ? "finish" : "new_record.size";
}

/* Opens it in the spool, anew or behind what arrived before. */
static bool open_spooled(struct upload *upload, struct error *error) {
    struct payload_spool *spool = upload->api->spool;
    struct record *record = &upload->commit.record;
    upload->place = bucket_share_take(upload->api->uploads, record->bucket, error);
    if (upload->place == NULL) {
        return false;
    }
    if (uuid_is_zero(&upload->upload_id)) {
        upload->spooled = payload_upload_begin(spool, &record->payload_id, record->bucket, record->key, error);
        return upload->spooled != NULL;
    }
    struct upload_start start = {
        .upload_id = upload->upload_id,
        .payload_id = record->payload_id,
        .bucket = record->bucket,
        .key = record->key,
        .write_offset = (uint64_t)upload->write_offset,
    };
    upload->spooled = payload_upload_open(spool, &start, error);
    if (upload->spooled == NULL) {
        return false;
    }
    record->payload_id = payload_upload_payload_id(upload->spooled);
    upload->received = (uint64_t)upload->write_offset;
    return !upload->has_size || upload->received <= upload->size ||
           error_set_field(error, size_field(upload), "SIZE_MISMATCH", "%llu bytes are there already",
                           (unsigned long long)upload->received);
}

static bool begin_new_record(struct upload *upload, const Waybill__V1__NewRecordUpload *start, struct error *error) {
    struct upload_state state;
    if (!take_new_record(upload, start, error)) {
        return false;
    }
    if (!uuid_is_zero(&upload->upload_id)) {
        if (!upload_state_find(upload->api->kv, &upload->upload_id, upload->arena, &state, error)) {
            return false;
        }
        if (state.kind == UPLOAD_TOOK_EFFECT) {
            return ask_again(upload, &state, error);
        }
    }
    return check_early(upload, error) && change_check_outbox(upload->api, true, error) && open_spooled(upload, error);
}

static bool begin_announced(struct upload *upload, const Waybill__V1__AnnouncedUpload *start, struct error *error) {
    struct upload_state state;
    if (!take_announced(upload, start, error) ||
        !upload_state_find(upload->api->kv, &upload->upload_id, upload->arena, &state, error)) {
        return false;
    }
    switch (state.kind) {
    case UPLOAD_UNKNOWN:
        return error_set(error, ERROR_NOT_FOUND, "UPLOAD_NOT_FOUND", "no upload of that id is awaited");
    case UPLOAD_NOT_AWAITED:
        return error_set(error, ERROR_FAILED_PRECONDITION, "PAYLOAD_NOT_AWAITED",
                         "the payload is not awaited any more");
    case UPLOAD_TOOK_EFFECT:
        return ask_again(upload, &state, error);
    case UPLOAD_AWAITED:
        break;
    }
    take_announcement(upload, &state.record);
    return change_check_outbox(upload->api, true, error) && open_spooled(upload, error);
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
                               (unsigned long long)upload->received, chunk->crc32c);
    }
    uint64_t most = upload->has_size ? upload->size : PAYLOAD_MAX_BYTES;
    if (upload->took_effect) {
        return error_set_field(error, "chunk.data", "SIZE_MISMATCH", "the payload is there already, wholly");
    }
    if (data.size > most - upload->received) {
        upload->useless = true;
        return error_set_field(error, "chunk.data", "SIZE_MISMATCH", "more than the %llu bytes that %s",
                               (unsigned long long)most, upload->has_size ? "were announced" : "a payload may have");
    }
    upload->received += data.size;
    return payload_upload_append(upload->spooled, data, error);
}

/* ---- finish ---- */

static bool check_checksum(struct upload *upload, uint32_t crc, const Waybill__V1__FinishUpload *finish,
                           struct error *error) {
    bool announced_fits = !upload->has_crc32c || upload->crc32c == crc;
    if (announced_fits && (finish->has_crc32c_case == 0 || finish->crc32c == crc)) {
        return true;
    }
    upload->useless = true;
    return error_set_field(error, "finish.crc32c", "CHECKSUM_MISMATCH", "the payload's CRC32C is %08x, %s says %08x",
                           crc, announced_fits ? "the request" : "its announcement",
                           announced_fits ? finish->crc32c : upload->crc32c);
}

/* Makes the payload durable; from then on it is complete in the spool. */
static bool seal(struct upload *upload, const Waybill__V1__FinishUpload *finish, struct error *error) {
    struct record *record = &upload->commit.record;
    if (upload->has_size && upload->received != upload->size) {
        return error_set_field(error, size_field(upload), "SIZE_MISMATCH", "%llu bytes were announced, %llu came",
                               (unsigned long long)upload->size, (unsigned long long)upload->received);
    }
    uint32_t crc = payload_upload_crc32c(upload->spooled);
    if (!check_checksum(upload, crc, finish, error)) {
        return false;
    }
    struct payload_upload *spooled = upload->spooled;
    upload->spooled = NULL;
    record->has_size = true;
    record->size = (int64_t)upload->received;
    record->has_crc32c = true;
    record->crc32c = crc;
    return payload_upload_finish(spooled, error);
}

/* Whether the record that was committed has these bytes, and not those of an earlier upload of
 * the same request. Two of an announced payload have the same id: then the entry tells. */
static bool is_wanted(struct upload *upload, const struct uuid *payload_id) {
    struct payload_entry entry;
    struct error unknown = {0};
    bool found;
    if (upload->commit.kind != COMMIT_FINISH_UPLOAD) {
        return uuid_equal(&upload->commit.record.payload_id, payload_id);
    }
    return !record_store_get_payload(kv_lookup_of(upload->api->kv), payload_id, upload->arena, &entry, &found,
                                     &unknown) ||
           (found && entry.place == PAYLOAD_SPOOLED);
}

/* What becomes of the spooled bytes. After a disk error it is not known what was committed: then
 * they stay as they are. */
static void settle_spooled(struct upload *upload, const struct uuid *payload_id, bool committed,
                           const struct error *error) {
    struct payload_spool *spool = upload->api->spool;
    if (committed && is_wanted(upload, payload_id)) {
        payload_spool_settle_upload(spool, payload_id);
    } else if (!committed && error->code == ERROR_RESOURCE_EXHAUSTED) {
        payload_spool_reopen(spool, payload_id);
    } else if (committed || error->code != ERROR_UNAVAILABLE) {
        payload_spool_release(spool, payload_id);
    }
}

static bool finish_upload(struct upload *upload, const Waybill__V1__FinishUpload *finish, struct error *error) {
    struct commit_request *commit = &upload->commit;
    struct uuid payload_id = commit->record.payload_id;
    if (upload->took_effect) {
        return check_checksum(upload, commit->record.crc32c, finish, error);
    }
    if (!seal(upload, finish, error)) {
        return false;
    }
    fingerprint_bytes(commit);
    bool committed = committer_commit(upload->api->committer, commit, error);
    settle_spooled(upload, &payload_id, committed, error);
    return committed;
}

/* ---- the stream ---- */

enum upload_step { UPLOAD_GOES_ON, UPLOAD_DONE, UPLOAD_FAILED };

static enum upload_step take_message(struct upload *upload, struct bytes wire, struct error *error) {
    bool started = upload->spooled != NULL || upload->took_effect;
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

/* The stream broke off, or was refused. */
static void leave_spooled(struct upload *upload, const struct error *error) {
    bool silent = strcmp(error->reason, "CLIENT_SILENT") == 0;
    if (upload->useless || silent) {
        payload_upload_abort(upload->spooled);
    } else {
        payload_upload_suspend(upload->spooled);
    }
}

static void upload_payload(void *service, struct rpc_stream *stream) {
    struct metadata_api *api = service;
    struct error error = {0};
    struct arena arena;
    arena_init(&arena);
    struct upload upload = {.api = api, .stream = stream, .arena = &arena};
    upload.commit.arena = &arena;
    upload.commit.client = rpc_stream_client(stream);
    upload.commit.actor = "";
    upload.commit.reason = "";
    upload.commit.replica = "";
    int64_t start_us = clock_monotonic_us(api->clock);
    rpc_stream_limit_read(stream, api->upload_idle_ms);
    bool good = run_upload(&upload, &error);
    if (upload.spooled != NULL) {
        leave_spooled(&upload, &error);
    }
    if (good) {
        Waybill__V1__UploadPayloadResponse response = WAYBILL__V1__UPLOAD_PAYLOAD_RESPONSE__INIT;
        response.record = record_to_proto(&upload.commit.record, &arena);
        rpc_stream_write(stream, &response.base);
        histogram_observe_us(api->upload_seconds, clock_monotonic_us(api->clock) - start_us);
    }
    bucket_share_give(api->uploads, upload.place);
    rpc_stream_finish(stream, good ? NULL : &error);
    arena_free(&arena);
}

void upload_api_add_to(struct metadata_api *api, struct rpc_server *server) {
    rpc_server_add_stream(server, "/waybill.v1.PayloadService/UploadPayload", upload_payload, api);
}
