#include "metadata-svc/commit/change_builder.h"

#include <string.h>

#include "metadata-svc/commit/retention.h"
#include "metadata-svc/store/layout.h"
#include "metadata-svc/store/record_codec.h"

bool change_builder_get_bucket(struct change_builder *builder, const char *name, struct arena *arena,
                               struct bucket *bucket, struct error *error) {
    if (!builder->has_bucket || strcmp(builder->bucket.name, name) != 0) {
        change_builder_forget_bucket(builder);
        builder->has_bucket =
            record_store_get_bucket(overlay_lookup(&builder->overlay), name, arena, &builder->bucket, error);
    }
    *bucket = builder->bucket;
    return builder->has_bucket;
}

bool change_builder_find_bucket(struct change_builder *builder, const char *name, struct arena *arena,
                                struct bucket *bucket, bool *found, struct error *error) {
    struct error missing = {0};
    *found = change_builder_get_bucket(builder, name, arena, bucket, &missing);
    if (!*found && missing.code != ERROR_NOT_FOUND) {
        *error = missing;
        return false;
    }
    return true;
}

void change_builder_forget_bucket(struct change_builder *builder) {
    builder->has_bucket = false;
}

int64_t change_builder_next_revision(struct change_builder *builder) {
    return ++builder->revision;
}

static Waybill__V1__ChangeEvent *begin_event(const struct change_builder *builder, const struct change *change,
                                             int64_t revision, struct arena *arena) {
    Waybill__V1__ChangeEvent *event = arena_alloc(arena, sizeof *event);
    waybill__v1__change_event__init(event);
    event->shard = (char *)(uintptr_t)builder->shard;
    event->revision = revision;
    event->type = (Waybill__V1__ChangeType)change->type;
    event->commit_time = timestamp_to_proto(builder->now_us, arena);
    event->previous_revision = change->previous_revision;
    event->previous_version = change->previous_version;
    if (change->request_id != NULL) {
        event->request_id = uuid_to_text(change->request_id, arena);
    }
    return event;
}

/* A length-delimited field of the protobuf wire format. */
static size_t put_field_head(uint8_t *out, unsigned field, size_t size) {
    size_t count = 0;
    out[count++] = (uint8_t)(field << 3 | 2);
    for (; size >= 0x80; size >>= 7) {
        out[count++] = (uint8_t)(size | 0x80);
    }
    out[count++] = (uint8_t)size;
    return count;
}

enum { EVENT_RECORD_FIELD = 8, FIELD_HEAD_MAX_BYTES = 6 };

/* The event's own fields, then the record as it was encoded for its head: a message is the same
 * in whatever order its fields come. */
static void log_event_entry(struct change_builder *builder, const Waybill__V1__ChangeEvent *event,
                            struct bytes record_wire, struct arena *arena) {
    size_t size = waybill__v1__change_event__get_packed_size(event);
    uint8_t *wire = arena_alloc(arena, size + FIELD_HEAD_MAX_BYTES + record_wire.size);
    waybill__v1__change_event__pack(event, wire);
    if (record_wire.size > 0) {
        size += put_field_head(wire + size, EVENT_RECORD_FIELD, record_wire.size);
        memcpy(wire + size, record_wire.data, record_wire.size);
        size += record_wire.size;
    }
    overlay_append(&builder->overlay, layout_change_key(arena, event->revision), bytes_of(wire, size));
}

static Waybill__V1__Cause *cause_message(const struct cause *cause, struct arena *arena) {
    Waybill__V1__Cause *message = arena_alloc(arena, sizeof *message);
    waybill__v1__cause__init(message);
    message->actor = (char *)(uintptr_t)cause->actor;
    message->reason = (char *)(uintptr_t)cause->reason;
    message->system = (Waybill__V1__SystemCause)cause->system;
    return message;
}

void change_builder_log_record(struct change_builder *builder, const struct change *change, const struct record *record,
                               struct bytes record_wire, struct arena *arena) {
    Waybill__V1__ChangeEvent *event = begin_event(builder, change, record->revision, arena);
    event->cause = cause_message(&record->cause, arena);
    log_event_entry(builder, event, record_wire, arena);
}

void change_builder_log_bucket(struct change_builder *builder, const struct change *change, const struct bucket *bucket,
                               const struct cause *cause, struct arena *arena) {
    Waybill__V1__ChangeEvent *event = begin_event(builder, change, bucket->revision, arena);
    event->bucket = bucket_to_proto(bucket, arena);
    event->cause = cause_message(cause, arena);
    log_event_entry(builder, event, (struct bytes){0}, arena);
}

