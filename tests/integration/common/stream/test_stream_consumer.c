// rooms: waybill_stream test_support
#include "stream_fixture.h"

static void quiet(void) {
    log_setup("test", LOG_LEVEL_ERROR);
}

TestSuite(stream_consumer, .init = quiet, .timeout = 120);

/* With a stream, whose events come again after a second. */
static void open_impatient(struct stream_test *t) {
    stream_test_open(t);
    stream_consumer_free(t->consumer);
    t->consumer = consume(t, 1000, 0);
    add_stream(t);
}

Test(stream_consumer, delivers_what_was_published) {
    struct stream_test t;
    struct stream_delivery *deliveries[FETCH_MAX];
    stream_test_open(&t);
    add_stream(&t);
    put_events(&t, "a", 1, 5);
    int count = fetch(&t, deliveries, FETCH_MAX);
    cr_assert_eq(count, 5);
    for (int i = 0; i < count; i++) {
        char id[16];
        snprintf(id, sizeof id, "a-%d", i + 1);
        cr_assert(bytes_equal(stream_delivery_body(deliveries[i]), bytes_of_string(id)));
        cr_assert_str_eq(stream_delivery_header(deliveries[i], "Nats-Msg-Id"), id);
        cr_assert_null(stream_delivery_header(deliveries[i], "Nothing"));
        cr_assert_str_eq(stream_delivery_subject(deliveries[i]), "events.a");
        cr_assert_eq(stream_delivery_sequence(deliveries[i]), (uint64_t)i + 1);
        cr_assert_eq(stream_delivery_count(deliveries[i]), 1);
        stream_delivery_ack(deliveries[i]);
    }
    await_all_answered(&t);
    stream_test_close(&t);
}

Test(stream_consumer, a_single_event_is_not_held_back_for_more) {
    struct stream_test t;
    struct stream_delivery *deliveries[FETCH_MAX];
    stream_test_open(&t);
    add_stream(&t);
    put_events(&t, "a", 1, 1);
    take_events(&t, "a", 1, 1);
    put_events(&t, "a", 2, 2);
    struct error error = {0};
    int64_t start = now_ms();
    cr_assert_eq(stream_consumer_fetch(t.consumer, deliveries, FETCH_MAX, 10000, &error), 1);
    cr_assert_lt(now_ms() - start, 1000);
    stream_delivery_ack(deliveries[0]);
    stream_test_close(&t);
}

enum { LATE_MS = 300, LATE_EVENTS = 5 };

struct late_event {
    struct stream_test *test;
    int number;
};

static void *put_late_event(void *argument) {
    struct late_event *late = argument;
    usleep(LATE_MS * 1000);
    put_events(late->test, "a", late->number, late->number);
    return NULL;
}

static int64_t await_late_event(struct stream_test *t, int number) {
    struct stream_delivery *deliveries[FETCH_MAX];
    struct error error = {0};
    struct late_event late = {t, number};
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, put_late_event, &late), 0);
    int64_t start = now_ms();
    cr_assert_eq(stream_consumer_fetch(t->consumer, deliveries, FETCH_MAX, PATIENCE_MS, &error), 1);
    int64_t waited_ms = now_ms() - start;
    stream_delivery_ack(deliveries[0]);
    pthread_join(thread, NULL);
    return waited_ms;
}

/* On a busy machine one may be late by itself; one that is held back always is, until its request is over. */
Test(stream_consumer, an_event_that_comes_while_it_is_waited_for_is_not_held_back_for_more) {
    struct stream_test t;
    stream_test_open(&t);
    add_stream(&t);
    await_connected(t.connection);
    int number = 1;
    while (await_late_event(&t, number) > LATE_MS + 1000) {
        cr_assert_lt(number++, LATE_EVENTS, "events are held back");
    }
    stream_test_close(&t);
}

/* For a busy machine; less than the waits that a fetch must not fall into (3 s and more). */
enum { SLACK_MS = 2000 };

