#include "metadata-svc/store/record_codec.h"

#include <string.h>

#include "common/base/wire_reader.h"

typedef Waybill__V1__Record__AttributesEntry attributes_entry;

static bool corrupt(struct error *error, const char *what) {
    return error_set(error, ERROR_DATA_LOSS, "RECORD_CORRUPT", "a stored %s cannot be decoded", what);
}

char *uuid_to_text(const struct uuid *id, struct arena *arena) {
    if (uuid_is_zero(id)) {
        return arena_strdup(arena, "");
    }
    char *text = arena_alloc(arena, UUID_TEXT_BYTES);
    uuid_print(id, text);
    return text;
}

static bool uuid_from_text(const char *text, struct uuid *id) {
    *id = (struct uuid){0};
    return text[0] == '\0' || uuid_parse_text(text, id);
}

Google__Protobuf__Timestamp *timestamp_to_proto(int64_t unix_us, struct arena *arena) {
    if (unix_us == 0) {
        return NULL;
    }
    Google__Protobuf__Timestamp *message = arena_alloc(arena, sizeof *message);
    google__protobuf__timestamp__init(message);
    message->seconds = unix_us / 1000000;
    message->nanos = (int32_t)(unix_us % 1000000) * 1000;
    return message;
}

int64_t timestamp_from_proto(const Google__Protobuf__Timestamp *message) {
    return message == NULL ? 0 : message->seconds * 1000000 + message->nanos / 1000;
}

static Waybill__V1__AttributeValue *attribute_to_proto(const struct attribute *attribute, struct arena *arena) {
    Waybill__V1__AttributeValue *value = arena_alloc(arena, sizeof *value);
    waybill__v1__attribute_value__init(value);
    value->kind_case = (Waybill__V1__AttributeValue__KindCase)attribute->kind;
    switch (attribute->kind) {
    case ATTRIBUTE_STRING:
        value->string_value = (char *)(uintptr_t)attribute->text;
        break;
    case ATTRIBUTE_INT:
        value->int_value = attribute->whole;
        break;
    case ATTRIBUTE_DOUBLE:
        value->double_value = attribute->real;
        break;
    case ATTRIBUTE_BOOL:
        value->bool_value = attribute->whole != 0;
        break;
    case ATTRIBUTE_TIMESTAMP:
        value->timestamp_value = arena_alloc(arena, sizeof *value->timestamp_value);
        google__protobuf__timestamp__init(value->timestamp_value);
        value->timestamp_value->seconds = attribute->time.seconds;
        value->timestamp_value->nanos = attribute->time.nanos;
        break;
    case ATTRIBUTE_BYTES:
        value->bytes_value.data = (uint8_t *)(uintptr_t)attribute->raw.data;
        value->bytes_value.len = attribute->raw.size;
        break;
    }
    return value;
}

size_t attribute_encoded_bytes(const struct attribute *attribute, struct arena *arena) {
    return waybill__v1__attribute_value__get_packed_size(attribute_to_proto(attribute, arena));
}

static void attributes_to_proto(const struct record *record, Waybill__V1__Record *message, struct arena *arena) {
    message->n_attributes = record->attribute_count;
    message->attributes = arena_alloc(arena, record->attribute_count * sizeof *message->attributes);
    for (size_t i = 0; i < record->attribute_count; i++) {
        attributes_entry *entry = arena_alloc(arena, sizeof *entry);
        waybill__v1__record__attributes_entry__init(entry);
        entry->key = (char *)(uintptr_t)record->attributes[i].name;
        entry->value = attribute_to_proto(&record->attributes[i], arena);
        message->attributes[i] = entry;
    }
}

static void locations_to_proto(const struct record *record, Waybill__V1__Record *message, struct arena *arena) {
    message->n_locations = record->location_count;
    message->locations = arena_alloc(arena, record->location_count * sizeof *message->locations);
    for (size_t i = 0; i < record->location_count; i++) {
        Waybill__V1__Location *location = arena_alloc(arena, sizeof *location);
        waybill__v1__location__init(location);
        location->tier = (Waybill__V1__Tier)record->locations[i].tier;
        location->replica = (char *)(uintptr_t)record->locations[i].replica;
        location->store_time = timestamp_to_proto(record->locations[i].store_us, arena);
        message->locations[i] = location;
    }
}

