// rooms: object_hot
#include "object-svc/hot/joined_disk.h"
#include "object-svc/hot/volume_compaction.h"
#include "tests/unit/object-svc/hot/hot_fixture.h"

enum { SIZE = 50000, IN_VOLUME = 20 /* objects of that size in one volume */ };

static struct hot_fixture fixture;
static char other[160];

/* A hot store on a disk that may get a second directory. */
static void start(void) {
    struct error error = {0};
    fixture_init(&fixture);
    snprintf(other, sizeof other, "%s/other", fixture.root);
    struct disk *first = posix_disk_new(fixture.volumes, &error);
    cr_assert_not_null(first, "%s", error.message);
    fixture.disk = joined_disk_new(first);
    fixture_open(&fixture);
}

static void end(void) {
    fixture_end(&fixture);
}

TestSuite(joined_disk, .init = start, .fini = end, .timeout = 120);

static void add_second(void) {
    struct error error = {0};
    struct disk *second = posix_disk_new(other, &error);
    cr_assert_not_null(second, "%s", error.message);
    cr_assert(joined_disk_set_second(fixture.disk, second));
}

static bool count_name(void *context, const char *name) {
    (void)name;
    ++*(unsigned *)context;
    return true;
}

static unsigned count_in(const char *directory) {
    struct error error = {0};
    unsigned count = 0;
    struct disk *disk = posix_disk_new(directory, &error);
    cr_assert(disk->ops->list(disk, ".", count_name, &count, &error), "%s", error.message);
    disk->ops->free(disk);
    return count;
}

static bool is_old(void *self, const char *name) {
    char path[300];
    snprintf(path, sizeof path, "%s/%s", (const char *)self, name);
    return access(path, F_OK) == 0;
}

static struct volume_leaving left(void) {
    struct volume_leaving leaving;
    volume_store_leaving(fixture.store, &leaving);
    return leaving;
}

static void compact_all(void) {
    static const struct volume_compaction_options options = {.garbage_percent = 50};
    struct volume_compaction sums = {0};
    struct error error = {0};
    cr_assert(volume_compaction_prepare(fixture.store, &options, &error), "%s", error.message);
    for (bool found = true; found;) {
        cr_assert(volume_compaction_run(fixture.store, &options, &sums, &found, &error), "%s", error.message);
    }
}

/* From the first directory to the second. */
static void turn(void) {
    joined_disk_prefer_second(fixture.disk, true);
    volume_store_move_out(fixture.store, is_old, fixture.volumes);
}

static void check_all(uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        fixture_check_object(&fixture, i, SIZE);
    }
}

Test(joined_disk, what_is_there_is_found_in_either_and_what_is_made_goes_to_one) {
    struct error error = {0};
    struct disk *disk = fixture.disk;
    unsigned count = 0;
    struct disk_file *first = disk->ops->open(disk, "a", true, &error);
    cr_assert_not_null(first);
    first->ops->close(first);
    add_second();
    joined_disk_prefer_second(disk, true);
    struct disk_file *made = disk->ops->open(disk, "b", true, &error);
    cr_assert_not_null(made);
    made->ops->close(made);
    struct disk_file *old = disk->ops->open(disk, "a", true, &error);
    cr_assert_not_null(old);
    old->ops->close(old);
    cr_assert_eq(count_in(other), 1, "what is there is not made again");
    cr_assert(disk->ops->list(disk, ".", count_name, &count, &error));
    cr_assert_eq(count, 2);
    cr_assert(disk->ops->rename(disk, "a", "c", &error), "%s", error.message);
    cr_assert_null(disk->ops->open(disk, "a", false, &error));
    cr_assert(disk->ops->unlink(disk, "c", &error));
    cr_assert(disk->ops->unlink(disk, "b", &error));
    count = 0;
    cr_assert(disk->ops->list(disk, ".", count_name, &count, &error));
    cr_assert_eq(count, 0);
}

Test(joined_disk, volumes_that_leave_are_emptied_whatever_their_garbage) {
    fixture_store(&fixture, 0, 3 * IN_VOLUME, SIZE);
    add_second();
    turn();
    cr_assert_geq(left().volumes, 3);
    cr_assert_eq(left().objects, 3 * IN_VOLUME);
    compact_all();
    cr_assert_eq(left().volumes, 0);
    cr_assert_eq(count_in(fixture.volumes), 0);
    check_all(3 * IN_VOLUME);
}

Test(joined_disk, an_appender_at_rest_lets_a_leaving_volume_go) {
    struct hot_appender *appender = fixture_appender(&fixture);
    fixture_append(appender, 0, SIZE);
    fixture_commit(appender);
    add_second();
    turn();
    compact_all();
    cr_assert_eq(left().volumes, 1, "the appender still has it");
    fixture_commit(appender);
    compact_all();
    cr_assert_eq(left().volumes, 0);
    fixture_append(appender, 1, SIZE);
    fixture_commit(appender);
    hot_appender_close(appender);
    cr_assert_eq(count_in(fixture.volumes), 0);
    check_all(2);
}

Test(joined_disk, new_objects_go_to_the_new_directory_at_once) {
    struct hot_appender *appender = fixture_appender(&fixture);
    fixture_append(appender, 0, SIZE);
    fixture_commit(appender);
    add_second();
    turn();
    fixture_append(appender, 1, SIZE);
    fixture_commit(appender);
    hot_appender_close(appender);
    cr_assert_eq(left().objects, 1);
    cr_assert_geq(count_in(other), 1);
    check_all(2);
}

Test(joined_disk, a_damaged_object_keeps_its_volume_where_it_is) {
    fixture_store(&fixture, 0, 5, SIZE);
    fixture_flip(&fixture, 1, 60000, 1); /* in the payload of the second */
    add_second();
    turn();
    compact_all();
    cr_assert_eq(left().objects, 1);
    cr_assert_eq(left().damaged_objects, 1);
    fixture_store(&fixture, 1, 1, SIZE); /* a whole copy, as a repair brings it */
    compact_all();
    cr_assert_eq(left().volumes, 0);
    cr_assert_eq(count_in(fixture.volumes), 0);
    check_all(5);
}
