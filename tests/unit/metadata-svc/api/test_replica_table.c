// rooms: metadata_api
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "metadata-svc/api/replica_table.h"

#define SECOND INT64_C(1000000)

static int64_t now_us;
static struct clock clock_of_test;
static struct replica_table *table;
static struct arena arena;

static int64_t tell_time(void *self) {
    (void)self;
    return now_us;
}

static void set_up(void) {
    now_us = 5 * SECOND;
    clock_of_test = (struct clock){tell_time, tell_time, NULL};
    table = replica_table_new(&clock_of_test);
    arena_init(&arena);
}

static void tear_down(void) {
    replica_table_free(table);
    arena_free(&arena);
}

TestSuite(replica_table, .init = set_up, .fini = tear_down);

static bool put(const char *name, const char *address, int64_t ttl_us, struct error *error) {
    return replica_table_put(table, &(struct replica){name, address}, ttl_us, error);
}

/* "name=address ..." */
static const char *listed(void) {
    struct replica *replicas;
    size_t count = replica_table_list(table, &arena, &replicas);
    const char *text = "";
    for (size_t i = 0; i < count; i++) {
        text = arena_printf(&arena, "%s%s=%s ", text, replicas[i].name, replicas[i].address);
    }
    return text;
}

Test(replica_table, lists_by_name_and_takes_a_new_address) {
    struct error error = {0};
    cr_assert(put("b", "h:1", SECOND, &error) && put("a", "h:2", SECOND, &error) && put("c", "h:3", SECOND, &error));
    cr_assert_str_eq(listed(), "a=h:2 b=h:1 c=h:3 ");
    cr_assert(put("b", "h:9", SECOND, &error));
    cr_assert_str_eq(listed(), "a=h:2 b=h:9 c=h:3 ");
    replica_table_remove(table, "a");
    replica_table_remove(table, "nobody");
    cr_assert_str_eq(listed(), "b=h:9 c=h:3 ");
}

Test(replica_table, forgets_what_is_not_heard_of) {
    struct error error = {0};
    cr_assert(put("short", "h:1", SECOND, &error) && put("long", "h:2", 3 * SECOND, &error));
    now_us += SECOND - 1;
    cr_assert_str_eq(listed(), "long=h:2 short=h:1 ");
    now_us += 1;
    cr_assert_str_eq(listed(), "long=h:2 ");
    cr_assert(put("long", "h:2", 3 * SECOND, &error));
    now_us += 3 * SECOND - 1;
    cr_assert_str_eq(listed(), "long=h:2 ");
}

Test(replica_table, takes_so_many_and_no_more_until_one_is_gone) {
    struct error error = {0};
    char name[16];
    for (int i = 0; i < REPLICAS_MAX; i++) {
        snprintf(name, sizeof name, "r%d", i);
        cr_assert(put(name, "h:1", i == 7 ? SECOND : 2 * SECOND, &error));
    }
    cr_assert_not(put("one-more", "h:1", SECOND, &error));
    cr_assert_eq(error.code, ERROR_RESOURCE_EXHAUSTED);
    cr_assert_gt(error.retry_after_ms, 0);
    cr_assert(put("r5", "h:2", 2 * SECOND, &error), "one that is there is renewed");
    now_us += SECOND;
    cr_assert(put("one-more", "h:1", SECOND, &error), "%s", error.message);
}
