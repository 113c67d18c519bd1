// rooms: metadata_snapshot test_support
#include "tests/unit/metadata-svc/snapshot/snapshot_fixture.h"

TestSuite(snapshot);

/* A store with some of everything that the snapshot tells apart. */
static struct snapshot_fixture start_filled(void) {
    struct snapshot_fixture fixture = snapshot_fixture_start();
    for (int64_t revision = 1; revision <= 20; revision++) {
        store_change(fixture.kv, revision);
    }
    store(fixture.kv, bytes_of("hphotos\0k", 9), bytes_of("a head", 6));
    store(fixture.kv, bytes_of("x empty", 7), bytes_of("", 0));
    spool_and_want(&fixture, 1, 0);
    spool_and_want(&fixture, 2, 1);
    spool_and_want(&fixture, 3, 100 * KIB);
    spool_and_want(&fixture, 4, 3 * MIB / 2);
    want(fixture.kv, 5, PAYLOAD_AWAITED, 10);
    want(fixture.kv, 6, PAYLOAD_INLINE, 40 * KIB);
    fixture_put(&fixture.spool, 7, 10); /* uploaded, not committed */
    return fixture;
}

static void check_same_entries(struct kv *left, struct kv *right) {
    struct kv_cursor *a = left->ops->cursor_open(left);
    struct kv_cursor *b = right->ops->cursor_open(right);
    left->ops->cursor_seek(a, bytes_of("", 0));
    right->ops->cursor_seek(b, bytes_of("", 0));
    while (a->ops->cursor_valid(a) && b->ops->cursor_valid(b)) {
        cr_assert(bytes_equal(a->ops->cursor_key(a), b->ops->cursor_key(b)));
        cr_assert(bytes_equal(a->ops->cursor_value(a), b->ops->cursor_value(b)));
        a->ops->cursor_next(a);
        b->ops->cursor_next(b);
    }
    cr_assert(!a->ops->cursor_valid(a) && !b->ops->cursor_valid(b));
    a->ops->cursor_close(a);
    b->ops->cursor_close(b);
}

/* A spool where it was restored. */
static void open_restored(struct spool_fixture *spool, const char *directory) {
    struct error error = {0};
    spool->disk = posix_disk_new(directory, &error);
    cr_assert_not_null(spool->disk, "%s", error.message);
    spool->options = (struct payload_spool_options){.max_bytes = 256 * MIB, .clock = &fixture_clock};
    fixture_open(spool);
}

Test(snapshot, restores_to_the_same_entries_and_payloads) {
    struct snapshot_fixture fixture = start_filled();
    struct snapshot_summary taken = take(&fixture);
    cr_assert_eq(taken.header.revision, 20);
    cr_assert_eq(taken.totals.payloads, 4);
    cr_assert_eq(taken.totals.payload_bytes, 1 + 100 * KIB + 3 * MIB / 2);
    cr_assert_eq(taken.totals.lost_payloads, 0);
    struct snapshot_summary restored;
    struct error error = {0};
    const char *spool_dir = path_in(&fixture, "elsewhere/spool");
    cr_assert(restore_bytes(buffer_bytes(&fixture.file), path_in(&fixture, "new/data"), spool_dir, &restored, &error),
              "%s", error.message);
    cr_assert_eq(restored.header.revision, taken.header.revision);
    cr_assert_str_eq(restored.header.shard, "main");
    cr_assert_eq(restored.totals.entries, taken.totals.entries);
    cr_assert_eq(restored.crc32c, taken.crc32c);
    struct kv *kv = fixture_open_kv(fixture.root, "new/data/records");
    check_same_entries(fixture.kv, kv);
    kv->ops->close(kv);
    struct spool_fixture spool;
    open_restored(&spool, spool_dir);
    fixture_check(&spool, 1, 0);
    fixture_check(&spool, 2, 1);
    fixture_check(&spool, 3, 100 * KIB);
    fixture_check(&spool, 4, 3 * MIB / 2);
    cr_assert_eq(fixture_stats(&spool).live_payloads, 4);
    fixture_end(&spool);
    cr_assert_eq(count_names(path_in(&fixture, "new/data")), 1);
    snapshot_fixture_end(&fixture);
}

