#include "metadata-svc/commit/payload_failing.h"

#include "common/base/names.h"
#include "metadata-svc/commit/payload_entries.h"
#include "metadata-svc/store/layout.h"

enum { REASON_MAX_BYTES = 64, MESSAGE_MAX_BYTES = 500, CAUSE_MESSAGE_MAX_BYTES = 160 };

static const char *cut(const char *text, int max_bytes, struct arena *arena) {
    return utf8_clean(arena_printf(arena, "%.*s", max_bytes, text), arena);
}

/* ---- what is kept ---- */

/* Of a payload that did not come wholly nothing is kept but why. */
static bool keep_payload(struct change_builder *builder, struct commit_request *request, const struct record *record,
                         const struct payload_failure *failure, struct error *error) {
    struct arena *arena = request->arena;
    struct payload_entry entry;
    bool found;
    if (!record_store_get_payload(overlay_lookup(&builder->overlay), &record->payload_id, arena, &entry, &found,
                                  error)) {
        return false;
    }
    if (found) {
        payload_entry_put(builder, record, &entry, arena);
        overlay_put(&builder->overlay, layout_failure_key(arena, record->bucket, &record->payload_id),
                    record_store_failure_value(failure, arena));
    }
    if (found && entry.place == PAYLOAD_AWAITED) {
        request->released[request->released_count++] = record->payload_id;
    }
    return true;
}

/* ---- compensation ---- */

static struct record tombstone_of(const struct record *record) {
    struct record tombstone = record_make(record->bucket, record->key);
    tombstone.uid = record->uid;
    tombstone.state = RECORD_DELETED;
    tombstone.create_us = record->create_us;
    return tombstone;
}

/* A new version with the content that readers get while the latest one has failed. */
static bool revert(struct change_builder *builder, struct commit_request *request, const struct bucket *bucket,
                   const struct record_head *failed, struct error *error) {
    struct arena *arena = request->arena;
    int64_t serving = failed->record.serving_version;
    struct record back = tombstone_of(&failed->record);
    bool found = true;
    if (serving > 0 && !record_store_get_version(overlay_lookup(&builder->overlay), back.bucket, back.key, serving,
                                                 arena, &back, &found, error)) {
        return false;
    }
    if (!found) {
        return error_set(error, ERROR_DATA_LOSS, "RECORD_CORRUPT", "version %lld of \"%s\" is missing",
                         (long long)serving, failed->record.key);
    }
    back.version = failed->record.version + 1;
    back.update_us = builder->now_us;
    back.expire_us = bucket_expiry_of(bucket, &back);
    back.serving_version = serving > 0 ? back.version : 0;
    const char *reason = serving > 0 ? arena_printf(arena, "version %lld failed; back to version %lld",
                                                    (long long)failed->record.version, (long long)serving)
                                     : arena_printf(arena, "version %lld failed; there is none to go back to",
                                                    (long long)failed->record.version);
    back.cause = (struct cause){"", reason, SYSTEM_CAUSE_COMPENSATION};
    request->payloads.reverted++;
    return change_builder_share_payload(builder, &back, arena, error) &&
           change_builder_add_version(builder, bucket, &back, failed, CHANGE_REVERTED, request, error);
}

static bool compensate(struct change_builder *builder, struct commit_request *request, const struct record *failed,
                       struct error *error) {
    struct bucket bucket;
    struct record_head head;
    bool found;
    if (!change_builder_get_bucket(builder, failed->bucket, request->arena, &bucket, error) ||
        !record_store_get_head(overlay_lookup(&builder->overlay), failed->bucket, failed->key, request->arena, &head,
                               &found, error)) {
        return false;
    }
    if (!found || head.record.version != failed->version) {
        return true; /* a newer write took its place */
    }
    if (bucket.on_failure == ON_FAILURE_REVERT) {
        return revert(builder, request, &bucket, &head, error);
    }
    request->payloads.kept_failed++;
    return true;
}

/* ---- failing ---- */

bool payload_fail(struct change_builder *builder, struct commit_request *request, struct record *record,
                  enum system_cause system, const struct payload_failure *failure, struct error *error) {
    struct arena *arena = request->arena;
    struct payload_failure kept = {
        .reason = cut(failure->reason, REASON_MAX_BYTES, arena),
        .message = cut(failure->message, MESSAGE_MAX_BYTES, arena),
        .attempts = failure->attempts,
        .fail_us = builder->now_us,
    };
    record->state = RECORD_FAILED;
    record->cause = (struct cause){
        .actor = request->actor,
        .reason = arena_printf(arena, "%s: %s", kept.reason, cut(kept.message, CAUSE_MESSAGE_MAX_BYTES, arena)),
        .system = system,
    };
    return change_builder_update_version(builder, record, CHANGE_FAILED, request_id_of(request), arena, error) &&
           keep_payload(builder, request, record, &kept, error) && compensate(builder, request, record, error);
}
