// rooms: object_tier object_hot object_cold
#include "object-svc/tier/recall.h"
#include "object-svc/tier/recall_notes.h"
#include "tests/unit/object-svc/object_rig.h"

enum { OBJECT_BYTES = 1000, HOT = 1, HOT_AND_COLD = 2, COLD = 3 };

static struct rig rig;
static struct tier_ports ports;
static struct disk *disk;
static struct recall *recall;
static struct tier_round round_;
static const struct tier_move move;
static struct watermark_rules watermark;
static const uint8_t content[OBJECT_BYTES];
static struct bucket_policy policy = {.bucket = "photos", .uid = {{7}}};
static bool (*owns)(const struct uuid *payload_id);
static unsigned lists;
static bool list_fails;

/* ---- a metadata-svc that tells of all objects of the rig ---- */

enum { PAGE = 3 };

static Waybill__V1__Record *record_of(size_t number, struct arena *arena) {
    const struct rig_payload *payload = &rig.payloads[number];
    Waybill__V1__Record *record = arena_alloc(arena, sizeof *record);
    Waybill__V1__Location *hot = arena_alloc(arena, sizeof *hot);
    waybill__v1__record__init(record);
    waybill__v1__location__init(hot);
    record->bucket = arena_strdup(arena, "photos");
    record->key = arena_printf(arena, "%zu", number);
    record->payload_version = 1;
    record->size = (int64_t)payload->data.size;
    record->crc32c = payload->crc32c;
    record->payload_id = arena_alloc(arena, UUID_TEXT_BYTES);
    uuid_print(&payload->id, record->payload_id);
    hot->tier = WAYBILL__V1__TIER__TIER_HOT;
    record->locations = arena_alloc(arena, sizeof *record->locations);
    record->locations[0] = hot;
    record->n_locations = rig_has_hot(&rig, &payload->id) ? 1 : 0;
    return record;
}

static bool list(void *self, enum object_tier tier, const char *bucket, struct arena *arena, const char **page_token,
                 Waybill__V1__Record ***records, size_t *count, struct error *error) {
    (void)self;
    lists++;
    cr_assert_eq(tier, OBJECT_TIER_COLD);
    cr_assert_str_eq(bucket, "photos");
    if (list_fails) {
        return error_set(error, ERROR_UNAVAILABLE, "UNAVAILABLE", "metadata-svc is away");
    }
    size_t first = (size_t)atoi(*page_token);
    *records = arena_alloc(arena, PAGE * sizeof **records);
    for (*count = 0; *count < PAGE && first + *count < rig.payload_count; (*count)++) {
        (*records)[*count] = record_of(first + *count, arena);
    }
    *page_token = first + *count < rig.payload_count ? arena_printf(arena, "%zu", first + *count) : "";
    return true;
}

static bool is_mine(void *self, const struct uuid *payload_id) {
    (void)self;
    return owns == NULL || owns(payload_id);
}

static void start(void) {
    struct recall_options options = {.ports = ports, .notes = disk, .watermark = watermark, .is_mine = is_mine};
    recall = recall_new(&options);
}

static void restart(void) {
    recall_free(recall);
    start();
}

static void set_class(int storage_class) {
    policy.storage_class = storage_class;
    policy.goes_cold = storage_class != HOT;
    policy.leaves_hot = storage_class == COLD;
}

static void set_up(void) {
    struct error error = {0};
    char path[96];
    rig_set_up(&rig);
    ports = (struct tier_ports){
        .hot = rig.hot, .cold = rig.cold, .sink = rig_sink(&rig), .clock = &rig.clock, .catalog = {.list = list}};
    snprintf(path, sizeof path, "%s/moves", rig.directory);
    disk = posix_disk_new(path, &error);
    cr_assert_not_null(disk, "%s", error.message);
    start();
}

static void tear_down(void) {
    recall_free(recall);
    disk->ops->free(disk);
    rig_tear_down(&rig);
}

TestSuite(recall, .init = set_up, .fini = tear_down);

/* Objects that are in the cold store alone. */
static void store_cold(size_t count) {
    for (size_t i = 0; i < count; i++) {
        char key[8];
        struct error error = {0};
        snprintf(key, sizeof key, "%zu", rig.payload_count);
        struct rig_payload *payload = rig_store_hot(&rig, key, bytes_of(content, sizeof content));
        struct moved_object object = rig_moved(payload, key);
        cr_assert(tier_demote(&ports, &object, true, &move, &error), "%s", error.message);
    }
}

static void run(void) {
    while (recall_run(recall, &move, &policy, 1, &round_)) {
    }
}

static size_t hot_count(void) {
    size_t count = 0;
    for (size_t i = 0; i < rig.payload_count; i++) {
        count += rig_has_hot(&rig, &rig.payloads[i].id);
    }
    return count;
}

/* A bucket of class COLD that this replica knows, with its objects. */
static void begin_cold(size_t count) {
    set_class(COLD);
    store_cold(count);
    run();
    cr_assert_eq(lists, 0);
}

Test(recall, a_bucket_that_becomes_hot_gets_its_objects_back_and_keeps_the_cold_ones) {
    begin_cold(8);
    set_class(HOT);
    run();
    cr_assert_eq(hot_count(), 8);
    cr_assert_eq(round_.recalled_objects, 8);
    cr_assert(rig_has_cold(&rig, "0") && rig_has_cold(&rig, "7"));
    lists = 0;
    run();
    restart();
    run();
    cr_assert_eq(lists, 0, "once, also over a restart");
}

