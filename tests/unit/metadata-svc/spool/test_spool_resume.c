// rooms: metadata_spool test_support
#include "tests/unit/metadata-svc/spool/spool_fixture.h"

#include "common/base/log.h"
#include "metadata-svc/spool/spool_parts.h"

/* Uploads that break off and go on. The upload id of payload `number` is another one than its
 * payload id, as for an upload that makes a record of its own. */

static struct uuid upload_id_of(uint64_t number) {
    struct uuid id = {{0x70}};
    put_be64(id.raw + 8, number);
    return id;
}

/* Where it begins anew it gets payload id `number`. */
static struct payload_upload *try_open(struct spool_fixture *fixture, uint64_t number, uint64_t offset,
                                       struct error *error) {
    char key[64];
    snprintf(key, sizeof key, "some/key-%llu", (unsigned long long)number);
    struct upload_start start = {.upload_id = upload_id_of(number),
                                 .payload_id = fixture_id(number),
                                 .bucket = "pictures",
                                 .key = key,
                                 .write_offset = offset};
    return payload_upload_open(fixture->spool, &start, error);
}

static struct payload_upload *open_at(struct spool_fixture *fixture, uint64_t number, uint64_t offset) {
    struct error error = {0};
    struct payload_upload *upload = try_open(fixture, number, offset, &error);
    cr_assert_not_null(upload, "%s", error.message);
    cr_assert_eq(payload_upload_size(upload), offset);
    return upload;
}

enum { WRITTEN_AT_ONCE = 65536 }; /* a piece as long as this is not gathered */

static void append_to(struct payload_upload *upload, uint64_t number, uint64_t size, size_t piece) {
    struct error error = {0};
    cr_assert(fixture_append(upload, number, size, piece, &error), "%s", error.message);
}

static void finish(struct payload_upload *upload) {
    struct error error = {0};
    cr_assert(payload_upload_finish(upload, &error), "%s", error.message);
}

static bool find(struct spool_fixture *fixture, uint64_t number, struct upload_info *info) {
    struct uuid id = upload_id_of(number);
    return payload_spool_find_upload(fixture->spool, &id, info);
}

static uint64_t persisted(struct spool_fixture *fixture, uint64_t number) {
    struct upload_info info;
    return find(fixture, number, &info) ? info.persisted_bytes : 0;
}

static void break_off(struct spool_fixture *fixture, uint64_t number, uint64_t size) {
    struct payload_upload *upload = open_at(fixture, number, 0);
    append_to(upload, number, size, 70000);
    payload_upload_suspend(upload);
    cr_assert_eq(persisted(fixture, number), size);
}

static void finish_from(struct spool_fixture *fixture, uint64_t number, uint64_t offset, uint64_t size) {
    struct payload_upload *upload = open_at(fixture, number, offset);
    append_to(upload, number, size, 60000);
    finish(upload);
    fixture_check(fixture, number, size);
}

static uint32_t crc_of(uint64_t number, uint64_t size) {
    uint8_t *data = malloc(size + 1);
    fixture_fill(number, 0, data, size);
    uint32_t crc = crc32c(bytes_of(data, size));
    free(data);
    return crc;
}

static void check_crc(struct spool_fixture *fixture, uint64_t number, uint64_t size) {
    struct payload_info info;
    struct error error = {0};
    struct uuid id = fixture_id(number);
    cr_assert(payload_spool_stat(fixture->spool, &id, &info, &error), "%s", error.message);
    cr_assert_eq(info.crc32c, crc_of(number, size));
}

/* ---- going on ---- */

Test(spool_resume, an_upload_goes_on_where_it_broke_off_with_the_checksum_of_the_whole) {
    static const uint64_t parts[] = {1, 100, 70000, 262144, 300001, 1048576};
    struct spool_fixture fixture = fixture_start(1, 200);
    for (uint64_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        break_off(&fixture, i, parts[i]);
        cr_assert_not(fixture_has(&fixture, i));
        finish_from(&fixture, i, parts[i], parts[i] + 200000);
        check_crc(&fixture, i, parts[i] + 200000);
    }
    fixture_reopen(&fixture);
    for (uint64_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        fixture_check(&fixture, i, parts[i] + 200000);
    }
    fixture_end(&fixture);
}

