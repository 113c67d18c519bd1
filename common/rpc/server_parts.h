/* What the files of the server share. rpc_server.c has its life, server_places.c who gets in, server_call.c the unary
 * calls, server_stream.c the streaming calls and those that get no handler, server_push.c the
 * pushed ones. */
#ifndef WAYBILL_RPC_SERVER_PARTS_H
#define WAYBILL_RPC_SERVER_PARTS_H

#include <grpc/grpc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "common/base/fair_share.h"
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
    /* Bytes of a request for which a unary call takes one place. */
    SERVER_PLACE_BYTES = 32 << 10,
};

/* So many calls at once, shared by clients; under the server's lock. */
struct server_places {
    struct fair_share *share; /* NULL: a method has none of its own */
    const char *full_reason;
    const char *what;
};

/* What one call has of them. */
struct server_place {
    bool admitted; /* in server->admitted */
    uint64_t client;
    struct fair_share *share;
    struct fair_holder *holder; /* NULL: it has no place */
    uint64_t count;
};

struct server_unary_method {
    struct rpc_server *server;
    const char *path;
    enum rpc_method_kind kind;
    rpc_unary_handler *handler;
    void *service;
    struct server_places apart;
    void *registered; /* the core's handle */
};

struct server_stream_method {
    const char *path;
    rpc_stream_handler *handler;
    void *service;
    struct server_places apart;
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

    struct queue_event shutdown; /* the core has let go of every call and connection */
    pthread_mutex_t lock;
    pthread_cond_t quieter;
    /* Under the lock. */
    struct server_places inline_places;
    struct server_places blocking_places;
    struct server_places stream_places;
    struct server_places push_places;
    unsigned calls;    /* asked for or under way */
    unsigned admitted; /* of these, the ones that a handler has or had */
    bool shut_down;
    struct rpc_stream *open_streams; /* those with a handler, to be woken when draining */
    struct rpc_push *open_pushes;
};

void server_places_init(struct server_places *places, const struct rpc_server *server, unsigned limit,
                        const char *full_reason, const char *what);
/* Counts a call from before it is asked for until it is freed: drain waits for all. Its place is
 * given back, if it has one still. */
void server_enter(struct rpc_server *server);
void server_leave(struct rpc_server *server, struct server_place *place);
/* Whether a call that came may go to its handler; it takes `count` places then. UNAVAILABLE (DRAINING),
 * or as server_refuse_place says. */
bool server_admit(struct rpc_server *server, grpc_call *call, const struct server_places *places, uint64_t count,
                  struct server_place *place, struct error *error);
/* Gives the place back before the call is freed. */
void server_give_place(struct rpc_server *server, struct server_place *place);
/* RESOURCE_EXHAUSTED: full_reason, or CLIENT_OVER_SHARE. Returns false. */
bool server_refuse_place(enum fair_verdict verdict, const struct server_places *places, struct error *error);
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
