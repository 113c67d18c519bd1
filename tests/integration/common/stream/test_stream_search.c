// rooms: waybill_stream test_support
#include "common/stream/stream_search.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include "stream_fixture.h"

enum { MANY = 50000, NO_TIME_US = 1 };

static void quiet(void) {
    log_setup("test", LOG_LEVEL_ERROR);
}

TestSuite(stream_search, .init = quiet, .timeout = 60);

static bool starts_with_a(void *self, const char *id) {
    (void)self;
    return id[0] == 'a';
}

static struct stream_search *search_in(struct stream_test *t, int64_t step_us) {
    struct stream_search_options options = {
        .connection = t->connection, .stream = STREAM, .is_ours = starts_with_a, .step_us = step_us};
    await_connected(t->connection);
    return stream_search_new(&options);
}

/* One step from the end that the stream has now; the sequence of our newest message, 0 for none, -1: not done. */
static int64_t step(struct stream_test *t, struct stream_search *search) {
    struct error error = {0};
    struct stream_search_result result;
    jsStreamInfo *info = NULL;
    look(t);
    cr_assert_eq(js_GetStreamInfo(&info, t->jetstream, STREAM, NULL, NULL), NATS_OK);
    cr_assert(stream_search_step(search, info, &result, &error), "%s", error.message);
    jsStreamInfo_Destroy(info);
    cr_assert(result.done || result.newest == NULL);
    int64_t sequence = result.newest != NULL ? (int64_t)natsMsg_GetSequence(result.newest) : 0;
    natsMsg_Destroy(result.newest);
    return result.done ? sequence : -1;
}

static int64_t search_on(struct stream_test *t, struct stream_search *search, int *steps) {
    int64_t found;
    *steps = 0;
    do {
        found = step(t, search);
        cr_assert_lt(++*steps, 100, "the search comes to no end");
    } while (found < 0);
    return found;
}

static void remove_message(struct stream_test *t, uint64_t sequence) {
    cr_assert_eq(js_DeleteMsg(t->jetstream, STREAM, sequence, NULL, NULL), NATS_OK);
}

Test(stream_search, goes_on_where_the_last_step_ended_while_others_write_on) {
    struct stream_test t;
    stream_test_open(&t);
    add_stream(&t);
    struct stream_search *search = search_in(&t, NO_TIME_US);
    put_events(&t, "a", 1, 3);
    put_foreign(&t, MANY);
    int steps = 0;
    int64_t found;
    while ((found = step(&t, search)) < 0) {
        put_foreign(&t, 1000);
        cr_assert_lt(++steps, 20);
    }
    cr_assert_eq(found, 3);
    cr_assert_geq(steps, 3, "a step has no bound");
    put_foreign(&t, 3);
    cr_assert_eq(step(&t, search), 3, "what was looked at is looked at again");
    put_foreign(&t, 300);
    cr_assert_eq(step(&t, search), 3, "what was looked at is looked at again");
    stream_search_free(search);
    stream_test_close(&t);
}

Test(stream_search, a_newer_message_of_ours_ends_the_search_for_older_ones) {
    struct stream_test t;
    stream_test_open(&t);
    add_stream(&t);
    struct stream_search *search = search_in(&t, NO_TIME_US);
    put_events(&t, "a", 1, 3);
    put_foreign(&t, MANY);
    cr_assert_eq(step(&t, search), -1);
    put_foreign(&t, 100);
    put_events(&t, "a", 4, 4);
    put_foreign(&t, 100);
    cr_assert_eq(step(&t, search), 3 + MANY + 101);
    put_events(&t, "a", 5, 5);
    cr_assert_eq(step(&t, search), 3 + MANY + 202, "the very last");
    stream_search_free(search);
    stream_test_close(&t);
}

Test(stream_search, finds_the_one_before_when_what_it_found_is_removed) {
    struct stream_test t;
    int steps;
    stream_test_open(&t);
    add_stream(&t);
    struct stream_search *search = search_in(&t, 0);
    put_events(&t, "a", 1, 3);
    put_foreign(&t, 1000);
    cr_assert_eq(search_on(&t, search, &steps), 3);
    remove_message(&t, 3);
    cr_assert_eq(search_on(&t, search, &steps), 2);
    remove_message(&t, 1003); /* the newest that was seen */
    cr_assert_eq(search_on(&t, search, &steps), 2);
    for (uint64_t sequence = 4; sequence < 1003; sequence += 7) {
        remove_message(&t, sequence);
    }
    remove_message(&t, 1);
    remove_message(&t, 2);
    cr_assert_eq(search_on(&t, search, &steps), 0, "there is none of ours any more");
    put_foreign(&t, 20);
    for (uint64_t sequence = 1004; sequence <= 1023; sequence++) {
        remove_message(&t, sequence);
    }
    cr_assert_eq(search_on(&t, search, &steps), 0, "there is nothing at all where it looks");
    stream_search_free(search);
    stream_test_close(&t);
}

