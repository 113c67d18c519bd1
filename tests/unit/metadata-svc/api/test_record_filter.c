// rooms: metadata_api
#include <criterion/criterion.h>

#include "metadata-svc/api/record_filter.h"

static struct arena arena;

static void set_up(void) {
    arena_init(&arena);
}

static void tear_down(void) {
    arena_free(&arena);
}

TestSuite(record_filter, .init = set_up, .fini = tear_down);

static bool matches(const char *text) {
    struct attribute attributes[] = {
        {.name = "bool", .kind = ATTRIBUTE_BOOL, .whole = 1},
        {.name = "bytes", .kind = ATTRIBUTE_BYTES, .raw = bytes_of_string("x")},
        {.name = "int", .kind = ATTRIBUTE_INT, .whole = -7},
        {.name = "my name", .kind = ATTRIBUTE_STRING, .text = "quoted \"text\""},
        {.name = "real", .kind = ATTRIBUTE_DOUBLE, .real = 2.5},
        {.name = "text.with.dots", .kind = ATTRIBUTE_STRING, .text = "holiday"},
        {.name = "time", .kind = ATTRIBUTE_TIMESTAMP, .time = {.seconds = 1767323045, .nanos = 678000000}},
    };
    struct record record = record_make("photos", "2026/beach.jpg");
    record.state = RECORD_STORED;
    record.version = 3;
    record.has_size = true;
    record.size = 1000;
    record.attributes = attributes;
    record.attribute_count = sizeof attributes / sizeof attributes[0];
    struct error error = {0};
    const struct record_filter *filter = record_filter_parse(text, &arena, &error);
    cr_assert_not_null(filter, "%s: %s", text, error.message);
    return record_filter_matches(filter, &record);
}

Test(record_filter, each_kind_of_value_is_compared_as_what_it_is) {
    static const char *const holding[] = {
        "",
        "  ",
        "key = 2026/beach.jpg",
        "key=2026/*",
        "key = *.jpg",
        "key > 2025",
        "state = STORED",
        "state = RECORD_STATE_STORED",
        "state != STAGED",
        "version = 3",
        "version >= 2.5",
        "size < 1001",
        "size <= 1000",
        "attributes.int < 0",
        "attributes.int = -7",
        "attributes.real > 2",
        "attributes.real = 2.5",
        "attributes.bool = true",
        "attributes.bool != false",
        "attributes.text.with.dots = holi*",
        "attributes.\"my name\" = \"quoted \\\"text\\\"\"",
        "attributes.time = 2026-01-02T03:04:05.678Z",
        "attributes.time < 2026-01-02T05:04:05.679+02:00",
        "attributes:int",
        "attributes.int:*",
        "attributes.int:-7",
    };
    for (size_t i = 0; i < sizeof holding / sizeof holding[0]; i++) {
        cr_assert(matches(holding[i]), "%s", holding[i]);
    }
}

Test(record_filter, what_the_record_has_not_or_is_of_another_kind_does_not_hold) {
    static const char *const failing[] = {
        "expire_time > 1970-01-01T00:00:01Z",
        "attributes.int = seven",
        "attributes.int != seven",
        "attributes.bool = yes",
        "attributes.bytes = x",
        "attributes.time > yesterday",
        "attributes:absent",
        "attributes.absent != 1",
        "attributes.real < many",
        "content_type = text/*",
    };
    for (size_t i = 0; i < sizeof failing / sizeof failing[0]; i++) {
        cr_assert(!matches(failing[i]), "%s", failing[i]);
    }
}

Test(record_filter, or_binds_closer_than_and) {
    cr_assert(!matches("version = 9 AND size = 1000 OR state = STORED"));
    cr_assert(matches("size = 1000 OR version = 9 AND state = STORED"));
    cr_assert(matches("(version = 9 AND size = 1) OR state = STORED"));
    cr_assert(matches("NOT version = 9 size = 1000"));
    cr_assert(matches("-version = 9 -(size = 1 OR size = 2)"));
    cr_assert(!matches("NOT (version = 3)"));
}

Test(record_filter, any_bytes_are_parsed_or_refused) {
    static const char alphabet[] = "ak()=!<>:\"'\\ -.*1ANDORT";
    unsigned seed = 7;
    char text[24];
    for (int round = 0; round < 200000; round++) {
        size_t size = (size_t)(rand_r(&seed) % (int)(sizeof text - 1));
        for (size_t i = 0; i < size; i++) {
            text[i] = alphabet[(size_t)rand_r(&seed) % (sizeof alphabet - 1)];
        }
        text[size] = '\0';
        struct error error = {0};
        struct record record = record_make("b", "k");
        const struct record_filter *filter = record_filter_parse(text, &arena, &error);
        if (filter != NULL) {
            record_filter_matches(filter, &record);
        } else {
            cr_assert_str_eq(error.reason, "BAD_FILTER");
        }
        arena_free(&arena);
    }
}