static Waybill__V1__Cause *cause_to_proto(const struct cause *cause, struct arena *arena) {
    Waybill__V1__Cause *message = arena_alloc(arena, sizeof *message);
    waybill__v1__cause__init(message);
    message->actor = (char *)(uintptr_t)cause->actor;
    message->reason = (char *)(uintptr_t)cause->reason;
    message->system = (Waybill__V1__SystemCause)cause->system;
    return message;
}

Waybill__V1__Record *record_to_proto(const struct record *record, struct arena *arena) {
    Waybill__V1__Record *message = arena_alloc(arena, sizeof *message);
    waybill__v1__record__init(message);
    message->bucket = (char *)(uintptr_t)record->bucket;
    message->key = (char *)(uintptr_t)record->key;
    message->uid = uuid_to_text(&record->uid, arena);
    message->version = record->version;
    message->revision = record->revision;
    message->state = (Waybill__V1__RecordState)record->state;
    message->serving_version = record->serving_version;
    message->content_type = (char *)(uintptr_t)record->content_type;
    attributes_to_proto(record, message, arena);
    if (record->has_size) {
        message->has_size_case = WAYBILL__V1__RECORD__HAS_SIZE_SIZE;
        message->size = record->size;
    }
    if (record->has_crc32c) {
        message->has_crc32c_case = WAYBILL__V1__RECORD__HAS_CRC32C_CRC32C;
        message->crc32c = record->crc32c;
    }
    message->sha256.data = (uint8_t *)(uintptr_t)record->sha256.data;
    message->sha256.len = record->sha256.size;
    message->payload_id = uuid_to_text(&record->payload_id, arena);
    message->payload_version = record->payload_version;
    locations_to_proto(record, message, arena);
    message->create_time = timestamp_to_proto(record->create_us, arena);
    message->update_time = timestamp_to_proto(record->update_us, arena);
    message->store_time = timestamp_to_proto(record->store_us, arena);
    message->expire_time = timestamp_to_proto(record->expire_us, arena);
    message->payload_deadline = timestamp_to_proto(record->deadline_us, arena);
    message->cause = cause_to_proto(&record->cause, arena);
    message->durability = (Waybill__V1__Durability)record->durability;
    message->expire_time_given = record->expire_given;
    return message;
}

bool attribute_from_proto(const char *name, const Waybill__V1__AttributeValue *value, struct attribute *attribute) {
    if (value == NULL) {
        return false;
    }
    *attribute = (struct attribute){.name = name};
    switch (value->kind_case) {
    case WAYBILL__V1__ATTRIBUTE_VALUE__KIND_STRING_VALUE:
        attribute->kind = ATTRIBUTE_STRING;
        attribute->text = value->string_value;
        return true;
    case WAYBILL__V1__ATTRIBUTE_VALUE__KIND_INT_VALUE:
        attribute->kind = ATTRIBUTE_INT;
        attribute->whole = value->int_value;
        return true;
    case WAYBILL__V1__ATTRIBUTE_VALUE__KIND_DOUBLE_VALUE:
        attribute->kind = ATTRIBUTE_DOUBLE;
        attribute->real = value->double_value;
        return true;
    case WAYBILL__V1__ATTRIBUTE_VALUE__KIND_BOOL_VALUE:
        attribute->kind = ATTRIBUTE_BOOL;
        attribute->whole = value->bool_value;
        return true;
    case WAYBILL__V1__ATTRIBUTE_VALUE__KIND_TIMESTAMP_VALUE:
        attribute->kind = ATTRIBUTE_TIMESTAMP;
        attribute->time.seconds = value->timestamp_value->seconds;
        attribute->time.nanos = value->timestamp_value->nanos;
        return true;
    case WAYBILL__V1__ATTRIBUTE_VALUE__KIND_BYTES_VALUE:
        attribute->kind = ATTRIBUTE_BYTES;
        attribute->raw = bytes_of(value->bytes_value.data, value->bytes_value.len);
        return true;
    default:
        return false;
    }
}

