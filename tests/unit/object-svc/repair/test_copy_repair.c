// rooms: object_repair object_hot object_cold
#include <fcntl.h>
#include <ftw.h>
#include <unistd.h>

#include "object-svc/repair/copy_repair.h"
#include "tests/unit/object-svc/object_rig.h"

enum { OBJECT_BYTES = 200000, MARK_BYTES = 64, DAMAGED_AT = 100000 };

static struct rig rig;
static struct repair_ports ports;
static struct repair_copy copy;
static uint8_t content[OBJECT_BYTES];

/* What metadata-svc tells of the object; a test may change it at the n-th time of asking. */
static Waybill__V1__Record record;
static Waybill__V1__Location places[2];
static Waybill__V1__Location *locations[2] = {&places[0], &places[1]};
static char payload_id[UUID_TEXT_BYTES];
static enum object_standing standing;
static unsigned asked;
static void (*on_asked)(unsigned time);

static bool check(void *self, enum object_tier tier, const struct object_name *names, size_t count, struct arena *arena,
                  struct object_check *checks, struct error *error) {
    (void)self;
    (void)arena;
    (void)error;
    cr_assert_eq(tier, copy.tier);
    cr_assert(count == 1 && names->version == 1 && uuid_equal(&names->payload_id, &copy.payload_id));
    if (on_asked != NULL) {
        on_asked(++asked);
    }
    checks[0] = (struct object_check){standing, standing != OBJECT_OBSOLETE ? &record : NULL};
    return true;
}

static void locate_in_both_tiers(void) {
    waybill__v1__location__init(&places[0]);
    waybill__v1__location__init(&places[1]);
    places[0].tier = WAYBILL__V1__TIER__TIER_HOT;
    places[0].replica = "replica-1";
    places[1].tier = WAYBILL__V1__TIER__TIER_COLD;
    record.n_locations = 2;
    record.locations = locations;
}

static struct provenance provenance(void) {
    struct provenance told = rig_provenance(&rig.payloads[0], "a");
    told.content_type = "image/png";
    told.descriptor = bytes_of_string("{\"uid\":\"first\"}");
    return told;
}

static void store_hot(void) {
    struct error error = {0};
    struct provenance told = provenance();
    struct hot_appender *appender = hot_store_open_appender(rig.hot, &error);
    cr_assert(appender != NULL && hot_appender_begin(appender, &told, &error) &&
                  hot_appender_append(appender, bytes_of(content, sizeof content), &error) &&
                  hot_appender_finish(appender, &error) && hot_appender_commit(appender, &error),
              "%s", error.message);
    hot_appender_close(appender);
}

static void store_cold(void) {
    struct error error = {0};
    struct provenance told = provenance();
    struct cold_writer *writer = cold_store_begin(rig.cold, &told, &error);
    cr_assert(writer != NULL && cold_writer_append(writer, bytes_of(content, sizeof content), &error) &&
                  cold_writer_finish(writer, &error),
              "%s", error.message);
}

static void set_up(void) {
    rig_set_up(&rig);
    for (size_t i = 0; i < sizeof content; i++) {
        content[i] = (uint8_t)(i * 31 + i / 251);
    }
    struct rig_payload *payload = rig_spool(&rig, bytes_of(content, sizeof content));
    payload->released = true;
    uuid_print(&payload->id, payload_id);
    waybill__v1__record__init(&record);
    record.bucket = "photos";
    record.key = "a";
    record.state = WAYBILL__V1__RECORD_STATE__RECORD_STATE_STORED;
    record.payload_id = payload_id;
    record.payload_version = 1;
    record.has_size_case = WAYBILL__V1__RECORD__HAS_SIZE_SIZE;
    record.size = OBJECT_BYTES;
    record.has_crc32c_case = WAYBILL__V1__RECORD__HAS_CRC32C_CRC32C;
    record.crc32c = crc32c(bytes_of(content, sizeof content));
    locate_in_both_tiers();
    standing = OBJECT_EXPECTED;
    record.version = 7; /* which shares the payload */
    asked = 0;
    on_asked = NULL;
    ports = (struct repair_ports){
        .reader = {.replica = "replica-1", .hot = rig.hot, .cold = rig.cold, .spool = rig_source(&rig)},
        .catalog = {.check = check},
    };
    copy = (struct repair_copy){.tier = OBJECT_TIER_HOT, .bucket = "photos", .key = "a", .version = 1};
    copy.payload_id = payload->id;
    store_hot();
    store_cold();
}

