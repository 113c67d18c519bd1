// rooms: object_cold
#include <pthread.h>

#include "tests/unit/object-svc/cold/s3_fixture.h"

static struct cold_fixture fixture;
static struct s3_fixture server;
static struct fixture_names names;

#define OBJECT_BYTES ((UINT64_C(23) << 20) + 12345)

static void start(void) {
    s3_fixture_init(&server, &fixture);
}

static void end(void) {
    s3_fixture_end(&server, &fixture);
}

TestSuite(cold_s3_ahead, .init = start, .fini = end);

static void open_with(int64_t ahead_bytes) {
    cold_store_close(fixture.store);
    server.options.ahead_bytes = ahead_bytes;
    s3_fixture_open(&server, &fixture);
}

static struct cold_reader *open_object(const struct provenance *provenance) {
    struct error error = {0};
    struct cold_name name = cold_name_of(provenance);
    struct cold_reader *reader = cold_store_open_object(fixture.store, &name, &error);
    cr_assert_not_null(reader, "%s", error.message);
    return reader;
}

/* Reads and compares; returns how many bytes. */
static uint64_t read_at(struct cold_reader *reader, uint64_t offset, size_t size) {
    struct error error = {0};
    uint8_t *got = malloc(size);
    uint8_t *want = malloc(size);
    int64_t count = cold_reader_read(reader, offset, got, size, &error);
    cr_assert_geq(count, 0, "%s", error.message);
    fixture_fill(1, offset, want, (size_t)count);
    cr_assert_eq(memcmp(got, want, (size_t)count), 0, "wrong bytes at %llu", (unsigned long long)offset);
    free(got);
    free(want);
    return (uint64_t)count;
}

static void read_whole(const struct provenance *provenance, size_t step) {
    struct cold_reader *reader = open_object(provenance);
    uint64_t offset = 0;
    uint64_t got;
    while ((got = read_at(reader, offset, step)) > 0) {
        offset += got;
    }
    cr_assert_eq(offset, OBJECT_BYTES);
    cold_reader_close(reader);
}

Test(cold_s3_ahead, reads_in_order_bring_the_bytes_whatever_their_steps) {
    static const size_t steps[] = {1 << 20, 300001, 4 << 20, (3 << 20) + 5, 64 << 20};
    struct provenance provenance = cold_store_object(&fixture, 1, OBJECT_BYTES, &names);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        read_whole(&provenance, steps[i]);
    }
    open_with(0);
    read_whole(&provenance, 1 << 20);
}

Test(cold_s3_ahead, a_reader_that_jumps_gets_the_bytes_from_there) {
    struct provenance provenance = cold_store_object(&fixture, 1, OBJECT_BYTES, &names);
    struct cold_reader *reader = open_object(&provenance);
    static const uint64_t jumps[] = {0, 9 << 20, 17, (20 << 20) + 3, 1 << 20, OBJECT_BYTES - 5};
    for (size_t i = 0; i < sizeof jumps / sizeof jumps[0]; i++) {
        uint64_t offset = jumps[i];
        for (int reads = 0; reads < 4 && offset < OBJECT_BYTES; reads++) {
            offset += read_at(reader, offset, (1 << 20) - 1);
        }
    }
    cr_assert_eq(read_at(reader, OBJECT_BYTES, 1), 0);
    cold_reader_close(reader);
}

static void *read_beside(void *argument) {
    read_whole(argument, 1 << 20);
    return NULL;
}

Test(cold_s3_ahead, readers_that_share_too_little_room_all_come_to_their_end) {
    enum { READERS = 6 };
    pthread_t threads[READERS];
    struct provenance provenance = cold_store_object(&fixture, 1, OBJECT_BYTES, &names);
    open_with(5 << 20);                                  /* two ranges */
    struct cold_reader *slow = open_object(&provenance); /* has its share and does not use it */
    read_at(slow, 0, 1 << 20);
    read_at(slow, 1 << 20, 1000);
    for (int i = 0; i < READERS; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, read_beside, &provenance), 0);
    }
    for (int i = 0; i < READERS; i++) {
        pthread_join(threads[i], NULL);
    }
    cold_reader_close(slow);
}

Test(cold_s3_ahead, a_reader_is_closed_while_its_ranges_are_under_way) {
    struct provenance provenance = cold_store_object(&fixture, 1, OBJECT_BYTES, &names);
    for (int round = 0; round < 20; round++) {
        struct cold_reader *reader = open_object(&provenance);
        for (uint64_t done = 0; done < (uint64_t)(round % 5 + 1); done++) {
            read_at(reader, done << 20, 1 << 20);
        }
        cold_reader_close(reader);
    }
    read_whole(&provenance, 1 << 20);
}

Test(cold_s3_ahead, damage_that_is_read_ahead_is_found_where_it_is) {
    struct provenance provenance = cold_store_object(&fixture, 1, OBJECT_BYTES, &names);
    char path[COLD_PATH_MAX_BYTES + 80];
    struct error error = {0};
    cold_path_of(&fixture, &provenance, path);
    flip_file(path, (13 << 20) + 4711, 0x10);
    struct cold_reader *reader = open_object(&provenance);
    for (uint64_t at = 0; at < 13; at++) {
        cr_assert_eq(read_at(reader, at << 20, 1 << 20), 1 << 20);
    }
    uint8_t *out = malloc(1 << 20);
    cr_assert_eq(cold_reader_read(reader, 13 << 20, out, 1 << 20, &error), -1);
    cr_assert_str_eq(error.reason, "OBJECT_CORRUPT");
    free(out);
    cr_assert_eq(read_at(reader, 14 << 20, 1 << 20), 1 << 20, "what follows is good");
    cold_reader_close(reader);
}

Test(cold_s3_ahead, a_client_that_is_given_up_ends_reads) {
    struct provenance provenance = cold_store_object(&fixture, 1, OBJECT_BYTES, &names);
    static atomic_bool given_up;
    server.options.client.given_up = &given_up;
    open_with(16 << 20);
    struct cold_reader *reader = open_object(&provenance);
    struct error error = {0};
    read_at(reader, 0, 1 << 20);
    atomic_store(&given_up, true);
    uint8_t *out = malloc(1 << 20);
    cr_assert_eq(cold_reader_read(reader, 1 << 20, out, 1 << 20, &error), -1);
    cr_assert_str_eq(error.reason, "DRAINING");
    free(out);
    cold_reader_close(reader);
}
