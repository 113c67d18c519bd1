/* What the files of the server share. rpc_server.c has its life, server_call.c the unary
 * calls, server_stream.c the streaming calls and those that get no handler, server_push.c the
 * pushed ones. */
#ifndef WAYBILL_RPC_SERVER_PARTS_H
#define WAYBILL_RPC_SERVER_PARTS_H

#include <grpc/grpc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "common/rpc/event_queue.h"
#include "common/rpc/idle_poller.h"
#include "common/rpc/rpc_push.h"
#include "common/rpc/rpc_server.h"
#include "common/rpc/worker_pool.h"

enum {
    SERVER_MAX_METHODS = 128,
    SERVER_MAX_SERVICES = 32,
    /* Calls that the core may hand over at once for one unary method, and for all streaming
     * and unknown ones; more wait inside it for the queue thread to ask again. */
    SERVER_UNARY_READY = 16,
    SERVER_STREAM_READY = 8,
    /* What RetryInfo tells a client that met a limit. */
    SERVER_RETRY_AFTER_MS = 100,
};

struct server_unary_method {
    struct rpc_server *server;
    const char *path;
    enum rpc_method_kind kind;
    rpc_unary_handler *handler;
    void *service;
    void *registered; /* the core's handle */
};

struct server_stream_method {
    const char *path;
    rpc_stream_handler *handler;
    void *service;
};

struct server_push_method {
    struct rpc_server *server;
    const char *path;
    rpc_push_handler *handler;
    void *service;
    void *registered; /* the core's handle */
};

struct rpc_server {
    struct rpc_server_options options;
    char name[9];
    char *listen;
    struct rpc_observer observer;
    struct server_unary_method unary[SERVER_MAX_METHODS];
    unsigned unary_count;
    struct server_stream_method streams[SERVER_MAX_METHODS];
    unsigned stream_count;
    struct server_push_method pushes[SERVER_MAX_METHODS];
    unsigned push_count;
    const struct ProtobufCServiceDescriptor *services[SERVER_MAX_SERVICES];
    unsigned service_count;

    grpc_server *core;
    struct event_queue queue;
    struct event_queue push_queue; /* only where there are pushed methods */
    struct idle_poller poller;     /* only beside another server */
    struct worker_pool *blocking;
    struct worker_pool *stream_workers;
    int port;
    bool started;
    atomic_bool draining; /* new calls are refused */
    atomic_bool closing;  /* the core is shutting down: no more calls are asked for */
    atomic_uint inline_in_flight;
    atomic_uint pushes_under_way;

    struct queue_event shutdown; /* the core has let go of every call and connection */
    pthread_mutex_t lock;
    pthread_cond_t quieter;
    /* Under the lock. */
    unsigned calls;    /* asked for or under way */
    unsigned admitted; /* of these, the ones that a handler has or had */
    bool shut_down;
    struct rpc_stream *open_streams; /* those with a handler, to be woken when draining */
    struct rpc_push *open_pushes;
};

/* Counts a call from before it is asked for until it is freed: drain waits for all. */
void server_enter(struct rpc_server *server);
void server_leave(struct rpc_server *server, bool admitted);
/* Whether a call that came may go to its handler; UNAVAILABLE (DRAINING) when not. */
bool server_admit(struct rpc_server *server, struct error *error);
/* Tells the observer of a finished call. */
void server_observe(const struct rpc_server *server, const char *method, enum error_code code, int64_t started_us);
/* Microseconds from now to a deadline of the core; INT64_MAX for none. */
int64_t server_time_left_us(gpr_timespec deadline);

/* Makes a call's message one piece of bytes, kept by the slice or the arena; false when it is
 * too large. */
bool server_take_request(const struct rpc_server *server, grpc_byte_buffer *payload, struct arena *arena,
                         grpc_slice *slice, struct bytes *request, struct error *error);

/* Asks the core for the next call of the method; nothing while closing. */
void server_call_ask(struct server_unary_method *method);
/* Asks for the next streaming or unknown call. */
void server_stream_ask(struct rpc_server *server);
/* Wakes the handlers of all open streams, so that they see the drain. */
void server_stream_wake_all(struct rpc_server *server);
/* As server_call_ask, for a pushed method. */
void server_push_ask(struct server_push_method *method);
/* Tells the listeners of all pushed calls that the server drains. */
void server_push_end_all(struct rpc_server *server);

#endif
