// rooms: waybill_client
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "common/client/proto_json.h"
#include "google/protobuf/any.pb-c.h"
#include "google/protobuf/field_mask.pb-c.h"
#include "google/rpc/error_details.pb-c.h"
#include "waybill/v1/event.pb-c.h"
#include "waybill/v1/metadata_service.pb-c.h"

TestSuite(proto_json);

static void assert_json(const void *message, const char *expected) {
    char *line = proto_json_line(message);
    cr_assert_str_eq(line, expected);
    free(line);
}

Test(proto_json, leaves_defaults_out) {
    Waybill__V1__Record record = WAYBILL__V1__RECORD__INIT;
    assert_json(&record, "{}");
}

Test(proto_json, names_are_lower_camel_case_and_64_bit_integers_strings) {
    Waybill__V1__Record record = WAYBILL__V1__RECORD__INIT;
    record.serving_version = INT64_MAX;
    record.revision = INT64_MIN;
    record.schema_version = -7;
    record.content_type = "text/plain";
    assert_json(&record, "{\"revision\":\"-9223372036854775808\",\"servingVersion\":\"9223372036854775807\","
                         "\"contentType\":\"text/plain\",\"schemaVersion\":-7}");
}

Test(proto_json, optional_fields_are_there_when_set_even_to_zero) {
    Waybill__V1__Record record = WAYBILL__V1__RECORD__INIT;
    record.has_size_case = WAYBILL__V1__RECORD__HAS_SIZE_SIZE;
    record.has_crc32c_case = WAYBILL__V1__RECORD__HAS_CRC32C_CRC32C;
    record.crc32c = 0xffffffff;
    assert_json(&record, "{\"size\":\"0\",\"crc32c\":4294967295}");
}

Test(proto_json, enums_are_named_and_unknown_ones_stay_numbers) {
    Waybill__V1__Record record = WAYBILL__V1__RECORD__INIT;
    record.state = WAYBILL__V1__RECORD_STATE__RECORD_STATE_STORED;
    record.durability = (Waybill__V1__Durability)77;
    assert_json(&record, "{\"state\":\"RECORD_STATE_STORED\",\"durability\":77}");
}

Test(proto_json, repeated_fields_are_arrays) {
    Waybill__V1__Location hot = WAYBILL__V1__LOCATION__INIT;
    hot.tier = WAYBILL__V1__TIER__TIER_HOT;
    hot.replica = "a";
    Waybill__V1__Location cold = WAYBILL__V1__LOCATION__INIT;
    cold.tier = WAYBILL__V1__TIER__TIER_COLD;
    Waybill__V1__Location *locations[] = {&hot, &cold};
    Waybill__V1__Record record = WAYBILL__V1__RECORD__INIT;
    record.n_locations = 2;
    record.locations = locations;
    assert_json(&record, "{\"locations\":[{\"tier\":\"TIER_HOT\",\"replica\":\"a\"},{\"tier\":\"TIER_COLD\"}]}");

    Waybill__V1__WatchChangesRequest watch = WAYBILL__V1__WATCH_CHANGES_REQUEST__INIT;
    Waybill__V1__ChangeType types[] = {WAYBILL__V1__CHANGE_TYPE__CHANGE_TYPE_STAGED,
                                       WAYBILL__V1__CHANGE_TYPE__CHANGE_TYPE_DELETED};
    watch.n_types = 2;
    watch.types = types;
    assert_json(&watch, "{\"types\":[\"CHANGE_TYPE_STAGED\",\"CHANGE_TYPE_DELETED\"]}");

    Waybill__V1__ListRecordsResponse list = WAYBILL__V1__LIST_RECORDS_RESPONSE__INIT;
    char *prefixes[] = {"a/", "b/"};
    list.n_common_prefixes = 2;
    list.common_prefixes = prefixes;
    assert_json(&list, "{\"commonPrefixes\":[\"a/\",\"b/\"]}");
}

static Waybill__V1__Record__AttributesEntry entry(const char *name, Waybill__V1__AttributeValue *value) {
    Waybill__V1__Record__AttributesEntry made = WAYBILL__V1__RECORD__ATTRIBUTES_ENTRY__INIT;
    made.key = (char *)name;
    made.value = value;
    return made;
}

Test(proto_json, maps_are_objects_and_oneofs_show_what_is_set) {
    Waybill__V1__AttributeValue width = WAYBILL__V1__ATTRIBUTE_VALUE__INIT;
    width.kind_case = WAYBILL__V1__ATTRIBUTE_VALUE__KIND_INT_VALUE;
    Waybill__V1__AttributeValue flag = WAYBILL__V1__ATTRIBUTE_VALUE__INIT;
    flag.kind_case = WAYBILL__V1__ATTRIBUTE_VALUE__KIND_BOOL_VALUE;
    Waybill__V1__AttributeValue text = WAYBILL__V1__ATTRIBUTE_VALUE__INIT;
    text.kind_case = WAYBILL__V1__ATTRIBUTE_VALUE__KIND_STRING_VALUE;
    text.string_value = "";
    Waybill__V1__Record__AttributesEntry entries[] = {entry("width", &width), entry("a \"b\"", &flag),
                                                      entry("", &text)};
    Waybill__V1__Record__AttributesEntry *pointers[] = {&entries[0], &entries[1], &entries[2]};
    Waybill__V1__Record record = WAYBILL__V1__RECORD__INIT;
    record.n_attributes = 3;
    record.attributes = pointers;
    assert_json(&record, "{\"attributes\":{\"width\":{\"intValue\":\"0\"},\"a \\\"b\\\"\":{\"boolValue\":false},\"\":{"
                         "\"stringValue\":\"\"}}}");
}

