// rooms: object_cold
#include "tests/unit/object-svc/cold/cold_suite.h"

static void start(void) {
    cold_fixture_init(&fixture);
}

static void end(void) {
    cold_fixture_end(&fixture);
}

TestSuite(cold_directory, .init = start, .fini = end);

COLD_SUITE(cold_directory)

Test(cold_directory, the_object_is_a_plain_file_of_its_bytes) {
    struct fixture_names names;
    struct provenance provenance = cold_store_object(&fixture, 1, 1000, &names);
    char path[COLD_PATH_MAX_BYTES + 80];
    uint8_t got[1001];
    uint8_t want[1000];
    cold_path_of(&fixture, &provenance, path);
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file);
    cr_assert_eq(fread(got, 1, sizeof got, file), sizeof want);
    fclose(file);
    fixture_fill(1, 0, want, sizeof want);
    cr_assert_eq(memcmp(got, want, sizeof want), 0);
}

Test(cold_directory, the_deepest_and_longest_keys_can_be_stored_listed_and_removed) {
    static const char *const units[] = {"%", "a/", "@/", "\xc3\xa9"};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        char key[1025] = "";
        while (strlen(key) + strlen(units[i]) < 1024) {
            strcat(key, units[i]);
        }
        while (strlen(key) < 1024) {
            strcat(key, "z");
        }
        store_key(key, 1);
        cr_assert_not_null(strstr(list("pictures", "", 100), key));
        struct error error = {0};
        struct cold_name name = {"pictures", key, 1};
        cr_assert(cold_store_remove(fixture.store, &name, &error), "%s", error.message);
        cr_assert_str_eq(list("pictures", "", 100), "");
    }
}

Test(cold_directory, a_removed_object_is_gone_and_leaves_no_empty_directories) {
    struct error error = {0};
    store_key("x/y/z", 1);
    store_key("x/y", 1);
    struct cold_name name = {"pictures", "x/y/z", 1};
    cr_assert(cold_store_remove(fixture.store, &name, &error), "%s", error.message);
    cr_assert_null(cold_store_open_object(fixture.store, &name, &error));
    cr_assert_str_eq(error.reason, "OBJECT_NOT_FOUND");
    cr_assert(cold_store_remove(fixture.store, &name, &error), "removing it again: %s", error.message);
    fixture_shell("test ! -e %s/pictures/x/y/z && test -e %s/pictures/x/y/@1", fixture.root, fixture.root);
    store_key("x/y/z", 1);
}

Test(cold_directory, leftovers_of_this_replica_are_cleared_and_others_kept) {
    fixture_shell("touch %s/.tmp/replica-0/old && mkdir %s/.tmp/replica-1", fixture.root, fixture.root);
    fixture_shell("touch %s/.tmp/replica-1/other%s", fixture.root, "");
    cold_store_close(fixture.store);
    cold_fixture_open(&fixture);
    fixture_shell("test ! -e %s/.tmp/replica-0/old && test -e %s/.tmp/replica-1/other", fixture.root, fixture.root);
}

Test(cold_directory, an_unknown_backend_is_refused) {
    struct error error = {0};
    struct cold_store_options options = {.backend = "tape", .directory = "/tmp", .replica = "r"};
    cr_assert_null(cold_store_open(&options, &error));
    cr_assert_str_eq(error.reason, "COLD_BACKEND_UNKNOWN");
    cr_assert_str_eq(error.field, "cold.backend");
}
