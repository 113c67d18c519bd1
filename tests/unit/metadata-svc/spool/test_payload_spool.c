// rooms: metadata_spool test_support
#include "tests/unit/metadata-svc/spool/spool_fixture.h"

#include <sys/stat.h>
#include <unistd.h>

static const uint64_t sizes[] = {0, 1, 63, 64, 4096, 16383, 16384, 65536, 262144, 300001, 1048576, 2500000};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

/* ---- uploading and reading ---- */

Test(payload_spool, gives_back_payloads_of_any_size_and_after_a_restart) {
    struct spool_fixture fixture = fixture_start(1, 200);
    struct error error = {0};
    for (size_t i = 0; i < SIZES; i++) {
        size_t piece = i % 2 == 0 ? 1048576 : 1000;
        cr_assert(fixture_try_put(&fixture, i, sizes[i], piece, &error), "%s", error.message);
        fixture_check(&fixture, i, sizes[i]);
    }
    fixture_reopen(&fixture);
    for (size_t i = 0; i < SIZES; i++) {
        fixture_check(&fixture, i, sizes[i]);
    }
    fixture_end(&fixture);
}

Test(payload_spool, works_on_a_real_disk) {
    char root[64] = "/tmp/waybill-spool-XXXXXX";
    struct error error = {0};
    cr_assert_not_null(mkdtemp(root));
    struct disk *disk = posix_disk_new(root, &error);
    cr_assert_not_null(disk, "%s", error.message);
    struct spool_fixture fixture = fixture_on(disk, 200);
    fixture.options.max_open_files = 2;
    fixture_reopen(&fixture);
    for (size_t i = 0; i < SIZES; i++) {
        fixture_put(&fixture, i, sizes[i]);
    }
    fixture_reopen(&fixture);
    for (size_t i = 0; i < SIZES; i++) {
        fixture_check(&fixture, i, sizes[i]);
    }
    fixture_end(&fixture);
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", root);
    cr_assert_eq(system(command), 0);
}

Test(payload_spool, reads_any_range) {
    struct spool_fixture fixture = fixture_start(2, 40);
    struct error error = {0};
    uint64_t size = 5 * SEGMENT_BYTES + 17;
    fixture_put(&fixture, 7, size);
    for (uint64_t offset = 0; offset < size; offset += 9973) {
        for (size_t count = 0; count <= size - offset; count += 31337) {
            cr_assert(fixture_try_read(fixture.spool, 7, offset, count, &error), "%s", error.message);
        }
    }
    cr_assert(fixture_try_read(fixture.spool, 7, size, 0, &error));
    cr_assert_not(fixture_try_read(fixture.spool, 7, size - 1, 2, &error));
    cr_assert_eq(error.code, ERROR_OUT_OF_RANGE);
    cr_assert_str_eq(error.reason, "READ_PAST_END");
    cr_assert_not(fixture_try_read(fixture.spool, 7, UINT64_MAX, 2, &error));
    cr_assert_eq(error.code, ERROR_OUT_OF_RANGE);
    fixture_end(&fixture);
}

Test(payload_spool, tells_checksum_size_names_and_time) {
    struct spool_fixture fixture = fixture_start(3, 8);
    struct error error = {0};
    struct payload_upload *upload = fixture_begin(&fixture, 1, &error);
    cr_assert(payload_upload_append(upload, bytes_of_string("1234"), &error));
    cr_assert(payload_upload_append(upload, bytes_of_string("56789"), &error));
    cr_assert_eq(payload_upload_crc32c(upload), 0xe3069283u);
    cr_assert_eq(payload_upload_size(upload), 9);
    cr_assert(payload_upload_finish(upload, &error));
    for (int i = 0; i < 2; i++) {
        struct uuid id = fixture_id(1);
        struct payload_info info;
        cr_assert(payload_spool_stat(fixture.spool, &id, &info, &error));
        cr_assert_str_eq(info.bucket, "pictures");
        cr_assert_str_eq(info.key, "some/key-1");
        cr_assert_eq(info.size_bytes, 9);
        cr_assert_eq(info.crc32c, 0xe3069283u);
        cr_assert_eq(info.create_unix_us, 1700000000000000);
        cr_assert_not(info.damaged);
        fixture_reopen(&fixture);
    }
    fixture_end(&fixture);
}

