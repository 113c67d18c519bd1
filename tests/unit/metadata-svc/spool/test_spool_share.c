// rooms: metadata_spool test_support
#include "spool_fixture.h"

TestSuite(spool_share, .timeout = 60);

enum { PIECE = 32 * 1024, SEGMENTS = 16 };

static struct payload_upload *begin(struct spool_fixture *fixture, const char *bucket, uint64_t number,
                                    struct error *error) {
    struct uuid id = fixture_id(number);
    return payload_upload_begin(fixture->spool, &id, bucket, "key", error);
}

/* Appends until there is no more room; the bytes. */
static uint64_t append_all(struct payload_upload *upload, struct error *error) {
    static uint8_t piece[PIECE];
    uint64_t bytes = 0;
    while (payload_upload_append(upload, bytes_of(piece, sizeof piece), error)) {
        bytes += PIECE;
    }
    return bytes;
}

static struct spool_fixture start(void) {
    struct spool_fixture fixture = fixture_start(1, SEGMENTS);
    fixture.options.bucket_percent = 50;
    fixture_reopen(&fixture);
    return fixture;
}

Test(spool_share, a_bucket_that_takes_all_it_can_leaves_room_for_others) {
    struct spool_fixture fixture = start();
    struct error error = {0};
    struct payload_upload *greedy = begin(&fixture, "photos", 1, &error);
    uint64_t bytes = append_all(greedy, &error);
    cr_assert_eq(error.code, ERROR_RESOURCE_EXHAUSTED);
    cr_assert_str_eq(error.reason, "BUCKET_OVER_SHARE");
    cr_assert_str_eq(error.detail_value, "photos");
    cr_assert_gt(error.retry_after_ms, 0);
    uint64_t limit = fixture_stats(&fixture).limit_bytes;
    cr_assert(bytes >= limit / 2 && bytes <= limit / 2 + 2 * PIECE, "%lu of %lu", (unsigned long)bytes,
              (unsigned long)limit);
    cr_assert_null(begin(&fixture, "photos", 2, &error));
    cr_assert_str_eq(error.reason, "BUCKET_OVER_SHARE");
    struct payload_upload *other = begin(&fixture, "films", 3, &error);
    cr_assert_not_null(other, "%s", error.message);
    cr_assert_geq(append_all(other, &error), limit / 5);
    payload_upload_abort(other);
    payload_upload_abort(greedy);
    cr_assert_not_null((greedy = begin(&fixture, "photos", 2, &error)), "its bytes are given back");
    payload_upload_abort(greedy);
    fixture_end(&fixture);
}

Test(spool_share, what_was_there_before_a_restart_counts) {
    struct spool_fixture fixture = start();
    struct error error = {0};
    struct payload_upload *upload = NULL;
    uint64_t number = 1;
    while ((upload = begin(&fixture, "photos", number, &error)) != NULL) {
        static uint8_t piece[PIECE];
        cr_assert(payload_upload_append(upload, bytes_of(piece, sizeof piece), &error), "%s", error.message);
        cr_assert(payload_upload_finish(upload, &error), "%s", error.message);
        number++;
    }
    cr_assert_str_eq(error.reason, "BUCKET_OVER_SHARE");
    fixture_reopen(&fixture);
    cr_assert_null(begin(&fixture, "photos", number, &error));
    cr_assert_str_eq(error.reason, "BUCKET_OVER_SHARE");
    for (uint64_t i = 1; i < number; i++) {
        struct uuid id = fixture_id(i);
        payload_spool_release(fixture.spool, &id);
    }
    cr_assert_not_null((upload = begin(&fixture, "photos", number, &error)), "%s", error.message);
    payload_upload_abort(upload);
    fixture_end(&fixture);
}

Test(spool_share, an_upload_takes_the_place_of_those_of_its_bucket_that_wait) {
    struct spool_fixture fixture = start();
    struct error error = {0};
    struct upload_start waiting = {
        .upload_id = fixture_id(100), .payload_id = fixture_id(1), .bucket = "photos", .key = "a"};
    struct upload_start others = {
        .upload_id = fixture_id(101), .payload_id = fixture_id(2), .bucket = "films", .key = "a"};
    static uint8_t piece[PIECE];
    struct payload_upload *upload = payload_upload_open(fixture.spool, &others, &error);
    cr_assert(payload_upload_append(upload, bytes_of(piece, sizeof piece), &error));
    payload_upload_suspend(upload);
    upload = payload_upload_open(fixture.spool, &waiting, &error);
    cr_assert_gt(append_all(upload, &error), 0);
    payload_upload_suspend(upload);
    cr_assert_eq(fixture_stats(&fixture).idle_uploads, 2);
    upload = begin(&fixture, "photos", 3, &error);
    cr_assert_not_null(upload, "%s", error.message);
    cr_assert_eq(fixture_stats(&fixture).idle_uploads, 1, "the bucket's own was given up, the other one kept");
    payload_upload_abort(upload);
    fixture_end(&fixture);
}
