#include "metadata-svc/commit/payload_changes.h"

#include "metadata-svc/commit/payload_entries.h"
#include "metadata-svc/commit/payload_failing.h"
#include "metadata-svc/store/layout.h"

enum { REDRIVES_MAX = 255 };

/* ---- what fell due ---- */

/* The event once more, unless it was not even published yet or enough others are. */
static bool redrive(struct change_builder *builder, struct commit_request *request, struct record *record,
                    struct payload_entry *entry, struct error *error) {
    if (record->revision > request->published_revision || request->payloads.redriven >= request->redrives_max) {
        payload_entry_put_soon(builder, record, entry, request->arena);
        return true;
    }
    request->payloads.redriven++;
    record->cause = (struct cause){"", "", SYSTEM_CAUSE_REDRIVE};
    if (!change_builder_update_version(builder, record, CHANGE_STAGED, NULL, request->arena, error)) {
        return false;
    }
    entry->redrives += entry->redrives < REDRIVES_MAX;
    payload_entry_put(builder, record, entry, request->arena);
    return true;
}

static bool miss_deadline(struct change_builder *builder, struct commit_request *request, struct record *record,
                          struct error *error) {
    struct payload_failure failure = {
        .reason = "PAYLOAD_DEADLINE_MISSED",
        .message = record->state == RECORD_STAGED ? "the payload was not stored by its deadline"
                                                  : "the payload was not uploaded by its deadline",
    };
    request->payloads.deadlines_missed++;
    return payload_fail(builder, request, record, SYSTEM_CAUSE_DEADLINE, &failure, error);
}

/* The entry goes now, the spooled bytes when that is durable. */
static void forget(struct change_builder *builder, struct commit_request *request, const struct record *record,
                   const struct payload_entry *entry) {
    payload_entry_remove(builder, record, entry, request->arena);
    overlay_delete(&builder->overlay, layout_failure_key(request->arena, record->bucket, &record->payload_id));
    if (entry->place == PAYLOAD_SPOOLED) {
        request->released[request->released_count++] = record->payload_id;
    }
}

bool change_payload_due(struct change_builder *builder, const struct timer *timer, struct commit_request *request,
                        struct error *error) {
    struct kv_lookup lookup = overlay_lookup(&builder->overlay);
    struct record record;
    struct payload_entry entry;
    bool found;
    if (!record_store_get_version(lookup, timer->bucket, timer->key, timer->version, request->arena, &record, &found,
                                  error)) {
        return false;
    }
    if (!found || uuid_is_zero(&record.payload_id)) {
        return true;
    }
    if (!record_store_get_payload(lookup, &record.payload_id, request->arena, &entry, &found, error)) {
        return false;
    }
    if (!found || entry.due_us != timer->due_us) {
        return true;
    }
    if (record_state_in_flight(record.state) && record.deadline_us > 0 && record.deadline_us <= builder->now_us) {
        return miss_deadline(builder, request, &record, error);
    }
    if (record.state == RECORD_STAGED) {
        return redrive(builder, request, &record, &entry, error);
    }
    if (record.state == RECORD_FAILED) {
        forget(builder, request, &record, &entry);
    }
    return true;
}

/* ---- what is asked for ---- */

/* The payload and the version that brought it. */
static bool find_payload(struct change_builder *builder, struct commit_request *request, struct payload_entry *entry,
                         struct record *record) {
    struct kv_lookup lookup = overlay_lookup(&builder->overlay);
    const struct uuid id = request->record.payload_id;
    bool found;
    if (!record_store_get_payload(lookup, &id, request->arena, entry, &found, &request->error) ||
        (found && !record_store_find_object(lookup, entry->bucket, entry->key, entry->version, &id, request->arena,
                                            record, &found, &request->error))) {
        return false;
    }
    return found || error_set(&request->error, ERROR_NOT_FOUND, "PAYLOAD_NOT_FOUND",
                              "no payload of that id is in flight, or failed and still kept");
}

