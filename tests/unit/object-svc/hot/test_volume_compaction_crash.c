// rooms: object_hot
#include <dirent.h>

#include "object-svc/hot/volume_compaction.h"
#include "tests/unit/object-svc/hot/crashing_disk.h"
#include "tests/unit/object-svc/hot/hot_fixture.h"

enum { SIZE = 30000, OBJECTS = 70, KEEP = 6, STEPS_MAX = 400 };

static struct hot_fixture fixture;
static struct crashing_disk *disk;
static char now_index[128];   /* as it was when the process died */
static char older_index[128]; /* as power loss may leave it: */
static bool older_counts;     /* nothing was synced in it since */

static void before_step(void *self, const char *what, const char *path) {
    (void)self;
    if (disk->dead) {
        fixture_copy(fixture.index, now_index);
        return;
    }
    /* After these the index writes something synced. */
    older_counts =
        older_counts && strcmp(what, "unlink") != 0 && (strcmp(what, "sync") != 0 || strstr(path, ".dead") == NULL);
}

static void insert_disk(void) {
    fixture.disk = crashing_disk_new(fixture.volumes);
    disk = crashing_of(fixture.disk);
    disk->before_step = before_step;
}

static void start(void) {
    fixture_init(&fixture);
    fixture.options.volume_bytes = 300000;
    snprintf(now_index, sizeof now_index, "%s/now", fixture.root);
    snprintf(older_index, sizeof older_index, "%s/older", fixture.root);
    insert_disk();
}

static void end(void) {
    fixture_end(&fixture);
}

TestSuite(volume_compaction_crash, .init = start, .fini = end, .timeout = 280);

static void keep_older_index(void) {
    fixture_copy(fixture.index, older_index);
    older_counts = true;
}

/* What the process does after its death has no effect, so that it can be closed. */
enum loss { KILL, POWER, POWER_AND_INDEX, LOSSES };

static void close_dead(enum loss loss, unsigned *seed) {
    hot_store_close(fixture.store);
    fixture.store = NULL;
    disk->dead = false;
    disk->steps_left = -1;
    if (loss != KILL) {
        crashing_disk_crash(fixture.disk, seed);
    }
    fixture.disk->ops->free(fixture.disk);
    insert_disk();
    fixture_copy(loss != KILL && older_counts && rand_r(seed) % 2 ? older_index : now_index, fixture.index);
    if (loss == POWER_AND_INDEX) {
        fixture_shell("rm -rf %s%s", fixture.index, "");
    }
}

/* Every file is of a volume that the store knows. */
static void check_no_orphans(void) {
    DIR *directory = opendir(fixture.volumes);
    uint64_t volumes = 0;
    uint64_t lists = 0;
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        volumes += strstr(entry->d_name, ".wbv") != NULL;
        lists += strstr(entry->d_name, ".dead") != NULL;
    }
    closedir(directory);
    cr_assert_eq(volumes, fixture_stats(&fixture).volumes);
    cr_assert_leq(lists, volumes);
}

static bool compact(unsigned garbage_percent, struct volume_compaction *sums) {
    struct error error = {0};
    struct volume_compaction_options options = {.garbage_percent = garbage_percent};
    bool found = false;
    bool ok = volume_compaction_run(fixture.store, &options, sums, &found, &error);
    cr_assert(ok || disk->dead, "%s", error.message);
    return ok && found;
}

static void prepare(unsigned garbage_percent) {
    struct error error = {0};
    struct volume_compaction_options options = {.garbage_percent = garbage_percent};
    cr_assert(volume_compaction_prepare(fixture.store, &options, &error) || disk->dead, "%s", error.message);
}

static void check_survivors(int step) {
    for (uint64_t i = 0; i < OBJECTS; i++) {
        if (i % KEEP == 0) {
            fixture_check_object(&fixture, i, SIZE + i);
        } else {
            cr_assert_not(fixture_has(&fixture, i), "object %d came back, step %d", (int)i, step);
        }
    }
    cr_assert_eq(fixture_stats(&fixture).objects, (OBJECTS + KEEP - 1) / KEEP);
    check_no_orphans();
}

static void empty(void) {
    fixture_close(&fixture);
    fixture_shell("rm -rf %s %s", fixture.volumes, fixture.index);
    insert_disk();
    fixture_open(&fixture);
}

/* Dies before that step of the compactions; false where they have no more steps. */
static bool die_at(int step, enum loss loss, unsigned *seed) {
    struct volume_compaction sums = {0};
    empty();
    for (uint64_t i = 0; i < OBJECTS; i++) {
        fixture_store(&fixture, i, 1, SIZE + i);
    }
    keep_older_index();
    for (uint64_t i = 0; i < OBJECTS; i++) {
        if (i % KEEP != 0) {
            fixture_remove(&fixture, i);
        }
    }
    prepare(99); /* the removals are durable */
    if (step % 2 != 0) {
        keep_older_index();
    }
    disk->steps_left = step;
    prepare(40);
    while (!disk->dead && compact(40, &sums)) {
    }
    bool died = disk->dead;
    if (!died) {
        cr_assert_gt(sums.volumes, 3);
        cr_assert_eq(fixture_stats(&fixture).garbage_bytes, 0);
        fixture_copy(fixture.index, now_index);
    }
    close_dead(loss, seed);
    fixture_open(&fixture);
    check_survivors(step);
    prepare(1);
    while (compact(1, &sums)) {
    }
    check_survivors(step);
    cr_assert_eq(fixture_stats(&fixture).garbage_bytes, 0, "step %d", step);
    fixture_close(&fixture);
    fixture_shell("rm -rf %s%s", fixture.index, "");
    insert_disk();
    fixture_open(&fixture);
    check_survivors(step);
    return died;
}

