/* Records: get, update, delete, restore, wait. */
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/client/client_parts.h"

enum {
    /* Small objects are stored within milliseconds, large ones within seconds. */
    WAIT_FIRST_MS = 5,
    WAIT_MOST_MS = 500,
};

bool waybill_get_record(struct waybill_client *client, const char *bucket, const char *key, int64_t version,
                        bool show_deleted, struct arena *arena, Waybill__V1__Record **record, struct error *error) {
    Waybill__V1__GetRecordRequest request = WAYBILL__V1__GET_RECORD_REQUEST__INIT;
    request.bucket = client_text(bucket);
    request.key = client_text(key);
    request.version = version;
    request.show_deleted = show_deleted;
    Waybill__V1__GetRecordResponse *response = (Waybill__V1__GetRecordResponse *)client_call(
        client, client->metadata, "/waybill.v1.MetadataService/GetRecord", &request.base,
        &waybill__v1__get_record_response__descriptor, arena, error);
    if (response == NULL) {
        return false;
    }
    *record = response->record;
    return response->record != NULL || client_bad_answer(error, "holds no record");
}

/* ---- changes without a payload of their own ---- */

/* The paths of all that the update changes. */
static void fill_mask(const struct waybill_update *update, struct arena *arena, Google__Protobuf__FieldMask *mask) {
    mask->paths = arena_alloc(arena, (update->attribute_count + update->unset_count + 3) * sizeof *mask->paths);
    if (update->content_type != NULL) {
        mask->paths[mask->n_paths++] = (char *)"content_type";
    }
    if (update->expire_time != NULL) {
        mask->paths[mask->n_paths++] = (char *)"expire_time";
    }
    if (update->unset_others) {
        mask->paths[mask->n_paths++] = (char *)"attributes";
        return;
    }
    for (size_t i = 0; i < update->attribute_count; i++) {
        mask->paths[mask->n_paths++] = arena_printf(arena, "attributes.%s", update->attributes[i].name);
    }
    for (size_t i = 0; i < update->unset_count; i++) {
        mask->paths[mask->n_paths++] = arena_printf(arena, "attributes.%s", update->unset[i]);
    }
}

bool waybill_update_record(struct waybill_client *client, const struct waybill_update *update, struct arena *arena,
                           Waybill__V1__Record **record, struct error *error) {
    char id[UUID_TEXT_BYTES];
    Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
    fill_mask(update, arena, &mask);
    Waybill__V1__UpdateRecordRequest request = WAYBILL__V1__UPDATE_RECORD_REQUEST__INIT;
    request.bucket = client_text(update->bucket);
    request.key = client_text(update->key);
    request.content_type = client_text(update->content_type);
    request.n_attributes = update->attribute_count;
    request.attributes = client_attributes(update->attributes, update->attribute_count,
                                           &waybill__v1__update_record_request__attributes_entry__descriptor, arena);
    request.update_mask = &mask;
    if (update->expire_time != NULL && update->expire_time->seconds != 0) {
        request.expire_time = client_timestamp(update->expire_time, arena);
    }
    request.request_id = client_request_id(update->request_id, id);
    request.reason = client_text(update->reason);
    if (update->has_if_version_match) {
        request.has_if_version_match_case = WAYBILL__V1__UPDATE_RECORD_REQUEST__HAS_IF_VERSION_MATCH_IF_VERSION_MATCH;
        request.if_version_match = update->if_version_match;
    }
    Waybill__V1__UpdateRecordResponse *response = (Waybill__V1__UpdateRecordResponse *)client_call(
        client, client->metadata, "/waybill.v1.MetadataService/UpdateRecord", &request.base,
        &waybill__v1__update_record_response__descriptor, arena, error);
    if (response == NULL) {
        return false;
    }
    *record = response->record;
    return response->record != NULL || client_bad_answer(error, "holds no record");
}

bool waybill_delete(struct waybill_client *client, const struct waybill_delete *what, struct arena *arena,
                    Waybill__V1__Record **record, struct error *error) {
    char id[UUID_TEXT_BYTES];
    Waybill__V1__DeleteRecordRequest request = WAYBILL__V1__DELETE_RECORD_REQUEST__INIT;
    request.bucket = client_text(what->bucket);
    request.key = client_text(what->key);
    request.request_id = client_request_id(what->request_id, id);
    request.reason = client_text(what->reason);
    if (what->has_if_version_match) {
        request.has_if_version_match_case = WAYBILL__V1__DELETE_RECORD_REQUEST__HAS_IF_VERSION_MATCH_IF_VERSION_MATCH;
        request.if_version_match = what->if_version_match;
    }
    Waybill__V1__DeleteRecordResponse *response = (Waybill__V1__DeleteRecordResponse *)client_call(
        client, client->metadata, "/waybill.v1.MetadataService/DeleteRecord", &request.base,
        &waybill__v1__delete_record_response__descriptor, arena, error);
    if (response == NULL) {
        return false;
    }
    *record = response->record;
    return response->record != NULL || client_bad_answer(error, "holds no record");
}

