// rooms: waybill_stream test_support
#include "common/stream/stream_pull.h"
#include "stream_fixture.h"

static void quiet(void) {
    log_setup("test", LOG_LEVEL_ERROR);
}

TestSuite(stream_pull, .init = quiet, .timeout = 120);

enum { MOST = LOOKALIKES }; /* all of them with one request */

static struct stream_pull *open_pull(struct stream_test *t) {
    struct error error = {0};
    jsConsumerConfig config;
    jsConsumerConfig_Init(&config);
    config.Durable = DURABLE;
    config.AckPolicy = js_AckNone;
    stream_test_open(t);
    add_stream(t);
    cr_assert_eq(js_AddConsumer(NULL, t->jetstream, STREAM, &config, NULL, NULL), NATS_OK);
    await_connected(t->connection);
    struct stream_pull *pull = stream_pull_open(t->connection, STREAM, DURABLE, MOST, &error);
    cr_assert_not_null(pull, "%s", error.message);
    return pull;
}

static void ask(struct stream_pull *pull, int64_t wait_ms) {
    struct error error = {0};
    cr_assert(stream_pull_ask(pull, MOST, wait_ms, &error), "%s", error.message);
}

static void await_waiting(struct stream_test *t) {
    for (int64_t until = now_ms() + PATIENCE_MS, waiting = 0; waiting != 1; usleep(1000)) {
        jsConsumerInfo *info = NULL;
        cr_assert_eq(js_GetConsumerInfo(&info, t->jetstream, STREAM, DURABLE, NULL, NULL), NATS_OK);
        waiting = info->NumWaiting;
        jsConsumerInfo_Destroy(info);
        cr_assert_lt(now_ms(), until, "the request did not come to the server");
    }
}

/* The next one's sequence, 0 where there is none. */
static uint64_t next(struct stream_pull *pull, enum pull_outcome expected) {
    struct error error = {0};
    natsMsg *message = NULL;
    jsMsgMetaData *meta = NULL;
    enum pull_outcome outcome = stream_pull_next(pull, PATIENCE_MS, &message, &meta, &error);
    cr_assert_eq(outcome, expected, "%d, not %d: %s", (int)outcome, (int)expected, error.message);
    uint64_t sequence = outcome == PULL_MESSAGE ? meta->Sequence.Stream : 0;
    jsMsgMetaData_Destroy(meta);
    natsMsg_Destroy(message);
    return sequence;
}

Test(stream_pull, brings_what_there_is_and_tells_that_there_is_no_more) {
    struct stream_test t;
    struct stream_pull *pull = open_pull(&t);
    put_events(&t, "a", 1, MOST + 3);
    for (uint64_t i = 1; i <= MOST + 3; i++) {
        if (i % MOST == 1) {
            ask(pull, 0);
        }
        cr_assert_eq(next(pull, PULL_MESSAGE), i);
    }
    next(pull, PULL_OVER);
    ask(pull, 0);
    next(pull, PULL_OVER);
    ask(pull, 200);
    next(pull, PULL_OVER);
    stream_pull_close(pull);
    stream_test_close(&t);
}

Test(stream_pull, what_the_server_says_of_an_earlier_request_does_not_end_the_next) {
    struct stream_test t;
    struct stream_pull *pull = open_pull(&t);
    ask(pull, 0); /* the server says that there is nothing, and nobody listens */
    ask(pull, PATIENCE_MS);
    await_waiting(&t);
    put_events(&t, "a", 1, 1);
    cr_assert_eq(next(pull, PULL_MESSAGE), 1);
    next(pull, PULL_OVER);
    stream_pull_close(pull);
    stream_test_close(&t);
}

Test(stream_pull, messages_that_look_like_the_servers_word_are_messages) {
    struct stream_test t;
    struct stream_pull *pull = open_pull(&t);
    put_lookalikes(&t, "events.a", 1);
    ask(pull, 0);
    for (uint64_t i = 1; i <= LOOKALIKES; i++) {
        cr_assert_eq(next(pull, PULL_MESSAGE), i);
    }
    ask(pull, 0);
    next(pull, PULL_OVER);
    stream_pull_close(pull);
    stream_test_close(&t);
}

Test(stream_pull, a_consumer_that_is_deleted_is_a_failure) {
    struct stream_test t;
    struct stream_pull *pull = open_pull(&t);
    ask(pull, PATIENCE_MS);
    await_waiting(&t);
    cr_assert_eq(js_DeleteConsumer(t.jetstream, STREAM, DURABLE, NULL, NULL), NATS_OK);
    next(pull, PULL_FAILED);
    stream_pull_close(pull);
    stream_test_close(&t);
}
