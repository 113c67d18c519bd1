#include "metadata-svc/upload/upload_core.h"

#include <string.h>

#include "metadata-svc/upload/upload_state.h"

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
static bool ask_again(struct upload_core *upload, const struct upload_state *state, struct error *error) {
    struct commit_request *commit = upload->commit;
    commit->record = state->record;
    fingerprint_bytes(commit);
    if (memcmp(commit->fingerprint.raw, state->fingerprint.raw, sizeof state->fingerprint.raw) != 0) {
        return error_set_field(error, "request_id", "REQUEST_ID_REUSED",
                               "this request_id was used for another request");
    }
    upload->took_effect = true;
    return upload->write_offset == state->record.size || set_wrong_offset(state->record.size, error);
}

/* What the payload has to be, as it was announced. */
static void take_announcement(struct upload_core *upload, const struct record *announced) {
    struct record *record = &upload->commit->record;
    *record = record_make(announced->bucket, announced->key);
    record->payload_id = upload->upload_id;
    upload->has_size = announced->has_size;
    upload->size = announced->has_size ? (uint64_t)announced->size : 0;
    upload->has_crc32c = announced->has_crc32c;
    upload->crc32c = announced->crc32c;
}

static bool is_announced(const struct upload_core *upload) {
    return upload->commit->kind == COMMIT_FINISH_UPLOAD;
}

static bool set_unknown(struct error *error) {
    return error_set(error, ERROR_NOT_FOUND, "UPLOAD_NOT_FOUND", "no upload of that id is awaited");
}

static bool set_not_awaited(struct error *error) {
    return error_set(error, ERROR_FAILED_PRECONDITION, "PAYLOAD_NOT_AWAITED", "the payload is not awaited any more");
}

bool upload_core_find(struct upload_core *upload, struct error *error) {
    struct upload_state state;
    if (uuid_is_zero(&upload->upload_id)) {
        return true;
    }
    if (!upload_state_find(upload->kv, &upload->upload_id, upload->arena, &state, error)) {
        return false;
    }
    switch (state.kind) {
    case UPLOAD_TOOK_EFFECT:
        return ask_again(upload, &state, error);
    case UPLOAD_UNKNOWN:
        return !is_announced(upload) || set_unknown(error);
    case UPLOAD_NOT_AWAITED:
        return !is_announced(upload) || set_not_awaited(error);
    case UPLOAD_AWAITED:
        break;
    }
    if (is_announced(upload)) {
        take_announcement(upload, &state.record);
    }
    return true;
}

/* What to blame where the bytes are fewer or more than was said. */
static const char *size_field(const struct upload_core *upload) {
    return is_announced(upload) ? "finish" : "new_record.size";
}

bool upload_core_open(struct upload_core *upload, struct error *error) {
    struct record *record = &upload->commit->record;
    if (uuid_is_zero(&upload->upload_id)) {
        upload->spooled = payload_upload_begin(upload->spool, &record->payload_id, record->bucket, record->key, error);
        return upload->spooled != NULL;
    }
    struct upload_start start = {
        .upload_id = upload->upload_id,
        .payload_id = record->payload_id,
        .bucket = record->bucket,
        .key = record->key,
        .write_offset = (uint64_t)upload->write_offset,
    };
    upload->spooled = payload_upload_open(upload->spool, &start, error);
    if (upload->spooled == NULL) {
        return false;
    }
    record->payload_id = payload_upload_payload_id(upload->spooled);
    upload->received = (uint64_t)upload->write_offset;
    return !upload->has_size || upload->received <= upload->size ||
           error_set_field(error, size_field(upload), "SIZE_MISMATCH", "%llu bytes are there already",
                           (unsigned long long)upload->received);
}

/* ---- bytes ---- */