Test(recall, a_change_that_was_made_while_the_replica_was_away_is_noticed) {
    begin_cold(4);
    set_class(HOT_AND_COLD);
    restart();
    run();
    cr_assert_eq(hot_count(), 4);
}

Test(recall, a_pass_that_was_cut_off_is_made_again) {
    begin_cold(8);
    set_class(HOT);
    recall_run(recall, &move, &policy, 1, &round_); /* reads a page */
    recall_run(recall, &move, &policy, 1, &round_); /* its objects, and the next page */
    cr_assert_eq(hot_count(), PAGE);
    restart();
    run();
    cr_assert_eq(hot_count(), 8);
}

Test(recall, hot_is_not_filled_above_its_low_watermark) {
    watermark = (struct watermark_rules){.capacity_bytes = 10 * OBJECT_BYTES, .high_percent = 80, .low_percent = 50};
    restart();
    begin_cold(8);
    set_class(HOT);
    run();
    cr_assert_eq(hot_count(), 5);
    struct error error = {0};
    cr_assert(hot_store_remove(rig.hot, &rig.payloads[0].id, 1, &error), "%s", error.message);
    run();
    cr_assert_eq(hot_count(), 5, "it goes on where there is room again");
    cr_assert(rig_has_hot(&rig, &rig.payloads[5].id));
}

Test(recall, what_left_hot_in_a_bucket_that_did_not_change_stays_away) {
    set_class(HOT_AND_COLD);
    store_cold(4);
    run();
    cr_assert_eq(hot_count(), 0);
    cr_assert_eq(lists, 0);
}

Test(recall, a_hot_bucket_that_is_new_to_a_replica_is_looked_at_if_it_was_changed) {
    set_class(HOT);
    store_cold(4);
    policy.was_changed = true;
    run();
    cr_assert_eq(hot_count(), 4);
}

Test(recall, what_left_hot_in_a_new_bucket_stays_away) {
    set_class(HOT);
    store_cold(4);
    run();
    cr_assert_eq(lists, 0);
}

static bool owns_second(const struct uuid *payload_id) {
    return uuid_equal(payload_id, &rig.payloads[1].id);
}

Test(recall, replicas_share_the_work_and_do_what_others_left) {
    begin_cold(4);
    set_class(HOT);
    owns = owns_second;
    run();
    cr_assert_eq(hot_count(), 1);
    owns = NULL; /* the others are gone */
    run();
    cr_assert_eq(hot_count(), 1, "not before a pause");
    rig.now_us += 31 * 1000000LL;
    run();
    cr_assert_eq(hot_count(), 4);
}

Test(recall, a_bucket_that_becomes_cold_again_ends_its_pass) {
    begin_cold(8);
    set_class(HOT);
    recall_run(recall, &move, &policy, 1, &round_);
    recall_run(recall, &move, &policy, 1, &round_);
    set_class(COLD);
    run();
    cr_assert_eq(hot_count(), PAGE);
}

Test(recall, an_object_that_is_damaged_does_not_keep_the_others) {
    begin_cold(4);
    char command[160];
    snprintf(command, sizeof command, "find '%s/cold' -path '*/1/*' -type f -exec truncate -s 3 {} +", rig.directory);
    cr_assert_eq(system(command), 0);
    set_class(HOT);
    run();
    cr_assert_eq(hot_count(), 3);
}

Test(recall, it_waits_for_whoever_is_away) {
    begin_cold(4);
    set_class(HOT);
    list_fails = true;
    run();
    cr_assert_eq(hot_count(), 0);
    list_fails = false;
    rig.sink_fails = true;
    run();
    rig.sink_fails = false;
    run();
    cr_assert_eq(hot_count(), 4);
}

/* ---- the notes ---- */

Test(recall, notes_have_the_documented_bytes) {
    struct recall_note notes[] = {{{{0x01, 0x02}}, COLD}, {{{0x03}}, HOT}};
    static const uint8_t golden[] = {0x01, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0xa7, 0x85, 0x41, 0x10,
                                     0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                                     0x00, 0x00, 0x00, 0x00, 0x03, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                                     0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01};
    uint8_t bytes[64];
    struct error error = {0};
    size_t count;
    cr_assert(recall_notes_write(disk, notes, 2, &error), "%s", error.message);
    struct disk_file *file = disk->ops->open(disk, "recall-notes", false, &error);
    cr_assert_not_null(file, "%s", error.message);
    cr_assert_eq(file->ops->read(file, 0, bytes, sizeof bytes, &error), (int64_t)sizeof golden);
    cr_assert_arr_eq(bytes, golden, sizeof golden);
    struct recall_note *back = recall_notes_read(disk, &count);
    cr_assert_eq(count, 2);
    cr_assert(uuid_equal(&back[1].bucket_uid, &notes[1].bucket_uid) && back[1].storage_class == HOT);
    free(back);
    for (uint64_t at = 0; at < sizeof golden; at++) {
        uint8_t flipped = bytes[at] ^ 0x10;
        cr_assert(file->ops->write(file, at, bytes_of(&flipped, 1), &error));
        free(recall_notes_read(disk, &count));
        cr_assert_eq(count, 0, "byte %d", (int)at);
        cr_assert(file->ops->write(file, at, bytes_of(&bytes[at], 1), &error));
    }
    file->ops->close(file);
}