bool change_retry_payload(struct change_builder *builder, struct commit_request *request) {
    struct payload_entry entry;
    struct record record;
    struct bucket bucket;
    if (!find_payload(builder, request, &entry, &record) ||
        !change_builder_get_bucket(builder, record.bucket, request->arena, &bucket, &request->error)) {
        return false;
    }
    if (record.state != RECORD_FAILED) {
        return error_set(&request->error, ERROR_FAILED_PRECONDITION, "PAYLOAD_NOT_FAILED",
                         "the payload has not failed");
    }
    if (entry.place == PAYLOAD_AWAITED) {
        return error_set(&request->error, ERROR_FAILED_PRECONDITION, "PAYLOAD_NEVER_CAME",
                         "the payload was not uploaded: write the record again");
    }
    record.state = RECORD_STAGED;
    record.deadline_us = builder->now_us + bucket.payload_deadline_us;
    record.cause = cause_of(request, SYSTEM_CAUSE_OPERATOR);
    if (!change_builder_update_version(builder, &record, CHANGE_STAGED, request_id_of(request), request->arena,
                                       &request->error)) {
        return false;
    }
    entry.redrives = 0;
    payload_entry_put(builder, &record, &entry, request->arena);
    overlay_delete(&builder->overlay, layout_failure_key(request->arena, record.bucket, &record.payload_id));
    request->record = record;
    return true;
}

bool change_cancel_upload(struct change_builder *builder, struct commit_request *request) {
    struct payload_entry entry;
    struct record record;
    if (!find_payload(builder, request, &entry, &record)) {
        if (request->error.code == ERROR_NOT_FOUND) {
            error_set(&request->error, ERROR_NOT_FOUND, "UPLOAD_NOT_FOUND", "no upload of that id is awaited");
        }
        return false;
    }
    if (record.state != RECORD_AWAITING_PAYLOAD) {
        return error_set(&request->error, ERROR_FAILED_PRECONDITION, "PAYLOAD_NOT_AWAITED",
                         "the record does not await a payload");
    }
    struct payload_failure failure = {
        .reason = "UPLOAD_CANCELLED",
        .message = request->reason[0] != '\0' ? request->reason : "its producer gave it up",
    };
    request->released = arena_alloc(request->arena, sizeof *request->released);
    bool good = payload_fail(builder, request, &record, SYSTEM_CAUSE_CLIENT, &failure, &request->error);
    request->record = record;
    return good;
}

/* Nothing of the record changes, but what is remembered of a request is remembered, and forgotten,
 * with an event. */
static bool remember_forgotten(struct change_builder *builder, struct commit_request *request, struct record *record) {
    const struct uuid *request_id = request_id_of(request);
    return request_id == NULL ||
           change_builder_update_version(builder, record, CHANGE_FAILED, request_id, request->arena, &request->error);
}

bool change_cancel_payload(struct change_builder *builder, struct commit_request *request) {
    struct payload_entry entry;
    struct record record;
    if (!find_payload(builder, request, &entry, &record)) {
        return false;
    }
    bool good = true;
    request->released = arena_alloc(request->arena, sizeof *request->released);
    if (record.state == RECORD_FAILED) {
        forget(builder, request, &record, &entry);
        good = remember_forgotten(builder, request, &record);
    } else if (record_state_in_flight(record.state)) {
        struct payload_failure failure = {
            .reason = "PAYLOAD_CANCELLED",
            .message = request->reason[0] != '\0' ? request->reason : "an operator gave it up",
        };
        good = payload_fail(builder, request, &record, SYSTEM_CAUSE_OPERATOR, &failure, &request->error);
    } else {
        good = error_set(&request->error, ERROR_FAILED_PRECONDITION, "PAYLOAD_STORED", "the object is stored already");
    }
    request->record = record;
    return good;
}
