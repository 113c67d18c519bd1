#include "common/rpc/rpc_server.h"

#include <assert.h>
#include <grpc/grpc_security.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/rpc/core_library.h"
#include "common/rpc/server_parts.h"
#include "common/rpc/sync_annotations.h"

enum {
    HANDSHAKE_TIMEOUT_MS = 20000,
    /* A client that vanished is noticed after both, or after the second where bytes wait for it. Until
     * then it holds what it has: a stream, an upload that nobody else can go on with. */
    KEEPALIVE_TIME_MS = 10000,
    KEEPALIVE_TIMEOUT_MS = 10000,
    CLOSE_CONNECTIONS_MS = 100, /* for clients to close theirs before we do */
    READ_BYTES = 4 << 20,       /* at once from a connection, as the core's default */
    READ_BESIDE_BYTES = 128 << 10,
    CLIENT_PING_INTERVAL_MS = 1000, /* pings closer together count as misuse */
};

/* ---- before the start ---- */

static void init_places(struct rpc_server *server) {
    const struct rpc_server_options *options = &server->options;
    server_places_init(&server->inline_places, server, options->max_unary_in_flight, "TOO_MANY_CALLS",
                       "calls in flight");
    server_places_init(&server->blocking_places, server, options->blocking_threads + options->max_waiting,
                       "TOO_MANY_WAITING", "calls that wait for a worker");
    server_places_init(&server->stream_places, server, options->max_streams, "TOO_MANY_STREAMS", "streams");
    server_places_init(&server->push_places, server, options->max_pushes, "TOO_MANY_STREAMS", "streams of this method");
}

static void free_places(struct rpc_server *server) {
    fair_share_free(server->inline_places.share);
    fair_share_free(server->blocking_places.share);
    fair_share_free(server->stream_places.share);
    fair_share_free(server->push_places.share);
    for (unsigned i = 0; i < server->unary_count; i++) {
        fair_share_free(server->unary[i].apart.share);
    }
    for (unsigned i = 0; i < server->stream_count; i++) {
        fair_share_free(server->streams[i].apart.share);
    }
}

struct rpc_server *rpc_server_new(const struct rpc_server_options *options) {
    struct rpc_server *server = calloc(1, sizeof *server);
    if (server == NULL || (server->listen = strdup(options->listen)) == NULL) {
        abort();
    }
    core_library_begin();
    server->options = *options;
    snprintf(server->name, sizeof server->name, "%.8s", options->name);
    server->options.name = server->name;
    server->options.listen = server->listen;
    pthread_mutex_init(&server->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&server->quieter, &monotonic);
    pthread_condattr_destroy(&monotonic);
    init_places(server);
    return server;
}

void rpc_server_observe(struct rpc_server *server, struct rpc_observer observer) {
    server->observer = observer;
}

void rpc_server_add_unary(struct rpc_server *server, const char *path, enum rpc_method_kind kind,
                          rpc_unary_handler *handler, void *service) {
    assert(!server->started && server->unary_count < SERVER_MAX_METHODS);
    server->unary[server->unary_count++] = (struct server_unary_method){
        .server = server, .path = path, .kind = kind, .handler = handler, .service = service};
}

void rpc_server_add_unary_apart(struct rpc_server *server, const char *path, enum rpc_method_kind kind,
                                rpc_unary_handler *handler, void *service, unsigned max_in_flight) {
    rpc_server_add_unary(server, path, kind, handler, service);
    server_places_init(&server->unary[server->unary_count - 1].apart, server, max_in_flight, "TOO_MANY_CALLS",
                       "calls of this method in flight");
}

void rpc_server_add_stream(struct rpc_server *server, const char *path, rpc_stream_handler *handler, void *service) {
    assert(!server->started && server->stream_count < SERVER_MAX_METHODS);
    server->streams[server->stream_count++] =
        (struct server_stream_method){.path = path, .handler = handler, .service = service};
}

