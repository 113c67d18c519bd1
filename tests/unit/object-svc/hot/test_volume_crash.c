// rooms: object_hot
#include "object-svc/hot/volume_compaction.h"
#include "tests/unit/object-svc/hot/crashing_disk.h"
#include "tests/unit/object-svc/hot/hot_fixture.h"

enum { ROUNDS = 60, MAX_OBJECTS = 2000 };

static struct hot_fixture fixture;
static struct crashing_disk *disk;

static void insert_disk(void) {
    fixture.disk = crashing_disk_new(fixture.volumes);
    disk = crashing_of(fixture.disk);
}

static void start(void) {
    fixture_init(&fixture);
    fixture.options.volume_bytes = 300000;
    insert_disk();
}

static void end(void) {
    fixture_end(&fixture);
}

TestSuite(volume_crash, .init = start, .fini = end, .timeout = 250);

static uint64_t size_of(uint64_t number) {
    return number * 7919 % 5 == 0 ? 70000 + number % 1000 : number * 131 % 9000;
}

/* What the caller was told. */
static enum { UNKNOWN, COMMITTED, REMOVED } told[MAX_OBJECTS];
static uint64_t uncommitted; /* the newest so many */

static void commit_some(struct hot_appender *appender, uint64_t *next, unsigned *seed) {
    unsigned count = 1 + (unsigned)rand_r(seed) % 6;
    for (unsigned i = 0; i < count; i++) {
        fixture_append(appender, *next + i, size_of(*next + i));
    }
    *next += count;
    uncommitted += count;
    /* Now and then the crash, or the next batch, comes before the commit. */
    if (rand_r(seed) % 4 != 0) {
        fixture_commit(appender);
        for (; uncommitted > 0; uncommitted--) {
            told[*next - uncommitted] = COMMITTED;
        }
    }
}

/* What is found may be reported, and must then stay. */
static void check_told(uint64_t next) {
    for (uint64_t i = 0; i < next; i++) {
        if (told[i] == COMMITTED || fixture_has(&fixture, i)) {
            fixture_check_object(&fixture, i, size_of(i));
            told[i] = told[i] == REMOVED ? REMOVED : COMMITTED;
        }
    }
}

/* The process is killed. With `power_loss` the unsynced bytes of the volumes go in part too, and
 * the index is at most what it was, or an older one, since it is not synced either. */
static void crash(struct hot_appender *appender, bool power_loss, const char *older_index, unsigned *seed) {
    char now[128];
    snprintf(now, sizeof now, "%s/now", fixture.root);
    fixture_copy(fixture.index, now);
    disk->dead = true;
    hot_appender_close(appender);
    hot_store_close(fixture.store);
    fixture.store = NULL;
    disk->dead = false;
    if (power_loss) {
        crashing_disk_crash(fixture.disk, seed);
        fixture.disk->ops->free(fixture.disk);
        insert_disk();
    }
    fixture_copy(power_loss && older_index != NULL && rand_r(seed) % 2 ? older_index : now, fixture.index);
    uncommitted = 0;
}

Test(volume_crash, every_committed_object_survives_kills_and_power_loss_at_any_time) {
    char older[128];
    unsigned seed = 11;
    uint64_t next = 0;
    snprintf(older, sizeof older, "%s/older", fixture.root);
    for (int round = 0; round < ROUNDS; round++) {
        fixture_now_us += 1000;
        fixture_open(&fixture);
        check_told(next);
        fixture_copy(fixture.index, older);
        struct hot_appender *appender = fixture_appender(&fixture);
        unsigned steps = (unsigned)rand_r(&seed) % 8;
        for (unsigned step = 0; step < steps && next + 8 < MAX_OBJECTS; step++) {
            commit_some(appender, &next, &seed);
        }
        crash(appender, rand_r(&seed) % 3 != 0, older, &seed);
    }
    fixture_open(&fixture);
    check_told(next);
    cr_assert_gt(next, 300);
}

/* What a killed process wrote is there for the next one, in memory: it must not be taken in
 * before it is on the disk. */
