// rooms: metadata_store
#include <criterion/criterion.h>
#include <math.h>

#include "common/checksum/crc32c.h"
#include "metadata-svc/store/layout.h"
#include "metadata-svc/store/record_codec.h"
#include "metadata-svc/store/record_store.h"

static struct arena arena;

static void set_up(void) {
    arena_init(&arena);
}

static void tear_down(void) {
    arena_free(&arena);
}

TestSuite(record_store, .init = set_up, .fini = tear_down);

/* A look-up that knows one value. */
static bool get_one(void *self, struct bytes key, struct arena *to, struct bytes *value, bool *found,
                    struct error *error) {
    (void)key;
    (void)error;
    *found = true;
    *value = arena_copy(to, *(struct bytes *)self);
    return true;
}

static struct kv_lookup lookup_of(struct bytes *value) {
    return (struct kv_lookup){get_one, value};
}

Test(record_store, a_payload_entry_has_the_documented_bytes) {
    struct uuid id;
    for (int i = 0; i < 16; i++) {
        id.raw[i] = (uint8_t)i;
    }
    static const uint8_t key[] = {0x70, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    cr_assert(bytes_equal(layout_payload_key(&arena, &id), bytes_of(key, sizeof key)));

    struct payload_entry entry = {.place = PAYLOAD_INLINE,
                                  .bucket = "photos",
                                  .key = "a",
                                  .version = 3,
                                  .size = 2,
                                  .crc32c = crc32c(bytes_of_string("hi")),
                                  .due_us = 0x13880,
                                  .redrives = 2,
                                  .data = bytes_of_string("hi")};
    static const uint8_t golden[] = {0x02, 0x03, 0x03, 0,    0,    0,    0,    0,    0,    0,    0x02, 0, 0,    0,
                                     0,    0,    0,    0,    0xc2, 0xd9, 0x9d, 0xf5, 0x80, 0x38, 0x01, 0, 0,    0,
                                     0,    0,    0x02, 0x70, 0x68, 0x6f, 0x74, 0x6f, 0x73, 0,    0x61, 0, 0x68, 0x69};
    struct bytes value = record_store_payload_value(&entry, &arena);
    cr_assert(bytes_equal(value, bytes_of(golden, sizeof golden)));
}

Test(record_store, a_payload_entry_of_before_is_still_read) {
    static const uint8_t before[] = {0x01, 0x03, 0x03, 0,    0,    0,    0, 0,    0,    0,    0x02,
                                     0,    0,    0,    0,    0,    0,    0, 0xc2, 0xd9, 0x9d, 0xf5,
                                     0x70, 0x68, 0x6f, 0x74, 0x6f, 0x73, 0, 0x61, 0,    0x68, 0x69};
    struct bytes value = bytes_of(before, sizeof before);
    struct uuid id = uuid_make();
    struct payload_entry entry;
    struct error error = {0};
    bool found;
    cr_assert(record_store_get_payload(lookup_of(&value), &id, &arena, &entry, &found, &error));
    cr_assert_eq(entry.version, 3);
    cr_assert_eq(entry.due_us, 0);
    cr_assert(bytes_equal(entry.data, bytes_of_string("hi")));
}

Test(record_store, a_failed_payload_has_the_documented_bytes) {
    struct uuid id = {{1, 2, 3}};
    static const uint8_t key[] = {0x78, 0x61, 0x62, 0x63, 0, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    cr_assert(bytes_equal(layout_failure_key(&arena, "abc", &id), bytes_of(key, sizeof key)));
    struct uuid back;
    cr_assert(layout_read_failure_key(bytes_of(key, sizeof key), &back) && uuid_equal(&id, &back));
    cr_assert_not(layout_read_failure_key(bytes_of(key, 17), &back));

    struct payload_failure failure = {.reason = "LOST", .message = "gone", .attempts = 5, .fail_us = 0x13880};
    static const uint8_t golden[] = {0x01, 0x80, 0x38, 0x01, 0,    0,    0, 0,    0,    0x05, 0,
                                     0,    0,    0x4c, 0x4f, 0x53, 0x54, 0, 0x67, 0x6f, 0x6e, 0x65};
    struct bytes value = record_store_failure_value(&failure, &arena);
    cr_assert(bytes_equal(value, bytes_of(golden, sizeof golden)));
    struct payload_failure read;
    struct error error = {0};
    bool found;
    cr_assert(record_store_get_failure(lookup_of(&value), "abc", &id, &arena, &read, &found, &error));
    cr_assert_str_eq(read.reason, "LOST");
    cr_assert_str_eq(read.message, "gone");
    cr_assert_eq(read.attempts, 5);
    cr_assert_eq(read.fail_us, 0x13880);
    for (size_t i = 0; i < 18; i++) {
        struct bytes cut = bytes_of(golden, i);
        cr_assert_not(record_store_get_failure(lookup_of(&cut), "abc", &id, &arena, &read, &found, &error));
        cr_assert_eq(error.code, ERROR_DATA_LOSS);
    }
}

Test(record_store, a_policy_sweep_has_the_documented_bytes) {
    static const uint8_t key[] = {0x77, 0x61, 0x62, 0x63};
    static const uint8_t golden[] = {0x01, 0x80, 0x38, 0x01, 0, 0, 0, 0, 0,    0x03,
                                     0x07, 0,    0,    0,    0, 0, 0, 0, 0x6b, 0x2f};
    cr_assert(bytes_equal(layout_sweep_key(&arena, "abc"), bytes_of(key, sizeof key)));
    struct policy_sweep sweep = {.due_us = 0x13880, .versions = true, .heads = true, .version = 7, .key = "k/"};
    struct bytes value = record_store_sweep_value(&sweep, &arena);
    cr_assert(bytes_equal(value, bytes_of(golden, sizeof golden)));
    struct policy_sweep read;
    struct error error = {0};
    bool found;
    cr_assert(record_store_get_sweep(lookup_of(&value), "abc", &arena, &read, &found, &error));
    cr_assert(read.versions && read.heads && read.version == 7 && read.due_us == 0x13880);
    cr_assert_str_eq(read.key, "k/");
    for (size_t i = 0; i < 18; i++) {
        struct bytes cut = bytes_of(golden, i);
        cr_assert_not(record_store_get_sweep(lookup_of(&cut), "abc", &arena, &read, &found, &error));
        cr_assert_eq(error.code, ERROR_DATA_LOSS);
    }
}

Test(record_store, a_record_comes_back_as_it_was_stored) {
    struct attribute attributes[] = {
        {.name = "bool", .kind = ATTRIBUTE_BOOL, .whole = 1},
        {.name = "bytes", .kind = ATTRIBUTE_BYTES, .raw = {(const uint8_t *)"\0\1", 2}},
        {.name = "double", .kind = ATTRIBUTE_DOUBLE, .real = -0.5},
        {.name = "int", .kind = ATTRIBUTE_INT, .whole = INT64_MIN},
        {.name = "string", .kind = ATTRIBUTE_STRING, .text = "grün"},
        {.name = "time", .kind = ATTRIBUTE_TIMESTAMP, .time = {-1, 999999999}},
    };
    struct record record = record_make("photos", "a/b");
    record.uid = uuid_make();
    record.version = 7;
    record.revision = 99;
    record.state = RECORD_STORED;
    record.serving_version = 7;
    record.content_type = "text/plain";
    record.attributes = attributes;
    record.attribute_count = 6;
    record.has_size = true;
    record.has_crc32c = true;
    record.crc32c = 0xdeadbeef;
    record.payload_id = uuid_make();
    record.location_count = 2;
    record.locations[0] = (struct location){TIER_HOT, "replica-1", 1700000000000001};
    record.locations[1] = (struct location){TIER_COLD, "", 1700000000000002};
    record.create_us = 1600000000123456;
    record.update_us = 1600000000123457;
    record.store_us = 1700000000000001;
    record.deadline_us = 1700000000000003;
    record.expire_us = 1800000000000000;
    record.expire_given = true;
    record.cause = (struct cause){"someone", "because", SYSTEM_CAUSE_TIER_POLICY};

    struct record_head head = {.record = record, .last_revision = 101};
    struct bytes value = record_store_head_value(&head, &arena);
    struct record_head back;
    struct error error = {0};
    bool found;
    cr_assert(record_store_get_head(lookup_of(&value), "photos", "a/b", &arena, &back, &found, &error));
    cr_assert_eq(back.last_revision, 101);
    struct bytes again = record_encode(&back.record, &arena);
    cr_assert(bytes_equal(again, record_encode(&record, &arena)), "all that is encoded survives");
    cr_assert_eq(back.record.attributes[3].whole, INT64_MIN);
    cr_assert_str_eq(back.record.attributes[4].text, "grün");
    cr_assert_eq(back.record.attributes[5].time.nanos, 999999999);
    cr_assert_eq(back.record.locations[1].store_us, 1700000000000002);
    cr_assert_eq(back.record.create_us, 1600000000123456);
    cr_assert_eq(back.record.deadline_us, 1700000000000003);
    cr_assert(back.record.expire_us == 1800000000000000 && back.record.expire_given);
    cr_assert_eq(back.record.crc32c, 0xdeadbeef);
}

Test(record_store, a_damaged_value_is_data_loss_and_never_a_crash) {
    struct record_head head = {.record = record_make("photos", "key"), .last_revision = 1};
    head.record.payload_id = uuid_make();
    struct bytes good = record_store_head_value(&head, &arena);
    for (size_t i = 0; i < good.size; i++) {
        struct bytes cut = bytes_of(good.data, i);
        struct record_head back;
        struct error error = {0};
        bool found;
        if (!record_store_get_head(lookup_of(&cut), "photos", "key", &arena, &back, &found, &error)) {
            cr_assert_eq(error.code, ERROR_DATA_LOSS);
        }
    }
    struct payload_entry entry = {.place = PAYLOAD_SPOOLED, .bucket = "photos", .key = "key"};
    struct bytes payload = record_store_payload_value(&entry, &arena);
    for (size_t i = 0; i < payload.size; i++) {
        struct bytes cut = bytes_of(payload.data, i);
        struct error error = {0};
        bool found;
        cr_assert_not(
            record_store_get_payload(lookup_of(&cut), &head.record.payload_id, &arena, &entry, &found, &error));
        cr_assert_eq(error.code, ERROR_DATA_LOSS);
    }
}

Test(record_store, keys_of_one_bucket_or_key_never_mix_with_those_of_another) {
    struct bytes a = layout_head_key(&arena, "abc", "");
    struct bytes b = layout_head_key(&arena, "abcd", "x");
    cr_assert_not(bytes_start_with(b, a));
    struct bytes v1 = layout_version_key(&arena, "abc", "k", 1);
    struct bytes v256 = layout_version_key(&arena, "abc", "k", 256);
    cr_assert(memcmp(v1.data, v256.data, v1.size) < 0, "versions sort by number");
}

Test(record_store, the_policy_says_when_the_spool_may_let_go) {
    struct record record = record_make("photos", "a");
    struct bucket bucket = {.storage_class = STORAGE_HOT};
    cr_assert_not(bucket_policy_satisfied(&bucket, &record));
    record.locations[record.location_count++] = (struct location){TIER_HOT, "r", 1};
    cr_assert(bucket_policy_satisfied(&bucket, &record));
    bucket.storage_class = STORAGE_HOT_AND_COLD;
    cr_assert_not(bucket_policy_satisfied(&bucket, &record), "cold at once was asked for");
    bucket.cold_after_us = 1;
    cr_assert(bucket_policy_satisfied(&bucket, &record));
    bucket.storage_class = STORAGE_COLD;
    bucket.cold_after_us = 0;
    record.locations[0].tier = TIER_COLD;
    cr_assert(bucket_policy_satisfied(&bucket, &record));
}
