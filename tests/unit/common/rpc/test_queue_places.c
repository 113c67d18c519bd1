// rooms: waybill_rpc
/* Handlers that give their place at the queue over, and calls that come back to it. */
#include <pthread.h>
#include <stdatomic.h>

#include "rpc_fixture.h"

TestSuite(queue_places, .timeout = 60);

/* One handler waits for a call to the other. */
struct gate {
    pthread_mutex_t lock; /* open */
    pthread_cond_t changed;
    bool open;
    atomic_bool left;
};

static void wait_at_gate(void *service, struct rpc_call *call) {
    struct gate *gate = service;
    atomic_store(&gate->left, rpc_call_leave_queue(call));
    pthread_mutex_lock(&gate->lock);
    while (!gate->open && atomic_load(&gate->left)) {
        pthread_cond_wait(&gate->changed, &gate->lock);
    }
    pthread_mutex_unlock(&gate->lock);
    fixture_echo(NULL, call);
}

static void set_open(struct gate *gate, bool open) {
    pthread_mutex_lock(&gate->lock);
    gate->open = open;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->lock);
}

static void open_gate(void *service, struct rpc_call *call) {
    set_open(service, true);
    fixture_echo(NULL, call);
}

struct caller {
    pthread_t thread;
    struct rpc_channel *channel;
    bool answered;
};

static void *call_wait(void *argument) {
    struct caller *caller = argument;
    struct arena arena;
    struct error error = {0};
    arena_init(&arena);
    caller->answered = fixture_call(caller->channel, "/test.Gate/Wait", NULL, "x", &arena, &error) != NULL;
    arena_free(&arena);
    return NULL;
}

static struct rpc_server *start_gate(struct gate *gate, unsigned standby_threads) {
    struct rpc_server_options options = fixture_options;
    options.standby_threads = standby_threads;
    *gate = (struct gate){.open = false};
    pthread_mutex_init(&gate->lock, NULL);
    pthread_cond_init(&gate->changed, NULL);
    struct rpc_server *server = rpc_server_new(&options);
    rpc_server_add_unary(server, "/test.Gate/Wait", RPC_INLINE, wait_at_gate, gate);
    rpc_server_add_unary(server, "/test.Gate/WaitElsewhere", RPC_BLOCKING, wait_at_gate, gate);
    rpc_server_add_unary(server, "/test.Gate/Open", RPC_INLINE, open_gate, gate);
    fixture_start(server);
    return server;
}

Test(queue_places, a_handler_that_left_the_queue_holds_nobody_up) {
    struct gate gate;
    struct arena arena;
    struct error error = {0};
    arena_init(&arena);
    struct rpc_server *server = start_gate(&gate, 1);
    struct rpc_channel *channel = fixture_connect(rpc_server_port(server));
    unsigned left = 0;
    for (int i = 0; i < 100; i++) {
        struct caller caller = {.channel = channel};
        set_open(&gate, false);
        cr_assert_eq(pthread_create(&caller.thread, NULL, call_wait, &caller), 0);
        cr_assert_not_null(fixture_call(channel, "/test.Gate/Open", NULL, "x", &arena, &error), "%s", error.message);
        pthread_join(caller.thread, NULL);
        cr_assert(caller.answered);
        left += atomic_load(&gate.left); /* not while the thread of the call before is on its way back */
    }
    cr_assert_gt(left, 0);
    arena_free(&arena);
    fixture_stop(server, channel);
}

Test(queue_places, nobody_leaves_the_queue_unattended) {
    struct gate gate;
    struct arena arena;
    struct error error = {0};
    arena_init(&arena);
    struct rpc_server *server = start_gate(&gate, 0);
    struct rpc_channel *channel = fixture_connect(rpc_server_port(server));
    cr_assert_not_null(fixture_call(channel, "/test.Gate/Wait", NULL, "x", &arena, &error), "%s", error.message);
    cr_assert_not(atomic_load(&gate.left), "nobody stands by");
    fixture_stop(server, channel);
    server = start_gate(&gate, 1);
    channel = fixture_connect(rpc_server_port(server));
    cr_assert_not_null(fixture_call(channel, "/test.Gate/WaitElsewhere", NULL, "x", &arena, &error), "%s",
                       error.message);
    cr_assert_not(atomic_load(&gate.left), "a worker has no place at the queue");
    arena_free(&arena);
    fixture_stop(server, channel);
}

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

Test(queue_places, a_call_goes_on_where_it_arrived) {
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
