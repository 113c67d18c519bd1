// rooms: metadata_store
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metadata-svc/store/kv.h"
#include "tests/support/file_limit.h"

enum { CUT_BYTES = 300000, LONG_BYTES = 400000 };

static char directory[64];
static struct kv *kv;

static void open_kv(void) {
    struct error error = {0};
    struct leveldb_kv_options options = {.cache_bytes = 1 << 20, .write_buffer_bytes = 1 << 20};
    kv = leveldb_kv_open(directory, &options, &error);
    cr_assert_not_null(kv, "%s", error.message);
}

static void set_up(void) {
    snprintf(directory, sizeof directory, "/tmp/waybill-test-XXXXXX");
    cr_assert_not_null(mkdtemp(directory));
    open_kv();
}

static void tear_down(void) {
    kv->ops->close(kv);
    char command[96];
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    cr_assert_eq(system(command), 0);
}

TestSuite(leveldb_kv, .init = set_up, .fini = tear_down);

static bool put(const char *key, struct bytes value, bool sync, struct error *error) {
    struct kv_batch batch = {0};
    kv_batch_put(&batch, bytes_of_string(key), value);
    bool good = kv->ops->write(kv, &batch, sync, error);
    kv_batch_free(&batch);
    return good;
}

static bool has(const char *key) {
    struct error error = {0};
    struct bytes value;
    struct arena arena;
    bool found;
    arena_init(&arena);
    cr_assert(kv->ops->get(kv, bytes_of_string(key), &arena, &value, &found, &error), "%s", error.message);
    arena_free(&arena);
    return found;
}

Test(leveldb_kv, no_write_follows_one_that_was_torn_and_what_was_synced_is_there_after_reopening) {
    static uint8_t filler[LONG_BYTES];
    struct error error = {0};
    cr_assert(put("synced", bytes_of_string("1"), true, &error));
    file_limit_set(CUT_BYTES); /* the log takes the beginning of the record, as where a disk is full */
    cr_assert_not(put("torn", bytes_of(filler, sizeof filler), true, &error));
    file_limit_lift();
    cr_assert_not(put("later", bytes_of_string("2"), false, &error));
    cr_assert_str_eq(error.reason, "RECORD_STORE_FAILED");
    cr_assert_not(put("last", bytes_of_string("3"), true, &error));
    cr_assert(has("synced"), "reads go on");
    kv->ops->close(kv);
    open_kv();
    cr_assert(has("synced"));
    cr_assert_not(has("torn") || has("later") || has("last"));
    cr_assert(put("later", bytes_of_string("2"), true, &error), "%s", error.message);
}