Test(payload_spool, many_uploads_are_written_side_by_side) {
    enum { UPLOADS = 10 };
    struct spool_fixture fixture = fixture_start(4, 60);
    struct error error = {0};
    struct payload_upload *uploads[UPLOADS];
    for (uint64_t i = 0; i < UPLOADS; i++) {
        uploads[i] = fixture_begin(&fixture, i, &error);
    }
    for (uint64_t size = 70000; size <= 210000; size += 70000) {
        for (uint64_t i = 0; i < UPLOADS; i++) {
            cr_assert(fixture_append(uploads[i], i, size, 70000, &error), "%s", error.message);
        }
    }
    for (uint64_t i = 0; i < UPLOADS; i++) {
        cr_assert(payload_upload_finish(uploads[i], &error));
    }
    fixture_reopen(&fixture);
    for (uint64_t i = 0; i < UPLOADS; i++) {
        fixture_check(&fixture, i, 210000);
    }
    fixture_end(&fixture);
}

/* ---- what is not there ---- */

Test(payload_spool, an_unfinished_upload_cannot_be_read_and_is_gone_after_abort_and_restart) {
    struct spool_fixture fixture = fixture_start(5, 8);
    struct error error = {0};
    struct payload_upload *upload = fixture_begin(&fixture, 1, &error);
    cr_assert(fixture_append(upload, 1, 100000, 100000, &error));
    cr_assert_not(fixture_try_read(fixture.spool, 1, 0, 1, &error));
    cr_assert_eq(error.code, ERROR_NOT_FOUND);
    cr_assert_str_eq(error.reason, "PAYLOAD_NOT_SPOOLED");
    payload_upload_abort(upload);
    cr_assert_eq(fixture_stats(&fixture).live_bytes, 0);
    cr_assert_eq(fixture_stats(&fixture).live_payloads, 0);
    fixture_reopen(&fixture);
    cr_assert_not(fixture_has(&fixture, 1));
    fixture_end(&fixture);
}

Test(payload_spool, an_id_is_uploaded_once_at_a_time_and_once_while_it_is_there) {
    struct spool_fixture fixture = fixture_start(6, 8);
    struct error error = {0};
    struct payload_upload *upload = fixture_begin(&fixture, 1, &error);
    cr_assert_null(fixture_begin(&fixture, 1, &error));
    cr_assert_str_eq(error.reason, "UPLOAD_IN_PROGRESS");
    cr_assert(payload_upload_finish(upload, &error));
    cr_assert_null(fixture_begin(&fixture, 1, &error));
    cr_assert_eq(error.code, ERROR_FAILED_PRECONDITION);
    cr_assert_str_eq(error.reason, "PAYLOAD_SPOOLED");
    fixture_end(&fixture);
}

Test(payload_spool, of_two_uploads_of_one_id_the_later_counts_after_a_restart) {
    struct spool_fixture fixture = fixture_start(7, 8);
    struct error error = {0};
    struct payload_upload *upload = fixture_begin(&fixture, 1, &error);
    cr_assert(fixture_append(upload, 99, 90000, 90000, &error));
    payload_upload_abort(upload);
    fixture_put(&fixture, 1, 20000);
    fixture_reopen(&fixture);
    fixture_check(&fixture, 1, 20000);
    fixture_release(&fixture, 1);
    fixture_put(&fixture, 1, 40000);
    fixture_reopen(&fixture);
    fixture_check(&fixture, 1, 40000);
    fixture_end(&fixture);
}

/* ---- release and limits ---- */

static void note(void *context, const struct payload_info *info) {
    unsigned *seen = context;
    seen[info->payload_id.raw[15]]++;
}

