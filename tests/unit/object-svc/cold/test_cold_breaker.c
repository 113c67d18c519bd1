// rooms: object_cold object_hot
#include "object-svc/cold/cold_breaker.h"

#include <criterion/criterion.h>
#include <stdlib.h>

/* A cold store that does as it is told, and counts what it is asked. */
struct moody_store {
    struct cold_store base;
    struct error mood; /* code OK: all is well */
    unsigned calls;
};

static struct moody_store moody;
static int64_t now_us;
static struct cold_breaker *breaker;
static struct cold_store *store;
static const struct provenance provenance = {.bucket = "photos", .key = "a", .version = 1};
static const struct cold_name name = {"photos", "a", 1};

static bool answer(struct error *error) {
    moody.calls++;
    if (moody.mood.code != ERROR_OK) {
        *error = moody.mood;
    }
    return moody.mood.code == ERROR_OK;
}

static struct cold_writer *moody_begin(struct cold_store *self, const struct provenance *what, struct error *error) {
    (void)what;
    static struct cold_writer writer;
    writer.ops = self->ops;
    (void)error;
    return &writer;
}

static bool moody_append(struct cold_writer *writer, struct bytes data, struct error *error) {
    (void)writer;
    (void)data;
    (void)error;
    return true;
}

static bool moody_finish(struct cold_writer *writer, struct error *error) {
    (void)writer;
    return answer(error);
}

static void moody_abort(struct cold_writer *writer) {
    (void)writer;
}

static struct cold_reader *moody_open(struct cold_store *self, const struct cold_name *which, struct error *error) {
    (void)which;
    static struct cold_reader reader;
    reader.ops = self->ops;
    return answer(error) ? &reader : NULL;
}

static void moody_close(struct cold_store *self) {
    (void)self;
}

static const struct cold_store_ops moody_ops = {.name = "moody",
                                                .begin = moody_begin,
                                                .append = moody_append,
                                                .finish = moody_finish,
                                                .abort = moody_abort,
                                                .open_object = moody_open,
                                                .close = moody_close};

static int64_t now(void *self) {
    (void)self;
    return now_us;
}

static const struct clock test_clock = {now, now, NULL};

static void set_up(void) {
    struct cold_breaker_options options = {
        .clock = &test_clock,
        .limits = {.failures = 3, .first_pause_ms = 1000, .longest_pause_ms = 30000, .probe_ms = 30000}};
    moody = (struct moody_store){.base = {&moody_ops}};
    now_us = 0;
    breaker = cold_breaker_new(&moody.base, &options);
    store = cold_breaker_store(breaker);
}

static void tear_down(void) {
    cold_store_close(store);
}

TestSuite(cold_breaker, .init = set_up, .fini = tear_down);

static bool write_one(struct error *error) {
    *error = (struct error){0};
    struct cold_writer *writer = cold_store_begin(store, &provenance, error);
    return writer != NULL && cold_writer_append(writer, bytes_of("x", 1), error) && cold_writer_finish(writer, error);
}

static bool read_one(struct error *error) {
    *error = (struct error){0};
    return cold_store_open_object(store, &name, error) != NULL;
}

static void be(enum error_code code, const char *reason) {
    error_set(&moody.mood, code, reason, "so it is");
}

Test(cold_breaker, a_store_that_is_away_is_soon_left_alone) {
    struct error error;
    be(ERROR_UNAVAILABLE, "COLD_STORE_UNAVAILABLE");
    for (int i = 0; i < 3; i++) {
        cr_assert_not(write_one(&error));
        cr_assert_str_eq(error.reason, "COLD_STORE_UNAVAILABLE");
    }
    for (int i = 0; i < 100; i++) {
        cr_assert_not(write_one(&error));
        cr_assert_eq(error.code, ERROR_UNAVAILABLE);
        cr_assert_str_eq(error.reason, COLD_STORE_SUSPENDED);
        cr_assert_gt(error.retry_after_ms, 0);
        cr_assert_not_null(strstr(error.message, "so it is"), "%s", error.message);
    }
    cr_assert_eq(moody.calls, 3);
    cr_assert_not(cold_breaker_ready(breaker, COLD_PATH_WRITE));
    struct error cause;
    cr_assert(cold_breaker_suspended(breaker, COLD_PATH_WRITE, &cause));
    cr_assert_str_eq(cause.reason, "COLD_STORE_UNAVAILABLE");
}

