/* A hot store in a temporary directory, and objects whose bytes follow from a number, so that
 * what is read can be told right from wrong without keeping it. */
#ifndef WAYBILL_TESTS_HOT_FIXTURE_H
#define WAYBILL_TESTS_HOT_FIXTURE_H

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/disk.h"
#include "common/checksum/crc32c.h"
#include "object-svc/hot/volume_store.h"

struct hot_fixture {
    char root[64];
    char volumes[96];
    char index[96];
    struct disk *disk;
    struct hot_store *store;
    struct volume_store_options options; /* may be changed before fixture_open */
};

static int64_t fixture_now_us = 1000000;

static inline int64_t fixture_unix_us(void *self) {
    (void)self;
    return fixture_now_us;
}

static const struct clock fixture_clock = {.unix_us = fixture_unix_us, .monotonic_us = fixture_unix_us};

static inline void fixture_shell(const char *format, const char *a, const char *b) {
    char command[1024];
    snprintf(command, sizeof command, format, a, b);
    cr_assert_eq(system(command), 0, "%s", command);
}

/* Makes `to` a copy of `from`, a file or a directory. An index in use may lose a file to a
 * compaction while it is copied: then the copy is begun anew. */
static inline void fixture_copy(const char *from, const char *to) {
    char command[1024];
    snprintf(command, sizeof command, "rm -rf %s && cp -r %s %s", to, from, to);
    int status = system(command);
    for (int tries = 0; status != 0 && tries < 20; tries++) {
        status = system(command);
    }
    cr_assert_eq(status, 0, "%s", command);
}

static inline void fixture_init(struct hot_fixture *fixture) {
    memset(fixture, 0, sizeof *fixture);
    snprintf(fixture->root, sizeof fixture->root, "/tmp/waybill-hot-XXXXXX");
    cr_assert_not_null(mkdtemp(fixture->root));
    snprintf(fixture->volumes, sizeof fixture->volumes, "%s/volumes", fixture->root);
    snprintf(fixture->index, sizeof fixture->index, "%s/index", fixture->root);
    fixture->options = (struct volume_store_options){.index_directory = fixture->index,
                                                     .clock = &fixture_clock,
                                                     .replica = "replica-0",
                                                     .volume_bytes = 1024 * 1024};
}

/* NULL store and the error where it fails. */
static inline struct hot_store *fixture_try_open(struct hot_fixture *fixture, struct error *error) {
    if (fixture->disk == NULL) {
        fixture->disk = posix_disk_new(fixture->volumes, error);
        cr_assert_not_null(fixture->disk, "%s", error->message);
    }
    fixture->options.disk = fixture->disk;
    fixture->store = volume_store_open(&fixture->options, error);
    return fixture->store;
}

static inline void fixture_open(struct hot_fixture *fixture) {
    struct error error = {0};
    cr_assert_not_null(fixture_try_open(fixture, &error), "%s", error.message);
    cr_assert_eq(error.code, ERROR_OK, "what was mended is no error: %s", error.message);
}

static inline void fixture_close(struct hot_fixture *fixture) {
    if (fixture->store != NULL) {
        hot_store_close(fixture->store);
        fixture->store = NULL;
    }
    if (fixture->disk != NULL) {
        fixture->disk->ops->free(fixture->disk);
        fixture->disk = NULL;
    }
}

static inline void fixture_reopen(struct hot_fixture *fixture) {
    fixture_close(fixture);
    fixture_open(fixture);
}

static inline void fixture_end(struct hot_fixture *fixture) {
    fixture_close(fixture);
    fixture_shell("rm -rf %s%s", fixture->root, "");
}

/* The bytes of object `number` from `offset` on. */
static inline void fixture_fill(uint64_t number, uint64_t offset, uint8_t *out, size_t size) {
    for (size_t i = 0; i < size; i++) {
        uint64_t word = ((offset + i) / 8 + 1) * 0x9e3779b97f4a7c15u + number * 0xd1342543de82ef95u;
        word ^= word >> 29;
        word *= 0xbf58476d1ce4e5b9u;
        word ^= word >> 32;
        out[i] = (uint8_t)(word >> (8 * ((offset + i) % 8)));
    }
}

static inline struct uuid fixture_payload_id(uint64_t number) {
    struct uuid id = {{0x10}};
    put_be64(id.raw + 8, number);
    return id;
}

static inline uint32_t fixture_crc(uint64_t number, uint64_t size) {
    uint8_t chunk[4096];
    uint32_t crc = 0;
    for (uint64_t done = 0; done < size;) {
        size_t part = size - done < sizeof chunk ? (size_t)(size - done) : sizeof chunk;
        fixture_fill(number, done, chunk, part);
        crc = crc32c_extend(crc, bytes_of(chunk, part));
        done += part;
    }
    return crc;
}

struct fixture_names {
    char key[64];
    char descriptor[64];
};

/* What object `number` of that size says of itself. */
static inline struct provenance fixture_provenance(uint64_t number, uint64_t size, struct fixture_names *names) {
    snprintf(names->key, sizeof names->key, "some/key-%llu", (unsigned long long)number);
    snprintf(names->descriptor, sizeof names->descriptor, "{\"number\":%llu}", (unsigned long long)number);
    return (struct provenance){.bucket = "pictures",
                               .key = names->key,
                               .version = (int64_t)number + 1,
                               .payload_id = fixture_payload_id(number),
                               .content_type = "image/png",
                               .descriptor = bytes_of_string(names->descriptor),
                               .size_bytes = size,
                               .crc32c = fixture_crc(number, size),
                               .commit_unix_us = 77};
}

