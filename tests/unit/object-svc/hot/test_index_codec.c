// rooms: object_hot
#include "object-svc/hot/index_codec.h"
#include "tests/unit/object-svc/hot/golden.h"

static struct index_entry example(void) {
    struct index_entry entry = {
        .object = {.version = 3,
                   .payload_id = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}},
                   .size_bytes = 9,
                   .crc32c = 0xe3069283,
                   .store_unix_us = 1700000000000002},
        .volume = 7,
        .offset = 512,
        .needle_bytes = 176,
    };
    strcpy(entry.object.bucket, "photos");
    strcpy(entry.object.key, "a/b");
    return entry;
}

Test(index_codec, an_object_has_the_documented_key_and_value) {
    struct index_entry entry = example();
    struct index_entry again;
    struct buffer key = {0};
    struct buffer value = {0};
    index_object_key(&entry.object.payload_id, &key);
    index_object_value(&entry, &value);
    golden_check(__FILE__, "object-index.md", "object key", buffer_bytes(&key));
    golden_check(__FILE__, "object-index.md", "object value", buffer_bytes(&value));
    cr_assert(index_decode_object(buffer_bytes(&key), buffer_bytes(&value), &again));
    cr_assert_eq(memcmp(&again, &entry, sizeof entry), 0);
    for (size_t size = 0; size < value.size - 3; size++) {
        cr_assert_not(index_decode_object(buffer_bytes(&key), bytes_of(value.data, size), &again));
    }
    buffer_free(&key);
    buffer_free(&value);
}

Test(index_codec, an_age_queue_key_has_the_documented_bytes_and_sorts_by_time) {
    struct index_entry entry = example();
    struct buffer early = {0};
    struct buffer late = {0};
    struct buffer prefix = {0};
    struct uuid id;
    int64_t time;
    index_age_key(&entry, &early);
    golden_check(__FILE__, "object-index.md", "age key", buffer_bytes(&early));
    entry.object.store_unix_us += 300;
    entry.object.payload_id.raw[0] = 0;
    index_age_key(&entry, &late);
    cr_assert_lt(memcmp(early.data, late.data, early.size), 0);
    index_age_prefix("photos", false, &prefix);
    cr_assert(bytes_start_with(buffer_bytes(&late), buffer_bytes(&prefix)));
    cr_assert(index_decode_age(bytes_of(late.data + prefix.size, late.size - prefix.size), &time, &id));
    cr_assert_eq(time, entry.object.store_unix_us);
    index_age_prefix("photo", false, &prefix);
    cr_assert_not(bytes_start_with(buffer_bytes(&late), buffer_bytes(&prefix)));
    buffer_free(&early);
    buffer_free(&late);
    buffer_free(&prefix);
}

Test(index_codec, a_volume_has_the_documented_key_and_value) {
    struct index_volume volume = {.id = 7,
                                  .salt = 0x1122334455667788,
                                  .indexed_bytes = 824,
                                  .live_objects = 1,
                                  .live_sum = 0x9999999999999999,
                                  .dead_bytes = 64,
                                  .sealed = true};
    struct index_volume again;
    struct buffer key = {0};
    struct buffer value = {0};
    index_volume_key(volume.id, &key);
    index_volume_value(&volume, &value);
    golden_check(__FILE__, "object-index.md", "volume key", buffer_bytes(&key));
    golden_check(__FILE__, "object-index.md", "volume value", buffer_bytes(&value));
    cr_assert(index_decode_volume(buffer_bytes(&key), buffer_bytes(&value), &again));
    cr_assert_eq(again.id, volume.id);
    cr_assert_eq(again.salt, volume.salt);
    cr_assert_eq(again.indexed_bytes, volume.indexed_bytes);
    cr_assert_eq(again.live_objects, volume.live_objects);
    cr_assert_eq(again.live_sum, volume.live_sum);
    cr_assert_eq(again.dead_bytes, volume.dead_bytes);
    cr_assert(again.sealed && !again.deleted);
    buffer_free(&key);
    buffer_free(&value);
}