bool upload_core_append(struct upload_core *upload, struct bytes data, struct error *error) {
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

/* ---- the end ---- */

static bool check_checksum(struct upload_core *upload, uint32_t crc, const struct upload_end *end,
                           struct error *error) {
    bool announced_fits = !upload->has_crc32c || upload->crc32c == crc;
    if (announced_fits && (!end->has_crc32c || end->crc32c == crc)) {
        return true;
    }
    upload->useless = true;
    return error_set_field(error, "finish.crc32c", "CHECKSUM_MISMATCH", "the payload's CRC32C is %08x, %s says %08x",
                           crc, announced_fits ? "the request" : "its announcement",
                           announced_fits ? end->crc32c : upload->crc32c);
}

/* Makes the payload durable; from then on it is complete in the spool. */
static bool seal(struct upload_core *upload, const struct upload_end *end, struct error *error) {
    struct record *record = &upload->commit->record;
    if (upload->has_size && upload->received != upload->size) {
        return error_set_field(error, size_field(upload), "SIZE_MISMATCH", "%llu bytes were announced, %llu came",
                               (unsigned long long)upload->size, (unsigned long long)upload->received);
    }
    uint32_t crc = payload_upload_crc32c(upload->spooled);
    if (!check_checksum(upload, crc, end, error)) {
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
static bool is_wanted(struct upload_core *upload, const struct uuid *payload_id) {
    struct payload_entry entry;
    struct error unknown = {0};
    bool found;
    if (!is_announced(upload)) {
        return uuid_equal(&upload->commit->record.payload_id, payload_id);
    }
    return !record_store_get_payload(kv_lookup_of(upload->kv), payload_id, upload->arena, &entry, &found, &unknown) ||
           (found && entry.place == PAYLOAD_SPOOLED);
}

/* What becomes of the spooled bytes. After a disk error it is not known what was committed: then
 * they stay as they are. */
static void settle_spooled(struct upload_core *upload, const struct uuid *payload_id, bool committed,
                           const struct error *error) {
    if (committed && is_wanted(upload, payload_id)) {
        payload_spool_settle_upload(upload->spool, payload_id);
    } else if (!committed && error->code == ERROR_RESOURCE_EXHAUSTED) {
        payload_spool_reopen(upload->spool, payload_id);
    } else if (committed || error->code != ERROR_UNAVAILABLE) {
        payload_spool_release(upload->spool, payload_id);
    }
}

bool upload_core_finish(struct upload_core *upload, const struct upload_end *end, upload_committer *commit, void *self,
                        struct error *error) {
    struct uuid payload_id = upload->commit->record.payload_id;
    if (upload->took_effect) {
        return check_checksum(upload, upload->commit->record.crc32c, end, error);
    }
    if (!seal(upload, end, error)) {
        return false;
    }
    fingerprint_bytes(upload->commit);
    bool committed = commit(self, upload->commit, error);
    settle_spooled(upload, &payload_id, committed, error);
    return committed;
}

void upload_core_leave(struct upload_core *upload, bool useless) {
    if (upload->spooled != NULL && (upload->useless || useless)) {
        payload_upload_abort(upload->spooled);
    } else if (upload->spooled != NULL) {
        payload_upload_suspend(upload->spooled);
    }
    upload->spooled = NULL;
}

/* ---- about uploads that are not finished ---- */

bool upload_find_progress(struct kv *kv, struct payload_spool *spool, const struct uuid *upload_id, struct arena *arena,
                          struct upload_progress *progress, struct error *error) {
    struct upload_state state;
    struct upload_info arrived = {0};
    if (!payload_spool_verify_upload(spool, upload_id, error)) {
        return false;
    }
    /* Asked first: what takes effect meanwhile is then found there. */
    bool unfinished = payload_spool_find_upload(spool, upload_id, &arrived);
    if (!upload_state_find(kv, upload_id, arena, &state, error)) {
        return false;
    }
    *progress = (struct upload_progress){(int64_t)arrived.persisted_bytes, false, arrived.expire_unix_us};
    switch (state.kind) {
    case UPLOAD_TOOK_EFFECT:
        *progress = (struct upload_progress){state.record.size, true, 0};
        return true;
    case UPLOAD_NOT_AWAITED:
        return set_not_awaited(error);
    case UPLOAD_UNKNOWN:
        return unfinished || set_unknown(error);
    case UPLOAD_AWAITED:
        break;
    }
    return true;
}

bool upload_cancel_new_record(struct payload_spool *spool, const struct uuid *upload_id) {
    struct upload_info upload;
    if (!payload_spool_find_upload(spool, upload_id, &upload) || uuid_equal(upload_id, &upload.payload_id)) {
        return false;
    }
    return payload_spool_cancel_upload(spool, upload_id);
}
