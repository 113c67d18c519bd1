#include "object-svc/upstream/record_provenance.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/names.h"
#include "common/client/proto_json.h"
#include "common/client/proto_json_parse.h"

static int64_t to_us(const Google__Protobuf__Timestamp *timestamp) {
    return timestamp != NULL ? timestamp->seconds * 1000000 + timestamp->nanos / 1000 : 0;
}

/* What a rebuilt record needs and the provenance has no field of its own for. */
static struct bytes make_descriptor(const Waybill__V1__Record *record, struct arena *arena) {
    Waybill__V1__Record rest = WAYBILL__V1__RECORD__INIT;
    rest.uid = record->uid;
    rest.revision = record->revision; /* revisions of a rebuilt store begin above all that were given */
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

static Google__Protobuf__Timestamp *to_timestamp(int64_t unix_us, struct arena *arena) {
    if (unix_us == 0) {
        return NULL;
    }
    Google__Protobuf__Timestamp *timestamp = arena_alloc(arena, sizeof *timestamp);
    google__protobuf__timestamp__init(timestamp);
    timestamp->seconds = unix_us / 1000000;
    timestamp->nanos = (int32_t)(unix_us % 1000000) * 1000;
    return timestamp;
}

static char *borrowed(const char *text) {
    return (char *)(uintptr_t)(text != NULL ? text : "");
}

Waybill__V1__Record *provenance_record(const struct provenance *provenance, struct arena *arena, struct error *error) {
    struct bytes descriptor = provenance->descriptor.size > 0 ? provenance->descriptor : bytes_of_string("{}");
    Waybill__V1__Record *record =
        (Waybill__V1__Record *)proto_json_parse(&waybill__v1__record__descriptor, descriptor, arena);
    if (record == NULL) {
        error_set(error, ERROR_DATA_LOSS, "DESCRIPTOR_UNREADABLE",
                  "what the object of \"%s\" in bucket \"%s\" says of its record cannot be read", provenance->key,
                  provenance->bucket);
        return NULL;
    }
    char *payload_id = arena_alloc(arena, UUID_TEXT_BYTES);
    uuid_print(&provenance->payload_id, payload_id);
    record->bucket = borrowed(provenance->bucket);
    record->key = borrowed(provenance->key);
    record->version = provenance->version;
    record->payload_version = provenance->version;
    record->state = WAYBILL__V1__RECORD_STATE__RECORD_STATE_STORED;
    record->content_type = borrowed(provenance->content_type);
    record->payload_id = payload_id;
    record->has_size_case = WAYBILL__V1__RECORD__HAS_SIZE_SIZE;
    record->size = (int64_t)provenance->size_bytes;
    record->has_crc32c_case = WAYBILL__V1__RECORD__HAS_CRC32C_CRC32C;
    record->crc32c = provenance->crc32c;
    if (provenance->has_sha256) {
        record->sha256.data = (uint8_t *)(uintptr_t)provenance->sha256;
        record->sha256.len = PROVENANCE_SHA256_BYTES;
    }
    record->update_time = to_timestamp(provenance->commit_unix_us, arena);
    record->store_time = to_timestamp(provenance->store_unix_us, arena);
    record->durability = WAYBILL__V1__DURABILITY__DURABILITY_FLUSHED;
    return record;
}
