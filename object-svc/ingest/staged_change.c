#include "object-svc/ingest/staged_change.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/names.h"
#include "common/client/proto_json.h"
#include "common/rpc/proto_message.h"
#include "waybill/v1/event.pb-c.h"

static int64_t to_us(const Google__Protobuf__Timestamp *timestamp) {
    return timestamp != NULL ? timestamp->seconds * 1000000 + timestamp->nanos / 1000 : 0;
}

/* What a rebuilt record needs and the provenance has no field of its own for. */
static struct bytes make_descriptor(const Waybill__V1__Record *record, struct arena *arena) {
    Waybill__V1__Record rest = WAYBILL__V1__RECORD__INIT;
    rest.uid = record->uid;
    rest.n_attributes = record->n_attributes;
    rest.attributes = record->attributes;
    rest.schema_id = record->schema_id;
    rest.schema_version = record->schema_version;
    rest.create_time = record->create_time;
    rest.expire_time = record->expire_time;
    char *text = proto_json_line(&rest.base);
    struct bytes out = arena_copy(arena, bytes_of_string(text));
    free(text);
    return out;
}

static bool bad(struct error *error, const char *what) {
    return error_set(error, ERROR_INVALID_ARGUMENT, "BAD_EVENT", "the event %s", what);
}

bool staged_change_read(struct bytes event, struct arena *arena, struct staged_change *change, struct error *error) {
    Waybill__V1__ChangeEvent *message =
        (Waybill__V1__ChangeEvent *)proto_decode(&waybill__v1__change_event__descriptor, event, arena, error);
    if (message == NULL) {
        return bad(error, "cannot be decoded");
    }
    const Waybill__V1__Record *record = message->record;
    if (message->type != WAYBILL__V1__CHANGE_TYPE__CHANGE_TYPE_STAGED || record == NULL) {
        return bad(error, "does not tell of a staged payload");
    }
    struct provenance *provenance = &change->provenance;
    *provenance = (struct provenance){
        .bucket = record->bucket,
        .key = record->key,
        .version = record->payload_version,
        .content_type = record->content_type,
        .descriptor = make_descriptor(record, arena),
        .size_bytes = record->has_size_case != 0 ? (uint64_t)record->size : 0,
        .crc32c = record->has_crc32c_case != 0 ? record->crc32c : 0,
        .commit_unix_us = to_us(message->commit_time),
    };
    change->commit_us = provenance->commit_unix_us;
    if (!name_check_bucket(record->bucket, "record.bucket", error) ||
        !name_check_key(record->key, "record.key", error)) {
        return false;
    }
    if (record->has_size_case == 0 || record->size < 0 || record->has_crc32c_case == 0 || record->payload_version < 1 ||
        !uuid_parse_text(record->payload_id, &provenance->payload_id)) {
        return bad(error, "lacks size, CRC32C, version or payload id");
    }
    if (record->sha256.len == PROVENANCE_SHA256_BYTES) {
        provenance->has_sha256 = true;
        memcpy(provenance->sha256, record->sha256.data, PROVENANCE_SHA256_BYTES);
    }
    return true;
}
