// rooms: object_cold
/* Power loss in the middle of writes to the directory, by a model of what POSIX promises (power_model.h). */
#include "object-svc/cold/durable_directories.h"
#include "tests/unit/object-svc/cold/cold_fixture.h"
#include "tests/unit/object-svc/cold/power_model.h"

enum { STEPS = 250, VERSIONS = 3, OBJECT_BYTES = 300, WRITERS = 3 };

static struct cold_fixture fixture;
static struct cold_store *other; /* of another replica, on the same directory */

static struct cold_store *open_store(const char *directory, const char *replica) {
    struct error error = {0};
    struct cold_store_options options = {
        .backend = "directory", .directory = directory, .replica = replica, .clock = &fixture_clock};
    struct cold_store *store = cold_store_open(&options, &error);
    cr_assert_not_null(store, "%s", error.message);
    return store;
}

static void start(void) {
    cold_fixture_init(&fixture);
    power_start(fixture.root);
    other = open_store(fixture.root, "replica-1");
}

static void end(void) {
    cold_store_close(other);
    power_end();
    cold_fixture_end(&fixture);
}

TestSuite(cold_directory_crash, .init = start, .fini = end);

/* One of the objects that a key may have. */
struct wish {
    char key[512];
    int64_t version;
};

static void paths_of(const struct wish *wish, char path[COLD_PATH_MAX_BYTES], char sidecar[COLD_PATH_MAX_BYTES + 8]) {
    struct cold_name name = {"pictures", wish->key, wish->version};
    cr_assert(cold_path_object(&name, path));
    snprintf(sidecar, COLD_PATH_MAX_BYTES + 8, "%s.json", path);
}

static void may_lose(const struct wish *wish) {
    char path[COLD_PATH_MAX_BYTES];
    char sidecar[COLD_PATH_MAX_BYTES + 8];
    paths_of(wish, path, sidecar);
    power_may_lose(path);
    power_may_lose(sidecar);
}

static void write_object(struct cold_store *store, const struct wish *wish) {
    struct fixture_names names;
    struct error error = {0};
    struct cold_fixture at = {.store = store};
    struct provenance provenance = fixture_provenance(1, OBJECT_BYTES, &names);
    provenance.key = wish->key;
    provenance.version = wish->version;
    cr_assert(cold_try_store(&at, &provenance, 1, &error), "%s", error.message);
}

static void put(struct cold_store *store, const struct wish *wish) {
    char path[COLD_PATH_MAX_BYTES];
    char sidecar[COLD_PATH_MAX_BYTES + 8];
    write_object(store, wish);
    may_lose(wish); /* where it was there before, it is kept once */
    paths_of(wish, path, sidecar);
    power_must_keep(path);
    power_must_keep(sidecar);
}

static void take_away(struct cold_store *store, const struct wish *wish) {
    struct error error = {0};
    struct cold_name name = {"pictures", wish->key, wish->version};
    may_lose(wish);
    cr_assert(cold_store_remove(store, &name, &error), "%s", error.message);
}

static void put_key(const char *key, int64_t version) {
    struct wish wish = {.version = version};
    snprintf(wish.key, sizeof wish.key, "%s", key);
    put(fixture.store, &wish);
}

/* In few directories, so that they come and go; `part` has some to itself, and shares those above. */
static struct wish any_wish(unsigned part, unsigned *seed) {
    struct wish wish = {.version = 1 + rand_r(seed) % VERSIONS};
    int length = snprintf(wish.key, sizeof wish.key, "%d", rand_r(seed) % 2);
    for (int depth = rand_r(seed) % 3; depth > 0; depth--) {
        length += snprintf(wish.key + length, sizeof wish.key - (size_t)length, "/%d", rand_r(seed) % 2);
    }
    snprintf(wish.key + length, sizeof wish.key - (size_t)length, "/of-%u-%d", part, rand_r(seed) % 2);
    return wish;
}

static void run_steps(unsigned part, unsigned seed) {
    for (int step = 0; step < STEPS; step++) {
        struct cold_store *store = rand_r(&seed) % 2 ? fixture.store : other;
        struct wish wish = any_wish(part, &seed);
        if (rand_r(&seed) % 2) {
            put(store, &wish);
        } else {
            take_away(store, &wish);
        }
    }
}