Test(stream_search, does_not_trust_what_it_saw_of_a_stream_that_is_another_now) {
    struct stream_test t;
    int steps;
    stream_test_open(&t);
    add_stream(&t);
    struct stream_search *search = search_in(&t, 0);
    put_foreign(&t, 1000);
    cr_assert_eq(search_on(&t, search, &steps), 0);
    cr_assert_eq(js_DeleteStream(t.jetstream, STREAM, NULL, NULL), NATS_OK);
    add_stream(&t);
    put_events(&t, "a", 1, 5);
    put_foreign(&t, 1000);
    cr_assert_eq(search_on(&t, search, &steps), 5);
    stream_search_free(search);
    stream_test_close(&t);
}

Test(stream_search, does_not_trust_what_it_saw_before_the_server_forgot_it) {
    struct stream_test t;
    int steps;
    stream_test_open(&t);
    add_stream(&t);
    put_foreign(&t, 10);
    nats_server_stop(&t.server);
    nats_server_keep_data(&t.server);
    nats_server_start(&t.server);
    struct stream_search *search = search_in(&t, 0);
    put_events(&t, "b", 1, 300);
    cr_assert_eq(search_on(&t, search, &steps), 0);
    nats_server_kill(&t.server);
    nats_server_restore_data(&t.server);
    nats_server_start(&t.server);
    put_events(&t, "a", 1, 3);
    put_events(&t, "c", 1, 400);
    await_connected(t.connection);
    cr_assert_eq(search_on(&t, search, &steps), 13);
    stream_search_free(search);
    stream_test_close(&t);
}

/* Messages whose headers no library would make, without bodies; the server takes them as they are. */
static void put_raw(struct stream_test *t, const char *const *headers, size_t count) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)t->server.port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int server = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(connect(server, (struct sockaddr *)&address, sizeof address), 0);
    dprintf(server, "CONNECT {\"verbose\":false,\"headers\":true}\r\n");
    for (size_t i = 0; i < count; i++) {
        dprintf(server, "HPUB events.a %zu %zu\r\n%s\r\n", strlen(headers[i]), strlen(headers[i]), headers[i]);
    }
    dprintf(server, "PING\r\n");
    char answers[4096] = "";
    size_t size = 0;
    while (strstr(answers, "PONG") == NULL) {
        ssize_t got = read(server, answers + size, sizeof answers - 1 - size);
        cr_assert_gt(got, 0);
        size += (size_t)got;
    }
    cr_assert_null(strstr(answers, "-ERR"), "%s", answers);
    close(server);
}

Test(stream_search, is_not_stopped_by_headers_that_are_none) {
    static const char *const broken[] = {"garbage",
                                         "X\r\n\r\n",
                                         "NATS/1.0\r\n\r\n",
                                         "NATS/1.0\r\nbroken\r\n\r\n",
                                         "NATS/1.0\r\nNats-Msg-Id\r\n\r\n",
                                         "NATS/1.0 404 No Messages\r\n\r\n",
                                         "NATS/1.0 503\r\n\r\n",
                                         "NATS/1.0 409 Consumer Deleted\r\n\r\n",
                                         "NATS/1.0 100 Idle Heartbeat\r\n\r\n"};
    enum { COUNT = sizeof broken / sizeof broken[0] };
    struct stream_test t;
    int steps;
    stream_test_open(&t);
    add_stream(&t);
    struct stream_search *search = search_in(&t, 0);
    put_events(&t, "a", 1, 1);
    for (size_t i = 0; i < COUNT; i++) {
        put_raw(&t, &broken[i], 1);
        cr_assert_eq(search_on(&t, search, &steps), 1, "as the last message: %s", broken[i]);
    }
    put_foreign(&t, 100);
    put_raw(&t, broken, COUNT);
    put_foreign(&t, 100);
    stream_search_free(search);
    search = search_in(&t, 0);
    cr_assert_eq(search_on(&t, search, &steps), 1);
    put_events(&t, "a", 2, 2);
    put_raw(&t, broken, COUNT);
    cr_assert_eq(search_on(&t, search, &steps), 202 + 2 * COUNT);
    stream_search_free(search);
    stream_test_close(&t);
}

/* Of headers alone, a message that says of itself what the server says at the end looks like the end. */
Test(stream_search, is_not_misled_by_headers_that_somebody_made_up) {
    struct stream_test t;
    int steps;
    char long_value[40000];
    stream_test_open(&t);
    add_stream(&t);
    struct stream_search *search = search_in(&t, 0);
    memset(long_value, 'x', sizeof long_value - 1);
    long_value[sizeof long_value - 1] = '\0';
    put_foreign(&t, 100);
    const char *const headers[][2] = {
        {"Status", "404"}, {"Status", "503"}, {"Nats-Msg-Id", long_value}, {"Nats-Msg-Id", ""}, {"x", long_value}};
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        natsMsg *message = NULL;
        cr_assert_eq(natsMsg_Create(&message, "events.a", NULL, NULL, 0), NATS_OK);
        cr_assert_eq(natsMsgHeader_Set(message, headers[i][0], headers[i][1]), NATS_OK);
        cr_assert_eq(natsConnection_PublishMsg(t.nats, message), NATS_OK);
        natsMsg_Destroy(message);
    }
    put_events(&t, "a", 1, 2);
    put_foreign(&t, 100);
    cr_assert_eq(search_on(&t, search, &steps), 107);
    stream_search_free(search);
    stream_test_close(&t);
}
