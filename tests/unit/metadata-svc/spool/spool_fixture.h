/* A spool on a disk in memory that can fail, with payloads whose bytes follow from a number, so
 * that what is read can be told right from wrong without keeping it. */
#ifndef WAYBILL_TESTS_SPOOL_FIXTURE_H
#define WAYBILL_TESTS_SPOOL_FIXTURE_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/checksum/crc32c.h"
#include "metadata-svc/spool/payload_spool.h"
#include "tests/support/faulty_disk.h"

enum { KIB = 1024, MIB = 1024 * 1024, SEGMENT_BYTES = 64 * KIB, SEGMENT_ROOM_BYTES = SEGMENT_BYTES - 3 * 4096 };

struct spool_fixture {
    struct disk *disk;
    struct payload_spool *spool;
    struct payload_spool_options options; /* may be changed before the next open */
};

static inline int64_t fixture_unix_us(void *self) {
    (void)self;
    return 1700000000000000;
}

static const struct clock fixture_clock = {.unix_us = fixture_unix_us, .monotonic_us = fixture_unix_us};

/* The bytes of payload `number` from `offset` on. */
static inline void fixture_fill(uint64_t number, uint64_t offset, uint8_t *out, size_t size) {
    for (size_t i = 0; i < size; i++) {
        uint64_t word = ((offset + i) / 8 + 1) * 0x9e3779b97f4a7c15u + number * 0xd1342543de82ef95u;
        word ^= word >> 29;
        word *= 0xbf58476d1ce4e5b9u;
        word ^= word >> 32;
        out[i] = (uint8_t)(word >> (8 * ((offset + i) % 8)));
    }
}

static inline struct uuid fixture_id(uint64_t number) {
    struct uuid id = {{0x20}};
    put_be64(id.raw + 8, number);
    return id;
}

static inline bool fixture_try_open(struct spool_fixture *fixture, struct error *error) {
    fixture->spool = payload_spool_open(fixture->disk, &fixture->options, error);
    return fixture->spool != NULL;
}

static inline void fixture_open(struct spool_fixture *fixture) {
    struct error error = {0};
    cr_assert(fixture_try_open(fixture, &error), "%s", error.message);
}

static inline struct spool_fixture fixture_on(struct disk *disk, uint64_t max_segments) {
    struct spool_fixture fixture = {
        .disk = disk,
        .options = {.segment_bytes = SEGMENT_BYTES, .max_bytes = max_segments * SEGMENT_BYTES, .clock = &fixture_clock},
    };
    fixture_open(&fixture);
    return fixture;
}

static inline struct spool_fixture fixture_start(uint64_t seed, uint64_t max_segments) {
    return fixture_on(faulty_disk_new(seed), max_segments);
}

static inline void fixture_close(struct spool_fixture *fixture) {
    payload_spool_close(fixture->spool);
    fixture->spool = NULL;
}

static inline void fixture_reopen(struct spool_fixture *fixture) {
    fixture_close(fixture);
    fixture_open(fixture);
}

/* The power goes and comes again; what the spool wanted to write in between is lost with it. */
static inline void fixture_lose_power(struct spool_fixture *fixture, enum faulty_unsynced unsynced) {
    faulty_disk_cut_at(fixture->disk, 1);
    fixture_close(fixture);
    faulty_disk_restart(fixture->disk, unsynced);
    fixture_open(fixture);
}

static inline void fixture_end(struct spool_fixture *fixture) {
    fixture_close(fixture);
    fixture->disk->ops->free(fixture->disk);
}

static inline struct payload_upload *fixture_begin(struct spool_fixture *fixture, uint64_t number,
                                                   struct error *error) {
    struct uuid id = fixture_id(number);
    char key[64];
    snprintf(key, sizeof key, "some/key-%llu", (unsigned long long)number);
    return payload_upload_begin(fixture->spool, &id, "pictures", key, error);
}

