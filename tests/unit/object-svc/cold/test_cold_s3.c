// rooms: object_cold
#include "tests/unit/object-svc/cold/cold_suite.h"
#include "tests/unit/object-svc/cold/s3_fixture.h"

static struct s3_fixture server;

static void start(void) {
    s3_fixture_init(&server, &fixture);
}

static void end(void) {
    s3_fixture_end(&server, &fixture);
}

TestSuite(cold_s3, .init = start, .fini = end);

COLD_SUITE(cold_s3)

/* Files of parts of uploads that have not ended, and notes of such uploads. */
static void expect_no_uploads(void) {
    fixture_shell("test -z \"$(find %s/data/tier/.sgwtmp/multipart -type f 2>/dev/null)%s\"", server.directory, "");
    fixture_shell("test -z \"$(ls %s%s)\"", server.uploads, "");
}

static void append(struct cold_writer *writer, uint64_t from, size_t size) {
    struct error error = {0};
    uint8_t *bytes = malloc(size);
    fixture_fill(1, from, bytes, size);
    cr_assert(cold_writer_append(writer, bytes_of(bytes, size), &error), "%s", error.message);
    free(bytes);
}

Test(cold_s3, parts_of_any_number_and_an_edge_at_their_end_come_back) {
    static const uint64_t sizes[] = {(5 << 20) - 1, 5 << 20, (5 << 20) + 1, 10 << 20, (10 << 20) + 1, (26 << 20) + 3};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct fixture_names names;
        struct error error = {0};
        struct provenance provenance = cold_store_object(&fixture, i, sizes[i], &names);
        cr_assert_eq(cold_try_read(&fixture, &provenance, i, 0, (size_t)sizes[i] + 1, &error), (int64_t)sizes[i]);
        cr_assert(cold_store_verify(fixture.store, &provenance, &error), "%s", error.message);
    }
    expect_no_uploads();
}

Test(cold_s3, an_upload_that_is_given_up_leaves_nothing) {
    struct fixture_names names;
    struct error error = {0};
    struct provenance provenance = fixture_provenance(1, 30 << 20, &names);
    struct cold_writer *writer = cold_store_begin(fixture.store, &provenance, &error);
    append(writer, 0, 17 << 20);
    cold_writer_abort(writer);
    expect_no_uploads();
    cr_assert_eq(cold_try_read(&fixture, &provenance, 1, 0, 1, &error), -1);
    cr_assert_str_eq(error.reason, "OBJECT_NOT_FOUND");
}

Test(cold_s3, an_upload_of_other_bytes_than_announced_makes_no_object) {
    struct fixture_names names;
    struct error error = {0};
    struct provenance provenance = fixture_provenance(1, 12 << 20, &names);
    provenance.crc32c ^= 1;
    struct cold_writer *writer = cold_store_begin(fixture.store, &provenance, &error);
    append(writer, 0, 12 << 20);
    cr_assert_not(cold_writer_finish(writer, &error));
    cr_assert_str_eq(error.reason, "PAYLOAD_CORRUPT");
    expect_no_uploads();
    cr_assert_str_eq(list("", "", 10), "");
}

static void wait_for_parts(const char *parts) {
    fixture_shell("for i in $(seq 3000); do "
                  "test $(find %s/data/tier/.sgwtmp/multipart -type f -name '[0-9]*' | wc -l) = %s && exit 0; "
                  "sleep 0.01; done; exit 1",
                  server.directory, parts);
}

/* The notes of an upload that has not ended are all that a crash leaves; here they are copied. */
Test(cold_s3, what_a_crash_left_is_aborted_at_the_next_start) {
    struct fixture_names names;
    struct error error = {0};
    struct cold_fixture next = {.store = NULL};
    struct provenance provenance = fixture_provenance(1, 40 << 20, &names);
    struct cold_writer *writer = cold_store_begin(fixture.store, &provenance, &error);
    append(writer, 0, 24 << 20);
    wait_for_parts("4");
    fixture_shell("cp -r %s %s-next", server.uploads, server.uploads);
    strcat(server.uploads, "-next");
    s3_fixture_open(&server, &next);
    expect_no_uploads();
    cold_store_close(next.store);
    cold_writer_abort(writer);
}

