/* A real nats-server, a connection of the room's and one of the test's own beside it. */
#ifndef WAYBILL_TESTS_STREAM_FIXTURE_H
#define WAYBILL_TESTS_STREAM_FIXTURE_H

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/stream/stream_consumer.h"
#include "common/stream/stream_publisher.h"
#include "tests/support/nats_server.h"

enum { PATIENCE_MS = 60000, FETCH_MAX = 100 };

#define STREAM "EVENTS"
#define DURABLE "worker"

struct stream_test {
    struct nats_server server;
    struct stream_connection *connection;
    struct stream_consumer *consumer;
    natsConnection *nats; /* the test's own */
    jsCtx *jetstream;
};

static inline int64_t now_ms(void) {
    return clock_monotonic_us(&system_clock) / 1000;
}

static inline void await_connected(struct stream_connection *connection) {
    for (int64_t until = now_ms() + PATIENCE_MS; !stream_connection_connected(connection); usleep(1000)) {
        cr_assert_lt(now_ms(), until, "not connected");
    }
}

static inline struct stream_connection *connect_to(struct nats_server *server) {
    struct error error = {0};
    struct stream_connection_options options = {.urls = server->url, .name = "test"};
    struct stream_connection *connection = stream_connection_new(&options, &error);
    cr_assert_not_null(connection, "%s", error.message);
    return connection;
}

static inline struct stream_consumer *consume(struct stream_test *t, int64_t ack_wait_ms, int64_t max_deliver) {
    struct stream_consumer_options options = {
        .stream = STREAM,
        .durable = DURABLE,
        .filter = "events.>",
        .ack_wait_ms = ack_wait_ms,
        .max_ack_pending = 1000,
        .max_deliver = max_deliver,
    };
    return stream_consumer_new(t->connection, &options);
}

static inline void look(struct stream_test *t) {
    if (t->nats == NULL) {
        natsOptions *options = NULL;
        cr_assert_eq(natsOptions_Create(&options), NATS_OK);
        natsOptions_SetURL(options, t->server.url);
        natsOptions_SetMaxReconnect(options, -1);
        natsOptions_SetReconnectWait(options, 20);
        cr_assert_eq(natsConnection_Connect(&t->nats, options), NATS_OK);
        natsOptions_Destroy(options);
        cr_assert_eq(natsConnection_JetStream(&t->jetstream, t->nats, NULL), NATS_OK);
    }
}

static inline void add_stream(struct stream_test *t) {
    const char *subjects[] = {"events.>"};
    jsStreamConfig config;
    jsStreamConfig_Init(&config);
    config.Name = STREAM;
    config.Subjects = subjects;
    config.SubjectsLen = 1;
    config.AllowDirect = true;
    look(t);
    jsErrCode code = 0;
    cr_assert_eq(js_AddStream(NULL, t->jetstream, &config, NULL, &code), NATS_OK, "%d", (int)code);
}

/* Events `first` to `last`: bodies "<history>-<n>" with that as their id. */
static inline void put_events(struct stream_test *t, const char *history, int first, int last) {
    look(t);
    for (int i = first; i <= last; i++) {
        char body[32];
        jsPubOptions options;
        jsPubOptions_Init(&options);
        snprintf(body, sizeof body, "%s-%d", history, i);
        options.MsgId = body;
        natsStatus status = NATS_ERR;
        for (int64_t until = now_ms() + PATIENCE_MS; status != NATS_OK; usleep(status == NATS_OK ? 0 : 20000)) {
            cr_assert_lt(now_ms(), until, "cannot publish: %s", natsStatus_GetText(status));
            status = js_Publish(NULL, t->jetstream, "events.a", body, (int)strlen(body), &options, NULL);
        }
    }
}

/* Messages that nobody of us wrote, some of them without anything. */
static inline void put_foreign(struct stream_test *t, int count) {
    look(t);
    for (int i = 0; i < count; i++) {
        cr_assert_eq(js_PublishAsync(t->jetstream, "events.a", "garbage", i % 3 == 0 ? 0 : 7, NULL), NATS_OK);
    }
    cr_assert_eq(js_PublishAsyncComplete(t->jetstream, NULL), NATS_OK);
}

/* Empty messages whose headers say what the server says of a request for messages: that there are none, that it is
 * over, that nobody is there. And one whose headers are none. */
static const char *const lookalikes[] = {
    "NATS/1.0 100 Idle Heartbeat\r\n\r\n",   "NATS/1.0 100 FlowControl Request\r\n\r\n",
    "NATS/1.0 404 No Messages\r\n\r\n",      "NATS/1.0 408 Request Timeout\r\n\r\n",
    "NATS/1.0 409 Consumer Deleted\r\n\r\n", "NATS/1.0 503\r\n\r\n",
    "NATS/1.0\r\nStatus: 404\r\n\r\n",       "NATS/1.0\r\nStatus: 503\r\n\r\n",
    "NATS/1.0\r\nStatus: \r\n\r\n",          "NATS/1.0 nonsense\r\n:\r\n\r\n",
};
enum { LOOKALIKES = sizeof lookalikes / sizeof lookalikes[0] };