static void tear_down(void) {
    rig_tear_down(&rig);
}

TestSuite(copy_repair, .init = set_up, .fini = tear_down);

/* ---- damage ---- */

static const char *damaged_folder;
static unsigned damaged_files;

static int flip_in_file(const char *path, const struct stat *status, int type, struct FTW *walk) {
    (void)walk;
    if (type != FTW_F || strstr(path, damaged_folder) == NULL || status->st_size < MARK_BYTES) {
        return 0;
    }
    int file = open(path, O_RDWR);
    uint8_t *bytes = malloc((size_t)status->st_size);
    cr_assert_eq(pread(file, bytes, (size_t)status->st_size, 0), status->st_size);
    uint8_t *at = memmem(bytes, (size_t)status->st_size, content + DAMAGED_AT, MARK_BYTES);
    if (at != NULL) {
        *at ^= 4;
        cr_assert_eq(pwrite(file, at, 1, at - bytes), 1);
        damaged_files++;
    }
    free(bytes);
    close(file);
    return 0;
}

static void damage(const char *folder) {
    damaged_folder = folder;
    damaged_files = 0;
    cr_assert_eq(nftw(rig.directory, flip_in_file, 8, FTW_PHYS), 0);
    cr_assert_eq(damaged_files, 1);
}

static bool hot_is_good(void) {
    static uint8_t bytes[OBJECT_BYTES];
    struct error error = {0};
    struct hot_reader *reader = hot_store_open_object(rig.hot, &copy.payload_id, &error);
    bool good = reader != NULL && hot_reader_read(reader, 0, bytes, sizeof bytes, &error) == OBJECT_BYTES &&
                memcmp(bytes, content, sizeof bytes) == 0;
    if (reader != NULL) {
        hot_reader_close(reader);
    }
    return good;
}

static bool cold_is_good(void) {
    struct error error = {0};
    struct provenance told = provenance();
    return cold_store_verify(rig.cold, &told, &error);
}

static enum repair_outcome run(void) {
    struct error error = {0};
    enum repair_outcome outcome;
    cr_assert(copy_repair_run(&ports, &copy, &outcome, &error), "%s: %s", error.reason, error.message);
    return outcome;
}

static struct error run_in_vain(void) {
    struct error error = {0};
    enum repair_outcome outcome;
    cr_assert_not(copy_repair_run(&ports, &copy, &outcome, &error));
    return error;
}

/* ---- what is mended ---- */

Test(copy_repair, a_damaged_hot_copy_is_written_anew_from_cold) {
    damage("/volumes/");
    cr_assert_not(hot_is_good());
    cr_assert_eq(run(), REPAIR_DONE);
    cr_assert(hot_is_good());
    struct error error = {0};
    struct hot_object object;
    cr_assert(hot_store_find(rig.hot, &copy.payload_id, &object, &error));
    cr_assert(object.cold_copy_known, "it need not be moved again");
    struct hot_reader *reader = hot_store_open_object(rig.hot, &copy.payload_id, &error);
    const struct provenance *told = hot_reader_provenance(reader);
    cr_assert_str_eq(told->content_type, "image/png");
    cr_assert(bytes_equal(told->descriptor, provenance().descriptor), "it says of itself what it said before");
    hot_reader_close(reader);
    cr_assert_eq(run(), REPAIR_NOT_NEEDED);
}

Test(copy_repair, a_damaged_cold_copy_is_written_anew_from_hot) {
    copy.tier = OBJECT_TIER_COLD;
    damage("/cold/");
    cr_assert_not(cold_is_good());
    cr_assert_eq(run(), REPAIR_DONE);
    cr_assert(cold_is_good());
    cr_assert_eq(run(), REPAIR_NOT_NEEDED);
}