void rpc_server_add_stream_apart(struct rpc_server *server, const char *path, rpc_stream_handler *handler,
                                 void *service, unsigned max_streams) {
    rpc_server_add_stream(server, path, handler, service);
    server_places_init(&server->streams[server->stream_count - 1].apart, server, max_streams, "TOO_MANY_STREAMS",
                       "streams of this method");
}

void rpc_server_add_push(struct rpc_server *server, const char *path, rpc_push_handler *handler, void *service) {
    assert(!server->started && server->push_count < SERVER_MAX_METHODS);
    server->pushes[server->push_count++] = (struct server_push_method){server, path, handler, service, NULL};
}

void rpc_server_add_service(struct rpc_server *server, const struct ProtobufCServiceDescriptor *service) {
    assert(!server->started && server->service_count < SERVER_MAX_SERVICES);
    server->services[server->service_count++] = service;
}

/* ---- start ---- */

static grpc_arg integer_arg(const char *name, int64_t value) {
    return (grpc_arg){
        .type = GRPC_ARG_INTEGER, .key = (char *)name, .value.integer = value > INT32_MAX ? INT32_MAX : (int)value};
}

/* All streams that may have a handler at once. */
static unsigned most_streams(const struct rpc_server *server) {
    uint64_t most = server->options.max_streams;
    for (unsigned i = 0; i < server->stream_count; i++) {
        const struct fair_share *apart = server->streams[i].apart.share;
        most += apart != NULL ? fair_share_limit(apart) : 0;
    }
    return (unsigned)most;
}

static grpc_server *make_core(const struct rpc_server *server) {
    const struct rpc_server_options *options = &server->options;
    /* A message a little too long still comes in and gets our status; a much longer one is
     * refused by the core with a plain RESOURCE_EXHAUSTED before it takes up memory. */
    int64_t most_bytes = (int64_t)options->max_message_bytes * 2 + 65536;
    int64_t most_calls = (int64_t)options->max_unary_in_flight + options->blocking_threads + options->max_waiting +
                         most_streams(server) + options->max_pushes;
    grpc_arg args[] = {
        integer_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, most_bytes),
        integer_arg(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, -1),
        /* A few above our limits, so that clients are told rather than held back. */
        integer_arg(GRPC_ARG_MAX_CONCURRENT_STREAMS, most_calls + 64),
        /* A second server on the same port must fail, not share it. */
        integer_arg(GRPC_ARG_ALLOW_REUSEPORT, 0),
        integer_arg(GRPC_ARG_KEEPALIVE_TIME_MS, KEEPALIVE_TIME_MS),
        integer_arg(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, KEEPALIVE_TIMEOUT_MS),
        integer_arg(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
        integer_arg(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, CLIENT_PING_INTERVAL_MS),
        integer_arg(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, HANDSHAKE_TIMEOUT_MS),
        /* The thread in a hurry may be the one that reads for a server beside it: then not for long. */
        integer_arg(GRPC_ARG_TCP_MAX_READ_CHUNK_SIZE, options->beside ? READ_BESIDE_BYTES : READ_BYTES),
        /* The core bounds a message before it unpacks it, so a small compressed one could
         * grow without limit: only plain ones are taken. */
        integer_arg(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1 << GRPC_COMPRESS_NONE),
    };
    grpc_channel_args all = {sizeof args / sizeof args[0], args};
    return grpc_server_create(&all, NULL);
}

/* The one place that knows how connections are secured. */
static grpc_server_credentials *make_credentials(void) {
    return grpc_insecure_server_credentials_create();
}

static bool bind_port(struct rpc_server *server) {
    grpc_server_credentials *credentials = make_credentials();
    server->port = grpc_server_add_http2_port(server->core, server->listen, credentials);
    grpc_server_credentials_release(credentials);
    return server->port > 0;
}

static void shutdown_completed(struct queue_event *event, bool ok) {
    (void)ok;
    struct rpc_server *server = event_owner(event, struct rpc_server, shutdown);
    pthread_mutex_lock(&server->lock);
    server->shut_down = true;
    pthread_cond_broadcast(&server->quieter);
    pthread_mutex_unlock(&server->lock);
}

