// rooms: waybill_stream test_support
#include "stream_fixture.h"

static void quiet(void) {
    log_setup("test", LOG_LEVEL_ERROR);
}

TestSuite(stream_publisher, .init = quiet, .timeout = 60);

static void ignore_ack(void *self) {
    (void)self;
}

static bool starts_with_a(void *self, const char *id) {
    (void)self;
    return id[0] == 'a';
}

static struct stream_publisher *publish_to(struct stream_test *t, int64_t max_bytes) {
    struct error error = {0};
    struct stream_publisher_options options = {
        .stream = STREAM,
        .subjects = "events.>",
        .max_bytes = max_bytes,
        .is_ours = starts_with_a,
        .on_ack = ignore_ack,
    };
    struct stream_publisher *publisher = stream_publisher_new(t->connection, &options, &error);
    cr_assert_not_null(publisher, "%s", error.message);
    return publisher;
}

static struct stream_end sync_now(struct stream_publisher *publisher) {
    struct stream_end end;
    struct error error = {0};
    cr_assert(stream_publisher_sync(publisher, &end, &error), "%s", error.message);
    return end;
}

static void publish(struct stream_publisher *publisher, const char *id, uint64_t expected, const char *expected_id) {
    struct error error = {0};
    struct stream_header header = {"colour", "blue"};
    struct stream_message message = {
        .token = (int64_t)expected,
        .subject = "events.a",
        .message_id = id,
        .expected_last_sequence = expected,
        .acknowledged = true,
        .expected_last_id = expected_id,
        .headers = &header,
        .header_count = 1,
        .body = bytes_of_string(id),
    };
    cr_assert(stream_publisher_publish(publisher, &message, &error), "%s", error.message);
}

static struct stream_ack await_ack(struct stream_publisher *publisher) {
    struct stream_ack ack;
    for (int64_t until = now_ms() + PATIENCE_MS; stream_publisher_collect(publisher, &ack, 1) == 0; usleep(500)) {
        cr_assert_lt(now_ms(), until, "no acknowledgement");
    }
    return ack;
}

Test(stream_publisher, makes_the_stream_and_finds_its_end) {
    struct stream_test t;
    stream_test_open(&t);
    struct stream_publisher *publisher = publish_to(&t, 0);
    struct stream_end end = sync_now(publisher);
    cr_assert_eq(end.sequence, 0);
    cr_assert_not(end.has_message);
    publish(publisher, "a-1", 0, NULL);
    struct stream_ack ack = await_ack(publisher);
    cr_assert_eq(ack.outcome, STREAM_ACCEPTED);
    cr_assert_eq(ack.sequence, 1);
    cr_assert_eq(ack.token, 0);
    cr_assert_not(ack.duplicate);
    end = sync_now(publisher);
    cr_assert_eq(end.sequence, 1);
    cr_assert_str_eq(end.message_id, "a-1");
    cr_assert(bytes_equal(end.body, bytes_of_string("a-1")));
    stream_publisher_free(publisher);
    stream_test_close(&t);
}

Test(stream_publisher, tells_why_a_message_was_not_taken) {
    struct stream_test t;
    stream_test_open(&t);
    struct stream_publisher *publisher = publish_to(&t, 0);
    sync_now(publisher);
    publish(publisher, "a-1", 0, NULL);
    cr_assert_eq(await_ack(publisher).outcome, STREAM_ACCEPTED);
    publish(publisher, "a-2", 5, NULL);
    cr_assert_eq(await_ack(publisher).outcome, STREAM_WRONG_LAST);
    publish(publisher, "a-2", 1, "a-7");
    cr_assert_eq(await_ack(publisher).outcome, STREAM_WRONG_LAST);
    publish(publisher, "a-2", 1, "a-1");
    cr_assert_eq(await_ack(publisher).outcome, STREAM_ACCEPTED);
    publish(publisher, "a-1", 2, "a-2");
    struct stream_ack ack = await_ack(publisher);
    cr_assert_eq(ack.outcome, STREAM_ACCEPTED);
    cr_assert(ack.duplicate);
    cr_assert_eq(ack.sequence, 1);
    look(&t);
    cr_assert_eq(js_DeleteStream(t.jetstream, STREAM, NULL, NULL), NATS_OK);
    publish(publisher, "a-3", 2, NULL);
    cr_assert_eq(await_ack(publisher).outcome, STREAM_NO_RESPONDERS);
    stream_publisher_free(publisher);
    stream_test_close(&t);
}

