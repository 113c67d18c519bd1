// rooms: waybill_client
#include <criterion/criterion.h>
#include <stdlib.h>

#include "common/client/proto_json.h"
#include "common/client/proto_json_parse.h"
#include "waybill/v1/bucket.pb-c.h"
#include "waybill/v1/event.pb-c.h"

TestSuite(proto_json_parse);

/* Reads what was written, and writes it again. */
static void assert_same_again(const ProtobufCMessageDescriptor *type, const char *text) {
    struct arena arena;
    arena_init(&arena);
    ProtobufCMessage *message = proto_json_parse(type, bytes_of_string(text), &arena);
    cr_assert_not_null(message, "%s", text);
    char *again = proto_json_line(message);
    cr_assert_str_eq(again, text);
    free(again);
    arena_free(&arena);
}

static void assert_refused(const ProtobufCMessageDescriptor *type, const char *text) {
    struct arena arena;
    arena_init(&arena);
    cr_assert_null(proto_json_parse(type, bytes_of_string(text), &arena), "%s", text);
    arena_free(&arena);
}

Test(proto_json_parse, reads_all_kinds_of_attributes_back) {
    assert_same_again(
        &waybill__v1__record__descriptor,
        "{\"uid\":\"00010203-0405-0607-0809-0a0b0c0d0e0f\",\"attributes\":{"
        "\"text\":{\"stringValue\":\"\xc3\xa4 \\\"x\\\"\"},\"whole\":{\"intValue\":\"-9223372036854775808\"},"
        "\"real\":{\"doubleValue\":0.10000000000000001},\"huge\":{\"doubleValue\":\"-Infinity\"},"
        "\"no\":{\"boolValue\":false},\"when\":{\"timestampValue\":\"0001-01-01T00:00:00.000000001Z\"},"
        "\"raw\":{\"bytesValue\":\"AAH/gA==\"},\"none\":{\"bytesValue\":\"\"}},"
        "\"createTime\":\"2026-11-23T14:17:26.000005Z\"}");
}

Test(proto_json_parse, reads_whole_events_and_buckets_back) {
    assert_same_again(
        &waybill__v1__change_event__descriptor,
        "{\"shard\":\"0\",\"revision\":\"7\",\"type\":\"CHANGE_TYPE_STORED\",\"record\":{\"bucket\":\"b\","
        "\"key\":\"k\",\"state\":\"RECORD_STATE_STORED\",\"size\":\"0\",\"crc32c\":4294967295,"
        "\"locations\":[{\"tier\":\"TIER_HOT\",\"replica\":\"r\"},{\"tier\":\"TIER_COLD\"}]}}");
    assert_same_again(&waybill__v1__bucket__descriptor,
                      "{\"name\":\"bkt\",\"storage\":{\"storageClass\":\"STORAGE_CLASS_COLD\",\"coldAfter\":\"3.500s\","
                      "\"maxVersions\":3},\"inlineMaxBytes\":\"0\"}");
    assert_same_again(&waybill__v1__record__descriptor, "{}");
}

Test(proto_json_parse, passes_over_what_is_not_known) {
    struct arena arena;
    arena_init(&arena);
    const char *text = "{\"uid\":\"u\",\"newField\":[1,{}],\"createTime\":null,\"attributes\":{\"a\":{\"newKind\":1}}}";
    const Waybill__V1__Record *record =
        (const Waybill__V1__Record *)proto_json_parse(&waybill__v1__record__descriptor, bytes_of_string(text), &arena);
    cr_assert_not_null(record);
    cr_assert_str_eq(record->uid, "u");
    cr_assert_null(record->create_time);
    cr_assert_eq(record->n_attributes, 1);
    cr_assert_eq(record->attributes[0]->value->kind_case, 0);
    arena_free(&arena);
}

Test(proto_json_parse, refuses_values_of_the_wrong_kind) {
    static const char *const bad[] = {
        "",
        "[]",
        "{\"uid\":1}",
        "{\"version\":\"x\"}",
        "{\"version\":\"9223372036854775808\"}",
        "{\"crc32c\":-1}",
        "{\"crc32c\":4294967296}",
        "{\"state\":\"RECORD_STATE_NONE\"}",
        "{\"sha256\":\"AAA\"}",
        "{\"sha256\":\"A*==\"}",
        "{\"createTime\":\"2026-11-23\"}",
        "{\"createTime\":\"2026-11-23T14:17:26+01:00\"}",
        "{\"locations\":7}",
        "{\"cause\":\"x\"}",
        "{\"attributes\":{\"a\":{\"boolValue\":1}}}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_refused(&waybill__v1__record__descriptor, bad[i]);
    }
}