Test(snapshot, an_empty_store_has_one_too) {
    struct snapshot_fixture fixture = snapshot_fixture_start();
    struct snapshot_summary summary = take(&fixture);
    struct error error = {0};
    cr_assert_eq(summary.header.revision, 0);
    cr_assert(restore_bytes(buffer_bytes(&fixture.file), path_in(&fixture, "new"), NULL, &summary, &error), "%s",
              error.message);
    cr_assert_eq(summary.totals.entries, 0);
    snapshot_fixture_end(&fixture);
}

Test(snapshot, entries_larger_than_a_chunk_fit) {
    struct snapshot_fixture fixture = snapshot_fixture_start();
    uint8_t *large = malloc(3 * MIB);
    fixture_fill(9, 0, large, 3 * MIB);
    store(fixture.kv, bytes_of("a", 1), bytes_of("small", 5));
    store(fixture.kv, bytes_of("b", 1), bytes_of(large, 3 * MIB));
    store(fixture.kv, bytes_of("c", 1), bytes_of("small", 5));
    take(&fixture);
    struct snapshot_summary summary;
    struct error error = {0};
    cr_assert(restore_bytes(buffer_bytes(&fixture.file), path_in(&fixture, "new"), NULL, &summary, &error), "%s",
              error.message);
    struct kv *kv = fixture_open_kv(fixture.root, "new/records");
    check_same_entries(fixture.kv, kv);
    kv->ops->close(kv);
    free(large);
    snapshot_fixture_end(&fixture);
}

/* ---- while it is taken ---- */

static void go_on(struct snapshot_fixture *fixture) {
    store_change(fixture->kv, 21);
    store(fixture->kv, bytes_of("hphotos\0k", 9), bytes_of("a newer head", 12));
    for (uint64_t i = 1; i <= 4; i++) {
        forget(fixture->kv, i);
        fixture_release(&fixture->spool, i);
    }
    spool_and_want(fixture, 8, 1000);
}

Test(snapshot, keeps_what_is_changed_and_released_meanwhile) {
    struct snapshot_fixture fixture = start_filled();
    take(&fixture);
    struct buffer before = fixture.file;
    fixture.file = (struct buffer){0};
    fixture.interrupt_at = 1;
    fixture.interrupt = go_on;
    struct snapshot_summary summary = take(&fixture);
    cr_assert_eq(summary.header.revision, 20);
    cr_assert(bytes_equal(buffer_bytes(&before), buffer_bytes(&fixture.file)));
    /* The hold is over: what was released is gone. */
    cr_assert_not(fixture_has(&fixture.spool, 4));
    cr_assert_eq(take(&fixture).header.revision, 21);
    buffer_free(&before);
    snapshot_fixture_end(&fixture);
}

static void fill_spool(struct snapshot_fixture *fixture) {
    struct error error = {0};
    go_on(fixture);
    for (uint64_t i = 100; fixture_has(&fixture->spool, 4); i++) {
        cr_assert(fixture_try_put(&fixture->spool, i, 50 * KIB, 50 * KIB, &error), "%s", error.message);
        cr_assert_lt(i, 1000);
    }
}

Test(snapshot, is_given_up_when_the_spool_needs_the_room) {
    struct snapshot_fixture fixture = start_filled();
    struct snapshot_summary summary;
    struct error error = {0};
    fixture.interrupt_at = 1;
    fixture.interrupt = fill_spool;
    cr_assert_not(try_take(&fixture, &summary, &error));
    cr_assert_eq(error.code, ERROR_ABORTED);
    cr_assert_str_eq(error.reason, "SNAPSHOT_OVERTAKEN");
    cr_assert_eq(take(&fixture).header.revision, 21);
    snapshot_fixture_end(&fixture);
}

Test(snapshot, a_reader_that_goes_away_ends_the_hold) {
    struct snapshot_fixture fixture = start_filled();
    struct snapshot_summary summary;
    struct error error = {0};
    fixture.interrupt_at = 1;
    fixture.interrupt = go_on;
    fixture.interrupt_fails = true;
    cr_assert_not(try_take(&fixture, &summary, &error));
    cr_assert_str_eq(error.reason, "GONE");
    cr_assert_not(fixture_has(&fixture.spool, 4));
    snapshot_fixture_end(&fixture);
}