Test(cold_breaker, one_call_a_pause_finds_out_that_it_is_back) {
    struct error error;
    be(ERROR_INTERNAL, "IO_ERROR");
    while (strcmp((write_one(&error), error.reason), COLD_STORE_SUSPENDED) != 0) {
    }
    now_us += 1000000;
    cr_assert(cold_breaker_ready(breaker, COLD_PATH_WRITE));
    cr_assert_not(write_one(&error));
    cr_assert_str_eq(error.reason, "IO_ERROR");
    cr_assert_eq(moody.calls, 4);
    now_us += 2000000;
    moody.mood = (struct error){0};
    cr_assert(write_one(&error));
    cr_assert(write_one(&error));
    cr_assert_not(cold_breaker_suspended(breaker, COLD_PATH_WRITE, NULL));
}

Test(cold_breaker, a_store_that_takes_nothing_more_is_still_read) {
    struct error error;
    be(ERROR_RESOURCE_EXHAUSTED, "DISK_FULL");
    for (int i = 0; i < 3; i++) {
        write_one(&error);
    }
    moody.mood = (struct error){0};
    cr_assert(read_one(&error));
    cr_assert_not(write_one(&error));
    cr_assert_str_eq(error.reason, COLD_STORE_SUSPENDED);
    cr_assert_not(cold_breaker_suspended(breaker, COLD_PATH_READ, NULL));
}

Test(cold_breaker, what_is_about_one_object_suspends_nothing) {
    static const struct {
        enum error_code code;
        const char *reason;
    } moods[] = {{ERROR_NOT_FOUND, "OBJECT_NOT_FOUND"},
                 {ERROR_DATA_LOSS, "OBJECT_CORRUPT"},
                 {ERROR_FAILED_PRECONDITION, "COLD_STORE_REFUSED"},
                 {ERROR_ALREADY_EXISTS, "COLD_OBJECT_CONFLICT"}};
    struct error error;
    for (int i = 0; i < 40; i++) {
        be(moods[i % 4].code, moods[i % 4].reason);
        cr_assert_not(read_one(&error));
        cr_assert_str_eq(error.reason, moods[i % 4].reason);
        cr_assert_not(write_one(&error));
        cr_assert_str_eq(error.reason, moods[i % 4].reason);
    }
}

Test(cold_breaker, wrong_credentials_suspend_it_too) {
    struct error error;
    be(ERROR_FAILED_PRECONDITION, "COLD_STORE_CREDENTIALS");
    for (int i = 0; i < 3; i++) {
        read_one(&error);
    }
    cr_assert_not(read_one(&error));
    cr_assert_str_eq(error.reason, COLD_STORE_SUSPENDED);
}

Test(cold_breaker, a_write_that_is_given_up_leaves_the_probe_to_the_next) {
    struct error error = {0};
    be(ERROR_UNAVAILABLE, "COLD_STORE_UNAVAILABLE");
    for (int i = 0; i < 3; i++) {
        write_one(&error);
    }
    now_us += 1000000;
    moody.mood = (struct error){0};
    struct cold_writer *writer = cold_store_begin(store, &provenance, &error);
    cr_assert_not_null(writer);
    cr_assert_null(cold_store_begin(store, &provenance, &error), "one at a time");
    cold_writer_abort(writer);
    cr_assert(write_one(&error), "%s", error.message);
}
