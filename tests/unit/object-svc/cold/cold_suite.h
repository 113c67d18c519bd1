/* What every backend of the cold store must do; test_cold_directory.c and test_cold_s3.c run it.
 *
 * `fixture.root` is a directory where an object's bytes can be found as a file, to be damaged. */
#ifndef WAYBILL_TESTS_COLD_SUITE_H
#define WAYBILL_TESTS_COLD_SUITE_H

#include <sys/resource.h>

#include "common/base/names.h"
#include "tests/unit/object-svc/cold/cold_fixture.h"

static struct cold_fixture fixture;

/* Of whoever runs the suite. A test that is skipped calls it itself: Criterion does not. */
static void end(void);

static inline void cold_suite_objects_of_all_sizes_come_back_byte_for_byte(void) {
    const uint64_t sizes[] = {0, 1, 4096, 262143, 262144, 262145, 524288, 1000000, fixture.large_bytes};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct fixture_names names;
        struct error error = {0};
        struct provenance provenance = cold_store_object(&fixture, i, sizes[i], &names);
        int64_t got = cold_try_read(&fixture, &provenance, i, 0, (size_t)sizes[i] + 5, &error);
        cr_assert_eq(got, (int64_t)sizes[i], "%lld: %s", (long long)got, error.message);
        cr_assert(cold_store_verify(fixture.store, &provenance, &error), "%s", error.message);
    }
}