static bool attributes_from_proto(const Waybill__V1__Record *message, struct record *record, struct arena *arena) {
    record->attribute_count = message->n_attributes;
    record->attributes = arena_alloc(arena, message->n_attributes * sizeof *record->attributes);
    for (size_t i = 0; i < message->n_attributes; i++) {
        const attributes_entry *entry = message->attributes[i];
        if (!attribute_from_proto(entry->key, entry->value, &record->attributes[i])) {
            return false;
        }
    }
    return true;
}

static bool locations_from_proto(const Waybill__V1__Record *message, struct record *record) {
    if (message->n_locations > RECORD_MAX_LOCATIONS) {
        return false;
    }
    record->location_count = message->n_locations;
    for (size_t i = 0; i < message->n_locations; i++) {
        const Waybill__V1__Location *location = message->locations[i];
        record->locations[i] = (struct location){
            .tier = (enum tier)location->tier,
            .replica = location->replica,
            .store_us = timestamp_from_proto(location->store_time),
        };
    }
    return true;
}

bool record_from_proto(const Waybill__V1__Record *message, struct arena *arena, struct record *record,
                       struct error *error) {
    *record = record_make(message->bucket, message->key);
    record->version = message->version;
    record->revision = message->revision;
    record->state = (enum record_state)message->state;
    record->serving_version = message->serving_version;
    record->content_type = message->content_type;
    record->has_size = message->has_size_case != 0;
    record->size = message->has_size_case != 0 ? message->size : 0;
    record->has_crc32c = message->has_crc32c_case != 0;
    record->crc32c = message->has_crc32c_case != 0 ? message->crc32c : 0;
    record->sha256 = bytes_of(message->sha256.data, message->sha256.len);
    record->create_us = timestamp_from_proto(message->create_time);
    record->update_us = timestamp_from_proto(message->update_time);
    record->store_us = timestamp_from_proto(message->store_time);
    record->expire_us = timestamp_from_proto(message->expire_time);
    record->deadline_us = timestamp_from_proto(message->payload_deadline);
    record->payload_version = message->payload_version;
    record->durability = (enum durability)message->durability;
    record->expire_given = message->expire_time_given;
    if (message->cause != NULL) {
        record->cause =
            (struct cause){message->cause->actor, message->cause->reason, (enum system_cause)message->cause->system};
    }
    bool good = uuid_from_text(message->uid, &record->uid) &&
                uuid_from_text(message->payload_id, &record->payload_id) &&
                attributes_from_proto(message, record, arena) && locations_from_proto(message, record);
    return good || corrupt(error, "record");
}

static Google__Protobuf__Duration *duration_to_proto(int64_t duration_us, struct arena *arena) {
    Google__Protobuf__Duration *message = arena_alloc(arena, sizeof *message);
    google__protobuf__duration__init(message);
    message->seconds = duration_us / 1000000;
    message->nanos = (int32_t)(duration_us % 1000000) * 1000;
    return message;
}

/* `unset_us` for a bucket that was stored before the field was known. */
static int64_t duration_from_proto(const Google__Protobuf__Duration *message, int64_t unset_us) {
    return message == NULL ? unset_us : message->seconds * 1000000 + message->nanos / 1000;
}

static Waybill__V1__StoragePolicy *storage_to_proto(const struct bucket *bucket, struct arena *arena) {
    Waybill__V1__StoragePolicy *storage = arena_alloc(arena, sizeof *storage);
    waybill__v1__storage_policy__init(storage);
    storage->storage_class = (Waybill__V1__StorageClass)bucket->storage_class;
    storage->cold_after = duration_to_proto(bucket->cold_after_us, arena);
    storage->max_versions = bucket->max_versions;
    storage->promote_after_reads = bucket->promote_after_reads;
    storage->overflow_to_cold = bucket->overflow_to_cold;
    if (bucket->expire_after_us > 0) {
        storage->expire_after = duration_to_proto(bucket->expire_after_us, arena);
    }
    if (bucket->version_retention_us > 0) {
        storage->version_retention = duration_to_proto(bucket->version_retention_us, arena);
    }
    return storage;
}

