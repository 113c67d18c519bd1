// rooms: object_tier object_hot object_cold
#include "object-svc/tier/watermark.h"
#include "tests/unit/object-svc/object_rig.h"

enum { OBJECT_BYTES = 1000, CAPACITY = 10 * OBJECT_BYTES };

static struct rig rig;
static struct tier_ports ports;
static struct disk *disk;
static struct read_times *times;
static struct watermark watermark;
static struct tier_round round_;
static const struct tier_move move;
static const uint8_t content[OBJECT_BYTES];
static struct bucket_policy policy = {.bucket = "photos", .overflows = true};

static void set_up(void) {
    struct error error = {0};
    char path[96];
    rig_set_up(&rig);
    ports = (struct tier_ports){.hot = rig.hot, .cold = rig.cold, .sink = rig_sink(&rig), .clock = &rig.clock};
    snprintf(path, sizeof path, "%s/moves", rig.directory);
    disk = posix_disk_new(path, &error);
    cr_assert_not_null(disk, "%s", error.message);
    times = read_times_open(disk);
    watermark = (struct watermark){.rules = {.capacity_bytes = CAPACITY, .high_percent = 80, .low_percent = 50},
                                   .times = times};
}

static void tear_down(void) {
    read_times_free(times);
    disk->ops->free(disk);
    rig_tear_down(&rig);
}

TestSuite(watermark, .init = set_up, .fini = tear_down);

/* Objects "0" ..., one second after the other. */
static void store(size_t count) {
    for (size_t i = 0; i < count; i++) {
        char key[8];
        snprintf(key, sizeof key, "%zu", rig.payload_count);
        rig_store_hot(&rig, key, bytes_of(content, sizeof content));
        rig.now_us += 1000000;
    }
}

static void run(void) {
    while (watermark_run(&watermark, &ports, &move, &policy, 1, &round_)) {
    }
}

static bool is_hot(size_t number) {
    return rig_has_hot(&rig, &rig.payloads[number].id);
}

Test(watermark, nothing_goes_below_the_high_one) {
    store(8);
    run();
    cr_assert_eq(round_.moved_objects, 0);
}

Test(watermark, the_oldest_go_until_the_low_one_and_then_no_more) {
    store(9);
    run();
    cr_assert_eq(round_.moved_objects, 4);
    for (size_t i = 0; i < 9; i++) {
        char key[8];
        snprintf(key, sizeof key, "%zu", i);
        cr_assert_eq(is_hot(i), i >= 4);
        cr_assert_eq(rig_has_cold(&rig, key), i < 4);
    }
    store(3);
    run();
    cr_assert_eq(round_.moved_objects, 4, "5 and 3 are not above the high one");
}

Test(watermark, what_was_read_lately_stays) {
    store(9);
    read_times_note(times, &rig.payloads[0].id, rig.now_us);
    read_times_note(times, &rig.payloads[2].id, rig.now_us);
    run();
    cr_assert(is_hot(0) && is_hot(2));
    cr_assert_not(is_hot(1) || is_hot(3) || is_hot(4) || is_hot(5));
}

Test(watermark, a_bucket_that_does_not_let_its_objects_go_keeps_them) {
    struct bucket_policy pinned = {.bucket = "photos"};
    store(10);
    cr_assert_not(watermark_run(&watermark, &ports, &move, &pinned, 1, &round_));
    cr_assert_not(watermark_run(&watermark, &ports, &move, NULL, 0, &round_), "a bucket that is not known, too");
    cr_assert_eq(round_.moved_objects, 0);
}

Test(watermark, hot_stays_whole_while_moves_are_not_committed) {
    store(9);
    rig.sink_fails = true;
    cr_assert_not(watermark_run(&watermark, &ports, &move, &policy, 1, &round_));
    for (size_t i = 0; i < 9; i++) {
        cr_assert(is_hot(i));
    }
    rig.sink_fails = false;
    run();
    cr_assert_eq(round_.moved_objects, 4);
}

Test(watermark, none_is_kept_where_there_is_none) {
    watermark.rules.high_percent = 0;
    store(12);
    run();
    cr_assert_eq(round_.moved_objects, 0);
}

/* ---- read times ---- */

Test(watermark, read_times_survive_a_restart) {
    struct error error = {0};
    struct uuid id = uuid_make();
    read_times_note(times, &id, 1700000000999999);
    cr_assert(read_times_save(times, &error), "%s", error.message);
    read_times_free(times);
    times = read_times_open(disk);
    cr_assert_eq(read_times_get(times, &id), 1700000000000000);
}

/* docs/formats/read-times.md shows these bytes. */
Test(watermark, the_file_of_read_times_has_these_bytes_and_is_empty_when_damaged) {
    struct error error = {0};
    struct uuid id = {{[12] = 1}};
    uint8_t bytes[20];
    static const uint8_t golden[] = {1,    0,    0, 0, 0, 0, 4,    0,    0xa8, 0xfc,
                                     0x5f, 0x69, 0, 0, 0, 0, 0x00, 0xf1, 0x53, 0x65};
    read_times_note(times, &id, 1700000000000000);
    cr_assert(read_times_save(times, &error));
    struct disk_file *file = disk->ops->open(disk, "read-times", false, &error);
    cr_assert_eq(file->ops->read(file, 0, bytes, sizeof bytes, &error), (int64_t)sizeof bytes);
    cr_assert_eq(memcmp(bytes, golden, sizeof golden), 0);
    cr_assert(file->ops->write(file, 16, bytes_of("x", 1), &error));
    file->ops->close(file);
    read_times_free(times);
    times = read_times_open(disk);
    cr_assert_eq(read_times_get(times, &id), 0);
}