Test(stream_consumer, never_waits_longer_than_told) {
    struct stream_test t;
    struct stream_delivery *deliveries[FETCH_MAX];
    struct error error = {0};
    stream_test_open(&t);
    int64_t start = now_ms();
    cr_assert_eq(stream_consumer_fetch(t.consumer, deliveries, FETCH_MAX, 400, &error), -1, "there is no stream");
    cr_assert_str_eq(error.reason, "EVENT_STREAM_FAILED");
    cr_assert_lt(now_ms() - start, 400 + SLACK_MS);
    add_stream(&t);
    for (int i = 0; i < 12; i++) {
        start = now_ms();
        cr_assert_eq(stream_consumer_fetch(t.consumer, deliveries, FETCH_MAX, 300, &error), 0);
        cr_assert_lt(now_ms() - start, 300 + SLACK_MS);
        cr_assert_geq(now_ms() - start, 250);
    }
    nats_server_halt(&t.server);
    for (int i = 0; i < 12; i++) {
        start = now_ms();
        cr_assert_leq(stream_consumer_fetch(t.consumer, deliveries, FETCH_MAX, 300, &error), 0);
        cr_assert_lt(now_ms() - start, 300 + SLACK_MS);
    }
    nats_server_resume(&t.server);
    nats_server_kill(&t.server);
    for (int i = 0; i < 12; i++) {
        start = now_ms();
        cr_assert_leq(stream_consumer_fetch(t.consumer, deliveries, FETCH_MAX, 300, &error), 0);
        cr_assert_lt(now_ms() - start, 300 + SLACK_MS);
    }
    nats_server_start(&t.server);
    put_events(&t, "a", 1, 1);
    take_events(&t, "a", 1, 1);
    stream_test_close(&t);
}

Test(stream_consumer, what_is_not_answered_is_delivered_again) {
    struct stream_test t;
    struct stream_delivery *deliveries[FETCH_MAX];
    open_impatient(&t);
    put_events(&t, "a", 1, 1);
    cr_assert_eq(fetch(&t, deliveries, FETCH_MAX), 1);
    stream_delivery_drop(deliveries[0]);
    cr_assert_eq(fetch(&t, deliveries, FETCH_MAX), 1);
    cr_assert_eq(stream_delivery_count(deliveries[0]), 2);
    stream_delivery_nak(deliveries[0], 0);
    cr_assert_eq(fetch(&t, deliveries, FETCH_MAX), 1);
    cr_assert_eq(stream_delivery_count(deliveries[0]), 3);
    int64_t start = now_ms();
    stream_delivery_nak(deliveries[0], 1500);
    cr_assert_eq(fetch(&t, deliveries, FETCH_MAX), 1);
    cr_assert_geq(now_ms() - start, 1400, "the delay was not kept");
    stream_delivery_ack(deliveries[0]);
    await_all_answered(&t);
    stream_test_close(&t);
}

Test(stream_consumer, work_in_progress_is_not_delivered_again) {
    struct stream_test t;
    struct stream_delivery *held[1];
    struct stream_delivery *other[1];
    struct error error = {0};
    open_impatient(&t);
    put_events(&t, "a", 1, 1);
    cr_assert_eq(fetch(&t, held, 1), 1);
    for (int i = 0; i < 8; i++) {
        stream_delivery_in_progress(held[0]);
        int count = stream_consumer_fetch(t.consumer, other, 1, 300, &error);
        cr_assert_eq(count, 0, "count %d, delivery %d, resets %d: %s", count,
                     count > 0 ? (int)stream_delivery_count(other[0]) : 0, (int)stream_consumer_resets(t.consumer),
                     error.message);
    }
    stream_delivery_ack(held[0]);
    await_all_answered(&t);
    stream_test_close(&t);
}

Test(stream_consumer, delivers_no_more_often_than_allowed) {
    struct stream_test t;
    struct stream_delivery *deliveries[FETCH_MAX];
    struct error error = {0};
    stream_test_open(&t);
    stream_consumer_free(t.consumer);
    t.consumer = consume(&t, 1000, 3);
    add_stream(&t);
    put_events(&t, "a", 1, 1);
    for (uint64_t i = 1; i <= 3; i++) {
        cr_assert_eq(fetch(&t, deliveries, FETCH_MAX), 1);
        cr_assert_eq(stream_delivery_count(deliveries[0]), i);
        stream_delivery_nak(deliveries[0], 0);
    }
    cr_assert_eq(stream_consumer_fetch(t.consumer, deliveries, FETCH_MAX, 1500, &error), 0);
    stream_test_close(&t);
}