Test(payload_spool, a_release_can_be_repeated_and_each_shows_what_is_left) {
    struct spool_fixture fixture = fixture_start(8, 8);
    struct error error = {0};
    unsigned seen[256] = {0};
    for (uint64_t i = 0; i < 4; i++) {
        fixture_put(&fixture, i, 1000 * i);
    }
    struct payload_upload *unfinished = fixture_begin(&fixture, 9, &error);
    fixture_release(&fixture, 9);
    fixture_release(&fixture, 2);
    fixture_release(&fixture, 2);
    fixture_release(&fixture, 77);
    payload_spool_each(fixture.spool, note, seen);
    cr_assert(seen[0] == 1 && seen[1] == 1 && seen[2] == 0 && seen[3] == 1 && seen[9] == 0);
    cr_assert_eq(fixture_stats(&fixture).live_bytes, 4000);
    cr_assert_not(fixture_try_read(fixture.spool, 2, 0, 1, &error));
    cr_assert_eq(error.code, ERROR_NOT_FOUND);
    payload_upload_abort(unfinished);
    fixture_end(&fixture);
}

static void release_seen(void *context, const struct payload_info *info) {
    payload_spool_release(context, &info->payload_id);
}

Test(payload_spool, a_visit_may_release_what_it_sees) {
    struct spool_fixture fixture = fixture_start(9, 8);
    for (uint64_t i = 0; i < 20; i++) {
        fixture_put(&fixture, i, 5000);
    }
    payload_spool_each(fixture.spool, release_seen, fixture.spool);
    cr_assert_eq(fixture_stats(&fixture).live_payloads, 0);
    fixture_end(&fixture);
}

static uint64_t disk_bytes(struct spool_fixture *fixture) {
    uint64_t total = 0;
    for (uint64_t number = 0; number < 2000; number++) {
        char name[32];
        fixture_segment_name(number, name);
        total += faulty_disk_file_size(fixture->disk, name);
    }
    return total;
}

Test(payload_spool, a_full_spool_refuses_uploads_and_takes_them_again_after_a_release) {
    struct spool_fixture fixture = fixture_start(10, 4);
    struct error error = {0};
    uint64_t count = 0;
    while (fixture_try_put(&fixture, count, 20000, 20000, &error)) {
        count++;
    }
    cr_assert_eq(error.code, ERROR_RESOURCE_EXHAUSTED);
    cr_assert_str_eq(error.reason, "SPOOL_FULL");
    cr_assert_gt(error.retry_after_ms, 0);
    cr_assert_geq(count, 8);
    cr_assert_not(payload_spool_failed(fixture.spool));
    for (uint64_t round = 0; round < 30; round++) {
        cr_assert_leq(disk_bytes(&fixture), 4 * SEGMENT_BYTES);
        for (uint64_t i = 0; i < count; i++) {
            fixture_check(&fixture, round * count + i, 20000);
            fixture_release(&fixture, round * count + i);
        }
        for (uint64_t i = 0; i < count; i++) {
            fixture_put(&fixture, (round + 1) * count + i, 20000);
        }
    }
    cr_assert_eq(fixture_stats(&fixture).segments, 4);
    fixture_end(&fixture);
}

Test(payload_spool, one_segment_is_enough_to_go_on) {
    struct spool_fixture fixture = fixture_start(11, 1);
    for (uint64_t i = 0; i < 100; i++) {
        fixture_put(&fixture, i, SEGMENT_ROOM_BYTES - 2 * 4096);
        fixture_release(&fixture, i);
    }
    fixture_reopen(&fixture);
    cr_assert_leq(disk_bytes(&fixture), SEGMENT_BYTES);
    fixture_end(&fixture);
}

Test(payload_spool, an_upload_that_meets_the_limit_midway_leaves_the_others_alone) {
    struct spool_fixture fixture = fixture_start(12, 4);
    struct error error = {0};
    fixture_put(&fixture, 1, 30000);
    cr_assert_not(fixture_try_put(&fixture, 2, 10 * SEGMENT_BYTES, 50000, &error));
    cr_assert_str_eq(error.reason, "SPOOL_FULL");
    cr_assert_eq(fixture_stats(&fixture).live_payloads, 1);
    fixture_put(&fixture, 3, 100000);
    fixture_check(&fixture, 1, 30000);
    fixture_end(&fixture);
}