Test(spool_resume, an_upload_goes_on_after_a_restart_a_kill_and_a_loss_of_power) {
    static const enum faulty_unsynced unsynced[] = {FAULTY_KEEP, FAULTY_DROP, FAULTY_TEAR};
    struct spool_fixture fixture = fixture_start(2, 60);
    break_off(&fixture, 1, 250000);
    fixture_reopen(&fixture);
    cr_assert_eq(persisted(&fixture, 1), 250000);
    for (int i = 0; i < 3; i++) {
        fixture_lose_power(&fixture, unsynced[i]);
        cr_assert_eq(persisted(&fixture, 1), 250000, "suspended is durable");
    }
    finish_from(&fixture, 1, 250000, 400000);
    check_crc(&fixture, 1, 400000);
    fixture_lose_power(&fixture, FAULTY_DROP);
    fixture_check(&fixture, 1, 400000);
    fixture_end(&fixture);
}

Test(spool_resume, what_a_killed_process_wrote_is_there_up_to_its_last_write) {
    struct spool_fixture fixture = fixture_start(3, 60);
    struct payload_upload *upload = open_at(&fixture, 1, 0);
    append_to(upload, 1, 500000, 100000); /* pieces that are written at once */
    faulty_disk_cut_at(fixture.disk, 1);
    payload_upload_suspend(upload);
    fixture_close(&fixture);
    faulty_disk_restart(fixture.disk, FAULTY_KEEP);
    fixture_open(&fixture);
    cr_assert_eq(persisted(&fixture, 1), 500000);
    finish_from(&fixture, 1, 500000, 600000);
    fixture_end(&fixture);
}

static void verify_upload(struct spool_fixture *fixture, uint64_t number) {
    struct error error = {0};
    struct uuid id = upload_id_of(number);
    cr_assert(payload_spool_verify_upload(fixture->spool, &id, &error), "%s", error.message);
}

/* Dies at the operation of an append; true where there was less than was to be seen before it was read. */
static bool was_torn(unsigned operation) {
    struct spool_fixture fixture = fixture_start(21 + operation, 60);
    struct error error = {0};
    struct payload_upload *upload = open_at(&fixture, 1, 0);
    append_to(upload, 1, 100000, 100000);
    faulty_disk_cut_at(fixture.disk, faulty_disk_operations(fixture.disk) + operation);
    fixture_append(upload, 1, 200000, 100000, &error);
    payload_upload_suspend(upload);
    fixture_close(&fixture);
    faulty_disk_restart(fixture.disk, FAULTY_KEEP);
    fixture_open(&fixture);
    fixture_reopen(&fixture); /* the tail is sealed now, and so looks flushed */
    uint64_t seen = persisted(&fixture, 1);
    verify_upload(&fixture, 1);
    uint64_t told = persisted(&fixture, 1);
    cr_assert(told >= 100000 && told <= seen);
    verify_upload(&fixture, 1); /* once is enough */
    verify_upload(&fixture, 2); /* there is no such upload */
    cr_assert_eq(persisted(&fixture, 1), told);
    finish_from(&fixture, 1, told, 300000);
    check_crc(&fixture, 1, 300000);
    fixture_end(&fixture);
    return told < seen;
}

/* A header whose data never came looks like all others until the data is read. */
Test(spool_resume, what_is_told_of_an_upload_after_a_kill_is_there) {
    unsigned torn = 0;
    for (unsigned operation = 1; operation <= 12; operation++) {
        torn += was_torn(operation) ? 1 : 0;
    }
    cr_assert_gt(torn, 0);
}

Test(spool_resume, an_upload_that_cannot_be_read_is_not_told_of) {
    struct spool_fixture fixture = fixture_start(22, 60);
    struct error error = {0};
    struct uuid id = upload_id_of(1);
    break_off(&fixture, 1, 200000);
    fixture_reopen(&fixture);
    faulty_disk_fail_reads(fixture.disk, true);
    cr_assert_not(payload_spool_verify_upload(fixture.spool, &id, &error));
    cr_assert_eq(error.code, ERROR_INTERNAL);
    faulty_disk_fail_reads(fixture.disk, false);
    verify_upload(&fixture, 1);
    cr_assert_eq(persisted(&fixture, 1), 200000);
    finish_from(&fixture, 1, 200000, 300000);
    fixture_end(&fixture);
}