Test(stream_publisher, passes_over_what_others_wrote_behind_the_end) {
    struct stream_test t;
    stream_test_open(&t);
    struct stream_publisher *publisher = publish_to(&t, 0);
    sync_now(publisher);
    publish(publisher, "a-1", 0, NULL);
    await_ack(publisher);
    put_events(&t, "b", 1, 20);
    cr_assert_eq(js_DeleteMsg(t.jetstream, STREAM, 10, NULL, NULL), NATS_OK);
    struct stream_end end = sync_now(publisher);
    cr_assert_eq(end.sequence, 21);
    cr_assert_eq(end.message_sequence, 1);
    cr_assert_str_eq(end.message_id, "a-1");
    put_foreign(&t, 20000);
    end = sync_now(publisher);
    cr_assert_not(end.unfinished);
    cr_assert_eq(end.sequence, 20021);
    cr_assert_eq(end.message_sequence, 1);
    cr_assert_str_eq(end.message_id, "a-1");
    cr_assert(bytes_equal(end.body, bytes_of_string("a-1")));
    publish(publisher, "a-2", end.sequence, NULL);
    cr_assert_eq(await_ack(publisher).sequence, 20022);
    stream_publisher_free(publisher);
    stream_test_close(&t);
}

Test(stream_publisher, finds_the_end_of_a_stream_whose_last_message_was_removed) {
    struct stream_test t;
    stream_test_open(&t);
    struct stream_publisher *publisher = publish_to(&t, 0);
    sync_now(publisher);
    put_events(&t, "a", 1, 3);
    cr_assert_eq(js_DeleteMsg(t.jetstream, STREAM, 3, NULL, NULL), NATS_OK);
    struct stream_end end = sync_now(publisher);
    cr_assert_eq(end.sequence, 3);
    cr_assert_str_eq(end.message_id, "a-2");
    cr_assert_eq(js_PurgeStream(t.jetstream, STREAM, NULL, NULL), NATS_OK);
    end = sync_now(publisher);
    cr_assert_eq(end.sequence, 3);
    cr_assert_not(end.has_message);
    publish(publisher, "a-4", 3, NULL);
    cr_assert_eq(await_ack(publisher).sequence, 4);
    stream_publisher_free(publisher);
    stream_test_close(&t);
}

Test(stream_publisher, the_streams_limits_follow_the_options) {
    struct stream_test t;
    stream_test_open(&t);
    struct stream_publisher *publisher = publish_to(&t, 0);
    sync_now(publisher);
    stream_publisher_free(publisher);
    publisher = publish_to(&t, 1 << 20);
    sync_now(publisher);
    jsStreamInfo *info = NULL;
    look(&t);
    cr_assert_eq(js_GetStreamInfo(&info, t.jetstream, STREAM, NULL, NULL), NATS_OK);
    cr_assert_eq(info->Config->MaxBytes, 1 << 20);
    cr_assert_eq(info->Config->SubjectsLen, 1);
    jsStreamInfo_Destroy(info);
    stream_publisher_free(publisher);
    stream_test_close(&t);
}

struct told {
    pthread_mutex_t lock; /* below */
    pthread_cond_t changed;
    bool connected;
    int calls;
};

static void note_state(void *self, bool connected) {
    struct told *told = self;
    pthread_mutex_lock(&told->lock);
    told->connected = connected;
    told->calls++;
    pthread_cond_broadcast(&told->changed);
    pthread_mutex_unlock(&told->lock);
}

static void await_told(struct told *told, bool connected) {
    pthread_mutex_lock(&told->lock);
    while (told->connected != connected) {
        pthread_cond_wait(&told->changed, &told->lock);
    }
    pthread_mutex_unlock(&told->lock);
}

Test(stream_publisher, a_connection_comes_and_goes_with_its_server) {
    struct told told = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0};
    struct nats_server server = nats_server_new();
    struct stream_connection_options options = {
        .urls = server.url, .name = "test", .on_state = note_state, .self = &told};
    struct error error = {0};
    int64_t start = now_ms();
    struct stream_connection *connection = stream_connection_new(&options, &error);
    cr_assert_not_null(connection, "%s", error.message);
    cr_assert_lt(now_ms() - start, 1000, "a server that is away holds the start up");
    cr_assert_not(stream_connection_connected(connection));
    uint64_t reconnects = stream_connection_reconnects(connection);
    for (int i = 1; i <= 3; i++) {
        nats_server_start(&server);
        await_told(&told, true);
        cr_assert_gt(stream_connection_reconnects(connection), reconnects);
        reconnects = stream_connection_reconnects(connection);
        nats_server_kill(&server);
        await_told(&told, false);
    }
    stream_connection_free(connection);
    int calls = told.calls;
    nats_Close();
    cr_assert_eq(told.calls, calls, "told of after it was freed");
    nats_server_free(&server);
}

Test(stream_publisher, a_bad_url_is_an_error) {
    struct stream_connection_options options = {.urls = "nats://127.0.0.1:notaport", .name = "test"};
    struct error error = {0};
    cr_assert_null(stream_connection_new(&options, &error));
    cr_assert_str_eq(error.reason, "BAD_NATS_URL");
}
