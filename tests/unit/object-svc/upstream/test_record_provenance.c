// rooms: object_upstream
#include <criterion/criterion.h>

#include "object-svc/upstream/record_provenance.h"

TestSuite(record_provenance);

static Google__Protobuf__Timestamp *time_of(struct arena *arena, int64_t seconds, int32_t nanos) {
    Google__Protobuf__Timestamp *time = arena_alloc(arena, sizeof *time);
    google__protobuf__timestamp__init(time);
    time->seconds = seconds;
    time->nanos = nanos;
    return time;
}

/* A record as an event has it. */
static Waybill__V1__Record *make_record(struct arena *arena) {
    Waybill__V1__Record *record = arena_alloc(arena, sizeof *record);
    Waybill__V1__Record__AttributesEntry *entry = arena_alloc(arena, sizeof *entry);
    Waybill__V1__AttributeValue *value = arena_alloc(arena, sizeof *value);
    waybill__v1__record__init(record);
    waybill__v1__record__attributes_entry__init(entry);
    waybill__v1__attribute_value__init(value);
    value->kind_case = WAYBILL__V1__ATTRIBUTE_VALUE__KIND_INT_VALUE;
    value->int_value = -7;
    entry->key = "n";
    entry->value = value;
    record->attributes = arena_alloc(arena, sizeof *record->attributes);
    record->attributes[0] = entry;
    record->n_attributes = 1;
    record->bucket = "photos";
    record->key = "a/b";
    record->uid = "00010203-0405-0607-0809-0a0b0c0d0e0f";
    record->version = record->payload_version = 3;
    record->revision = 41;
    record->content_type = "text/plain";
    record->has_size_case = WAYBILL__V1__RECORD__HAS_SIZE_SIZE;
    record->size = 9;
    record->has_crc32c_case = WAYBILL__V1__RECORD__HAS_CRC32C_CRC32C;
    record->crc32c = 0xe3069283;
    record->payload_id = "10010203-0405-0607-0809-0a0b0c0d0e0f";
    record->create_time = time_of(arena, 1700000000, 1000);
    record->update_time = time_of(arena, 1700000001, 2000);
    record->expire_time = time_of(arena, 1800000000, 0);
    return record;
}

Test(record_provenance, a_record_is_made_again_of_what_its_object_says) {
    struct arena arena;
    struct error error = {0};
    struct provenance provenance;
    arena_init(&arena);
    const Waybill__V1__Record *before = make_record(&arena);
    cr_assert(record_provenance(before, &arena, &provenance, &error), "%s", error.message);
    provenance.store_unix_us = 1700000002000000;
    const Waybill__V1__Record *after = provenance_record(&provenance, &arena, &error);
    cr_assert_not_null(after, "%s", error.message);
    cr_assert_str_eq(after->bucket, "photos");
    cr_assert_str_eq(after->key, "a/b");
    cr_assert_str_eq(after->uid, before->uid);
    cr_assert_str_eq(after->payload_id, before->payload_id);
    cr_assert_str_eq(after->content_type, "text/plain");
    cr_assert_eq(after->version, 3);
    cr_assert_eq(after->payload_version, 3);
    cr_assert_eq(after->revision, 41);
    cr_assert_eq(after->size, 9);
    cr_assert_eq(after->crc32c, before->crc32c);
    cr_assert_eq(after->state, WAYBILL__V1__RECORD_STATE__RECORD_STATE_STORED);
    cr_assert_eq(after->n_attributes, 1);
    cr_assert_eq(after->attributes[0]->value->int_value, -7);
    cr_assert_eq(after->create_time->nanos, 1000);
    cr_assert_eq(after->update_time->seconds, 1700000001);
    cr_assert_eq(after->expire_time->seconds, 1800000000);
    cr_assert_eq(after->store_time->seconds, 1700000002);
    arena_free(&arena);
}

Test(record_provenance, a_descriptor_that_is_none_of_ours_is_damage) {
    struct arena arena;
    struct error error = {0};
    struct provenance provenance = {
        .bucket = "photos", .key = "a", .version = 1, .descriptor = bytes_of_string("{\"uid\":7}")};
    arena_init(&arena);
    cr_assert_null(provenance_record(&provenance, &arena, &error));
    cr_assert_eq(error.code, ERROR_DATA_LOSS);
    cr_assert_str_eq(error.reason, "DESCRIPTOR_UNREADABLE");
    provenance.descriptor = (struct bytes){0}; /* there need be none */
    cr_assert_not_null(provenance_record(&provenance, &arena, &error));
    arena_free(&arena);
}
