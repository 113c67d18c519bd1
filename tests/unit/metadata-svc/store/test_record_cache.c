// rooms: metadata_store
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "metadata-svc/store/cached_kv.h"
#include "metadata-svc/store/layout.h"

static struct arena arena;
static struct record_cache *cache;

static void set_up(void) {
    arena_init(&arena);
    cache = record_cache_new(1 << 20);
}

static void tear_down(void) {
    record_cache_free(cache);
    arena_free(&arena);
}

TestSuite(record_cache, .init = set_up, .fini = tear_down);

static struct bytes text(const char *string) {
    return bytes_of_string(string);
}

static bool is(const char *key, const char *wanted) {
    struct bytes value;
    uint64_t ticket;
    bool hit = record_cache_get(cache, text(key), &arena, &value, &ticket);
    return wanted == NULL ? !hit : hit && bytes_equal(value, text(wanted));
}

static uint64_t miss(const char *key) {
    struct bytes value;
    uint64_t ticket = 0;
    cr_assert(!record_cache_get(cache, text(key), &arena, &value, &ticket));
    return ticket;
}

static void write_one(const char *key, const char *value) {
    struct bytes bytes = text(value);
    record_cache_write_begins(cache, text(key));
    record_cache_write_ends(cache, text(key), &bytes);
}

Test(record_cache, what_was_read_is_there) {
    record_cache_fill(cache, text("hk"), text("one"), miss("hk"));
    cr_assert(is("hk", "one"));
    write_one("hk", "two");
    cr_assert(is("hk", "two"));
}

Test(record_cache, a_key_misses_while_it_is_written) {
    write_one("hk", "one");
    record_cache_write_begins(cache, text("hk"));
    cr_assert(is("hk", NULL));
    record_cache_write_ends(cache, text("hk"), NULL);
    cr_assert(is("hk", NULL), "after a failed write nobody knows");
}

Test(record_cache, what_was_read_before_a_write_is_not_kept_after_it) {
    uint64_t ticket = miss("hk");
    write_one("hk", "new");
    record_cache_fill(cache, text("hk"), text("old"), ticket);
    cr_assert(is("hk", "new"));

    ticket = miss("hother");
    record_cache_write_begins(cache, text("hother"));
    record_cache_fill(cache, text("hother"), text("old"), ticket);
    cr_assert(is("hother", NULL));
    record_cache_write_ends(cache, text("hother"), NULL);
    record_cache_fill(cache, text("hother"), text("old"), ticket);
    cr_assert(is("hother", NULL));
}

Test(record_cache, the_last_of_two_writes_in_one_batch_counts) {
    struct bytes first = text("first");
    struct bytes second = text("second");
    record_cache_write_begins(cache, text("hk"));
    record_cache_write_begins(cache, text("hk"));
    record_cache_write_ends(cache, text("hk"), &first);
    cr_assert(is("hk", NULL));
    record_cache_write_ends(cache, text("hk"), &second);
    cr_assert(is("hk", "second"));
}

static void fill_numbered(const char *prefix, int count) {
    char key[32];
    char value[512] = {0};
    memset(value, 'v', sizeof value - 1);
    for (int i = 0; i < count; i++) {
        snprintf(key, sizeof key, "h%s-%d", prefix, i);
        record_cache_fill(cache, text(key), text(value), miss(key));
    }
}

Test(record_cache, its_bytes_are_bounded) {
    struct record_cache_stats stats;
    fill_numbered("many", 20000);
    record_cache_stats(cache, &stats);
    cr_assert_leq(stats.bytes, 1 << 20);
    cr_assert_gt(stats.bytes, (1 << 20) / 2);
    cr_assert_lt(stats.entries, 2000);
}

Test(record_cache, a_scan_does_not_wash_out_what_is_read_again_and_again) {
    fill_numbered("hot", 400);
    char key[32];
    struct bytes value;
    uint64_t ticket;
    for (int i = 0; i < 400; i++) {
        snprintf(key, sizeof key, "hhot-%d", i);
        record_cache_get(cache, text(key), &arena, &value, &ticket);
    }
    fill_numbered("scan", 50000);
    int left = 0;
    for (int i = 0; i < 400; i++) {
        snprintf(key, sizeof key, "hhot-%d", i);
        left += record_cache_get(cache, text(key), &arena, &value, &ticket);
    }
    cr_assert_eq(left, 400);
}

