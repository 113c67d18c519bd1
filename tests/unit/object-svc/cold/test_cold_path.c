// rooms: object_cold
#include <criterion/criterion.h>
#include <stdlib.h>

#include "common/base/names.h"
#include "object-svc/cold/cold_path.h"

static const char *path_of(const char *key, int64_t version, char path[COLD_PATH_MAX_BYTES]) {
    struct cold_name name = {.bucket = "pictures", .key = key, .version = version};
    cr_assert(cold_path_object(&name, path), "%s", key);
    return path;
}

static void check_reversible(const char *key, int64_t version) {
    char path[COLD_PATH_MAX_BYTES];
    char bucket[64];
    char again[1025];
    struct cold_name name;
    path_of(key, version, path);
    cr_assert(cold_path_parse(path, bucket, again, &name), "%s", path);
    cr_assert_str_eq(name.bucket, "pictures");
    cr_assert_str_eq(name.key, key);
    cr_assert_eq(name.version, version);
    for (const char *at = path; *at != '\0';) {
        size_t piece = strcspn(at, "/");
        cr_assert(piece >= 1 && piece <= 201, "a name of %zu bytes", piece);
        at += piece + (at[piece] == '/');
    }
}

Test(cold_path, plain_keys_read_as_they_are) {
    char path[COLD_PATH_MAX_BYTES];
    cr_assert_str_eq(path_of("2024/summer/beach.png", 3, path), "pictures/2024/summer/beach.png/@3");
    cr_assert_str_eq(path_of("me@example.org", 1, path), "pictures/me@example.org/@1");
}

Test(cold_path, what_would_be_ambiguous_is_escaped) {
    char path[COLD_PATH_MAX_BYTES];
    cr_assert_str_eq(path_of("@1", 2, path), "pictures/%401/@2");
    cr_assert_str_eq(path_of("a/@1.json", 2, path), "pictures/a/%401.json/@2");
    cr_assert_str_eq(path_of("50%", 2, path), "pictures/50%25/@2");
    cr_assert_str_eq(path_of("%40", 2, path), "pictures/%2540/@2");
}

Test(cold_path, long_segments_are_cut_between_characters) {
    char key[402];
    char path[COLD_PATH_MAX_BYTES];
    memset(key, 'a', 199);
    strcpy(key + 199, "\xc3\xa9"
                      "b");
    path_of(key, 1, path);
    cr_assert_eq(strncmp(path + 9 + 199,
                         "%/\xc3\xa9"
                         "b/@1",
                         8),
                 0, "%s", path);
    /* A piece that begins with '@' is no version. */
    memset(key, 'a', 200);
    strcpy(key + 200, "@5");
    path_of(key, 1, path);
    cr_assert_str_eq(path + 9 + 200, "%/%405/@1");
    check_reversible(key, 1);
}

Test(cold_path, the_longest_keys_fit_and_come_back) {
    static const char *const units[] = {"a", "%", "@", "\xc3\xa9", "\xf0\x9f\x98\x80", "/a", "/%", "/@", "@%"};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        char key[1025] = "k";
        size_t unit = strlen(units[i]);
        size_t size = 1;
        for (; size + unit <= 1024; size += unit) {
            memcpy(key + size, units[i], unit);
        }
        while (size < 1024) {
            key[size++] = 'z';
        }
        cr_assert_eq(strlen(key), 1024);
        check_reversible(key, INT64_MAX);
        check_reversible(key + 1 + (key[1] == '/'), 1);
    }
}

/* A small alphabet makes keys meet if they can; the seed is fixed so that a failure repeats. */
static size_t random_key(unsigned *seed, char key[1025]) {
    static const char *const letters[] = {"a", "%", "@",     "/",        "2",   "5", "4",
                                          "0", "1", ".json", "\xc3\xa9", "%25", "%/"};
    size_t length = 0;
    int units = 1 + rand_r(seed) % 12;
    if (rand_r(seed) % 4 == 0) {
        size_t run = 190 + (size_t)rand_r(seed) % 25;
        memset(key, rand_r(seed) % 2 ? '%' : 'a', run);
        length = run;
    }
    for (int i = 0; i < units; i++) {
        const char *letter = letters[(size_t)rand_r(seed) % (sizeof letters / sizeof letters[0])];
        strcpy(key + length, letter);
        length += strlen(letter);
    }
    return length;
}

struct mapping {
    char *path;
    char *key;
};

static int compare_paths(const void *a, const void *b) {
    return strcmp(((const struct mapping *)a)->path, ((const struct mapping *)b)->path);
}

Test(cold_path, every_key_has_a_path_of_its_own_that_leads_back) {
    enum { KEYS = 100000 };
    struct mapping *mappings = calloc(KEYS, sizeof *mappings);
    unsigned seed = 20240229;
    size_t count = 0;
    for (int i = 0; i < KEYS; i++) {
        char key[1025];
        char path[COLD_PATH_MAX_BYTES];
        struct error ignored;
        random_key(&seed, key);
        if (name_check_key(key, "key", &ignored)) {
            check_reversible(key, 1 + rand_r(&seed) % 3);
            mappings[count++] = (struct mapping){strdup(path_of(key, 1, path)), strdup(key)};
        }
    }
    cr_assert_gt(count, KEYS / 4);
    qsort(mappings, count, sizeof *mappings, compare_paths);
    for (size_t i = 1; i < count; i++) {
        if (strcmp(mappings[i - 1].path, mappings[i].path) == 0) {
            cr_assert_str_eq(mappings[i - 1].key, mappings[i].key, "two keys share %s", mappings[i].path);
        }
        /* Nor is one object's file another's directory, or its sidecar another's bytes. */
        size_t length = strlen(mappings[i - 1].path);
        cr_assert_not(strncmp(mappings[i - 1].path, mappings[i].path, length) == 0 &&
                      (mappings[i].path[length] == '/' || strcmp(mappings[i].path + length, ".json") == 0));
    }
    for (size_t i = 0; i < count; i++) {
        free(mappings[i].path);
        free(mappings[i].key);
    }
    free(mappings);
}

Test(cold_path, paths_that_we_did_not_make_are_not_objects) {
    static const char *const foreign[] = {"pictures/a/@1.json",
                                          "pictures/a/@01",
                                          "pictures/a/@",
                                          "pictures/a/@0",
                                          "pictures/a/@-1",
                                          "pictures/a/@1x",
                                          "pictures/%41/@1",
                                          "pictures/a%40/@1",
                                          "pictures/a%/@1",
                                          "pictures/a%/b/@1",
                                          "pictures/@1",
                                          "Pictures/a/@1",
                                          "pictures//a/@1",
                                          "pictures/a/../b/@1",
                                          "pictures/a/b",
                                          "pictures",
                                          "pictures/%4/@1",
                                          "pictures/a/@+1",
                                          "pictures/a/@ 1",
                                          "pictures/@a/@1",
                                          "",
                                          "pictures/a/@1/@99999999999999999999"};
    char bucket[64];
    char key[1025];
    struct cold_name name;
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
        cr_assert_not(cold_path_parse(foreign[i], bucket, key, &name), "%s", foreign[i]);
    }
}

Test(cold_path, bad_names_have_no_path) {
    char path[COLD_PATH_MAX_BYTES];
    cr_assert_not(cold_path_object(&(struct cold_name){"pictures", "../x", 1}, path));
    cr_assert_not(cold_path_object(&(struct cold_name){"..", "x", 1}, path));
    cr_assert_not(cold_path_object(&(struct cold_name){"pictures", "", 1}, path));
    cr_assert_not(cold_path_object(&(struct cold_name){"pictures", "x", 0}, path));
}