Test(spool_resume, a_wrong_offset_is_told_the_right_one_and_changes_nothing) {
    static const uint64_t wrong[] = {0, 1, 99999, 100001, UINT64_MAX};
    struct spool_fixture fixture = fixture_start(4, 8);
    struct error error = {0};
    break_off(&fixture, 1, 100000);
    for (size_t i = 0; i < 5; i++) {
        cr_assert_null(try_open(&fixture, 1, wrong[i], &error));
        cr_assert_eq(error.code, ERROR_OUT_OF_RANGE);
        cr_assert_str_eq(error.reason, "WRONG_WRITE_OFFSET");
        cr_assert_str_eq(error.detail_value, "100000");
    }
    cr_assert_null(try_open(&fixture, 2, 5, &error));
    cr_assert_str_eq(error.detail_value, "0");
    cr_assert_eq(fixture_stats(&fixture).live_payloads, 1);
    finish_from(&fixture, 1, 100000, 120000);
    fixture_end(&fixture);
}

Test(spool_resume, one_uploads_at_a_time) {
    struct spool_fixture fixture = fixture_start(5, 8);
    struct error error = {0};
    struct payload_upload *upload = open_at(&fixture, 1, 0);
    cr_assert_null(try_open(&fixture, 1, 0, &error));
    cr_assert_eq(error.code, ERROR_FAILED_PRECONDITION);
    cr_assert_str_eq(error.reason, "UPLOAD_IN_PROGRESS");
    append_to(upload, 1, 1000, 1000);
    finish(upload);
    cr_assert_null(try_open(&fixture, 1, 1000, &error), "finished, and not known to be committed");
    cr_assert_str_eq(error.reason, "UPLOAD_IN_PROGRESS");
    struct uuid id = fixture_id(1);
    payload_spool_settle_upload(fixture.spool, &id);
    struct upload_info info;
    cr_assert_not(find(&fixture, 1, &info));
    fixture_end(&fixture);
}

Test(spool_resume, an_upload_under_way_tells_what_of_it_is_durable) {
    struct spool_fixture fixture = fixture_start(6, 40);
    fixture.options.dirty_bytes = 200000;
    fixture_reopen(&fixture);
    struct payload_upload *upload = open_at(&fixture, 1, 0);
    struct upload_info info;
    for (uint64_t size = 100000; size <= 1000000; size += 100000) {
        append_to(upload, 1, size, 100000);
        cr_assert(find(&fixture, 1, &info) && info.in_progress);
        cr_assert(info.persisted_bytes <= size && info.persisted_bytes + 500000 >= size);
    }
    cr_assert_gt(info.persisted_bytes, 0);
    faulty_disk_cut_at(fixture.disk, 1);
    payload_upload_suspend(upload);
    fixture_close(&fixture);
    faulty_disk_restart(fixture.disk, FAULTY_DROP);
    fixture_open(&fixture);
    cr_assert_geq(persisted(&fixture, 1), info.persisted_bytes);
    fixture_end(&fixture);
}

Test(spool_resume, an_upload_for_another_key_under_the_same_id_begins_anew) {
    struct spool_fixture fixture = fixture_start(7, 8);
    struct error error = {0};
    break_off(&fixture, 1, 50000);
    struct upload_start start = {
        .upload_id = upload_id_of(1), .payload_id = fixture_id(2), .bucket = "pictures", .key = "another"};
    struct payload_upload *upload = payload_upload_open(fixture.spool, &start, &error);
    cr_assert_not_null(upload, "%s", error.message);
    cr_assert_eq(payload_upload_size(upload), 0);
    cr_assert_eq(fixture_stats(&fixture).live_bytes, 0);
    payload_upload_abort(upload);
    fixture_end(&fixture);
}

Test(spool_resume, a_finished_payload_that_was_not_committed_is_an_upload_again) {
    struct spool_fixture fixture = fixture_start(8, 8);
    struct uuid id = fixture_id(1);
    finish_from(&fixture, 1, 0, 100000);
    payload_spool_reopen(fixture.spool, &id);
    cr_assert_not(fixture_has(&fixture, 1));
    finish_from(&fixture, 1, 100000, 100000);
    fixture_lose_power(&fixture, FAULTY_DROP);
    payload_spool_reopen(fixture.spool, &id);
    cr_assert_eq(persisted(&fixture, 1), 100000);
    finish_from(&fixture, 1, 100000, 130000); /* it may even grow */
    check_crc(&fixture, 1, 130000);
    fixture_lose_power(&fixture, FAULTY_DROP);
    fixture_check(&fixture, 1, 130000);
    fixture_end(&fixture);
}

/* ---- large ones ---- */