static inline uint64_t last_sequence(struct stream_test *t) {
    jsStreamInfo *info = NULL;
    look(t);
    cr_assert_eq(js_GetStreamInfo(&info, t->jetstream, STREAM, NULL, NULL), NATS_OK);
    uint64_t last = info->State.LastSeq;
    jsStreamInfo_Destroy(info);
    return last;
}

/* As an intruder would, since the library makes no such headers: each `rounds` times. */
static inline void put_lookalikes(struct stream_test *t, const char *subject, int rounds) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)t->server.port)};
    uint64_t expected = last_sequence(t) + (uint64_t)(LOOKALIKES * rounds);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    dprintf(fd, "CONNECT {\"verbose\":false,\"headers\":true}\r\n");
    for (int i = 0; i < LOOKALIKES * rounds; i++) {
        const char *headers = lookalikes[i % LOOKALIKES];
        dprintf(fd, "HPUB %s %zu %zu\r\n%s\r\n", subject, strlen(headers), strlen(headers), headers);
    }
    for (int64_t until = now_ms() + PATIENCE_MS; last_sequence(t) < expected; usleep(5000)) {
        cr_assert_lt(now_ms(), until, "the stream did not take them");
    }
    close(fd);
}

static inline void stream_test_open(struct stream_test *t) {
    memset(t, 0, sizeof *t);
    t->server = nats_server_new();
    nats_server_start(&t->server);
    t->connection = connect_to(&t->server);
    t->consumer = consume(t, 30000, 0);
}

static inline void stream_test_close(struct stream_test *t) {
    stream_consumer_free(t->consumer);
    stream_connection_free(t->connection);
    jsCtx_Destroy(t->jetstream);
    natsConnection_Destroy(t->nats);
    nats_Close();
    nats_server_free(&t->server);
}

/* Fetches once, patient with whatever is in the way. */
static inline int fetch(struct stream_test *t, struct stream_delivery **deliveries, int max) {
    for (int64_t until = now_ms() + PATIENCE_MS;;) {
        struct error error = {0};
        int count = stream_consumer_fetch(t->consumer, deliveries, max, 300, &error);
        if (count > 0) {
            return count;
        }
        cr_assert_lt(now_ms(), until, "nothing delivered: %s", error.message);
        usleep(count < 0 ? 20000 : 0);
    }
}

/* Fetches and acknowledges until "<history>-<n>" was seen for every n of the range; more than
 * that, and more than once, is fine. */
static inline void take_events(struct stream_test *t, const char *history, int first, int last) {
    bool seen[4096] = {false};
    struct stream_delivery *deliveries[FETCH_MAX];
    cr_assert_lt(last, 4096);
    for (int left = last - first + 1; left > 0;) {
        int count = fetch(t, deliveries, FETCH_MAX);
        for (int i = 0; i < count; i++) {
            struct bytes body = stream_delivery_body(deliveries[i]);
            char text[32] = "";
            char found[16] = "";
            int number = 0;
            memcpy(text, body.data, body.size < sizeof text - 1 ? body.size : sizeof text - 1);
            if (sscanf(text, "%15[a-z]-%d", found, &number) == 2 && strcmp(found, history) == 0 && number >= first &&
                number <= last && !seen[number]) {
                seen[number] = true;
                left--;
            }
            stream_delivery_ack(deliveries[i]);
        }
    }
}

/* Waits until the server knows of no delivery without an answer. An answer may be lost with a
 * connection or a server: what is delivered again for that is answered here. */
static inline void await_all_answered(struct stream_test *t) {
    struct stream_delivery *deliveries[FETCH_MAX];
    look(t);
    for (int64_t until = now_ms() + PATIENCE_MS;; usleep(5000)) {
        jsConsumerInfo *info = NULL;
        struct error error = {0};
        bool done = js_GetConsumerInfo(&info, t->jetstream, STREAM, DURABLE, NULL, NULL) == NATS_OK &&
                    info->NumAckPending == 0 && info->NumPending == 0;
        jsConsumerInfo_Destroy(info);
        if (done) {
            return;
        }
        cr_assert_lt(now_ms(), until, "unanswered deliveries are left");
        int count = stream_consumer_fetch(t->consumer, deliveries, FETCH_MAX, 100, &error);
        for (int i = 0; i < count; i++) {
            stream_delivery_ack(deliveries[i]);
        }
    }
}

#endif
