// rooms: object_cold
/* The directory on a disk that fails a flush, any of those that an object or a removal needs. This program's fsync
 * takes the place of the system's. */
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/unit/object-svc/cold/cold_fixture.h"

enum { OBJECT_BYTES = 1000, NEVER = 1 << 30 };

static struct cold_fixture fixture;
static int good_syncs = NEVER; /* so many yet, then one fails */
static int syncs;

int fsync(int fd) {
    syncs++;
    if (good_syncs-- == 0) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

static void start(void) {
    cold_fixture_init(&fixture);
}

static void end(void) {
    cold_fixture_end(&fixture);
}

TestSuite(cold_directory_flush, .init = start, .fini = end);

static bool try_object(uint64_t number, struct error *error) {
    struct fixture_names names;
    struct provenance provenance = fixture_provenance(number, OBJECT_BYTES, &names);
    *error = (struct error){0};
    return cold_try_store(&fixture, &provenance, number, error);
}

static void check_reads(uint64_t number) {
    struct fixture_names names;
    struct provenance provenance = fixture_provenance(number, OBJECT_BYTES, &names);
    struct error error = {0};
    cr_assert(cold_store_verify(fixture.store, &provenance, &error), "%s", error.message);
}

static void check_read_only(const struct error *error) {
    cr_assert_eq(error->code, ERROR_UNAVAILABLE);
    cr_assert_str_eq(error->reason, "COLD_STORE_READ_ONLY");
    cr_assert_eq(error->retry_after_ms, ERROR_RETRY_READ_ONLY_MS);
}

/* Nothing is written or removed, and nothing more is flushed, on a disk that is well again. */
static void check_refuses_until_opened_again(uint64_t old, uint64_t new) {
    struct fixture_names names;
    struct provenance provenance = fixture_provenance(old, OBJECT_BYTES, &names);
    struct cold_name name = cold_name_of(&provenance);
    struct error error = {0};
    int before = syncs;
    cr_assert_not(try_object(new, &error));
    check_read_only(&error);
    cr_assert_not(cold_store_remove(fixture.store, &name, &error));
    check_read_only(&error);
    cr_assert_eq(syncs, before);
    check_reads(old);
    cold_store_close(fixture.store);
    cold_fixture_open(&fixture);
    cr_assert(try_object(new, &error), "%s", error.message);
    check_reads(new);
    check_reads(old);
}

Test(cold_directory_flush, one_that_fails_makes_it_read_only_until_it_is_opened_again) {
    struct error error;
    int failed = 0;
    cr_assert(try_object(1, &error), "%s", error.message);
    for (uint64_t number = 2;; number += 2, failed++) {
        cold_store_close(fixture.store); /* forgets which directories are durable */
        cold_fixture_open(&fixture);
        good_syncs = failed;
        bool stored = try_object(number, &error);
        good_syncs = NEVER;
        if (stored) {
            break;
        }
        cr_assert_str_eq(error.reason, "IO_ERROR");
        check_refuses_until_opened_again(1, number + 1);
    }
    cr_assert_geq(failed, 6, "bytes, sidecar and the directories up to the root were to be flushed, not only %d",
                  failed);
}

Test(cold_directory_flush, one_of_a_removal_that_fails_makes_it_read_only_too) {
    struct fixture_names names;
    struct provenance provenance = fixture_provenance(2, OBJECT_BYTES, &names);
    struct cold_name name = cold_name_of(&provenance);
    struct error error;
    cr_assert(try_object(1, &error) && try_object(2, &error), "%s", error.message);
    good_syncs = 0;
    cr_assert_not(cold_store_remove(fixture.store, &name, &error));
    cr_assert_str_eq(error.reason, "IO_ERROR");
    good_syncs = NEVER;
    check_refuses_until_opened_again(1, 3);
}

Test(cold_directory_flush, objects_that_are_being_written_are_refused_after_one_that_fails) {
    struct fixture_names names;
    struct provenance first = fixture_provenance(1, OBJECT_BYTES, &names);
    struct error error = {0};
    uint8_t bytes[OBJECT_BYTES];
    fixture_fill(1, 0, bytes, sizeof bytes);
    struct cold_writer *whole = cold_store_begin(fixture.store, &first, &error);
    struct cold_writer *begun = cold_store_begin(fixture.store, &first, &error);
    cr_assert(whole != NULL && begun != NULL && cold_writer_append(whole, bytes_of(bytes, sizeof bytes), &error), "%s",
              error.message);
    good_syncs = 0;
    cr_assert_not(try_object(2, &error));
    good_syncs = NEVER;
    int before = syncs;
    cr_assert_not(cold_writer_append(begun, bytes_of(bytes, sizeof bytes), &error));
    check_read_only(&error);
    cold_writer_abort(begun);
    cr_assert_not(cold_writer_finish(whole, &error));
    check_read_only(&error);
    cr_assert_eq(syncs, before);
    fixture_shell("test -z \"$(find %s/.tmp -type f%s)\"", fixture.root, "");
}