/* ---- over a store ---- */

struct readers {
    struct kv *kv;
    atomic_bool stop;
    atomic_int backwards;
};

/* A reader never sees a number lower than one it saw before, be it from the cache or not. */
static void *read_on(void *argument) {
    struct readers *readers = argument;
    int last = 0;
    while (!atomic_load(&readers->stop)) {
        struct arena own;
        struct bytes value;
        struct error error;
        bool found = false;
        arena_init(&own);
        int number = last;
        if (readers->kv->ops->get(readers->kv, text("hcounter"), &own, &value, &found, &error) && found) {
            number = atoi((const char *)value.data);
        }
        arena_free(&own);
        if (number < last) {
            atomic_fetch_add(&readers->backwards, 1);
        }
        last = number;
    }
    return NULL;
}

Test(record_cache, readers_beside_a_writer_never_go_back) {
    char directory[] = "/tmp/waybill-test-XXXXXX";
    cr_assert_not_null(mkdtemp(directory));
    struct error error = {0};
    struct leveldb_kv_options options = {.cache_bytes = 1 << 20, .write_buffer_bytes = 1 << 20};
    struct kv *inner = leveldb_kv_open(directory, &options, &error);
    cr_assert_not_null(inner);
    struct readers readers = {.kv = cached_kv_new(inner, cache, 1 << 16)};
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, read_on, &readers), 0);
    }
    for (int number = 1; number <= 5000; number++) {
        struct kv_batch batch = {0};
        char value[16] = {0};
        snprintf(value, sizeof value, "%d", number);
        kv_batch_put(&batch, text("hcounter"), bytes_of(value, sizeof value));
        cr_assert(readers.kv->ops->write(readers.kv, &batch, false, &error));
        kv_batch_free(&batch);
        struct bytes seen;
        bool found;
        cr_assert(readers.kv->ops->get(readers.kv, text("hcounter"), &arena, &seen, &found, &error) && found);
        cr_assert_eq(atoi((const char *)seen.data), number, "a writer reads its own write");
    }
    atomic_store(&readers.stop, true);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    cr_assert_eq(atomic_load(&readers.backwards), 0);
    readers.kv->ops->close(readers.kv);
    char command[64];
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    cr_assert_eq(system(command), 0);
}

/* ---- the key filter ---- */

static struct bytes head_of(int number) {
    return layout_head_key(&arena, "bucket", arena_printf(&arena, "key-%d", number));
}

static void put_heads(struct kv *kv, int from, int to) {
    struct kv_batch batch = {0};
    struct error error = {0};
    for (int i = from; i < to; i++) {
        kv_batch_put(&batch, head_of(i), text("value"));
    }
    cr_assert(kv->ops->write(kv, &batch, false, &error));
    kv_batch_free(&batch);
}

static bool has(struct kv *kv, int number) {
    struct bytes value;
    struct error error = {0};
    bool found;
    cr_assert(kv->ops->get(kv, head_of(number), &arena, &value, &found, &error));
    return found;
}

Test(record_cache, what_the_store_had_and_what_is_written_is_found_through_the_filter) {
    char directory[] = "/tmp/waybill-test-XXXXXX";
    cr_assert_not_null(mkdtemp(directory));
    struct error error = {0};
    struct leveldb_kv_options options = {.cache_bytes = 1 << 20, .write_buffer_bytes = 1 << 20};
    struct kv *inner = leveldb_kv_open(directory, &options, &error);
    cr_assert_not_null(inner);
    put_heads(inner, 0, 25000);
    struct kv *kv = cached_kv_new(inner, cache, 1 << 16);
    put_heads(kv, 25000, 26000); /* while it learns */
    cached_kv_await_filter(kv);
    put_heads(kv, 26000, 27000);
    for (int i = 0; i < 27000; i++) {
        cr_assert(has(kv, i), "key %d", i);
    }
    for (int i = 27000; i < 40000; i++) {
        cr_assert(!has(kv, i), "key %d", i);
    }
    kv->ops->close(kv);
    char command[64];
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    cr_assert_eq(system(command), 0);
}