Waybill__V1__Bucket *bucket_to_proto(const struct bucket *bucket, struct arena *arena) {
    Waybill__V1__Bucket *message = arena_alloc(arena, sizeof *message);
    waybill__v1__bucket__init(message);
    message->name = (char *)(uintptr_t)bucket->name;
    message->storage = storage_to_proto(bucket, arena);
    message->delete_retention = duration_to_proto(bucket->delete_retention_us, arena);
    message->has_inline_max_bytes_case = WAYBILL__V1__BUCKET__HAS_INLINE_MAX_BYTES_INLINE_MAX_BYTES;
    message->inline_max_bytes = bucket->inline_max_bytes;
    if (bucket->payload_deadline_us > 0) {
        message->payload_deadline = duration_to_proto(bucket->payload_deadline_us, arena);
    }
    message->write_mode = WAYBILL__V1__WRITE_MODE__WRITE_MODE_DECOUPLED;
    message->on_failure = (Waybill__V1__OnFailure)bucket->on_failure;
    message->uid = uuid_to_text(&bucket->uid, arena);
    message->version = bucket->version;
    message->revision = bucket->revision;
    message->version_floor = bucket->version_floor;
    message->create_time = timestamp_to_proto(bucket->create_us, arena);
    message->update_time = timestamp_to_proto(bucket->update_us, arena);
    return message;
}

bool bucket_from_proto(const Waybill__V1__Bucket *message, struct bucket *bucket, struct error *error) {
    *bucket = (struct bucket){
        .name = message->name,
        .inline_max_bytes = message->inline_max_bytes,
        .version = message->version,
        .revision = message->revision,
        .create_us = timestamp_from_proto(message->create_time),
        .update_us = timestamp_from_proto(message->update_time),
    };
    if (message->storage == NULL || message->storage->cold_after == NULL || message->has_inline_max_bytes_case == 0 ||
        !uuid_from_text(message->uid, &bucket->uid)) {
        return corrupt(error, "bucket");
    }
    bucket->storage_class = (enum storage_class)message->storage->storage_class;
    bucket->cold_after_us = duration_from_proto(message->storage->cold_after, 0);
    bucket->expire_after_us = duration_from_proto(message->storage->expire_after, 0);
    bucket->version_retention_us = duration_from_proto(message->storage->version_retention, 0);
    bucket->delete_retention_us = duration_from_proto(message->delete_retention, BUCKET_DELETE_RETENTION_DEFAULT_US);
    bucket->payload_deadline_us = duration_from_proto(message->payload_deadline, BUCKET_PAYLOAD_DEADLINE_DEFAULT_US);
    bucket->on_failure =
        message->on_failure == WAYBILL__V1__ON_FAILURE__ON_FAILURE_REVERT ? ON_FAILURE_REVERT : ON_FAILURE_KEEP_FAILED;
    bucket->max_versions = message->storage->max_versions;
    bucket->promote_after_reads = message->storage->promote_after_reads;
    bucket->overflow_to_cold = message->storage->overflow_to_cold;
    bucket->version_floor = message->version_floor;
    return true;
}

static struct bytes encode(const ProtobufCMessage *message, struct arena *arena) {
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *out = arena_alloc(arena, size);
    protobuf_c_message_pack(message, out);
    return bytes_of(out, size);
}

struct bytes record_encode(const struct record *record, struct arena *arena) {
    return encode(&record_to_proto(record, arena)->base, arena);
}

bool record_decode(struct bytes wire, struct arena *arena, struct record *record, struct error *error) {
    Waybill__V1__Record *message = waybill__v1__record__unpack(arena_protobuf(arena), wire.size, wire.data);
    return message != NULL ? record_from_proto(message, arena, record, error) : corrupt(error, "record");
}

enum { RECORD_STATE_FIELD = 6 };

bool record_peek_state(struct bytes wire, enum record_state *state) {
    struct wire_field field;
    while (wire_next(&wire, &field)) {
        if (field.number == RECORD_STATE_FIELD && field.type == WIRE_VARINT) {
            *state = (enum record_state)field.value;
            return true;
        }
    }
    return false;
}

struct bytes bucket_encode(const struct bucket *bucket, struct arena *arena) {
    return encode(&bucket_to_proto(bucket, arena)->base, arena);
}

bool bucket_decode(struct bytes wire, struct arena *arena, struct bucket *bucket, struct error *error) {
    Waybill__V1__Bucket *message = waybill__v1__bucket__unpack(arena_protobuf(arena), wire.size, wire.data);
    return message != NULL ? bucket_from_proto(message, bucket, error) : corrupt(error, "bucket");
}
