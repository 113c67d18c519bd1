// rooms: object_cold
#include "tests/unit/object-svc/cold/cold_fixture.h"

static struct cold_fixture fixture;

static void start(void) {
    cold_fixture_init(&fixture);
}

static void end(void) {
    cold_fixture_end(&fixture);
}

TestSuite(cold_directory, .init = start, .fini = end);

Test(cold_directory, objects_of_all_sizes_come_back_byte_for_byte) {
    static const uint64_t sizes[] = {0, 1, 4096, 262143, 262144, 262145, 524288, 1000000, (UINT64_C(101) << 20) + 7};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct fixture_names names;
        struct error error = {0};
        struct provenance provenance = cold_store_object(&fixture, i, sizes[i], &names);
        int64_t got = cold_try_read(&fixture, &provenance, i, 0, (size_t)sizes[i] + 5, &error);
        cr_assert_eq(got, (int64_t)sizes[i], "%lld: %s", (long long)got, error.message);
        cr_assert(cold_store_verify(fixture.store, &provenance, &error), "%s", error.message);
    }
}

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

Test(cold_directory, ranges_are_right_at_and_around_block_edges) {
    const uint64_t size = 2 * 262144 + 77;
    struct fixture_names names;
    struct provenance provenance = cold_store_object(&fixture, 1, size, &names);
    static const uint64_t offsets[] = {0, 1, 262143, 262144, 262145, 524287, 524288, 524364, 524365, 900000};
    static const size_t lengths[] = {0, 1, 2, 262143, 262144, 262145, 800000};
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        for (size_t j = 0; j < sizeof lengths / sizeof lengths[0]; j++) {
            struct error error = {0};
            int64_t left = offsets[i] < size ? (int64_t)(size - offsets[i]) : 0;
            int64_t want = (int64_t)lengths[j] < left ? (int64_t)lengths[j] : left;
            cr_assert_eq(cold_try_read(&fixture, &provenance, 1, offsets[i], lengths[j], &error), want, "%s",
                         error.message);
        }
    }
}

static void check_provenance(struct bytes descriptor) {
    struct fixture_names names;
    struct error error = {0};
    struct provenance given = fixture_provenance(4, 10, &names);
    given.key = "un/d\xc3\xa9j\xc3\xa0 \"vu\"";
    given.descriptor = descriptor;
    given.has_sha256 = true;
    memset(given.sha256, 0x5a, sizeof given.sha256);
    cr_assert(cold_try_store(&fixture, &given, 4, &error), "%s", error.message);
    struct cold_name name = cold_name_of(&given);
    struct cold_reader *reader = cold_store_open_object(fixture.store, &name, &error);
    cr_assert_not_null(reader, "%s", error.message);
    const struct provenance *got = cold_reader_provenance(reader);
    cr_assert_str_eq(got->bucket, given.bucket);
    cr_assert_str_eq(got->key, given.key);
    cr_assert_eq(got->version, given.version);
    cr_assert(uuid_equal(&got->payload_id, &given.payload_id));
    cr_assert_str_eq(got->content_type, given.content_type);
    cr_assert(bytes_equal(got->descriptor, descriptor), "%.*s", (int)got->descriptor.size, got->descriptor.data);
    cr_assert_eq(got->size_bytes, given.size_bytes);
    cr_assert_eq(got->crc32c, given.crc32c);
    cr_assert(got->has_sha256);
    cr_assert_eq(memcmp(got->sha256, given.sha256, sizeof given.sha256), 0);
    cr_assert_eq(got->commit_unix_us, 77);
    cr_assert_eq(got->store_unix_us, fixture_now_us);
    cold_reader_close(reader);
}

Test(cold_directory, provenance_comes_back_whole_whatever_the_descriptor) {
    static const char *const texts[] = {"",
                                        "{}",
                                        "{\"a\":1,\"b\":{\"c\":[1,2.5,null,true,\"x/y\xc3\xa9\"]}}",
                                        "{\"a\": 1}",                /* not compact */
                                        "{\"a\":1e2}",               /* written otherwise */
                                        "{\"a\":1,\"a\":2}",         /* twice the same */
                                        "[1,2]",                     /* no object */
                                        "{\"a\":1},\"b\":{\"c\":2}", /* breaks out of its place */
                                        "{\"big\":9223372036854775807}",
                                        "{\"too-big\":9223372036854775808}",
                                        "not JSON"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        check_provenance(bytes_of_string(texts[i]));
    }
    uint8_t raw[256];
    for (size_t i = 0; i < sizeof raw; i++) {
        raw[i] = (uint8_t)i;
    }
    check_provenance(bytes_of(raw, sizeof raw));
}