static void die_at_each_step(enum loss loss) {
    unsigned seed = 17;
    int step = 0;
    fixture_open(&fixture);
    while (die_at(step, loss, &seed)) {
        step++;
        cr_assert_lt(step, STEPS_MAX);
    }
    cr_assert_gt(step, 40);
}

Test(volume_compaction_crash, a_kill_at_any_step_loses_nothing_and_brings_nothing_back) {
    die_at_each_step(KILL);
}

Test(volume_compaction_crash, power_loss_at_any_step_loses_nothing_and_brings_nothing_back) {
    die_at_each_step(POWER);
}

Test(volume_compaction_crash, nor_does_power_loss_that_takes_the_index_too) {
    die_at_each_step(POWER_AND_INDEX);
}

/* ---- random runs ---- */

enum { MODEL_OBJECTS = 60, MODEL_ROUNDS = 40 };

/* What is sure of each object. */
static enum fate { GONE, UNSURE, THERE } fates[MODEL_OBJECTS];
static bool removed_lately[MODEL_OBJECTS]; /* not known to be durable */

static uint64_t model_size(uint64_t number) {
    return number * 7919 % 5 == 0 ? 70000 + number : number * 131 % 9000;
}

static bool store_one(uint64_t number) {
    struct error error = {0};
    fixture_now_us++;
    struct hot_appender *appender = fixture_appender(&fixture);
    bool ok = fixture_try_append(appender, number, model_size(number), 20000, &error) &&
              hot_appender_commit(appender, &error);
    hot_appender_close(appender);
    return ok;
}

static void step_model(unsigned *seed, struct volume_compaction *sums) {
    uint64_t object = (unsigned)rand_r(seed) % MODEL_OBJECTS;
    unsigned what = (unsigned)rand_r(seed) % 100;
    struct error error = {0};
    struct uuid id = fixture_payload_id(object);
    if (what < 50) {
        fates[object] = fates[object] == THERE ? THERE : UNSURE;
        if (store_one(object) && !disk->dead) {
            fates[object] = THERE;
            removed_lately[object] = false;
        }
    } else if (what < 80) {
        bool ok = hot_store_remove(fixture.store, &id, 1, &error);
        removed_lately[object] = fates[object] != GONE || removed_lately[object];
        fates[object] = ok && !disk->dead ? GONE : UNSURE;
    } else if (what < 90) {
        compact(20, sums);
    } else {
        prepare(20);
        if (!disk->dead) {
            memset(removed_lately, 0, sizeof removed_lately);
        }
    }
}

static void check_model(unsigned number, enum loss loss) {
    for (uint64_t i = 0; i < MODEL_OBJECTS; i++) {
        bool there = fixture_has(&fixture, i);
        cr_assert(there || fates[i] != THERE, "object %d is lost, seed %u", (int)i, number);
        cr_assert(!there || fates[i] != GONE || (removed_lately[i] && loss != KILL),
                  "object %d came back, seed %u, loss %d", (int)i, number, (int)loss);
        if (there) {
            fixture_check_object(&fixture, i, model_size(i));
        }
        fates[i] = there ? THERE : GONE;
        removed_lately[i] = removed_lately[i] && !there;
    }
    check_no_orphans();
}

static void run_model(unsigned number, struct volume_compaction *sums) {
    unsigned seed = number;
    memset(fates, 0, sizeof fates);
    memset(removed_lately, 0, sizeof removed_lately);
    empty();
    for (int round = 0; round < MODEL_ROUNDS; round++) {
        enum loss loss = (enum loss)((unsigned)rand_r(&seed) % LOSSES);
        keep_older_index();
        disk->steps_left = rand_r(&seed) % 120;
        while (!disk->dead) {
            step_model(&seed, sums);
        }
        close_dead(loss, &seed);
        fixture_open(&fixture);
        check_model(number, loss);
    }
}

/* WAYBILL_SEED and WAYBILL_RUNS choose others. */
Test(volume_compaction_crash, random_crashes_lose_nothing_that_was_committed) {
    const char *first = getenv("WAYBILL_SEED");
    const char *runs = getenv("WAYBILL_RUNS");
    unsigned seed = first != NULL ? (unsigned)strtoul(first, NULL, 10) : 1;
    unsigned last = seed + (runs != NULL ? (unsigned)strtoul(runs, NULL, 10) : 5);
    struct volume_compaction sums = {0};
    fixture_open(&fixture);
    for (; seed < last; seed++) {
        run_model(seed, &sums);
    }
    cr_assert_gt(sums.volumes, 0);
}
