// rooms: waybill_stream test_support
#include "common/stream/stream_reader.h"
#include "stream_fixture.h"

static void quiet(void) {
    log_setup("test", LOG_LEVEL_ERROR);
}

TestSuite(stream_reader, .init = quiet, .timeout = 120);

struct reading {
    int count;
    int ours;
    int stop_at; /* 0: never */
};

static bool take(void *self, const char *message_id, struct bytes body) {
    struct reading *reading = self;
    char id[16];
    snprintf(id, sizeof id, "a-%d", ++reading->count);
    cr_assert_str_eq(message_id, id);
    cr_assert(bytes_equal(body, bytes_of_string(id)));
    return reading->count != reading->stop_at;
}

static bool read_all(struct stream_test *t, struct reading *reading, bool *exists) {
    struct error error = {0};
    await_connected(t->connection);
    bool good = stream_read_all(t->connection, STREAM, "events.>", take, reading, exists, &error);
    cr_assert(good || reading->stop_at != 0, "%s", error.message);
    return good;
}

Test(stream_reader, reads_all_messages_in_order_and_leaves_no_consumer) {
    struct stream_test t;
    struct reading reading = {0};
    bool exists;
    stream_test_open(&t);
    add_stream(&t);
    put_events(&t, "a", 1, 1000);
    cr_assert(read_all(&t, &reading, &exists));
    cr_assert(exists);
    cr_assert_eq(reading.count, 1000);
    jsStreamInfo *info = NULL;
    cr_assert_eq(js_GetStreamInfo(&info, t.jetstream, STREAM, NULL, NULL), NATS_OK);
    cr_assert_eq(info->State.Consumers, 0);
    jsStreamInfo_Destroy(info);
    stream_test_close(&t);
}

Test(stream_reader, an_empty_stream_and_none_at_all_are_no_failure) {
    struct stream_test t;
    struct reading reading = {0};
    bool exists;
    stream_test_open(&t);
    cr_assert(read_all(&t, &reading, &exists));
    cr_assert_not(exists);
    add_stream(&t);
    cr_assert(read_all(&t, &reading, &exists));
    cr_assert(exists);
    cr_assert_eq(reading.count, 0);
    stream_test_close(&t);
}

static bool count_all(void *self, const char *message_id, struct bytes body) {
    struct reading *reading = self;
    reading->count++;
    reading->ours += strncmp(message_id, "a-", 2) == 0 && body.size > 0;
    return true;
}

Test(stream_reader, reads_messages_that_look_like_the_servers_word) {
    struct stream_test t;
    struct reading reading = {0};
    struct error error = {0};
    bool exists;
    stream_test_open(&t);
    add_stream(&t);
    for (int i = 0; i < 2; i++) { /* between others, and at the end */
        put_events(&t, "a", 1 + 5 * i, 5 + 5 * i);
        put_lookalikes(&t, "events.a", 1);
    }
    await_connected(t.connection);
    cr_assert(stream_read_all(t.connection, STREAM, "events.>", count_all, &reading, &exists, &error), "%s",
              error.message);
    cr_assert_eq(reading.ours, 10);
    cr_assert_eq(reading.count, 10 + 2 * LOOKALIKES);
    stream_test_close(&t);
}

Test(stream_reader, ends_where_its_visitor_has_enough) {
    struct stream_test t;
    struct reading reading = {.stop_at = 3};
    bool exists;
    stream_test_open(&t);
    add_stream(&t);
    put_events(&t, "a", 1, 10);
    cr_assert_not(read_all(&t, &reading, &exists));
    cr_assert_eq(reading.count, 3);
    stream_test_close(&t);
}
