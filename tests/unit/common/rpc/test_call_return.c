// rooms: waybill_rpc
/* Calls that come back to the queue. */
#include <pthread.h>
#include <stdatomic.h>

#include "rpc_fixture.h"

TestSuite(call_return, .timeout = 60);

/* A call that goes on a thread of its own, and comes back. */
struct trip {
    struct rpc_call *call;
    pthread_t arrived_on;
    pthread_t away;
    atomic_bool back;
};

static void come_back(void *context) {
    struct trip *trip = context;
    atomic_store(&trip->back, pthread_equal(pthread_self(), trip->arrived_on) != 0);
    fixture_echo(NULL, trip->call);
}

static void *go_away(void *argument) {
    struct trip *trip = argument;
    rpc_call_return_to_queue(trip->call, come_back, trip);
    return NULL;
}

static void send_away(void *service, struct rpc_call *call) {
    struct trip *trip = service;
    trip->call = call;
    trip->arrived_on = pthread_self();
    cr_assert_eq(pthread_create(&trip->away, NULL, go_away, trip), 0);
}

Test(call_return, a_call_goes_on_where_it_arrived) {
    struct trip trip = {0};
    struct arena arena;
    struct error error = {0};
    arena_init(&arena);
    struct rpc_server *server = rpc_server_new(&fixture_options);
    rpc_server_add_unary(server, "/test.Trip/Go", RPC_INLINE, send_away, &trip);
    fixture_start(server);
    struct rpc_channel *channel = fixture_connect(rpc_server_port(server));
    for (int i = 0; i < 20; i++) {
        cr_assert_not_null(fixture_call(channel, "/test.Trip/Go", NULL, "x", &arena, &error), "%s", error.message);
        pthread_join(trip.away, NULL);
        cr_assert(atomic_load(&trip.back));
    }
    arena_free(&arena);
    fixture_stop(server, channel);
}