/* The newest version of the key that serves, once `changed` is as it is now. */
static bool find_serving_version(struct change_builder *builder, const struct record_head *head,
                                 const struct record *changed, struct arena *arena, int64_t *serving,
                                 struct error *error) {
    *serving = 0;
    if (head->record.state == RECORD_DELETED) {
        return true;
    }
    if (!record_state_serves(changed->state) && head->record.serving_version != changed->version) {
        *serving = head->record.serving_version; /* it did not serve before either */
        return true;
    }
    struct kv_lookup lookup = overlay_lookup(&builder->overlay);
    for (int64_t version = head->record.version; version > 0; version--) {
        struct record other = *changed;
        bool found = true;
        if (version != changed->version &&
            !record_store_get_version(lookup, changed->bucket, changed->key, version, arena, &other, &found, error)) {
            return false;
        }
        if (!found || other.state == RECORD_DELETED) {
            return true;
        }
        if (record_state_serves(other.state)) {
            *serving = version;
            return true;
        }
    }
    return true;
}

bool change_builder_add_version(struct change_builder *builder, const struct bucket *bucket, struct record *record,
                                const struct record_head *old, enum change_type type, struct commit_request *request,
                                struct error *error) {
    struct arena *arena = request->arena;
    record->revision = change_builder_next_revision(builder);
    if (old != NULL) {
        overlay_put(&builder->overlay, layout_version_key(arena, record->bucket, record->key, old->record.version),
                    record_store_version_value(&old->record, arena));
    }
    request->record_wire = record_encode(record, arena);
    overlay_put(&builder->overlay, layout_head_key(arena, record->bucket, record->key),
                record_store_head_value_of(record->revision, request->record_wire, arena));
    struct change change = {
        .type = type,
        .previous_revision = old != NULL ? old->last_revision : 0,
        .previous_version = old != NULL ? old->record.version : 0,
        .request_id = request_id_of(request),
    };
    change_builder_log_record(builder, &change, record, request->record_wire, arena);
    return retention_after_commit(builder, bucket, record, old != NULL ? &old->record : NULL, arena, error);
}

bool change_builder_share_payload(struct change_builder *builder, const struct record *record, struct arena *arena,
                                  struct error *error) {
    if (uuid_is_zero(&record->payload_id)) {
        return true;
    }
    struct payload_share share;
    bool found;
    if (!record_store_get_share(overlay_lookup(&builder->overlay), &record->payload_id, arena, &share, &found, error)) {
        return false;
    }
    share.versions = found ? share.versions + 1 : 2; /* the one that brought it counts, too */
    share.newest_version = record->version;
    share.payload = *record;
    overlay_put(&builder->overlay, layout_share_key(arena, &record->payload_id),
                record_store_share_value(&share, arena));
    return true;
}

/* Hands a change of a shared payload on to the newest version that has it. */
static bool change_shared(struct change_builder *builder, struct record *record, struct arena *arena,
                          struct error *error) {
    struct kv_lookup lookup = overlay_lookup(&builder->overlay);
    struct payload_share share;
    bool found;
    if (!record_store_get_share(lookup, &record->payload_id, arena, &share, &found, error) || !found) {
        return !found && error->code == ERROR_OK;
    }
    share.payload = *record;
    if (share.newest_version != record->version) {
        struct record newest;
        if (!record_store_get_version(lookup, record->bucket, record->key, share.newest_version, arena, &newest, &found,
                                      error)) {
            return false;
        }
        if (!found) {
            return error_set(error, ERROR_DATA_LOSS, "RECORD_CORRUPT", "version %lld of \"%s\" is missing",
                             (long long)share.newest_version, record->key);
        }
        record_share_payload(&newest, record);
        newest.cause = record->cause;
        *record = newest;
    }
    overlay_put(&builder->overlay, layout_share_key(arena, &record->payload_id),
                record_store_share_value(&share, arena));
    return true;
}

bool change_builder_update_version(struct change_builder *builder, struct record *record, enum change_type type,
                                   const struct uuid *request_id, struct arena *arena, struct error *error) {
    struct record_head head;
    bool found;
    if (!change_shared(builder, record, arena, error) ||
        !record_store_get_head(overlay_lookup(&builder->overlay), record->bucket, record->key, arena, &head, &found,
                               error)) {
        return false;
    }
    if (!found) {
        return error_set(error, ERROR_DATA_LOSS, "RECORD_CORRUPT", "a version of \"%s\" has no latest one",
                         record->key);
    }
    int64_t serving;
    if (!find_serving_version(builder, &head, record, arena, &serving, error)) {
        return false;
    }
    struct change change = {type, head.last_revision, head.record.version, request_id};
    record->revision = change_builder_next_revision(builder);
    record->serving_version = serving;
    if (head.record.version == record->version) {
        head.record = *record;
    } else {
        head.record.serving_version = serving;
        overlay_put(&builder->overlay, layout_version_key(arena, record->bucket, record->key, record->version),
                    record_store_version_value(record, arena));
    }
    head.last_revision = record->revision;
    overlay_put(&builder->overlay, layout_head_key(arena, record->bucket, record->key),
                record_store_head_value(&head, arena));
    change_builder_log_record(builder, &change, record, record_encode(record, arena), arena);
    return true;
}