Test(stream_consumer, replicas_share_the_work) {
    struct stream_test t;
    struct stream_delivery *deliveries[10];
    stream_test_open(&t);
    struct stream_consumer *first = t.consumer;
    struct stream_consumer *second = consume(&t, 30000, 0);
    add_stream(&t);
    put_events(&t, "a", 1, 20);
    for (int i = 0; i < 2; i++) {
        t.consumer = i == 0 ? first : second;
        cr_assert_eq(fetch(&t, deliveries, 10), 10);
        cr_assert_eq(stream_delivery_sequence(deliveries[0]), (uint64_t)(i == 0 ? 1 : 11));
        for (int j = 0; j < 10; j++) {
            stream_delivery_ack(deliveries[j]);
        }
    }
    /* The one that goes leaves the consumer to the other. */
    stream_consumer_free(first);
    put_events(&t, "a", 21, 21);
    take_events(&t, "a", 21, 21);
    await_all_answered(&t);
    stream_test_close(&t);
}

Test(stream_consumer, follows_changed_options) {
    struct stream_test t;
    stream_test_open(&t);
    add_stream(&t);
    put_events(&t, "a", 1, 1);
    take_events(&t, "a", 1, 1);
    stream_consumer_free(t.consumer);
    t.consumer = consume(&t, 5000, 7);
    put_events(&t, "a", 2, 2);
    take_events(&t, "a", 2, 2);
    jsConsumerInfo *info = NULL;
    cr_assert_eq(js_GetConsumerInfo(&info, t.jetstream, STREAM, DURABLE, NULL, NULL), NATS_OK);
    cr_assert_eq(info->Config->AckWait, INT64_C(5000000000));
    cr_assert_eq(info->Config->MaxDeliver, 7);
    cr_assert_eq(info->Delivered.Stream, 2, "it kept its place");
    jsConsumerInfo_Destroy(info);
    stream_test_close(&t);
}

Test(stream_consumer, survives_kills_of_the_server) {
    struct stream_test t;
    struct stream_delivery *deliveries[FETCH_MAX];
    stream_test_open(&t);
    add_stream(&t);
    for (int i = 0; i < 5; i++) {
        put_events(&t, "a", 1 + 20 * i, 20 + 20 * i);
        int count = fetch(&t, deliveries, 10);
        nats_server_kill(&t.server);
        nats_server_start(&t.server);
        for (int j = 0; j < count; j++) {
            stream_delivery_drop(deliveries[j]);
        }
    }
    /* What was dropped comes after ack_wait, unless the server forgot that it delivered it. */
    stream_consumer_free(t.consumer);
    t.consumer = consume(&t, 1000, 0);
    take_events(&t, "a", 100, 100);
    stream_test_close(&t);
}

Test(stream_consumer, answers_around_a_lost_connection_count_or_are_asked_for_again) {
    struct stream_test t;
    struct stream_delivery *deliveries[FETCH_MAX];
    open_impatient(&t);
    put_events(&t, "a", 1, 3);
    int count = fetch(&t, deliveries, FETCH_MAX);
    cr_assert_eq(count, 3);
    nats_server_stop(&t.server);
    stream_delivery_ack(deliveries[0]); /* while it is away */
    nats_server_start(&t.server);
    await_connected(t.connection);
    stream_consumer_free(t.consumer);
    stream_delivery_ack(deliveries[1]); /* when its subscription is gone */
    stream_delivery_ack(deliveries[2]);
    /* The server may not have been ready for an answer; then it delivers again. */
    t.consumer = consume(&t, 1000, 0);
    await_all_answered(&t);
    stream_test_close(&t);
}