static void begin_shutdown(struct rpc_server *server) {
    server->shutdown.complete = shutdown_completed;
    handover_release(&server->shutdown);
    grpc_server_shutdown_and_notify(server->core, server->queue.core, &server->shutdown);
}

static void stop_queues(struct rpc_server *server) {
    if (server->push_queue.core != NULL) {
        event_queue_stop(&server->push_queue);
    }
    event_queue_stop(&server->queue);
    if (server->options.beside) {
        idle_poller_stop(&server->poller);
    }
}

/* Undoes a start that failed. */
static void give_up(struct rpc_server *server) {
    begin_shutdown(server);
    stop_queues(server);
    grpc_server_destroy(server->core);
    server->core = NULL;
}

static void ask_for_calls(struct rpc_server *server) {
    for (unsigned i = 0; i < server->unary_count; i++) {
        for (unsigned n = 0; n < SERVER_UNARY_READY; n++) {
            server_call_ask(&server->unary[i]);
        }
    }
    for (unsigned i = 0; i < server->push_count; i++) {
        for (unsigned n = 0; n < SERVER_UNARY_READY; n++) {
            server_push_ask(&server->pushes[i]);
        }
    }
    for (unsigned n = 0; n < SERVER_STREAM_READY; n++) {
        server_stream_ask(server);
    }
}

static void *register_method(struct rpc_server *server, const char *path) {
    void *registered =
        grpc_server_register_method(server->core, path, NULL, GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER, 0);
    assert(registered != NULL);
    return registered;
}

/* The completion queues, and the methods whose calls they get. */
static void prepare_core(struct rpc_server *server) {
    server->core = make_core(server);
    event_queue_init(&server->queue, server->options.beside ? EVENT_QUEUE_SLEEPS : EVENT_QUEUE_POLLS);
    grpc_server_register_completion_queue(server->core, server->queue.core, NULL);
    if (server->options.beside) {
        /* A listener needs a queue that can poll, even if nobody waits on it. */
        idle_poller_init(&server->poller);
        grpc_server_register_completion_queue(server->core, server->poller.core, NULL);
    }
    for (unsigned i = 0; i < server->unary_count; i++) {
        server->unary[i].registered = register_method(server, server->unary[i].path);
    }
    if (server->push_count > 0) {
        event_queue_init(&server->push_queue, EVENT_QUEUE_SLEEPS);
        grpc_server_register_completion_queue(server->core, server->push_queue.core, NULL);
    }
    for (unsigned i = 0; i < server->push_count; i++) {
        server->pushes[i].registered = register_method(server, server->pushes[i].path);
    }
}

static unsigned at_least_one(unsigned threads) {
    return threads > 0 ? threads : 1;
}

static bool start_queues(struct rpc_server *server) {
    char name[16];
    snprintf(name, sizeof name, "%s-queue", server->name);
    server->queue.nice = server->poller.nice = server->push_queue.nice = server->options.nice;
    server->queue.prompt = server->options.prompt;
    if (!event_queue_start(&server->queue, at_least_one(server->options.queue_threads), name)) {
        return false;
    }
    snprintf(name, sizeof name, "%s-poll", server->name);
    if (server->options.beside && !idle_poller_start(&server->poller, name)) {
        return false;
    }
    snprintf(name, sizeof name, "%s-push", server->name);
    return server->push_count == 0 ||
           event_queue_start(&server->push_queue, at_least_one(server->options.push_threads), name);
}

bool rpc_server_start(struct rpc_server *server, struct error *error) {
    assert(!server->started);
    char thread_name[16];
    prepare_core(server);
    if (!bind_port(server)) {
        give_up(server);
        error_set(error, ERROR_UNAVAILABLE, "ADDRESS_UNAVAILABLE",
                  "cannot listen on %s: it is in use or not an address of this machine", server->listen);
        return false;
    }
    if (!start_queues(server)) {
        give_up(server);
        return error_set(error, ERROR_RESOURCE_EXHAUSTED, "NO_THREADS", "the system has no thread for the server");
    }
    snprintf(thread_name, sizeof thread_name, "%s-work", server->name);
    server->blocking = worker_pool_new(thread_name, server->options.blocking_threads, server->options.max_waiting,
                                       server->options.client_share_percent);
    snprintf(thread_name, sizeof thread_name, "%s-stream", server->name);
    /* One that waits has the place of one whose handler has just ended. */
    server->stream_workers = worker_pool_new(thread_name, most_streams(server), most_streams(server), 100);
    grpc_server_start(server->core);
    server->started = true;
    ask_for_calls(server);
    return true;
}