Test(volume_crash, an_object_found_after_a_kill_survives_power_loss) {
    unsigned seed = 3;
    char older[128];
    snprintf(older, sizeof older, "%s/older", fixture.root);
    for (uint64_t i = 0; i < 10; i++) {
        fixture_open(&fixture);
        struct hot_appender *appender = fixture_appender(&fixture);
        fixture_copy(fixture.index, older);
        fixture_append(appender, i, 7000);
        disk->die_at_sync = true; /* killed in the flush: written, not durable, not in the index */
        fixture_commit(appender);
        hot_appender_close(appender);
        hot_store_close(fixture.store);
        disk->dead = false;
        disk->die_at_sync = false;
        fixture_copy(older, fixture.index);
        fixture_open(&fixture);
        cr_assert(fixture_has(&fixture, i));
        crash(fixture_appender(&fixture), true, NULL, &seed);
        fixture_open(&fixture);
        fixture_check_object(&fixture, i, 7000);
        hot_store_close(fixture.store);
        fixture.store = NULL;
    }
}

/* Deletions of volumes are synced in the index, so an older index is not a state that power loss
 * leaves; the newest one is. */
Test(volume_crash, removals_and_deleted_volumes_survive_or_come_back_whole) {
    unsigned seed = 5;
    uint64_t next = 0;
    char now[128];
    snprintf(now, sizeof now, "%s/now", fixture.root);
    for (int round = 0; round < 20; round++) {
        fixture_open(&fixture);
        check_told(next);
        struct hot_appender *appender = fixture_appender(&fixture);
        for (int step = 0; step < 6; step++) {
            commit_some(appender, &next, &seed);
        }
        for (uint64_t i = 0; i < next; i++) {
            if (told[i] == COMMITTED && rand_r(&seed) % 3 == 0) {
                fixture_remove(&fixture, i);
                told[i] = REMOVED;
            }
        }
        crash(appender, true, now, &seed);
    }
    fixture_open(&fixture);
    check_told(next);
}

Test(volume_crash, a_full_disk_loses_the_batch_says_so_and_goes_on_once_there_is_room) {
    fixture.options.volume_bytes = 64 << 20; /* a full volume would commit by itself */
    for (int writes = 0; writes < 12; writes++) {
        struct error error = {0};
        uint64_t base = (uint64_t)writes * 100;
        fixture_open(&fixture);
        fixture_store(&fixture, base, 2, 5000);
        struct hot_appender *appender = fixture_appender(&fixture);
        disk->writes_left = writes;
        bool ok = true;
        for (uint64_t i = 2; i < 6 && ok; i++) {
            ok = fixture_try_append(appender, base + i, 60000, 20000, &error);
        }
        if (!ok) {
            cr_assert_str_eq(error.reason, "DISK_FULL");
            cr_assert_not(fixture_try_append(appender, base + 9, 10, 10, &error));
        }
        cr_assert_not(hot_appender_commit(appender, &error), "with %d writes", writes);
        cr_assert_eq(error.code, ERROR_RESOURCE_EXHAUSTED);
        cr_assert_not(fixture_has(&fixture, base + 2));
        disk->writes_left = -1;
        cr_assert(hot_appender_commit(appender, &error));
        fixture_append(appender, base + 7, 60000);
        fixture_commit(appender);
        hot_appender_close(appender);
        for (int round = 0; round < 2; round++) {
            fixture_check_object(&fixture, base, 5000);
            fixture_check_object(&fixture, base + 7, 60000);
            hot_store_close(fixture.store);
            fixture_open(&fixture);
        }
        hot_store_close(fixture.store);
        fixture.store = NULL;
    }
}