Test(cold_directory, a_payload_that_is_not_as_announced_leaves_nothing) {
    struct fixture_names names;
    struct error error = {0};
    struct provenance provenance = fixture_provenance(1, 100, &names);
    uint8_t payload[101];
    fixture_fill(1, 0, payload, sizeof payload);
    struct cold_writer *writer = cold_store_begin(fixture.store, &provenance, &error);
    cr_assert(cold_writer_append(writer, bytes_of(payload, 99), &error));
    cr_assert_not(cold_writer_finish(writer, &error));
    cr_assert_str_eq(error.reason, "PAYLOAD_CORRUPT");
    writer = cold_store_begin(fixture.store, &provenance, &error);
    cr_assert_not(cold_writer_append(writer, bytes_of(payload, 101), &error));
    cr_assert_str_eq(error.reason, "PAYLOAD_CORRUPT");
    cold_writer_abort(writer);
    payload[50] ^= 4;
    writer = cold_store_begin(fixture.store, &provenance, &error);
    cr_assert(cold_writer_append(writer, bytes_of(payload, 100), &error));
    cr_assert_not(cold_writer_finish(writer, &error));
    cr_assert_str_eq(error.reason, "PAYLOAD_CORRUPT");
    cr_assert_eq(cold_try_read(&fixture, &provenance, 1, 0, 1, &error), -1);
    cr_assert_str_eq(error.reason, "OBJECT_NOT_FOUND");
    fixture_shell("test -z \"$(find %s -type f%s)\"", fixture.root, "");
}

Test(cold_directory, an_object_is_seen_only_once_it_is_finished) {
    struct fixture_names names;
    struct error error = {0};
    struct provenance provenance = fixture_provenance(1, 100, &names);
    uint8_t payload[100];
    fixture_fill(1, 0, payload, sizeof payload);
    struct cold_writer *writer = cold_store_begin(fixture.store, &provenance, &error);
    cr_assert(cold_writer_append(writer, bytes_of(payload, 100), &error));
    cr_assert_eq(cold_try_read(&fixture, &provenance, 1, 0, 1, &error), -1);
    cr_assert_str_eq(error.reason, "OBJECT_NOT_FOUND");
    cr_assert(cold_writer_finish(writer, &error), "%s", error.message);
    cr_assert_eq(cold_try_read(&fixture, &provenance, 1, 0, 100, &error), 100);
}

Test(cold_directory, writing_again_is_fine_with_the_same_payload_and_refused_with_another) {
    struct fixture_names names;
    struct error error = {0};
    struct provenance provenance = cold_store_object(&fixture, 1, 100, &names);
    cr_assert(cold_try_store(&fixture, &provenance, 1, &error), "%s", error.message);
    struct provenance other = provenance;
    other.payload_id = fixture_payload_id(2);
    cr_assert_not(cold_try_store(&fixture, &other, 1, &error));
    cr_assert_eq(error.code, ERROR_ALREADY_EXISTS);
    cr_assert_str_eq(error.reason, "COLD_OBJECT_CONFLICT");
    cr_assert_eq(cold_try_read(&fixture, &provenance, 1, 0, 100, &error), 100);
}

Test(cold_directory, writing_again_repairs_a_damaged_object) {
    struct fixture_names names;
    struct error error = {0};
    char path[COLD_PATH_MAX_BYTES + 80];
    struct provenance provenance = cold_store_object(&fixture, 1, 100, &names);
    cold_path_of(&fixture, &provenance, path);
    flip_file(path, 50, 1);
    cr_assert_not(cold_store_verify(fixture.store, &provenance, &error));
    cr_assert(cold_try_store(&fixture, &provenance, 1, &error), "%s", error.message);
    cr_assert(cold_store_verify(fixture.store, &provenance, &error), "%s", error.message);
    strcat(path, ".json");
    flip_file(path, 50, 1);
    cr_assert_not(cold_store_verify(fixture.store, &provenance, &error));
    cr_assert(cold_try_store(&fixture, &provenance, 1, &error), "%s", error.message);
    cr_assert(cold_store_verify(fixture.store, &provenance, &error), "%s", error.message);
}

Test(cold_directory, a_flipped_byte_is_never_returned) {
    const uint64_t size = 2 * 262144 + 1000;
    struct fixture_names names;
    char path[COLD_PATH_MAX_BYTES + 80];
    struct provenance provenance = cold_store_object(&fixture, 1, size, &names);
    cold_path_of(&fixture, &provenance, path);
    static const uint64_t offsets[] = {0, 1, 262143, 262144, 400000, 524287, 524288, 525287};
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        struct error error = {0};
        flip_file(path, offsets[i], 0x10);
        cr_assert_eq(cold_try_read(&fixture, &provenance, 1, 0, size, &error), -1);
        cr_assert_eq(error.code, ERROR_DATA_LOSS);
        cr_assert_str_eq(error.reason, "OBJECT_CORRUPT");
        cr_assert_not_null(strstr(error.message, "some/key-1"));
        cr_assert_eq(cold_try_read(&fixture, &provenance, 1, offsets[i], 1, &error), -1);
        cr_assert_not(cold_store_verify(fixture.store, &provenance, &error));
        /* The blocks that are well are still served. */
        uint64_t elsewhere = offsets[i] < 262144 ? 300000 : 100;
        cr_assert_eq(cold_try_read(&fixture, &provenance, 1, elsewhere, 100, &error), 100);
        flip_file(path, offsets[i], 0x10);
    }
    cr_assert_eq(truncate(path, (off_t)size - 1), 0);
    struct error error = {0};
    cr_assert_eq(cold_try_read(&fixture, &provenance, 1, 0, 1, &error), -1);
    cr_assert_str_eq(error.reason, "OBJECT_CORRUPT");
}