/* Feeds the bytes in pieces of `piece`; the first failure ends it. */
static inline bool fixture_try_append(struct hot_appender *appender, uint64_t number, uint64_t size, size_t piece,
                                      struct error *error) {
    struct fixture_names names;
    struct provenance provenance = fixture_provenance(number, size, &names);
    uint8_t *chunk = malloc(piece);
    bool ok = hot_appender_begin(appender, &provenance, error);
    for (uint64_t done = 0; ok && done < size;) {
        size_t part = size - done < piece ? (size_t)(size - done) : piece;
        fixture_fill(number, done, chunk, part);
        ok = hot_appender_append(appender, bytes_of(chunk, part), error);
        done += part;
    }
    free(chunk);
    return ok && hot_appender_finish(appender, error);
}

static inline void fixture_append(struct hot_appender *appender, uint64_t number, uint64_t size) {
    struct error error = {0};
    cr_assert(fixture_try_append(appender, number, size, 65536, &error), "%s", error.message);
}

static inline struct hot_appender *fixture_appender(struct hot_fixture *fixture) {
    struct error error = {0};
    struct hot_appender *appender = hot_store_open_appender(fixture->store, &error);
    cr_assert_not_null(appender, "%s", error.message);
    return appender;
}

static inline void fixture_commit(struct hot_appender *appender) {
    struct error error = {0};
    cr_assert(hot_appender_commit(appender, &error), "%s", error.message);
}

/* Stores `count` objects from `first` on, each of that size, with one commit. */
static inline void fixture_store(struct hot_fixture *fixture, uint64_t first, uint64_t count, uint64_t size) {
    struct hot_appender *appender = fixture_appender(fixture);
    for (uint64_t i = 0; i < count; i++) {
        fixture_append(appender, first + i, size);
    }
    fixture_commit(appender);
    hot_appender_close(appender);
}

/* Reads a range and compares it; -1 and the error where reading fails. */
static inline int64_t fixture_try_read(struct hot_fixture *fixture, uint64_t number, uint64_t offset, size_t size,
                                       struct error *error) {
    struct uuid id = fixture_payload_id(number);
    struct hot_reader *reader = hot_store_open_object(fixture->store, &id, error);
    if (reader == NULL) {
        return -1;
    }
    uint8_t *got = malloc(size + 1);
    uint8_t *want = malloc(size + 1);
    int64_t count = hot_reader_read(reader, offset, got, size, error);
    if (count > 0) {
        fixture_fill(number, offset, want, (size_t)count);
        cr_assert_eq(memcmp(got, want, (size_t)count), 0, "wrong bytes of object %llu were returned",
                     (unsigned long long)number);
    }
    free(got);
    free(want);
    hot_reader_close(reader);
    return count;
}

static inline void fixture_check_object(struct hot_fixture *fixture, uint64_t number, uint64_t size) {
    struct error error = {0};
    int64_t got = fixture_try_read(fixture, number, 0, (size_t)size + 10, &error);
    cr_assert_eq(got, (int64_t)size, "object %llu: %lld of %llu bytes: %s", (unsigned long long)number, (long long)got,
                 (unsigned long long)size, error.message);
}

static inline bool fixture_has(struct hot_fixture *fixture, uint64_t number) {
    struct error error = {0};
    struct hot_object object;
    struct uuid id = fixture_payload_id(number);
    bool found = hot_store_find(fixture->store, &id, &object, &error);
    cr_assert(found || strcmp(error.reason, "OBJECT_NOT_FOUND") == 0, "%s", error.message);
    return found;
}

static inline void fixture_remove(struct hot_fixture *fixture, uint64_t number) {
    struct error error = {0};
    struct uuid id = fixture_payload_id(number);
    cr_assert(hot_store_remove(fixture->store, &id, 1, &error), "%s", error.message);
}

static inline struct hot_stats fixture_stats(struct hot_fixture *fixture) {
    struct hot_stats stats;
    hot_store_stats(fixture->store, &stats);
    return stats;
}

static inline void fixture_volume_path(const struct hot_fixture *fixture, uint64_t id, char path[160]) {
    snprintf(path, 160, "%s/volume-%016llx.wbv", fixture->volumes, (unsigned long long)id);
}

static inline uint64_t fixture_volume_size(const struct hot_fixture *fixture, uint64_t id) {
    char path[160];
    struct stat status;
    fixture_volume_path(fixture, id, path);
    return stat(path, &status) == 0 ? (uint64_t)status.st_size : 0;
}

/* Flips bits of one byte of a volume. */
static inline void fixture_flip(const struct hot_fixture *fixture, uint64_t id, uint64_t offset, uint8_t bits) {
    char path[160];
    uint8_t byte;
    fixture_volume_path(fixture, id, path);
    int fd = open(path, O_RDWR);
    cr_assert(fd >= 0);
    cr_assert_eq(pread(fd, &byte, 1, (off_t)offset), 1);
    byte ^= bits;
    cr_assert_eq(pwrite(fd, &byte, 1, (off_t)offset), 1);
    close(fd);
}

#endif