Test(volume_crash, after_a_failed_flush_the_store_is_read_only_until_it_is_opened_again) {
    struct error error = {0};
    fixture_open(&fixture);
    fixture_store(&fixture, 0, 2, 5000);
    struct hot_appender *appender = fixture_appender(&fixture);
    fixture_append(appender, 2, 5000);
    disk->syncs_left = 0;
    cr_assert_not(hot_appender_commit(appender, &error));
    cr_assert_str_eq(error.reason, "IO_ERROR");
    disk->syncs_left = -1;
    cr_assert_not(fixture_try_append(appender, 3, 10, 10, &error));
    cr_assert_eq(error.code, ERROR_UNAVAILABLE);
    cr_assert_str_eq(error.reason, "HOT_STORE_READ_ONLY");
    cr_assert_not(hot_appender_commit(appender, &error));
    struct uuid id = fixture_payload_id(0);
    cr_assert_not(hot_store_remove(fixture.store, &id, 1, &error));
    cr_assert_not(hot_store_note_cold_copy(fixture.store, &id, true, &error));
    fixture_check_object(&fixture, 0, 5000);
    hot_appender_close(appender);
    hot_store_close(fixture.store);
    fixture_open(&fixture);
    fixture_check_object(&fixture, 1, 5000);
    fixture_store(&fixture, 4, 1, 5000);
    fixture_check_object(&fixture, 4, 5000);
}

static void lose_index(void) {
    hot_store_close(fixture.store);
    fixture_shell("rm -rf %s%s", fixture.index, "");
    fixture_open(&fixture);
}

Test(volume_crash, a_removal_that_finds_no_room_for_its_mark_changes_nothing) {
    struct error error = {0};
    struct uuid ids[2] = {fixture_payload_id(0), fixture_payload_id(6)}; /* in two volumes */
    fixture_open(&fixture);
    fixture_store(&fixture, 0, 10, 60000);
    for (int writes = 0; writes < 2; writes++) {
        disk->writes_left = writes;
        cr_assert_not(hot_store_remove(fixture.store, ids, 2, &error));
        cr_assert_str_eq(error.reason, "DISK_FULL");
        disk->writes_left = -1;
        for (int round = 0; round < 2; round++) {
            fixture_check_object(&fixture, 0, 60000);
            fixture_check_object(&fixture, 6, 60000);
            lose_index();
        }
    }
    cr_assert(hot_store_remove(fixture.store, ids, 2, &error));
    lose_index();
    cr_assert_not(fixture_has(&fixture, 0));
    cr_assert_not(fixture_has(&fixture, 6));
    cr_assert_eq(fixture_stats(&fixture).objects, 8);
}

Test(volume_crash, a_copy_that_cannot_replace_the_old_one_on_a_full_disk_leaves_it) {
    fixture_open(&fixture);
    fixture_store(&fixture, 0, 10, 60000);
    unsigned refused = 0;
    for (int writes = 0; writes < 6; writes++) {
        struct error error = {0};
        struct hot_appender *appender = fixture_appender(&fixture);
        fixture_now_us++;
        disk->writes_left = writes;
        bool ok = fixture_try_append(appender, 3, 60000, 60000, &error) && hot_appender_commit(appender, &error);
        refused += ok ? 0 : 1;
        disk->writes_left = -1;
        hot_appender_close(appender);
        fixture_store(&fixture, 100 + (uint64_t)writes, 1, 60000); /* it goes on */
        for (int round = 0; round < 2; round++) {
            fixture_check_object(&fixture, 3, 60000);
            cr_assert_eq(fixture_stats(&fixture).objects, 11 + (uint64_t)writes);
            lose_index();
        }
    }
    cr_assert_gt(refused, 2);
    cr_assert_lt(refused, 6);
}

Test(volume_crash, after_a_failed_flush_of_a_dead_list_the_store_is_read_only) {
    struct error error = {0};
    struct volume_compaction_options options = {.garbage_percent = 50};
    fixture_open(&fixture);
    fixture_store(&fixture, 0, 3, 5000);
    fixture_remove(&fixture, 1);
    disk->syncs_left = 0;
    cr_assert_not(volume_compaction_prepare(fixture.store, &options, &error));
    cr_assert_str_eq(error.reason, "IO_ERROR");
    disk->syncs_left = -1;
    cr_assert_not(volume_compaction_prepare(fixture.store, &options, &error));
    cr_assert_str_eq(error.reason, "HOT_STORE_READ_ONLY");
    fixture_check_object(&fixture, 0, 5000);
    hot_store_close(fixture.store);
    fixture_open(&fixture);
    cr_assert(volume_compaction_prepare(fixture.store, &options, &error));
    cr_assert_not(fixture_has(&fixture, 1));
    fixture_check_object(&fixture, 2, 5000);
}