bool waybill_restore_record(struct waybill_client *client, const struct waybill_restore *restore, struct arena *arena,
                            Waybill__V1__Record **record, struct error *error) {
    char id[UUID_TEXT_BYTES];
    Waybill__V1__RestoreRecordRequest request = WAYBILL__V1__RESTORE_RECORD_REQUEST__INIT;
    request.bucket = client_text(restore->bucket);
    request.key = client_text(restore->key);
    request.version = restore->version;
    request.request_id = client_request_id(restore->request_id, id);
    request.reason = client_text(restore->reason);
    if (restore->has_if_version_match) {
        request.has_if_version_match_case = WAYBILL__V1__RESTORE_RECORD_REQUEST__HAS_IF_VERSION_MATCH_IF_VERSION_MATCH;
        request.if_version_match = restore->if_version_match;
    }
    Waybill__V1__RestoreRecordResponse *response = (Waybill__V1__RestoreRecordResponse *)client_call(
        client, client->metadata, "/waybill.v1.MetadataService/RestoreRecord", &request.base,
        &waybill__v1__restore_record_response__descriptor, arena, error);
    if (response == NULL) {
        return false;
    }
    *record = response->record;
    return response->record != NULL || client_bad_answer(error, "holds no record");
}

/* ---- waiting ---- */

enum wait_verdict { WAIT_MORE, WAIT_REACHED, WAIT_HOPELESS };

static enum wait_verdict judge(const Waybill__V1__Record *record, enum waybill_wait until, struct error *error) {
    switch (record->state) {
    case WAYBILL__V1__RECORD_STATE__RECORD_STATE_COMMITTED:
    case WAYBILL__V1__RECORD_STATE__RECORD_STATE_STORED:
        return WAIT_REACHED;
    case WAYBILL__V1__RECORD_STATE__RECORD_STATE_STAGED:
        return until == WAYBILL_WAIT_STAGED ? WAIT_REACHED : WAIT_MORE;
    case WAYBILL__V1__RECORD_STATE__RECORD_STATE_FAILED:
        error_set(error, ERROR_FAILED_PRECONDITION, "PAYLOAD_FAILED",
                  "the payload of version %lld was given up: its deadline passed or every attempt to store it failed",
                  (long long)record->version);
        return WAIT_HOPELESS;
    case WAYBILL__V1__RECORD_STATE__RECORD_STATE_DELETED:
        error_set(error, ERROR_FAILED_PRECONDITION, "RECORD_DELETED", "version %lld is a tombstone",
                  (long long)record->version);
        return WAIT_HOPELESS;
    default:
        return WAIT_MORE;
    }
}

/* Asks again and again: a watch would hold one of the server's threads for each that waits. */
bool waybill_wait(struct waybill_client *client, const char *bucket, const char *key, int64_t version,
                  enum waybill_wait until, int64_t timeout_ms, struct arena *arena, Waybill__V1__Record **record,
                  struct error *error) {
    int64_t end_us = clock_monotonic_us(&system_clock) + timeout_ms * 1000;
    int64_t pause_ms = WAIT_FIRST_MS;
    struct arena round;
    arena_init(&round);
    Waybill__V1__Record *now = NULL;
    enum wait_verdict verdict = WAIT_MORE;
    while (verdict == WAIT_MORE) {
        arena_free(&round);
        if (!waybill_get_record(client, bucket, key, version, true, &round, &now, error)) {
            break;
        }
        verdict = judge(now, until, error);
        if (verdict != WAIT_MORE) {
            break;
        }
        int64_t left_ms = (end_us - clock_monotonic_us(&system_clock)) / 1000;
        if (timeout_ms > 0 && left_ms <= 0) {
            error_set(error, ERROR_DEADLINE_EXCEEDED, "WAIT_TIMEOUT", "version %lld is still %s after %lld ms",
                      (long long)now->version,
                      now->state == WAYBILL__V1__RECORD_STATE__RECORD_STATE_STAGED ? "STAGED" : "AWAITING_PAYLOAD",
                      (long long)timeout_ms);
            break;
        }
        bool short_of_time = timeout_ms > 0 && left_ms < pause_ms;
        if (!client_pause(client, short_of_time ? left_ms : pause_ms, error)) {
            break;
        }
        pause_ms = pause_ms * 2 < WAIT_MOST_MS ? pause_ms * 2 : WAIT_MOST_MS;
    }
    if (verdict == WAIT_REACHED) {
        *record = (Waybill__V1__Record *)client_copy(&now->base, arena);
    }
    arena_free(&round);
    return verdict == WAIT_REACHED;
}
