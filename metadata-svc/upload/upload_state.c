#include "metadata-svc/upload/upload_state.h"

#include "metadata-svc/store/layout.h"
#include "metadata-svc/store/record_codec.h"
#include "waybill/v1/event.pb-c.h"

/* The version that the payload was announced for, which may no longer be its key's latest. */
static bool find_announced(struct kv *kv, const struct uuid *upload_id, struct arena *arena, struct upload_state *state,
                           struct error *error) {
    struct kv_lookup lookup = kv_lookup_of(kv);
    struct payload_entry entry;
    bool found;
    if (!record_store_get_payload(lookup, upload_id, arena, &entry, &found, error)) {
        return false;
    }
    if (!found) {
        return true;
    }
    if (!record_store_get_version(lookup, entry.bucket, entry.key, entry.version, arena, &state->record, &found,
                                  error)) {
        return false;
    }
    bool awaited = entry.place == PAYLOAD_AWAITED && state->record.state == RECORD_AWAITING_PAYLOAD;
    state->kind = !found ? UPLOAD_UNKNOWN : awaited ? UPLOAD_AWAITED : UPLOAD_NOT_AWAITED;
    return true;
}

/* The answer is what the change log has; the two are forgotten together. */
static bool find_answer(struct kv *kv, const struct uuid *upload_id, struct arena *arena, struct upload_state *state,
                        struct error *error) {
    struct request_entry request;
    struct bytes logged;
    bool found;
    if (!record_store_get_request(kv_lookup_of(kv), upload_id, arena, &request, &found, error) ||
        (found && !kv->ops->get(kv, layout_change_key(arena, request.revision), arena, &logged, &found, error))) {
        return false;
    }
    if (!found) {
        return true;
    }
    const Waybill__V1__ChangeEvent *event =
        waybill__v1__change_event__unpack(arena_protobuf(arena), logged.size, logged.data);
    if (event == NULL) {
        return error_set(error, ERROR_DATA_LOSS, "RECORD_CORRUPT", "the answer at revision %lld cannot be read",
                         (long long)request.revision);
    }
    struct record record;
    if (event->record == NULL) {
        return true;
    }
    if (!record_from_proto(event->record, arena, &record, error)) {
        return false;
    }
    if (record.has_size && record.has_crc32c && record_state_serves(record.state)) {
        state->kind = UPLOAD_TOOK_EFFECT;
        state->record = record;
        state->fingerprint = request.fingerprint;
    }
    return true;
}

bool upload_state_find(struct kv *kv, const struct uuid *upload_id, struct arena *arena, struct upload_state *state,
                       struct error *error) {
    *state = (struct upload_state){.kind = UPLOAD_UNKNOWN};
    return find_announced(kv, upload_id, arena, state, error) &&
           (state->kind == UPLOAD_AWAITED || find_answer(kv, upload_id, arena, state, error));
}