/* As if all before had been uploaded: only the end is written, over several segments. */
Test(spool_resume, offsets_are_right_up_to_5_tib) {
    static const uint64_t before[] = {((uint64_t)4 << 30) - 30000, ((uint64_t)5 << 40) - 3 * WRITTEN_AT_ONCE};
    for (uint64_t number = 0; number < 2; number++) {
        struct spool_fixture fixture = fixture_start(14, 20);
        struct uuid id = fixture_id(number);
        struct error error = {0};
        pthread_mutex_lock(&fixture.spool->lock);
        struct payload *payload = payload_begin(fixture.spool, &id, "pictures", "large");
        pthread_mutex_unlock(&fixture.spool->lock);
        payload->spooled_bytes = before[number];
        struct payload_upload *upload = payload_upload_new(fixture.spool, payload, true, 0);
        payload->spooled_bytes = 0;
        append_to(upload, number, before[number] + 3 * WRITTEN_AT_ONCE, WRITTEN_AT_ONCE);
        finish(upload);
        for (int i = 0; i < 2; i++) {
            struct payload_info info;
            cr_assert(payload_spool_stat(fixture.spool, &id, &info, &error));
            cr_assert_eq(info.size_bytes, before[number] + 3 * WRITTEN_AT_ONCE);
            for (uint64_t at = 0; at < 3 * WRITTEN_AT_ONCE; at += 20000) {
                size_t count = (size_t)(3 * WRITTEN_AT_ONCE - at < 20000 ? 3 * WRITTEN_AT_ONCE - at : 20000);
                cr_assert(fixture_try_read(fixture.spool, number, before[number] + at, count, &error), "%s",
                          error.message);
            }
            fixture_reopen(&fixture);
        }
        fixture_end(&fixture);
    }
}

/* ---- giving up ---- */

Test(spool_resume, giving_an_upload_up_gives_its_room_back_at_once_even_while_somebody_uploads) {
    struct spool_fixture fixture = fixture_start(9, 4);
    struct error error = {0};
    struct payload_upload *upload = open_at(&fixture, 1, 0);
    append_to(upload, 1, 2 * WRITTEN_AT_ONCE, WRITTEN_AT_ONCE);
    cr_assert_gt(fixture_stats(&fixture).used_bytes, SEGMENT_BYTES);
    fixture_release(&fixture, 1);
    struct payload_spool_stats stats = fixture_stats(&fixture);
    cr_assert(stats.live_bytes == 0 && stats.live_payloads == 0);
    cr_assert_eq(stats.used_bytes, SEGMENT_BYTES, "only the segment that is written to is in use, not %llu bytes",
                 (unsigned long long)stats.used_bytes);
    fixture_put(&fixture, 2, 150000);
    cr_assert_not(fixture_append(upload, 1, 2 * WRITTEN_AT_ONCE + 1, 1, &error));
    cr_assert_eq(error.code, ERROR_ABORTED);
    cr_assert_str_eq(error.reason, "UPLOAD_GIVEN_UP");
    payload_upload_suspend(upload);
    cr_assert_eq(persisted(&fixture, 1), 0);
    fixture_check(&fixture, 2, 150000);
    upload = open_at(&fixture, 1, 0);
    append_to(upload, 1, 1000, 1000);
    fixture_release(&fixture, 1);
    cr_assert_not(payload_upload_finish(upload, &error));
    cr_assert_str_eq(error.reason, "UPLOAD_GIVEN_UP");
    cr_assert_not(fixture_has(&fixture, 1));
    fixture_end(&fixture);
}

static int64_t now_us = 1700000000000000;

static int64_t moving_us(void *self) {
    (void)self;
    return now_us;
}

static const struct clock moving_clock = {.unix_us = moving_us, .monotonic_us = moving_us};