Test(payload_spool, the_number_of_payloads_is_limited) {
    struct spool_fixture fixture = fixture_start(13, 4);
    struct error error = {0};
    fixture.options.max_payloads = 3;
    fixture_reopen(&fixture);
    for (uint64_t i = 0; i < 3; i++) {
        fixture_put(&fixture, i, 10);
    }
    cr_assert_not(fixture_try_put(&fixture, 3, 10, 10, &error));
    cr_assert_str_eq(error.reason, "SPOOL_FULL");
    fixture_end(&fixture);
}

Test(payload_spool, segments_of_another_size_stay_until_they_are_empty) {
    struct spool_fixture fixture = fixture_start(14, 16);
    fixture_put(&fixture, 1, 200000);
    fixture.options.segment_bytes = 3 * SEGMENT_BYTES;
    fixture_reopen(&fixture);
    fixture_check(&fixture, 1, 200000);
    fixture_put(&fixture, 2, 300000);
    fixture_release(&fixture, 1);
    for (uint64_t i = 3; i < 40; i++) {
        fixture_put(&fixture, i, 300000);
        fixture_release(&fixture, i);
    }
    fixture_check(&fixture, 2, 300000);
    cr_assert_eq(disk_bytes(&fixture) % (3 * SEGMENT_BYTES), 0);
    cr_assert_leq(disk_bytes(&fixture), 16 * SEGMENT_BYTES);
    fixture.options.segment_bytes = SEGMENT_BYTES;
    fixture.options.max_bytes = 12 * SEGMENT_BYTES;
    fixture_reopen(&fixture);
    for (uint64_t i = 3; i < 40; i++) {
        fixture_release(&fixture, i); /* the restart may have brought them back */
    }
    fixture_check(&fixture, 2, 300000);
    fixture_put(&fixture, 50, 100000);
    cr_assert_leq(disk_bytes(&fixture), 12 * SEGMENT_BYTES);
    fixture_end(&fixture);
}

Test(payload_spool, bad_options_are_refused) {
    struct disk *disk = faulty_disk_new(1);
    struct error error = {0};
    struct payload_spool_options small = {.segment_bytes = 4096, .max_bytes = 1 << 20};
    struct payload_spool_options tight = {.segment_bytes = 1 << 20, .max_bytes = 1 << 19};
    cr_assert_null(payload_spool_open(disk, &small, &error));
    cr_assert_str_eq(error.reason, "BAD_OPTION");
    cr_assert_null(payload_spool_open(disk, &tight, &error));
    cr_assert_eq(error.code, ERROR_INVALID_ARGUMENT);
    disk->ops->free(disk);
}

/* ---- disk failures ---- */

Test(payload_spool, leaves_the_reserve_free) {
    struct spool_fixture fixture = fixture_start(16, 100);
    struct error error = {0};
    fixture.options.reserve_bytes = 3 * SEGMENT_BYTES;
    fixture_reopen(&fixture);
    faulty_disk_set_capacity(fixture.disk, 6 * SEGMENT_BYTES);
    uint64_t count = 0;
    while (fixture_try_put(&fixture, count, 20000, 20000, &error)) {
        count++;
    }
    cr_assert_eq(error.code, ERROR_RESOURCE_EXHAUSTED);
    cr_assert_str_eq(error.reason, "SPOOL_FULL");
    cr_assert_not(payload_spool_failed(fixture.spool));
    cr_assert_leq(fixture_stats(&fixture).segments, 3);
    faulty_disk_set_capacity(fixture.disk, 7 * SEGMENT_BYTES);
    fixture_put(&fixture, 1000, 20000);
    fixture_end(&fixture);
}

