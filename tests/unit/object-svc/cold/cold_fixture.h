/* A cold store in a temporary directory. */
#ifndef WAYBILL_TESTS_COLD_FIXTURE_H
#define WAYBILL_TESTS_COLD_FIXTURE_H

#include "object-svc/cold/cold_path.h"
#include "object-svc/cold/cold_store.h"
#include "tests/unit/object-svc/hot/hot_fixture.h"

struct cold_fixture {
    char root[64];
    struct cold_store *store;
    uint64_t large_bytes; /* of the largest object that every run writes */
};

static inline void cold_fixture_open(struct cold_fixture *fixture) {
    struct error error = {0};
    struct cold_store_options options = {
        .backend = "directory", .directory = fixture->root, .replica = "replica-0", .clock = &fixture_clock};
    fixture->store = cold_store_open(&options, &error);
    cr_assert_not_null(fixture->store, "%s", error.message);
}

static inline void cold_fixture_init(struct cold_fixture *fixture) {
    fixture->large_bytes = (UINT64_C(101) << 20) + 7;
    snprintf(fixture->root, sizeof fixture->root, "/tmp/waybill-cold-XXXXXX");
    cr_assert_not_null(mkdtemp(fixture->root));
    cold_fixture_open(fixture);
}

static inline void cold_fixture_end(struct cold_fixture *fixture) {
    if (fixture->store != NULL) {
        cold_store_close(fixture->store);
    }
    fixture_shell("rm -rf %s%s", fixture->root, "");
}

static inline bool cold_try_store(struct cold_fixture *fixture, const struct provenance *provenance, uint64_t number,
                                  struct error *error) {
    struct cold_writer *writer = cold_store_begin(fixture->store, provenance, error);
    if (writer == NULL) {
        return false;
    }
    static _Thread_local uint8_t chunk[100003];
    for (uint64_t done = 0; done < provenance->size_bytes;) {
        uint64_t left = provenance->size_bytes - done;
        size_t part = left < sizeof chunk ? (size_t)left : sizeof chunk;
        fixture_fill(number, done, chunk, part);
        cr_assert(cold_writer_append(writer, bytes_of(chunk, part), error), "%s", error->message);
        done += part;
    }
    return cold_writer_finish(writer, error);
}

static inline struct provenance cold_store_object(struct cold_fixture *fixture, uint64_t number, uint64_t size,
                                                  struct fixture_names *names) {
    struct error error = {0};
    struct provenance provenance = fixture_provenance(number, size, names);
    cr_assert(cold_try_store(fixture, &provenance, number, &error), "%s", error.message);
    return provenance;
}

static inline struct cold_name cold_name_of(const struct provenance *provenance) {
    return (struct cold_name){provenance->bucket, provenance->key, provenance->version};
}

static inline int64_t cold_try_read(struct cold_fixture *fixture, const struct provenance *provenance, uint64_t number,
                                    uint64_t offset, size_t size, struct error *error) {
    struct cold_name name = cold_name_of(provenance);
    struct cold_reader *reader = cold_store_open_object(fixture->store, &name, error);
    if (reader == NULL) {
        return -1;
    }
    uint8_t *got = malloc(size + 1);
    uint8_t *want = malloc(size + 1);
    int64_t count = cold_reader_read(reader, offset, got, size, error);
    if (count > 0) {
        fixture_fill(number, offset, want, (size_t)count);
        cr_assert_eq(memcmp(got, want, (size_t)count), 0, "wrong bytes were returned");
    }
    free(got);
    free(want);
    cold_reader_close(reader);
    return count;
}

static inline void cold_path_of(const struct cold_fixture *fixture, const struct provenance *provenance,
                                char path[COLD_PATH_MAX_BYTES + 80]) {
    struct cold_name name = cold_name_of(provenance);
    char relative[COLD_PATH_MAX_BYTES];
    cr_assert(cold_path_object(&name, relative));
    snprintf(path, COLD_PATH_MAX_BYTES + 80, "%s/%s", fixture->root, relative);
}

static inline void flip_file(const char *path, uint64_t offset, uint8_t bits) {
    uint8_t byte;
    int fd = open(path, O_RDWR);
    cr_assert(fd >= 0, "%s", path);
    cr_assert_eq(pread(fd, &byte, 1, (off_t)offset), 1);
    byte ^= bits;
    cr_assert_eq(pwrite(fd, &byte, 1, (off_t)offset), 1);
    close(fd);
}

#endif