Test(stream_consumer, waits_for_a_stream_that_comes_later) {
    struct stream_test t;
    struct stream_delivery *deliveries[FETCH_MAX];
    struct error error = {0};
    stream_test_open(&t);
    cr_assert_eq(stream_consumer_fetch(t.consumer, deliveries, FETCH_MAX, 200, &error), -1);
    add_stream(&t);
    put_events(&t, "a", 1, 10);
    take_events(&t, "a", 1, 10);
    stream_test_close(&t);
}

Test(stream_consumer, survives_the_deletion_of_consumer_and_stream) {
    struct stream_test t;
    stream_test_open(&t);
    add_stream(&t);
    put_events(&t, "a", 1, 10);
    take_events(&t, "a", 1, 10);
    cr_assert_eq(js_DeleteConsumer(t.jetstream, STREAM, DURABLE, NULL, NULL), NATS_OK);
    put_events(&t, "a", 11, 12);
    take_events(&t, "a", 1, 12); /* from the first again */
    cr_assert_eq(js_DeleteStream(t.jetstream, STREAM, NULL, NULL), NATS_OK);
    add_stream(&t);
    put_events(&t, "b", 1, 5);
    take_events(&t, "b", 1, 5);
    stream_test_close(&t);
}

/* As an operator might who gets a flag wrong. */
static void remake_consumer(struct stream_test *t, const char *filter, const char *deliver_subject) {
    jsConsumerConfig config;
    jsErrCode code = 0;
    jsConsumerConfig_Init(&config);
    config.Durable = DURABLE;
    config.AckPolicy = js_AckExplicit;
    config.FilterSubject = filter;
    config.DeliverSubject = deliver_subject;
    cr_assert_eq(js_DeleteConsumer(t->jetstream, STREAM, DURABLE, NULL, NULL), NATS_OK);
    cr_assert_eq(js_AddConsumer(NULL, t->jetstream, STREAM, &config, NULL, &code), NATS_OK, "%d", (int)code);
}

Test(stream_consumer, takes_back_a_consumer_that_somebody_made_with_another_filter) {
    struct stream_test t;
    stream_test_open(&t);
    add_stream(&t);
    put_events(&t, "a", 1, 5);
    take_events(&t, "a", 1, 5);
    remake_consumer(&t, "events.other", NULL);
    put_events(&t, "a", 6, 10);
    take_events(&t, "a", 6, 10);
    stream_test_close(&t);
}

Test(stream_consumer, takes_back_a_consumer_that_somebody_made_to_push) {
    struct stream_test t;
    stream_test_open(&t);
    add_stream(&t);
    put_events(&t, "a", 1, 5);
    take_events(&t, "a", 1, 5);
    remake_consumer(&t, "events.>", "elsewhere");
    put_events(&t, "a", 6, 10);
    take_events(&t, "a", 6, 10);
    stream_test_close(&t);
}

Test(stream_consumer, survives_a_wiped_server) {
    struct stream_test t;
    stream_test_open(&t);
    add_stream(&t);
    put_events(&t, "a", 1, 50);
    take_events(&t, "a", 1, 50);
    nats_server_kill(&t.server);
    nats_server_wipe(&t.server);
    nats_server_start(&t.server);
    usleep(100000); /* the test's own connection notices */
    add_stream(&t);
    put_events(&t, "b", 1, 20);
    take_events(&t, "b", 1, 20);
    stream_test_close(&t);
}

/* Puts the stream back to 50 messages, but leaves the consumer's place at 100: what a server
 * may have on its disk after power was lost. */
static void lose_tail(struct stream_test *t) {
    char command[512];
    nats_server_stop(&t->server);
    snprintf(command, sizeof command,
             "cd %s && S=$(find data -type d -path '*streams/" STREAM "') && K=kept${S#data} && "
             "rm -rf \"$K/obs\" && cp -a \"$S/obs\" \"$K/obs\" && rm -rf \"$S\" && cp -a \"$K\" \"$S\"",
             t->server.directory);
    cr_assert_eq(system(command), 0);
    nats_server_start(&t->server);
}