static void assert_base64(const char *data, size_t size, const char *expected) {
    Waybill__V1__Record record = WAYBILL__V1__RECORD__INIT;
    record.sha256 = (ProtobufCBinaryData){size, (uint8_t *)data};
    json_t *value = proto_json(&record.base);
    cr_assert_str_eq(json_string_value(json_object_get(value, "sha256")), expected);
    json_decref(value);
}

Test(proto_json, bytes_are_base64_with_padding) {
    assert_base64("f", 1, "Zg==");
    assert_base64("fo", 2, "Zm8=");
    assert_base64("foo", 3, "Zm9v");
    assert_base64("foob", 4, "Zm9vYg==");
    assert_base64("\xff\xfe\xfd\x00\x3f\xbf", 6, "//79AD+/");
}

static void assert_time(int64_t seconds, int32_t nanos, const char *expected) {
    Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    time.seconds = seconds;
    time.nanos = nanos;
    assert_json(&time, expected);
}

Test(proto_json, times_are_rfc_3339_in_utc) {
    assert_time(0, 0, "\"1970-01-01T00:00:00Z\"");
    assert_time(1767323045, 678000000, "\"2026-01-02T03:04:05.678Z\"");
    assert_time(1767323045, 678901000, "\"2026-01-02T03:04:05.678901Z\"");
    assert_time(1767323045, 1, "\"2026-01-02T03:04:05.000000001Z\"");
    assert_time(-1, 500000000, "\"1969-12-31T23:59:59.500Z\"");
    assert_time(-62135596800, 0, "\"0001-01-01T00:00:00Z\"");
    assert_time(253402300799, 999999999, "\"9999-12-31T23:59:59.999999999Z\"");
    assert_time(253402300800, 0, "null");
    assert_time(0, -1, "null");
    assert_time(INT64_MIN, 0, "null");
}

static void assert_span(int64_t seconds, int32_t nanos, const char *expected) {
    Google__Protobuf__Duration span = GOOGLE__PROTOBUF__DURATION__INIT;
    span.seconds = seconds;
    span.nanos = nanos;
    assert_json(&span, expected);
}

Test(proto_json, durations_are_seconds) {
    assert_span(0, 0, "\"0s\"");
    assert_span(3, 500000000, "\"3.500s\"");
    assert_span(-3, -500000, "\"-3.000500s\"");
    assert_span(0, -1, "\"-0.000000001s\"");
    assert_span(315576000000, 0, "\"315576000000s\"");
    assert_span(315576000001, 0, "null");
    assert_span(1, -1, "null");
}

Test(proto_json, other_well_known_types_have_their_own_form) {
    Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
    char *paths[] = {"content_type", "attributes.a"};
    mask.n_paths = 2;
    mask.paths = paths;
    assert_json(&mask, "\"contentType,attributes.a\"");
    Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
    any.type_url = "type.googleapis.com/x.Y";
    any.value = (ProtobufCBinaryData){2, (uint8_t *)"hi"};
    assert_json(&any, "{\"@type\":\"type.googleapis.com/x.Y\",\"value\":\"aGk=\"}");
}

static void assert_double(double value, const char *expected) {
    Waybill__V1__AttributeValue attribute = WAYBILL__V1__ATTRIBUTE_VALUE__INIT;
    attribute.kind_case = WAYBILL__V1__ATTRIBUTE_VALUE__KIND_DOUBLE_VALUE;
    attribute.double_value = value;
    assert_json(&attribute, expected);
}

Test(proto_json, numbers_without_a_json_form_are_strings) {
    assert_double(0.5, "{\"doubleValue\":0.5}");
    assert_double(NAN, "{\"doubleValue\":\"NaN\"}");
    assert_double(INFINITY, "{\"doubleValue\":\"Infinity\"}");
    assert_double(-INFINITY, "{\"doubleValue\":\"-Infinity\"}");
}

Test(proto_json, events_nest) {
    Waybill__V1__Record record = WAYBILL__V1__RECORD__INIT;
    record.key = "ä/日本";
    Waybill__V1__Cause cause = WAYBILL__V1__CAUSE__INIT;
    cause.system = WAYBILL__V1__SYSTEM_CAUSE__SYSTEM_CAUSE_UPLOAD;
    Waybill__V1__ChangeEvent event = WAYBILL__V1__CHANGE_EVENT__INIT;
    event.revision = 4;
    event.cause = &cause;
    event.record = &record;
    Waybill__V1__WatchChangesResponse item = WAYBILL__V1__WATCH_CHANGES_RESPONSE__INIT;
    item.item_case = WAYBILL__V1__WATCH_CHANGES_RESPONSE__ITEM_EVENT;
    item.event = &event;
    assert_json(&item, "{\"event\":{\"revision\":\"4\",\"cause\":{\"system\":\"SYSTEM_CAUSE_UPLOAD\"},"
                       "\"record\":{\"key\":\"ä/日本\"}}}");
}

Test(proto_json, text_that_is_not_utf_8_is_mended) {
    json_t *text = proto_json_text("a\xff\xc3\xa4\xc3");
    cr_assert_str_eq(json_string_value(text), "a\xef\xbf\xbd\xc3\xa4\xef\xbf\xbd");
    json_decref(text);
}
