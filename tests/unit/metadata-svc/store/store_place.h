/* A record store in a temporary directory, whose log can be read, torn and damaged. */
#ifndef WAYBILL_TESTS_STORE_PLACE_H
#define WAYBILL_TESTS_STORE_PLACE_H

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "metadata-svc/store/kv.h"
#include "metadata-svc/store/log_tail.h"

enum { PLACE_RUNWAY_BYTES = 256 * 1024, PLACE_WRITE_BUFFER_BYTES = 4 << 20 };

struct store_place {
    char directory[64];
};

static inline struct store_place store_place_new(void) {
    struct store_place place = {"/tmp/waybill-test-XXXXXX"};
    cr_assert_not_null(mkdtemp(place.directory));
    return place;
}

static inline void store_place_run(const char *format, const char *first, const char *second) {
    char command[200];
    snprintf(command, sizeof command, format, first, second);
    cr_assert_eq(system(command), 0);
}

static inline void store_place_free(const struct store_place *place) {
    store_place_run("rm -rf '%s'", place->directory, NULL);
}

/* NULL: it was refused. */
static inline struct kv *store_place_try(const struct store_place *place, size_t runway_bytes) {
    struct error error = {0};
    struct leveldb_kv_options options = {
        .cache_bytes = 1 << 20, .write_buffer_bytes = PLACE_WRITE_BUFFER_BYTES, .log_runway_bytes = runway_bytes};
    return leveldb_kv_open(place->directory, &options, &error);
}

static inline struct kv *store_place_open(const struct store_place *place, size_t runway_bytes) {
    struct kv *kv = store_place_try(place, runway_bytes);
    cr_assert_not_null(kv);
    return kv;
}

/* The path of the newest log. */
static inline void store_place_log(const struct store_place *place, char *path, size_t size) {
    DIR *directory = opendir(place->directory);
    const struct dirent *entry;
    uint64_t newest = 0;
    cr_assert_not_null(directory);
    while ((entry = readdir(directory)) != NULL) {
        uint64_t number;
        if (log_name_parse(entry->d_name, &number) && number > newest) {
            newest = number;
            snprintf(path, size, "%s/%s", place->directory, entry->d_name);
        }
    }
    closedir(directory);
    cr_assert_gt(newest, 0);
}

static inline struct buffer store_place_read_log(const struct store_place *place) {
    char path[400];
    struct buffer content = {0};
    store_place_log(place, path, sizeof path);
    FILE *file = fopen(path, "rb");
    cr_assert_not_null(file);
    size_t got;
    while ((got = fread(buffer_reserve(&content, 1 << 16), 1, 1 << 16, file)) > 0) {
        content.size += got;
    }
    fclose(file);
    return content;
}

static inline void store_place_write_log(const struct store_place *place, struct bytes content) {
    char path[400];
    store_place_log(place, path, sizeof path);
    FILE *file = fopen(path, "wb");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(content.data, 1, content.size, file), content.size);
    cr_assert_eq(fclose(file), 0);
}

/* Returns once the newest log is that long. */
static inline void store_place_await_log(const struct store_place *place, int64_t size) {
    enum { PATIENCE_MS = 60000 };
    char path[400];
    struct stat status;
    int waited = 0;
    store_place_log(place, path, sizeof path);
    do {
        usleep(1000);
        cr_assert_eq(stat(path, &status), 0);
        cr_assert_lt(waited++, PATIENCE_MS, "%lld bytes", (long long)status.st_size);
    } while (status.st_size < size);
}

/* Returns once there are zeros ahead of the newest log, which holds little. */
static inline void store_place_await_runway(const struct store_place *place) {
    store_place_await_log(place, PLACE_RUNWAY_BYTES);
}

/* Writes a batch of one key with so many random bytes, none of them zero. */
static inline void store_place_put(struct kv *kv, int number, size_t size) {
    struct kv_batch batch = {0};
    struct error error = {0};
    char key[32];
    uint8_t *value = malloc(size);
    cr_assert_not_null(value);
    unsigned state = (unsigned)number;
    for (size_t i = 0; i < size; i++) {
        value[i] = (uint8_t)(1 + rand_r(&state) % 255);
    }
    kv_batch_put(&batch, bytes_of(key, (size_t)snprintf(key, sizeof key, "key-%d", number)), bytes_of(value, size));
    cr_assert(kv->ops->write(kv, &batch, true, &error), "%s", error.message);
    kv_batch_free(&batch);
    free(value);
}

/* Whether it is there, and then whole. */
static inline bool store_place_has(struct kv *kv, int number, size_t size) {
    struct arena arena;
    struct error error = {0};
    struct bytes value = {0};
    char key[32];
    bool found = false;
    arena_init(&arena);
    size_t key_size = (size_t)snprintf(key, sizeof key, "key-%d", number);
    cr_assert(kv->ops->get(kv, bytes_of(key, key_size), &arena, &value, &found, &error), "%s", error.message);
    unsigned state = (unsigned)number;
    cr_assert(!found || value.size == size);
    for (size_t i = 0; found && i < size; i++) {
        cr_assert_eq(value.data[i], (uint8_t)(1 + rand_r(&state) % 255));
    }
    arena_free(&arena);
    return found;
}

#endif
