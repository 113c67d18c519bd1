// rooms: metadata_snapshot test_support
#include "tests/unit/metadata-svc/snapshot/snapshot_fixture.h"

#include "tests/unit/object-svc/hot/golden.h"

TestSuite(snapshot_format);

/* Two entries, one payload of two bytes that waits in the spool. */
Test(snapshot_format, is_as_its_page_says) {
    struct snapshot_fixture fixture = snapshot_fixture_start();
    struct uuid id = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}};
    struct error error = {0};
    struct arena arena;
    arena_init(&arena);
    struct payload_upload *upload = payload_upload_begin(fixture.spool.spool, &id, "photos", "a", &error);
    cr_assert_not_null(upload);
    cr_assert(payload_upload_append(upload, bytes_of("hi", 2), &error) && payload_upload_finish(upload, &error));
    struct payload_entry entry = {.place = PAYLOAD_SPOOLED,
                                  .bucket = "photos",
                                  .key = "a",
                                  .version = 3,
                                  .size = 2,
                                  .crc32c = crc32c(bytes_of("hi", 2))};
    store(fixture.kv, layout_payload_key(&arena, &id), record_store_payload_value(&entry, &arena));
    store_change(fixture.kv, 7);
    struct snapshot_summary summary = take(&fixture);
    cr_assert_eq(summary.header.revision, 7);
    golden_check(__FILE__, "snapshot.md", "snapshot", buffer_bytes(&fixture.file));
    arena_free(&arena);
    snapshot_fixture_end(&fixture);
}

Test(snapshot_format, a_newer_format_is_told_from_damage) {
    uint8_t bytes[SNAPSHOT_HEADER_BYTES];
    struct snapshot_header header = {.revision = 1, .shard = "0"};
    struct error error = {0};
    snapshot_header_encode(&header, bytes);
    bytes[4]++;
    cr_assert_not(snapshot_header_decode(bytes, &header, &error));
    cr_assert_str_eq(error.reason, "SNAPSHOT_CORRUPT");
    put_le32(bytes + 60, crc32c(bytes_of(bytes, 60)));
    cr_assert_not(snapshot_header_decode(bytes, &header, &error));
    cr_assert_str_eq(error.reason, "SNAPSHOT_TOO_NEW");
}
