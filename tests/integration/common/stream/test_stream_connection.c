// rooms: waybill_stream test_support
/* Subscriptions that end while messages for them arrive. Where memory is freed beside the
 * library's reading thread, it crashes, or the sanitized builds tell. */
#include <stdatomic.h>

#include "stream_fixture.h"

enum { ENDS = 300, FLOOD_BYTES = 64 };

struct flood {
    struct stream_test *test;
    pthread_t thread;
    atomic_bool stopping;
};

static void *pour(void *argument) {
    struct flood *flood = argument;
    char body[FLOOD_BYTES] = {0};
    while (!atomic_load(&flood->stopping)) {
        natsConnection_Publish(flood->test->nats, "flood", body, sizeof body);
    }
    return NULL;
}

static void ignore(natsConnection *nats, natsSubscription *subscription, natsMsg *message, void *closure) {
    (void)nats;
    (void)subscription;
    (void)closure;
    natsMsg_Destroy(message);
}

static natsSubscription *subscribe_to_flood(struct stream_test *t, bool with_handler) {
    natsConnection *nats = stream_connection_nats(t->connection);
    natsSubscription *subscription = NULL;
    natsStatus status = with_handler ? natsConnection_Subscribe(&subscription, nats, "flood", ignore, NULL)
                                     : natsConnection_SubscribeSync(&subscription, nats, "flood");
    cr_assert_eq(status, NATS_OK);
    return subscription;
}

static void end_many(struct stream_test *t, int count) {
    for (int i = 0; i < count; i++) {
        natsSubscription *subscription = subscribe_to_flood(t, i % 2 == 0);
        cr_assert_eq(natsConnection_FlushTimeout(stream_connection_nats(t->connection), PATIENCE_MS), NATS_OK);
        stream_unsubscribe(t->connection, subscription);
    }
}

TestSuite(stream_connection, .timeout = 120);

Test(stream_connection, a_subscription_ends_amid_its_messages) {
    struct stream_test t;
    stream_test_open(&t);
    look(&t);
    await_connected(t.connection);
    struct flood flood = {.test = &t};
    cr_assert_eq(pthread_create(&flood.thread, NULL, pour, &flood), 0);
    end_many(&t, ENDS);
    atomic_store(&flood.stopping, true);
    pthread_join(flood.thread, NULL);
    stream_test_close(&t);
}

Test(stream_connection, a_subscription_ends_without_a_server) {
    struct stream_test t;
    stream_test_open(&t);
    await_connected(t.connection);
    natsSubscription *subscription = subscribe_to_flood(&t, false);
    nats_server_kill(&t.server);
    stream_unsubscribe(t.connection, subscription);
    stream_test_close(&t);
}