Test(copy_repair, a_missing_copy_is_written_anew) {
    struct error error = {0};
    cr_assert(hot_store_remove(rig.hot, &copy.payload_id, 1, &error));
    cr_assert_eq(run(), REPAIR_DONE);
    cr_assert(hot_is_good());
    struct cold_name name = {"photos", "a", 1};
    cr_assert(cold_store_remove(rig.cold, &name, &error));
    copy.tier = OBJECT_TIER_COLD;
    cr_assert_eq(run(), REPAIR_DONE);
    cr_assert(cold_is_good());
}

Test(copy_repair, the_spool_is_a_good_copy_too) {
    struct error error = {0};
    struct cold_name name = {"photos", "a", 1};
    cr_assert(cold_store_remove(rig.cold, &name, &error));
    rig.payloads[0].released = false;
    damage("/volumes/");
    cr_assert_eq(run(), REPAIR_DONE);
    cr_assert(hot_is_good());
}

/* ---- what is left alone ---- */

Test(copy_repair, a_copy_that_no_record_tells_of_is_left) {
    damage("/volumes/");
    standing = OBJECT_UNLISTED;
    cr_assert_eq(run(), REPAIR_OBSOLETE);
    standing = OBJECT_OBSOLETE;
    cr_assert_eq(run(), REPAIR_OBSOLETE);
    cr_assert_not(hot_is_good());
}

Test(copy_repair, without_a_good_copy_nothing_changes) {
    damage("/volumes/");
    damage("/cold/");
    cr_assert_eq(run_in_vain().code, ERROR_DATA_LOSS);
    copy.tier = OBJECT_TIER_COLD;
    cr_assert_eq(run_in_vain().code, ERROR_DATA_LOSS);
    cr_assert(rig_has_hot(&rig, &copy.payload_id) && rig_has_cold(&rig, "a"));
}

Test(copy_repair, a_replica_that_is_away_is_worth_waiting_for) {
    damage("/volumes/");
    damage("/cold/");
    static Waybill__V1__Location third;
    static Waybill__V1__Location *all[3];
    waybill__v1__location__init(&third);
    third.tier = WAYBILL__V1__TIER__TIER_HOT;
    third.replica = "replica-2";
    all[0] = &places[0];
    all[1] = &places[1];
    all[2] = &third;
    record.locations = all;
    record.n_locations = 3;
    cr_assert_eq(run_in_vain().code, ERROR_UNAVAILABLE);
}

Test(copy_repair, ends_soon_when_the_service_stops) {
    struct stop_signal stop;
    stop_signal_init(&stop);
    stop_signal_raise(&stop);
    ports.stop = &stop;
    damage("/volumes/");
    cr_assert_eq(run_in_vain().code, ERROR_CANCELLED);
    cr_assert_not(hot_is_good());
    stop_signal_destroy(&stop);
}

/* ---- what changes meanwhile ---- */

static void purge_at_the_second_time(unsigned time) {
    if (time >= 2) {
        standing = OBJECT_OBSOLETE;
    }
}

Test(copy_repair, the_copy_of_a_version_that_is_purged_meanwhile_is_taken_back) {
    on_asked = purge_at_the_second_time;
    damage("/volumes/");
    cr_assert_eq(run(), REPAIR_OBSOLETE);
    cr_assert_not(rig_has_hot(&rig, &copy.payload_id));
    tear_down();
    set_up();
    on_asked = purge_at_the_second_time;
    copy.tier = OBJECT_TIER_COLD;
    damage("/cold/");
    cr_assert_eq(run(), REPAIR_OBSOLETE);
    cr_assert_not(rig_has_cold(&rig, "a"));
}

static void demote_at_the_second_time(unsigned time) {
    if (time >= 2) {
        standing = OBJECT_UNLISTED;
    }
}

Test(copy_repair, the_copy_of_an_object_that_is_demoted_meanwhile_is_left_to_the_tier_mover) {
    on_asked = demote_at_the_second_time;
    damage("/volumes/");
    cr_assert_eq(run(), REPAIR_OBSOLETE);
    cr_assert(rig_has_hot(&rig, &copy.payload_id));
}