Test(snapshot, says_which_payloads_were_lost_before) {
    struct snapshot_fixture fixture = start_filled();
    want(fixture.kv, 10, PAYLOAD_SPOOLED, 1000);
    fixture_put(&fixture.spool, 11, 999);
    want(fixture.kv, 11, PAYLOAD_SPOOLED, 1000); /* other bytes than these */
    want(fixture.kv, 12, PAYLOAD_SPOOLED, 0);
    struct snapshot_summary summary = take(&fixture);
    cr_assert_eq(summary.totals.payloads, 4);
    cr_assert_eq(summary.totals.lost_payloads, 3);
    struct error error = {0};
    cr_assert(restore_bytes(buffer_bytes(&fixture.file), path_in(&fixture, "new"), NULL, &summary, &error), "%s",
              error.message);
    cr_assert_eq(summary.totals.lost_payloads, 3);
    snapshot_fixture_end(&fixture);
}

/* ---- damage ---- */

static bool ignore_payload(void *self, const struct snapshot_payload *payload, struct error *error) {
    (void)self;
    (void)payload;
    (void)error;
    return true;
}

static bool ignore_bytes(void *self, struct bytes data, struct error *error) {
    (void)self;
    (void)data;
    (void)error;
    return true;
}

static bool ignore_end(void *self, bool whole, struct error *error) {
    (void)self;
    (void)whole;
    (void)error;
    return true;
}

static bool ignore_entry(void *self, struct bytes key, struct bytes value, struct error *error) {
    (void)self;
    (void)key;
    (void)value;
    (void)error;
    return true;
}

static bool ignore_entries_end(void *self, struct error *error) {
    (void)self;
    (void)error;
    return true;
}

/* Reads without restoring. */
static bool is_sound(struct bytes file, struct error *error) {
    struct snapshot_source source = {read_bytes, &file};
    struct snapshot_visitor visitor = {ignore_payload, ignore_bytes,       ignore_end,
                                       ignore_entry,   ignore_entries_end, NULL};
    struct snapshot_summary summary;
    *error = (struct error){0};
    return snapshot_read(&source, &visitor, &summary, error);
}

static struct snapshot_fixture start_small(void) {
    struct snapshot_fixture fixture = snapshot_fixture_start();
    store_change(fixture.kv, 1);
    store_change(fixture.kv, 2);
    spool_and_want(&fixture, 1, 0);
    spool_and_want(&fixture, 2, 300);
    want(fixture.kv, 3, PAYLOAD_SPOOLED, 10); /* lost */
    want(fixture.kv, 4, PAYLOAD_INLINE, 100);
    take(&fixture);
    return fixture;
}

Test(snapshot, every_truncation_is_seen) {
    struct snapshot_fixture fixture = start_small();
    struct error error;
    cr_assert(is_sound(buffer_bytes(&fixture.file), &error), "%s", error.message);
    for (size_t size = 0; size < fixture.file.size; size++) {
        cr_assert_not(is_sound(bytes_of(fixture.file.data, size), &error), "%zu bytes", size);
        cr_assert_eq(error.code, ERROR_DATA_LOSS);
        cr_assert_str_eq(error.reason, "SNAPSHOT_TRUNCATED");
    }
    snapshot_fixture_end(&fixture);
}

Test(snapshot, every_flipped_bit_is_seen) {
    struct snapshot_fixture fixture = start_small();
    struct error error;
    for (size_t at = 0; at < fixture.file.size; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            fixture.file.data[at] ^= (uint8_t)(1u << bit);
            cr_assert_not(is_sound(buffer_bytes(&fixture.file), &error), "byte %zu bit %u", at, bit);
            cr_assert_eq(error.code, ERROR_DATA_LOSS, "byte %zu bit %u: %s", at, bit, error.message);
            fixture.file.data[at] ^= (uint8_t)(1u << bit);
        }
    }
    cr_assert(is_sound(buffer_bytes(&fixture.file), &error));
    buffer_append_u8(&fixture.file, 0);
    cr_assert_not(is_sound(buffer_bytes(&fixture.file), &error));
    snapshot_fixture_end(&fixture);
}