static void fill_and_lose_tail(struct stream_test *t, bool keep_memory) {
    stream_test_open(t);
    add_stream(t);
    put_events(t, "a", 1, 50);
    take_events(t, "a", 1, 50);
    await_all_answered(t);
    nats_server_stop(&t->server);
    nats_server_keep_data(&t->server);
    nats_server_start(&t->server);
    put_events(t, "a", 51, 100);
    take_events(t, "a", 51, 100);
    await_all_answered(t);
    if (!keep_memory) {
        stream_consumer_free(t->consumer);
        t->consumer = consume(t, 30000, 0);
    }
    lose_tail(t);
}

Test(stream_consumer, ahead_of_its_stream_it_is_made_anew) {
    struct stream_test t;
    fill_and_lose_tail(&t, false);
    struct stream_delivery *deliveries[FETCH_MAX];
    struct error error = {0};
    /* It looks before anything is published in place of what was lost. */
    await_connected(t.connection);
    int count = 0;
    for (int i = 0; i < 4 && count <= 0 && stream_consumer_resets(t.consumer) == 0; i++) {
        count = stream_consumer_fetch(t.consumer, deliveries, FETCH_MAX, 300, &error);
    }
    for (int i = 0; i < count; i++) {
        stream_delivery_ack(deliveries[i]);
    }
    put_events(&t, "b", 51, 100);
    take_events(&t, "b", 51, 100);
    stream_test_close(&t);
}

Test(stream_consumer, other_messages_in_place_of_lost_ones_are_delivered) {
    struct stream_test t;
    fill_and_lose_tail(&t, true);
    put_events(&t, "b", 51, 120); /* before it could look */
    take_events(&t, "b", 51, 120);
    stream_test_close(&t);
}

/* The server knows that it delivered 51 to 100, but no longer what they were. */
Test(stream_consumer, what_was_not_answered_before_a_loss_is_delivered_after_it) {
    struct stream_test t;
    struct stream_delivery *deliveries[FETCH_MAX];
    open_impatient(&t);
    put_events(&t, "a", 1, 50);
    take_events(&t, "a", 1, 50);
    await_all_answered(&t);
    nats_server_stop(&t.server);
    nats_server_keep_data(&t.server);
    nats_server_start(&t.server);
    put_events(&t, "a", 51, 100);
    for (int got = 0; got < 50;) {
        int count = fetch(&t, deliveries, 50 - got);
        for (int i = 0; i < count; i++) {
            stream_delivery_drop(deliveries[i]);
        }
        got += count;
    }
    lose_tail(&t);
    put_events(&t, "a", 51, 100);
    take_events(&t, "a", 51, 100);
    stream_test_close(&t);
}

Test(stream_consumer, the_same_messages_in_place_of_lost_ones_go_on_where_they_were) {
    struct stream_test t;
    fill_and_lose_tail(&t, true);
    put_events(&t, "a", 51, 120);
    take_events(&t, "a", 101, 120);
    cr_assert_eq(stream_consumer_resets(t.consumer), 0);
    stream_test_close(&t);
}

/* More of them than may be unanswered: were any taken for the server's word, they would fill the consumer. */
Test(stream_consumer, what_somebody_published_is_delivered_though_it_looks_like_the_servers_word) {
    struct stream_test t;
    struct stream_delivery *deliveries[FETCH_MAX];
    int empty = 0;
    stream_test_open(&t);
    add_stream(&t);
    put_lookalikes(&t, "events.a", 110);
    put_events(&t, "a", 1, 1);
    for (bool seen = false; !seen;) {
        int count = fetch(&t, deliveries, FETCH_MAX);
        for (int i = 0; i < count; i++) {
            empty += stream_delivery_body(deliveries[i]).size == 0;
            seen = seen || stream_delivery_body(deliveries[i]).size > 0;
            cr_assert_eq(stream_delivery_count(deliveries[i]), 1);
            stream_delivery_ack(deliveries[i]);
        }
    }
    cr_assert_eq(empty, LOOKALIKES * 110);
    await_all_answered(&t);
    stream_test_close(&t);
}
