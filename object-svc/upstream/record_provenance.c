#include "object-svc/upstream/record_provenance.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/names.h"
#include "common/client/proto_json.h"

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

bool record_provenance(const Waybill__V1__Record *record, struct arena *arena, struct provenance *provenance,
                       struct error *error) {
    *provenance = (struct provenance){
        .bucket = record->bucket,
        .key = record->key,
        .version = record->payload_version,
        .content_type = record->content_type,
        .descriptor = make_descriptor(record, arena),
        .size_bytes = record->has_size_case != 0 ? (uint64_t)record->size : 0,
        .crc32c = record->has_crc32c_case != 0 ? record->crc32c : 0,
        .commit_unix_us = to_us(record->update_time),
        .store_unix_us = to_us(record->store_time),
    };
    if (!name_check_bucket(record->bucket, "record.bucket", error) ||
        !name_check_key(record->key, "record.key", error)) {
        return false;
    }
    if (record->has_size_case == 0 || record->size < 0 || record->has_crc32c_case == 0 || record->payload_version < 1 ||
        !uuid_parse_text(record->payload_id, &provenance->payload_id)) {
        return error_set(error, ERROR_INVALID_ARGUMENT, "BAD_RECORD",
                         "the record lacks size, CRC32C, version or payload id");
    }
    if (record->sha256.len == PROVENANCE_SHA256_BYTES) {
        provenance->has_sha256 = true;
        memcpy(provenance->sha256, record->sha256.data, PROVENANCE_SHA256_BYTES);
    }
    return true;
}