Test(payload_spool, no_space_for_a_segment_is_only_a_full_spool) {
    struct spool_fixture fixture = fixture_start(15, 100);
    struct error error = {0};
    faulty_disk_set_capacity(fixture.disk, 3 * SEGMENT_BYTES + 100);
    uint64_t count = 0;
    while (fixture_try_put(&fixture, count, 20000, 20000, &error)) {
        count++;
    }
    cr_assert_eq(error.code, ERROR_RESOURCE_EXHAUSTED);
    cr_assert_str_eq(error.reason, "SPOOL_FULL");
    cr_assert_gt(error.retry_after_ms, 0);
    cr_assert_not(payload_spool_failed(fixture.spool));
    cr_assert_eq(fixture_stats(&fixture).segments, 3);
    fixture_check(&fixture, 0, 20000);
    faulty_disk_set_capacity(fixture.disk, 0);
    fixture_put(&fixture, 1000, 20000);
    fixture_end(&fixture);
}

/* After a failed operation: nothing acked is lost, nothing more is taken, reading goes on. */
static void expect_read_only(struct spool_fixture *fixture) {
    struct error error = {0};
    cr_assert(payload_spool_failed(fixture->spool));
    cr_assert_null(fixture_begin(fixture, 100, &error));
    cr_assert_eq(error.code, ERROR_UNAVAILABLE);
    cr_assert_str_eq(error.reason, "SPOOL_READ_ONLY");
    fixture_check(fixture, 1, 30000);
    fixture_lose_power(fixture, FAULTY_TEAR);
    fixture_check(fixture, 1, 30000);
    fixture_put(fixture, 100, 30000);
}

Test(payload_spool, after_any_failed_write_or_flush_it_is_read_only_and_nothing_acked_is_lost) {
    for (uint64_t ahead = 1; ahead < 30; ahead++) {
        struct spool_fixture fixture = fixture_start(ahead, 8);
        struct error error = {0};
        fixture_put(&fixture, 1, 30000);
        faulty_disk_fail_at(fixture.disk, faulty_disk_operations(fixture.disk) + ahead, FAULTY_IO_ERROR);
        bool acked = fixture_try_put(&fixture, 2, 100000, 30000, &error);
        if (acked) {
            fixture_end(&fixture);
            cr_assert_gt(ahead, 8, "too few operations were made to fail");
            return;
        }
        cr_assert_not(fixture_has(&fixture, 2));
        if (error.code == ERROR_UNAVAILABLE) {
            expect_read_only(&fixture);
        } else {
            cr_assert_not(payload_spool_failed(fixture.spool)); /* the new segment could not be made */
        }
        fixture_end(&fixture);
    }
    cr_assert_fail("the upload never succeeded");
}

Test(payload_spool, a_failed_flush_is_not_tried_again) {
    struct spool_fixture fixture = fixture_start(16, 8);
    struct error error = {0};
    fixture_put(&fixture, 1, 30000);
    struct payload_upload *first = fixture_begin(&fixture, 2, &error);
    struct payload_upload *second = fixture_begin(&fixture, 3, &error);
    cr_assert(fixture_append(first, 2, 3000, 3000, &error));
    /* The write of the frames, then the flush. */
    faulty_disk_fail_at(fixture.disk, faulty_disk_operations(fixture.disk) + 2, FAULTY_IO_ERROR);
    cr_assert_not(payload_upload_finish(first, &error));
    cr_assert_not(payload_upload_finish(second, &error));
    expect_read_only(&fixture);
    fixture_end(&fixture);
}

Test(payload_spool, a_failed_read_says_so) {
    struct spool_fixture fixture = fixture_start(17, 8);
    struct error error = {0};
    fixture_put(&fixture, 1, 30000);
    faulty_disk_fail_reads(fixture.disk, true);
    cr_assert_not(fixture_try_read(fixture.spool, 1, 0, 30000, &error));
    cr_assert_eq(error.code, ERROR_INTERNAL);
    faulty_disk_fail_reads(fixture.disk, false);
    fixture_check(&fixture, 1, 30000);
    fixture_end(&fixture);
}