Test(cold_directory_crash, a_put_that_returned_survives_power_loss_at_any_time) {
    for (unsigned seed = 1; seed <= 4; seed++) {
        run_steps(0, seed);
    }
    power_check_losses();
}

static void *run_writer(void *argument) {
    unsigned part = *(unsigned *)argument;
    run_steps(part, 100 + part);
    return NULL;
}

Test(cold_directory_crash, puts_and_removals_side_by_side_lose_nothing) {
    pthread_t threads[WRITERS];
    unsigned parts[WRITERS];
    for (unsigned i = 0; i < WRITERS; i++) {
        parts[i] = i;
        cr_assert_eq(pthread_create(&threads[i], NULL, run_writer, &parts[i]), 0);
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    }
    power_check_losses();
}

static void make_unsynced(const char *path) {
    char whole[256];
    snprintf(whole, sizeof whole, "%s/%s", fixture.root, path);
    cr_assert_eq(mkdir(whole, 0750), 0, "%s", whole);
}

Test(cold_directory_crash, directories_that_somebody_made_and_did_not_sync_are_made_durable) {
    make_unsynced("pictures");
    make_unsynced("pictures/a");
    put_key("a/one", 1);
    make_unsynced("pictures/a/two");
    put_key("a/two", 1);
    put_key("a/one", 2);
    power_check_losses();
}

Test(cold_directory_crash, a_directory_that_was_removed_and_made_again_elsewhere_is_not_taken_for_the_old_one) {
    struct wish wish = {.key = "a/b/one", .version = 1};
    for (int round = 0; round < 20; round++) {
        put(fixture.store, &wish);
        take_away(other, &wish);
        make_unsynced("pictures/a");
        make_unsynced("pictures/a/b");
        put(fixture.store, &wish);
        take_away(fixture.store, &wish);
    }
    power_check_losses();
}

Test(cold_directory_crash, the_store_s_own_directory_is_made_durable_whoever_made_it) {
    char root[96];
    struct wish wish = {.key = "one", .version = 1};
    make_unsynced("by-somebody");
    snprintf(root, sizeof root, "%s/by-somebody/new/store", fixture.root);
    struct cold_store *store = open_store(root, "replica-0");
    write_object(store, &wish);
    power_must_keep("by-somebody/new/store/pictures/one/@1");
    cold_store_close(store);
    power_check_losses();
}

static unsigned syncs_of_put(const char *key, int64_t version) {
    unsigned before = power_syncs();
    put_key(key, version);
    return power_syncs() - before;
}

Test(cold_directory_crash, only_bytes_sidecar_and_the_directories_with_new_names_are_synced) {
    cr_assert_eq(syncs_of_put("2024/11/28/one", 1), 2 + 6, "all up to the root, once");
    cr_assert_eq(syncs_of_put("2024/11/28/two", 1), 2 + 2, "its own, and the one that this is new in");
    cr_assert_eq(syncs_of_put("2024/11/28/two", 2), 2 + 1, "another version: its own");
    cr_assert_eq(syncs_of_put("2024/11/29/one", 1), 2 + 3, "a new day: that one's, too");
    power_check_losses();
}

Test(cold_directory_crash, directories_that_were_removed_are_not_held_open) {
    struct wish wish = {.version = 1};
    char command[128];
    put_key("stays", 1);
    for (int i = 0; i < 10; i++) {
        snprintf(wish.key, sizeof wish.key, "goes/%d", i);
        put(fixture.store, &wish);
        take_away(fixture.store, &wish);
    }
    snprintf(command, sizeof command, "! ls -l /proc/%d/fd | grep '%s.*deleted'", (int)getpid(), fixture.root);
    cr_assert_eq(system(command), 0);
    power_check_losses();
}

Test(cold_directory_crash, what_is_known_is_bounded_and_what_was_forgotten_is_synced_again) {
    char key[64];
    put_key("many/first/one", 1);
    for (int i = 0; i < 2 * DURABLE_DIRECTORIES_MAX; i++) {
        snprintf(key, sizeof key, "many/%d/one", i);
        cr_assert_eq(syncs_of_put(key, 1), 2 + 3);
    }
    cr_assert_eq(syncs_of_put("many/first/two", 1), 2 + 3, "the one above is in use, and stays");
    cr_assert_eq(syncs_of_put("many/first/three", 1), 2 + 2);
    power_check_losses();
}