Test(cold_s3, uploads_side_by_side_keep_to_their_bytes) {
    enum { WRITERS = 4 };
    struct cold_writer *writers[WRITERS];
    struct provenance provenances[WRITERS];
    struct fixture_names names[WRITERS];
    struct error error = {0};
    for (int i = 0; i < WRITERS; i++) {
        provenances[i] = fixture_provenance((uint64_t)i, 17 << 20, &names[i]);
        writers[i] = cold_store_begin(fixture.store, &provenances[i], &error);
        cr_assert_not_null(writers[i], "%s", error.message);
    }
    uint8_t *step = malloc(1 << 20);
    for (uint64_t done = 0; done < 17; done++) {
        for (int i = 0; i < WRITERS; i++) {
            fixture_fill((uint64_t)i, done << 20, step, 1 << 20);
            cr_assert(cold_writer_append(writers[i], bytes_of(step, 1 << 20), &error), "%s", error.message);
        }
    }
    free(step);
    for (int i = 0; i < WRITERS; i++) {
        cr_assert(cold_writer_finish(writers[i], &error), "%s", error.message);
        cr_assert(cold_store_verify(fixture.store, &provenances[i], &error), "%s", error.message);
    }
    expect_no_uploads();
}

Test(cold_s3, a_server_that_goes_away_fails_the_upload_and_what_it_left_is_aborted_later) {
    struct fixture_names names;
    struct error error = {0};
    char program[1024];
    struct provenance provenance = fixture_provenance(1, 30 << 20, &names);
    struct cold_writer *writer = cold_store_begin(fixture.store, &provenance, &error);
    append(writer, 0, 11 << 20);
    s3_fixture_stop_server(&server);
    uint8_t *rest = calloc(1, 19 << 20);
    bool ok = cold_writer_append(writer, bytes_of(rest, 19 << 20), &error);
    free(rest);
    if (ok) {
        cr_assert_not(cold_writer_finish(writer, &error));
        cr_assert_str_eq(error.reason, "PAYLOAD_CORRUPT"); /* the rest was not its own */
    } else {
        cr_assert_str_eq(error.reason, "COLD_STORE_UNAVAILABLE");
        cold_writer_abort(writer);
    }
    s3_fixture_find(program);
    s3_fixture_serve(&server, program);
    cold_store_object(&fixture, 2, 10, &names);
    expect_no_uploads();
}

static bool count_entry(void *context, const struct cold_entry *entry) {
    cr_assert_eq(entry->size_bytes, 2);
    ++*(int *)context;
    return true;
}

Test(cold_s3, a_listing_of_several_pages_is_whole) {
    struct error error = {0};
    int count = 0;
    fixture_shell(
        "mkdir -p $(seq -f %s/pictures/k%%g 1200) && echo x | tee $(seq -f %s/pictures/k%%g/@1 1200) > /dev/null",
        fixture.root, fixture.root);
    cr_assert(cold_store_list(fixture.store, "pictures", "", count_entry, &count, &error), "%s", error.message);
    cr_assert_eq(count, 1200);
}

Test(cold_s3, a_name_that_s3_does_not_allow_is_refused) {
    struct fixture_names names;
    struct error error = {0};
    char key[1025];
    struct provenance provenance = fixture_provenance(1, 10, &names);
    memset(key, 'k', 1024);
    key[1024] = '\0';
    provenance.key = key;
    cr_assert_not(cold_try_store(&fixture, &provenance, 1, &error));
    cr_assert_str_eq(error.reason, "BAD_OBJECT_NAME");
    key[980] = '\0';
    cr_assert(cold_try_store(&fixture, &provenance, 1, &error), "%s", error.message);
    cr_assert(cold_store_verify(fixture.store, &provenance, &error), "%s", error.message);
}