static inline void cold_suite_ranges_are_right_at_and_around_block_edges(void) {
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

static inline void check_provenance(struct bytes descriptor) {
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

static inline void cold_suite_provenance_comes_back_whole_whatever_the_descriptor(void) {
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

static inline void cold_suite_a_payload_that_is_not_as_announced_leaves_nothing(void) {
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

static inline void cold_suite_an_object_is_seen_only_once_it_is_finished(void) {
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

static inline void cold_suite_writing_again_is_fine_with_the_same_payload_and_refused_with_other_bytes(void) {
    struct fixture_names names;
    struct error error = {0};
    struct provenance provenance = cold_store_object(&fixture, 1, 100, &names);
    cr_assert(cold_try_store(&fixture, &provenance, 1, &error), "%s", error.message);
    struct provenance other = provenance;
    other.payload_id = fixture_payload_id(2);
    other.crc32c ^= 1;
    cr_assert_not(cold_try_store(&fixture, &other, 1, &error));
    cr_assert_eq(error.code, ERROR_ALREADY_EXISTS);
    cr_assert_str_eq(error.reason, "COLD_OBJECT_CONFLICT");
    cr_assert_eq(cold_try_read(&fixture, &provenance, 1, 0, 100, &error), 100);
    cr_assert(cold_store_verify(fixture.store, &provenance, &error), "%s", error.message);
}

/* As after a restore of older records: the caller writes once more what was lost. */
static inline void cold_suite_the_same_bytes_of_another_payload_take_the_name_over(void) {
    struct fixture_names names;
    struct error error = {0};
    struct provenance provenance = cold_store_object(&fixture, 1, 100, &names);
    struct provenance other = provenance;
    other.payload_id = fixture_payload_id(2);
    cr_assert(cold_try_store(&fixture, &other, 1, &error), "%s", error.message);
    cr_assert(cold_store_verify(fixture.store, &other, &error), "%s", error.message);
    cr_assert_not(cold_store_verify(fixture.store, &provenance, &error));
    other.has_sha256 = true;
    memset(other.sha256, 1, sizeof other.sha256);
    cr_assert(cold_try_store(&fixture, &other, 1, &error), "%s", error.message);
    struct provenance third = other;
    third.payload_id = fixture_payload_id(3);
    memset(third.sha256, 2, sizeof third.sha256);
    cr_assert_not(cold_try_store(&fixture, &third, 1, &error), "another SHA-256 is told of");
    cr_assert_str_eq(error.reason, "COLD_OBJECT_CONFLICT");
}

static inline void cold_suite_writing_again_repairs_a_damaged_object(void) {
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

static inline void cold_suite_a_flipped_byte_is_never_returned(void) {
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

static inline void cold_suite_a_flip_anywhere_in_the_sidecar_never_leads_to_wrong_words(void) {
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

static inline void cold_suite_verify_tells_another_object_from_the_expected_one(void) {
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

static inline void store_key(const char *key, int64_t version) {
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

static inline bool note(void *context, const struct cold_entry *entry) {
    struct listing *listing = context;
    size_t length = strlen(listing->text);
    snprintf(listing->text + length, sizeof listing->text - length, "%s:%s@%lld ", entry->name.bucket, entry->name.key,
             (long long)entry->name.version);
    cr_assert_eq(entry->size_bytes, 10);
    return --listing->left > 0;
}

static inline const char *list(const char *bucket, const char *prefix, int limit) {
    static struct listing listing;
    struct error error = {0};
    listing = (struct listing){.left = limit};
    cr_assert(cold_store_list(fixture.store, bucket, prefix, note, &listing, &error), "%s", error.message);
    return listing.text;
}

static inline void cold_suite_a_listing_has_every_object_under_the_prefix_and_no_other(void) {
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

static inline void cold_suite_a_removed_object_is_gone_and_may_be_written_again(void) {
    struct error error = {0};
    store_key("x/y/z", 1);
    store_key("x/y", 1);
    struct cold_name name = {"pictures", "x/y/z", 1};
    cr_assert(cold_store_remove(fixture.store, &name, &error), "%s", error.message);
    cr_assert_null(cold_store_open_object(fixture.store, &name, &error));
    cr_assert_str_eq(error.reason, "OBJECT_NOT_FOUND");
    cr_assert(cold_store_remove(fixture.store, &name, &error), "removing it again: %s", error.message);
    cr_assert_str_eq(list("pictures", "", 100), "pictures:x/y@1 ");
    store_key("x/y/z", 1);
    cr_assert_str_eq(list("pictures", "", 100), "pictures:x/y/z@1 pictures:x/y@1 ");
}

static inline void cold_suite_keys_of_all_kinds_are_told_apart(void) {
    static const char *const keys[] = {
        "a",           "A",         "a/a",     "a b",       "a+b",    "a%20b", "a%2Fb",
        "@1",          "@1.json",   "a/@1",    "x.json",    "..a",    "a//b",  "&<>\"'",
        "?versions=1", "#fragment", "a=b;c,d", "~!*()[]{}", "\\back", "|^`",   "\xc3\xbc\xe2\x82\xac\xf0\x9f\x93\xa6",
        "e\xcc\x81",   "\xc3\xa9",  "%",       "50%/@"};
    size_t stored = 0;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        struct error error = {0};
        struct fixture_names names;
        struct provenance provenance = fixture_provenance(i, 10, &names);
        if (!name_check_key(keys[i], "key", &error)) {
            continue; /* then no record has it */
        }
        provenance.key = keys[i];
        cr_assert(cold_try_store(&fixture, &provenance, i, &error), "%s: %s", keys[i], error.message);
        stored++;
    }
    cr_assert_geq(stored, sizeof keys / sizeof keys[0] - 3);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        struct error error = {0};
        struct fixture_names names;
        struct provenance provenance = fixture_provenance(i, 10, &names);
        provenance.key = keys[i];
        if (name_check_key(keys[i], "key", &error)) {
            cr_assert_eq(cold_try_read(&fixture, &provenance, i, 0, 10, &error), 10, "%s: %s", keys[i], error.message);
            cr_assert(cold_store_verify(fixture.store, &provenance, &error), "%s: %s", keys[i], error.message);
            char entry[2000];
            snprintf(entry, sizeof entry, "pictures:%s@1 ", keys[i]);
            cr_assert_not_null(strstr(list("pictures", "", 100), entry), "%s", keys[i]);
        }
    }
}

static inline void read_all_of(const struct provenance *provenance, uint64_t number) {
    enum { STEP = 1 << 20 };
    struct error error = {0};
    struct cold_name name = cold_name_of(provenance);
    struct cold_reader *reader = cold_store_open_object(fixture.store, &name, &error);
    uint8_t *got = malloc(STEP);
    uint8_t *want = malloc(STEP);
    cr_assert_not_null(reader, "%s", error.message);
    for (uint64_t offset = 0; offset < provenance->size_bytes; offset += STEP) {
        uint64_t left = provenance->size_bytes - offset;
        int64_t size = left < STEP ? (int64_t)left : STEP;
        cr_assert_eq(cold_reader_read(reader, offset, got, STEP, &error), size, "%s", error.message);
        fixture_fill(number, offset, want, (size_t)size);
        cr_assert_eq(memcmp(got, want, (size_t)size), 0, "wrong bytes from %llu on", (unsigned long long)offset);
    }
    cold_reader_close(reader);
    free(got);
    free(want);
}

/* Takes a minute or so, and 2 GiB on the disk: only where WAYBILL_LARGE_OBJECTS is set. */
static inline void cold_suite_an_object_above_2_gib_comes_back_within_bounded_memory(void) {
    if (getenv("WAYBILL_LARGE_OBJECTS") == NULL) {
        end();
        cr_skip_test("WAYBILL_LARGE_OBJECTS is not set");
    }
    struct fixture_names names;
    struct error error = {0};
    struct rusage usage;
    struct provenance provenance = cold_store_object(&fixture, 1, (UINT64_C(2) << 30) + 12345, &names);
    cr_assert(cold_store_verify(fixture.store, &provenance, &error), "%s", error.message);
    read_all_of(&provenance, 1);
    cr_assert_eq(cold_try_read(&fixture, &provenance, 1, (UINT64_C(2) << 30) - 5, 10, &error), 10);
    cr_assert_eq(getrusage(RUSAGE_SELF, &usage), 0);
    cr_assert_lt(usage.ru_maxrss, 128 * 1024, "%ld KiB", usage.ru_maxrss);
}

#define COLD_SUITE_TEST(suite_, name_)                                                                                 \
    Test(suite_, name_) {                                                                                              \
        cold_suite_##name_();                                                                                          \
    }

#define COLD_SUITE(suite_)                                                                                             \
    COLD_SUITE_TEST(suite_, objects_of_all_sizes_come_back_byte_for_byte)                                              \
    COLD_SUITE_TEST(suite_, an_object_above_2_gib_comes_back_within_bounded_memory)                                    \
    COLD_SUITE_TEST(suite_, ranges_are_right_at_and_around_block_edges)                                                \
    COLD_SUITE_TEST(suite_, provenance_comes_back_whole_whatever_the_descriptor)                                       \
    COLD_SUITE_TEST(suite_, a_payload_that_is_not_as_announced_leaves_nothing)                                         \
    COLD_SUITE_TEST(suite_, an_object_is_seen_only_once_it_is_finished)                                                \
    COLD_SUITE_TEST(suite_, writing_again_is_fine_with_the_same_payload_and_refused_with_other_bytes)                  \
    COLD_SUITE_TEST(suite_, the_same_bytes_of_another_payload_take_the_name_over)                                      \
    COLD_SUITE_TEST(suite_, writing_again_repairs_a_damaged_object)                                                    \
    COLD_SUITE_TEST(suite_, a_flipped_byte_is_never_returned)                                                          \
    COLD_SUITE_TEST(suite_, a_flip_anywhere_in_the_sidecar_never_leads_to_wrong_words)                                 \
    COLD_SUITE_TEST(suite_, verify_tells_another_object_from_the_expected_one)                                         \
    COLD_SUITE_TEST(suite_, a_listing_has_every_object_under_the_prefix_and_no_other)

#endif