Test(spool_resume, an_abandoned_upload_goes_when_it_was_idle_for_too_long_and_not_before) {
    struct spool_fixture fixture = fixture_start(10, 8);
    fixture.options.clock = &moving_clock;
    fixture.options.upload_idle_us = 1000;
    fixture_reopen(&fixture);
    struct upload_info info;
    break_off(&fixture, 1, 10000);
    now_us += 600;
    break_off(&fixture, 2, 20000);
    cr_assert(find(&fixture, 1, &info));
    cr_assert_eq(info.expire_unix_us, now_us + 400);
    now_us += 399;
    cr_assert_eq(payload_spool_expire_uploads(fixture.spool), 0);
    now_us += 1;
    cr_assert_eq(payload_spool_expire_uploads(fixture.spool), 1);
    cr_assert(persisted(&fixture, 1) == 0 && persisted(&fixture, 2) == 20000);
    struct payload_upload *upload = open_at(&fixture, 2, 20000);
    now_us += 5000;
    cr_assert_eq(payload_spool_expire_uploads(fixture.spool), 0, "somebody uploads");
    payload_upload_suspend(upload);
    cr_assert_eq(payload_spool_expire_uploads(fixture.spool), 0, "the time begins anew");
    now_us += 1000;
    cr_assert_eq(payload_spool_expire_uploads(fixture.spool), 1);
    struct payload_spool_stats stats = fixture_stats(&fixture);
    cr_assert(stats.live_bytes == 0 && stats.idle_uploads == 0 && stats.idle_bytes == 0);
    fixture_end(&fixture);
}

Test(spool_resume, broken_off_uploads_count_towards_the_limit_and_make_room_for_those_that_need_it) {
    struct spool_fixture fixture = fixture_start(11, 10);
    struct error error = {0};
    break_off(&fixture, 1, 100000);
    break_off(&fixture, 2, 100000);
    cr_assert_eq(fixture_stats(&fixture).idle_bytes, 200000);
    struct payload_upload *upload = open_at(&fixture, 3, 0);
    uint64_t size = 0;
    while (persisted(&fixture, 1) > 0) {
        cr_assert_eq(persisted(&fixture, 2), 100000, "the longest idle goes first");
        append_to(upload, 3, size += WRITTEN_AT_ONCE, WRITTEN_AT_ONCE);
    }
    cr_assert_gt(size, 2 * WRITTEN_AT_ONCE, "there was room before");
    bool fits = fixture_append(upload, 3, 11 * WRITTEN_AT_ONCE, WRITTEN_AT_ONCE, &error);
    cr_assert_not(fits, "more than the limit");
    cr_assert_str_eq(error.reason, "SPOOL_FULL");
    cr_assert_gt(error.retry_after_ms, 0);
    cr_assert_leq(fixture_stats(&fixture).segments * SEGMENT_BYTES, fixture.options.max_bytes);
    payload_upload_suspend(upload);
    cr_assert_gt(persisted(&fixture, 3), size, "what came before the spool was full is kept");
    fixture_put(&fixture, 4, 100000);
    cr_assert_eq(persisted(&fixture, 3), 0, "but not at the cost of others");
    fixture_check(&fixture, 4, 100000);
    fixture_end(&fixture);
}

Test(spool_resume, an_upload_that_found_the_spool_full_goes_on_when_there_is_room) {
    struct spool_fixture fixture = fixture_start(12, 5);
    struct error error = {0};
    fixture_put(&fixture, 1, 100000);
    struct payload_upload *upload = open_at(&fixture, 2, 0);
    cr_assert_not(fixture_append(upload, 2, 4 * WRITTEN_AT_ONCE, WRITTEN_AT_ONCE, &error));
    cr_assert_str_eq(error.reason, "SPOOL_FULL");
    payload_upload_suspend(upload);
    fixture_release(&fixture, 1);
    uint64_t kept = persisted(&fixture, 2);
    cr_assert_gt(kept, 0);
    finish_from(&fixture, 2, kept, 3 * WRITTEN_AT_ONCE);
    check_crc(&fixture, 2, 3 * WRITTEN_AT_ONCE);
    fixture_end(&fixture);
}

/* ---- damage ---- */

Test(spool_resume, bytes_that_were_damaged_while_it_waited_are_sent_again) {
    struct spool_fixture fixture = fixture_start(13, 20);
    struct error error = {0};
    struct payload_upload *upload = open_at(&fixture, 1, 0);
    append_to(upload, 1, 3 * 16384, 16384);
    append_to(upload, 1, 3 * 16384 + 3 * 65536, 65536);
    payload_upload_suspend(upload);
    fixture_close(&fixture);
    fixture_flip(&fixture, 2, 20000, 1); /* data, behind the first segment */
    fixture_open(&fixture);
    uint64_t told = persisted(&fixture, 1);
    cr_assert_null(try_open(&fixture, 1, told, &error));
    cr_assert_str_eq(error.reason, "WRONG_WRITE_OFFSET");
    uint64_t left = persisted(&fixture, 1);
    cr_assert(left < told && left > 0);
    finish_from(&fixture, 1, left, 400000);
    check_crc(&fixture, 1, 400000);
    fixture_reopen(&fixture);
    fixture_check(&fixture, 1, 400000);
    fixture_end(&fixture);
}