int rpc_server_port(const struct rpc_server *server) {
    return server->port;
}

/* ---- the end ---- */

bool rpc_server_draining(const struct rpc_server *server) {
    return atomic_load(&server->draining);
}

static bool idle(const struct rpc_server *server) {
    return server->admitted == 0;
}

static bool quiet(const struct rpc_server *server) {
    return server->calls == 0 && server->shut_down;
}

/* Waits for the condition, which is one under the lock; false when the time came first. */
static bool wait_until(struct rpc_server *server, bool (*condition)(const struct rpc_server *server),
                       const struct timespec *until) {
    pthread_mutex_lock(&server->lock);
    int waited = 0;
    while (!condition(server) && waited == 0) {
        waited = until != NULL ? pthread_cond_timedwait(&server->quieter, &server->lock, until)
                               : pthread_cond_wait(&server->quieter, &server->lock);
    }
    bool met = condition(server);
    pthread_mutex_unlock(&server->lock);
    return met;
}

static struct timespec time_from_now(int64_t ms) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    time.tv_sec += ms / 1000;
    time.tv_nsec += ms % 1000 * 1000000;
    if (time.tv_nsec >= 1000000000) {
        time.tv_sec++;
        time.tv_nsec -= 1000000000;
    }
    return time;
}

/* The core answers calls that come while it shuts down with CANCELLED, which no client tries
 * again. So it stays open, and new calls get our UNAVAILABLE, until those under way are done. */
void rpc_server_drain(struct rpc_server *server, int64_t grace_ms) {
    if (!server->started || atomic_exchange(&server->draining, true)) {
        return;
    }
    struct timespec until = time_from_now(grace_ms);
    server_stream_wake_all(server);
    server_push_end_all(server);
    bool in_time = wait_until(server, idle, &until);
    atomic_store(&server->closing, true);
    begin_shutdown(server);
    if (!in_time) {
        log_warn("rpc_drain_cancels", LOG_STR("server", server->name), LOG_INT("grace_ms", grace_ms));
    }
    /* An idle client may not look at its connection for long, and so not let go of it. */
    struct timespec polite = time_from_now(in_time ? CLOSE_CONNECTIONS_MS : 0);
    if (!wait_until(server, quiet, &polite)) {
        grpc_server_cancel_all_calls(server->core);
        wait_until(server, quiet, NULL);
    }
    worker_pool_free(server->stream_workers);
    worker_pool_free(server->blocking);
    stop_queues(server);
    grpc_server_destroy(server->core);
    server->core = NULL;
}

void rpc_server_free(struct rpc_server *server) {
    if (server == NULL) {
        return;
    }
    assert(server->core == NULL);
    free_places(server);
    pthread_cond_destroy(&server->quieter);
    pthread_mutex_destroy(&server->lock);
    free(server->listen);
    free(server);
    core_library_end();
}

/* ---- what the calls need ---- */

void server_observe(const struct rpc_server *server, const char *method, enum error_code code, int64_t started_us) {
    if (server->observer.finished != NULL) {
        server->observer.finished(server->observer.self, method, code, clock_monotonic_us(&system_clock) - started_us);
    }
}

int64_t server_time_left_us(gpr_timespec deadline) {
    if (gpr_time_cmp(deadline, gpr_inf_future(deadline.clock_type)) == 0) {
        return INT64_MAX;
    }
    gpr_timespec left = gpr_time_sub(deadline, gpr_now(deadline.clock_type));
    return left.tv_sec * INT64_C(1000000) + left.tv_nsec / 1000;
}