Test(cold_directory, a_flip_anywhere_in_the_sidecar_never_leads_to_wrong_words) {
    struct fixture_names names;
    char path[COLD_PATH_MAX_BYTES + 90];
    struct provenance provenance = cold_store_object(&fixture, 1, 600000, &names);
    cold_path_of(&fixture, &provenance, path);
    strcat(path, ".json");
    struct stat status;
    cr_assert_eq(stat(path, &status), 0);
    for (off_t offset = 0; offset < status.st_size; offset++) {
        struct error error = {0};
        struct cold_name name = cold_name_of(&provenance);
        flip_file(path, (uint64_t)offset, (uint8_t)(1 << (offset % 8)));
        struct cold_reader *reader = cold_store_open_object(fixture.store, &name, &error);
        if (reader == NULL) {
            cr_assert_eq(error.code, ERROR_DATA_LOSS, "%s", error.message);
        } else {
            /* White space may change. */
            const struct provenance *got = cold_reader_provenance(reader);
            cr_assert_eq(got->crc32c, provenance.crc32c);
            cr_assert(bytes_equal(got->descriptor, provenance.descriptor));
            cr_assert_str_eq(got->content_type, provenance.content_type);
            cold_reader_close(reader);
        }
        flip_file(path, (uint64_t)offset, (uint8_t)(1 << (offset % 8)));
    }
    struct error error = {0};
    cr_assert(cold_store_verify(fixture.store, &provenance, &error), "%s", error.message);
    cr_assert_eq(unlink(path), 0);
    cr_assert_not(cold_store_verify(fixture.store, &provenance, &error));
    cr_assert_eq(error.code, ERROR_DATA_LOSS);
}

Test(cold_directory, verify_tells_another_object_from_the_expected_one) {
    struct fixture_names names;
    struct error error = {0};
    struct provenance provenance = cold_store_object(&fixture, 1, 100, &names);
    struct provenance other = provenance;
    other.payload_id = fixture_payload_id(7);
    cr_assert_not(cold_store_verify(fixture.store, &other, &error));
    cr_assert_str_eq(error.reason, "OBJECT_CORRUPT");
    other = provenance;
    other.crc32c ^= 1;
    cr_assert_not(cold_store_verify(fixture.store, &other, &error));
    other = provenance;
    other.version++;
    cr_assert_not(cold_store_verify(fixture.store, &other, &error));
    cr_assert_str_eq(error.reason, "OBJECT_NOT_FOUND");
}

static void store_key(const char *key, int64_t version) {
    struct fixture_names names;
    struct error error = {0};
    struct provenance provenance = fixture_provenance(1, 10, &names);
    provenance.key = key;
    provenance.version = version;
    cr_assert(cold_try_store(&fixture, &provenance, 1, &error), "%s: %s", key, error.message);
}

struct listing {
    char text[4096];
    int left;
};

static bool note(void *context, const struct cold_entry *entry) {
    struct listing *listing = context;
    size_t length = strlen(listing->text);
    snprintf(listing->text + length, sizeof listing->text - length, "%s:%s@%lld ", entry->name.bucket, entry->name.key,
             (long long)entry->name.version);
    cr_assert_eq(entry->size_bytes, 10);
    return --listing->left > 0;
}

static const char *list(const char *bucket, const char *prefix, int limit) {
    static struct listing listing;
    struct error error = {0};
    listing = (struct listing){.left = limit};
    cr_assert(cold_store_list(fixture.store, bucket, prefix, note, &listing, &error), "%s", error.message);
    return listing.text;
}

Test(cold_directory, a_listing_has_every_object_under_the_prefix_and_no_other) {
    store_key("a", 1);
    store_key("a", 2);
    store_key("a/1", 1);
    store_key("a/@1", 3);
    store_key("ab%/c", 1);
    store_key("b", 1);
    cr_assert_str_eq(list("pictures", "", 100),
                     "pictures:a/@1@3 pictures:a/1@1 pictures:a@1 pictures:a@2 pictures:ab%/c@1 pictures:b@1 ");
    cr_assert_str_eq(list("", "a/", 100), "pictures:a/@1@3 pictures:a/1@1 ");
    cr_assert_str_eq(list("", "ab%/", 100), "pictures:ab%/c@1 ");
    cr_assert_str_eq(list("pictures", "ab", 100), "pictures:ab%/c@1 ");
    cr_assert_str_eq(list("pictures", "x", 100), "");
    cr_assert_str_eq(list("pictures", "//", 100), "");
    cr_assert_str_eq(list("nothing-here", "", 100), "");
    cr_assert_str_eq(list("", "", 2), "pictures:a/@1@3 pictures:a/1@1 ");
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