/* ---- anything, in any order ---- */

enum { STEPS = 150, SIZE = 600000 };

struct walker {
    struct spool_fixture fixture;
    uint64_t random;
    uint64_t number;
    bool finished;
};

static uint64_t draw(struct walker *walker, uint64_t below) {
    walker->random = walker->random * 6364136223846793005u + 1442695040888963407u;
    return (walker->random >> 33) % below;
}

/* As the service does after a start: where the spool found damage, the upload is begun again. */
static bool forget_damaged(struct walker *walker) {
    struct payload_info info;
    struct error absent = {0};
    struct uuid id = fixture_id(walker->number);
    if (walker->finished || !payload_spool_stat(walker->fixture.spool, &id, &info, &absent)) {
        return false;
    }
    cr_assert(info.damaged);
    fixture_release(&walker->fixture, walker->number);
    return true;
}

static void restart(struct walker *walker) {
    struct spool_fixture *fixture = &walker->fixture;
    uint64_t before = persisted(fixture, walker->number);
    bool process_only = draw(walker, 3) == 0;
    if (!process_only) {
        faulty_disk_cut_at(fixture->disk, 1);
    }
    fixture_close(fixture);
    faulty_disk_restart(fixture->disk, (enum faulty_unsynced)draw(walker, 3));
    fixture_open(fixture);
    if (walker->finished) {
        fixture_check(fixture, walker->number, SIZE);
    } else if (!forget_damaged(walker)) {
        cr_assert_geq(persisted(fixture, walker->number), before);
    }
}

/* A crash in mid-upload: what was not flushed may be torn. */
static void crash(struct walker *walker, struct payload_upload *upload) {
    struct spool_fixture *fixture = &walker->fixture;
    struct upload_info info = {0};
    find(fixture, walker->number, &info);
    faulty_disk_cut_at(fixture->disk, 1);
    payload_upload_suspend(upload);
    fixture_close(fixture);
    faulty_disk_restart(fixture->disk, (enum faulty_unsynced)draw(walker, 3));
    fixture_open(fixture);
    if (!forget_damaged(walker)) {
        cr_assert_geq(persisted(fixture, walker->number), info.persisted_bytes);
    }
}

static void walk(struct walker *walker) {
    struct error error = {0};
    uint64_t offset = persisted(&walker->fixture, walker->number);
    struct payload_upload *upload = try_open(&walker->fixture, walker->number, offset, &error);
    if (upload == NULL) {
        cr_assert_str_eq(error.reason, "WRONG_WRITE_OFFSET", "%s", error.message);
        return;
    }
    uint64_t size = offset + draw(walker, 150000);
    size = size < SIZE ? size : SIZE;
    append_to(upload, walker->number, size, (size_t)draw(walker, 100000) + 1);
    if (draw(walker, 3) == 0) {
        crash(walker, upload);
    } else if (size == SIZE) {
        finish(upload);
        walker->finished = true;
        fixture_check(&walker->fixture, walker->number, SIZE);
        check_crc(&walker->fixture, walker->number, SIZE);
    } else {
        payload_upload_suspend(upload);
    }
}

static void walk_seed(uint64_t seed) {
    struct walker walker = {.random = seed, .fixture = fixture_start(seed, 200)};
    walker.fixture.options.dirty_bytes = 100000;
    fixture_reopen(&walker.fixture);
    for (int step = 0; step < STEPS; step++) {
        if (draw(&walker, 6) == 0) {
            restart(&walker);
        } else if (!walker.finished) {
            walk(&walker);
        } else {
            fixture_release(&walker.fixture, walker.number++);
            walker.finished = false;
        }
    }
    cr_assert_gt(walker.number, 0);
    fixture_end(&walker.fixture);
}

/* SPOOL_SEED=<n> walks one seed alone. The log says with which a failure came about. */
Test(spool_resume, however_often_it_breaks_off_what_is_finished_has_the_right_bytes) {
    const char *only = getenv("SPOOL_SEED");
    if (only != NULL) {
        walk_seed(strtoull(only, NULL, 10));
        return;
    }
    for (uint64_t seed = 1; seed <= 15; seed++) {
        log_info("walking", LOG_INT("seed", seed));
        walk_seed(seed);
    }
}