static inline bool fixture_append(struct payload_upload *upload, uint64_t number, uint64_t size, size_t piece,
                                  struct error *error) {
    uint8_t *chunk = malloc(piece);
    bool good = true;
    while (good && payload_upload_size(upload) < size) {
        uint64_t left = size - payload_upload_size(upload);
        size_t part = left < piece ? (size_t)left : piece;
        fixture_fill(number, payload_upload_size(upload), chunk, part);
        good = payload_upload_append(upload, bytes_of(chunk, part), error);
    }
    free(chunk);
    return good;
}

/* Uploads payload `number` in pieces; whether it was acked. */
static inline bool fixture_try_put(struct spool_fixture *fixture, uint64_t number, uint64_t size, size_t piece,
                                   struct error *error) {
    struct payload_upload *upload = fixture_begin(fixture, number, error);
    if (upload == NULL) {
        return false;
    }
    if (!fixture_append(upload, number, size, piece, error)) {
        payload_upload_abort(upload);
        return false;
    }
    return payload_upload_finish(upload, error);
}

static inline void fixture_put(struct spool_fixture *fixture, uint64_t number, uint64_t size) {
    struct error error = {0};
    cr_assert(fixture_try_put(fixture, number, size, 30000, &error), "%s", error.message);
}

/* Reads a range; `right` says whether these are the payload's bytes. Asserts nothing, so that
 * threads may call it. */
static inline bool fixture_compare(struct payload_spool *spool, uint64_t number, uint64_t offset, size_t size,
                                   bool *right, struct error *error) {
    struct uuid id = fixture_id(number);
    uint8_t *got = malloc(size + 1);
    uint8_t *want = malloc(size + 1);
    bool good = payload_spool_read(spool, &id, offset, got, size, error);
    fixture_fill(number, offset, want, size);
    *right = good && memcmp(got, want, size) == 0;
    free(got);
    free(want);
    return good;
}

/* Reads a range and compares it; false and the error where reading fails. */
static inline bool fixture_try_read(struct payload_spool *spool, uint64_t number, uint64_t offset, size_t size,
                                    struct error *error) {
    bool right;
    bool good = fixture_compare(spool, number, offset, size, &right, error);
    cr_assert(right || !good, "wrong bytes of payload %llu were returned", (unsigned long long)number);
    return good;
}

static inline void fixture_check(struct spool_fixture *fixture, uint64_t number, uint64_t size) {
    struct error error = {0};
    struct uuid id = fixture_id(number);
    struct payload_info info;
    cr_assert(payload_spool_stat(fixture->spool, &id, &info, &error), "payload %llu: %s", (unsigned long long)number,
              error.message);
    cr_assert_eq(info.size_bytes, size);
    cr_assert(fixture_try_read(fixture->spool, number, 0, (size_t)size, &error), "payload %llu: %s",
              (unsigned long long)number, error.message);
}

static inline bool fixture_has(struct spool_fixture *fixture, uint64_t number) {
    struct error error = {0};
    struct uuid id = fixture_id(number);
    struct payload_info info;
    bool found = payload_spool_stat(fixture->spool, &id, &info, &error);
    cr_assert(found || strcmp(error.reason, "PAYLOAD_NOT_SPOOLED") == 0, "%s", error.message);
    return found;
}

static inline void fixture_release(struct spool_fixture *fixture, uint64_t number) {
    struct uuid id = fixture_id(number);
    payload_spool_release(fixture->spool, &id);
}

static inline struct payload_spool_stats fixture_stats(struct spool_fixture *fixture) {
    struct payload_spool_stats stats;
    payload_spool_stats(fixture->spool, &stats);
    return stats;
}

static inline void fixture_segment_name(uint64_t number, char name[32]) {
    snprintf(name, 32, "segment-%016llx", (unsigned long long)number);
}

static inline void fixture_flip(struct spool_fixture *fixture, uint64_t segment, uint64_t offset, uint8_t bits) {
    char name[32];
    fixture_segment_name(segment, name);
    faulty_disk_flip(fixture->disk, name, offset, bits);
}

#endif
