// rooms: metadata_store
#include "metadata-svc/store/table_write_back.h"

#include <fcntl.h>

#include "tests/unit/metadata-svc/store/store_place.h"

enum { MIB = 1 << 20, PATIENCE_MS = 60000 };

TestSuite(table_write_back, .timeout = 120);

static int begin_file(const struct store_place *place, const char *name) {
    char path[100];
    snprintf(path, sizeof path, "%s/%s", place->directory, name);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    cr_assert_geq(file, 0);
    return file;
}

static void grow(int file, size_t bytes) {
    char *data = calloc(1, bytes);
    cr_assert_not_null(data);
    cr_assert_eq(write(file, data, bytes), (ssize_t)bytes);
    free(data);
}

static void await(struct table_write_back *tables, uint64_t bytes) {
    for (int waited = 0; table_write_back_bytes(tables) < bytes; waited++) {
        usleep(1000);
        cr_assert_lt(waited, PATIENCE_MS, "%llu bytes", (unsigned long long)table_write_back_bytes(tables));
    }
}

Test(table_write_back, whole_steps_of_tables_are_written_while_they_grow_and_nothing_else) {
    struct store_place place = store_place_new();
    struct table_write_back *tables = table_write_back_start(place.directory);
    cr_assert_not_null(tables);
    int log = begin_file(&place, "000004.log");
    grow(log, 3 * MIB);
    int table = begin_file(&place, "000005.ldb");
    grow(table, 3 * MIB + 1000);
    await(tables, 3 * MIB);
    grow(table, MIB);
    int second = begin_file(&place, "000007.ldb");
    grow(second, 2 * MIB);
    await(tables, 6 * MIB);
    close(table);
    grow(second, 2 * MIB);
    await(tables, 8 * MIB);
    close(second);
    close(log);
    table_write_back_stop(tables);
    store_place_free(&place);
}

/* More at once than it has places for, and more one after the other. */
Test(table_write_back, tables_that_ended_make_room_for_others) {
    enum { ROUNDS = 10, AT_ONCE = 6, PLACES = 4 };
    struct store_place place = store_place_new();
    struct table_write_back *tables = table_write_back_start(place.directory);
    cr_assert_not_null(tables);
    for (uint64_t round = 0; round < ROUNDS; round++) {
        int files[AT_ONCE];
        for (int i = 0; i < AT_ONCE; i++) {
            char name[32];
            snprintf(name, sizeof name, "%06d.ldb", (int)round * AT_ONCE + i);
            files[i] = begin_file(&place, name);
        }
        for (int i = 0; i < AT_ONCE; i++) {
            grow(files[i], MIB);
        }
        await(tables, (round + 1) * PLACES * MIB);
        for (int i = 0; i < AT_ONCE; i++) {
            close(files[i]);
        }
    }
    cr_assert_eq(table_write_back_bytes(tables), ROUNDS * PLACES * MIB);
    table_write_back_stop(tables);
    store_place_free(&place);
}

Test(table_write_back, the_store_has_its_tables_written) {
    struct store_place place = store_place_new();
    struct table_write_back *tables = table_write_back_start(place.directory);
    struct kv *kv = store_place_open(&place, 0);
    for (int i = 0; i < 8 * PLACE_WRITE_BUFFER_BYTES / MIB; i++) {
        store_place_put(kv, i, MIB);
    }
    await(tables, MIB);
    kv->ops->close(kv);
    table_write_back_stop(tables);
    store_place_free(&place);
}