/* Chunks whose checksums are right, but which do not make a snapshot. */
Test(snapshot, chunks_of_two_snapshots_do_not_mix) {
    struct snapshot_fixture fixture = start_small();
    struct buffer first = fixture.file;
    struct error error;
    fixture.file = (struct buffer){0};
    store(fixture.kv, bytes_of("z", 1), bytes_of("more", 4));
    take(&fixture);
    /* The end of the one behind the other's other chunks. */
    size_t end = SNAPSHOT_CHUNK_HEADER_BYTES + SNAPSHOT_END_BYTES;
    memcpy(first.data + first.size - end, fixture.file.data + fixture.file.size - end, end);
    cr_assert_not(is_sound(buffer_bytes(&first), &error));
    cr_assert_str_eq(error.reason, "SNAPSHOT_CORRUPT");
    buffer_free(&first);
    snapshot_fixture_end(&fixture);
}

/* ---- where it is restored ---- */

static void check_refused(struct snapshot_fixture *fixture, const char *data_dir, const char *spool_dir,
                          const char *reason) {
    struct snapshot_summary summary;
    struct error error = {0};
    cr_assert_not(restore_bytes(buffer_bytes(&fixture->file), data_dir, spool_dir, &summary, &error));
    cr_assert_str_eq(error.reason, reason, "%s", error.message);
}

Test(snapshot, damage_leaves_the_directories_as_they_were) {
    struct snapshot_fixture fixture = start_small();
    char *data_dir = path_in(&fixture, "data");
    char *spool_dir = path_in(&fixture, "spool");
    fixture.file.data[fixture.file.size - 1] ^= 1;
    check_refused(&fixture, data_dir, spool_dir, "SNAPSHOT_CORRUPT");
    cr_assert_neq(access(data_dir, F_OK), 0);
    cr_assert_neq(access(spool_dir, F_OK), 0);
    cr_assert_eq(mkdir(data_dir, 0755), 0);
    check_refused(&fixture, data_dir, NULL, "SNAPSHOT_CORRUPT");
    cr_assert_eq(count_names(data_dir), 0);
    fixture.file.data[fixture.file.size - 1] ^= 1;
    struct snapshot_summary summary;
    struct error error = {0};
    cr_assert(restore_bytes(buffer_bytes(&fixture.file), data_dir, NULL, &summary, &error), "%s", error.message);
    cr_assert_eq(count_names(data_dir), 2);
    snapshot_fixture_end(&fixture);
}

Test(snapshot, only_empty_directories_are_taken) {
    struct snapshot_fixture fixture = start_small();
    char *data_dir = path_in(&fixture, "data");
    char *spool_dir = path_in(&fixture, "spool");
    struct snapshot_summary summary;
    struct error error = {0};
    cr_assert_eq(mkdir(spool_dir, 0755), 0);
    cr_assert_eq(mkdir(path_in(&fixture, "spool/segment-0000000000000001"), 0755), 0);
    check_refused(&fixture, data_dir, spool_dir, "DIRECTORY_NOT_EMPTY");
    cr_assert_eq(count_names(spool_dir), 1);
    cr_assert_neq(access(data_dir, F_OK), 0);
    /* What a new file system has in it is fine. */
    cr_assert_eq(mkdir(data_dir, 0755), 0);
    cr_assert_eq(mkdir(path_in(&fixture, "data/lost+found"), 0755), 0);
    cr_assert_eq(mkdir(path_in(&fixture, "data/restoring"), 0755), 0);
    check_refused(&fixture, data_dir, NULL, "RESTORE_UNFINISHED");
    cr_assert_eq(rmdir(path_in(&fixture, "data/restoring")), 0);
    cr_assert(restore_bytes(buffer_bytes(&fixture.file), data_dir, NULL, &summary, &error), "%s", error.message);
    check_refused(&fixture, data_dir, path_in(&fixture, "other"), "DIRECTORY_NOT_EMPTY");
    cr_assert_neq(access(path_in(&fixture, "other"), F_OK), 0);
    snapshot_fixture_end(&fixture);
}
