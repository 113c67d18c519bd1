/* A gRPC server on the C core, for handlers that know nothing of completion queues.
 *
 * Unary methods. An INLINE handler runs on a queue thread and must not block: it decodes,
 * checks, hands the call on and returns; whoever finishes the work answers with
 * rpc_call_reply or rpc_call_fail, from any thread, exactly once. A BLOCKING handler runs on
 * the server's bounded pool of workers and may wait for a disk or a peer.
 *
 * Streaming methods. The handler has a worker to itself until it returns; it reads and
 * writes with blocking calls on a queue of its own (rpc_stream.h).
 *
 * Pushed methods. One request, then messages from any thread, without a thread per call
 * (rpc_push.h).
 *
 * Bounds, each answered with RESOURCE_EXHAUSTED and RetryInfo, never with a wait without
 * end: unary calls in flight, streams and pushed calls at once, jobs waiting for a worker. A unary
 * call counts as one for each 32 KiB of its request that are begun, so memory is bounded, too. Of each
 * bound a client (server_client.h) has a fair share (common/base/fair_share.h), beyond which it is
 * told CLIENT_OVER_SHARE while others still get in; and BLOCKING calls of several clients take turns. A message longer
 * than max_message_bytes gets RESOURCE_EXHAUSTED too (reason MESSAGE_TOO_LARGE; one of more
 * than twice that and 64 KiB is refused by the core, without a reason, before it is all
 * read); unknown methods get UNIMPLEMENTED (reason UNKNOWN_METHOD). Compressed messages are
 * not taken, since the core would unpack them without a bound.
 *
 * Client keepalive pings are permitted. Life: new, add methods, start, drain, free; each from
 * one thread. */
#ifndef WAYBILL_RPC_RPC_SERVER_H
#define WAYBILL_RPC_RPC_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/error.h"

struct rpc_server;
struct rpc_call;
struct rpc_stream;

struct rpc_server_options {
    const char *name;              /* names its threads, at most 8 characters */
    const char *listen;            /* "host:port"; port 0 takes a free one */
    unsigned queue_threads;        /* threads on the completion queue; 1 is best on two cores */
    unsigned blocking_threads;     /* workers for BLOCKING unary handlers */
    unsigned max_waiting;          /* BLOCKING calls that may wait for a worker */
    unsigned max_unary_in_flight;  /* INLINE calls whose answer is not out yet */
    unsigned max_streams;          /* streams at once; each has a thread while it lasts */
    unsigned max_pushes;           /* pushed calls at once */
    unsigned client_share_percent; /* what one client alone may have of each of these bounds; 0: 100 */
    unsigned push_threads;         /* threads on the pushed calls' own completion queue; 0: one */
    size_t max_message_bytes;      /* largest request message */
    /* The connections are polled by another server of this process, which starts before this
     * one and drains after it; threads of this one help while streams are open. So its calls
     * are not delayed by a second thread that polls (idle_poller.h). */
    bool beside;
    int nice;    /* how far its threads, the workers too, stand back behind others (thread_turn.h) */
    bool prompt; /* its queue threads take short turns */
};

/* Sees every finished call, for metrics: any thread, must be quick. */
struct rpc_observer {
    void (*finished)(void *self, const char *method, enum error_code code, int64_t duration_us);
    void *self;
};

enum rpc_method_kind { RPC_INLINE, RPC_BLOCKING };

typedef void rpc_unary_handler(void *service, struct rpc_call *call);
typedef void rpc_stream_handler(void *service, struct rpc_stream *stream);

struct rpc_server *rpc_server_new(const struct rpc_server_options *options);
void rpc_server_observe(struct rpc_server *server, struct rpc_observer observer);
/* `path` is "/package.Service/Method" and must outlive the server. */
void rpc_server_add_unary(struct rpc_server *server, const char *path, enum rpc_method_kind kind,
                          rpc_unary_handler *handler, void *service);
void rpc_server_add_stream(struct rpc_server *server, const char *path, rpc_stream_handler *handler, void *service);
/* For methods that nothing else may keep out: they have so many calls at once for themselves, apart
 * from those above. */
void rpc_server_add_unary_apart(struct rpc_server *server, const char *path, enum rpc_method_kind kind,
                                rpc_unary_handler *handler, void *service, unsigned max_in_flight);
void rpc_server_add_stream_apart(struct rpc_server *server, const char *path, rpc_stream_handler *handler,
                                 void *service, unsigned max_streams);
/* Answers every method of a service that has no handler with UNIMPLEMENTED (reason
 * NOT_SERVED_YET), so that clients can tell them from a wrong name. */
void rpc_server_add_service(struct rpc_server *server, const struct ProtobufCServiceDescriptor *service);
/* Binds and begins to serve. UNAVAILABLE when the address cannot be had. */
bool rpc_server_start(struct rpc_server *server, struct error *error);
/* The port it listens on. */
int rpc_server_port(const struct rpc_server *server);
/* Whether rpc_server_drain has begun: long streams end themselves when they see it. */
bool rpc_server_draining(const struct rpc_server *server);
/* Refuses new calls (UNAVAILABLE, DRAINING), lets those under way finish for at most grace_ms,
 * cancels what is left, closes the connections, and returns when every handler has returned
 * and every call is answered. */
void rpc_server_drain(struct rpc_server *server, int64_t grace_ms);
/* Only after drain, or if it was never started. */
void rpc_server_free(struct rpc_server *server);

/* ---- one unary call; valid until answered ---- */

/* The request's wire form, valid until the call is answered. */
struct bytes rpc_call_request(const struct rpc_call *call);
/* Memory that lives until the call is answered. */
struct arena *rpc_call_arena(struct rpc_call *call);
/* Decodes the request into the call's arena; on failure answers the call and returns NULL. */
ProtobufCMessage *rpc_call_decode(struct rpc_call *call, const ProtobufCMessageDescriptor *type);
/* The value of a request header (lower-case name), NULL where there is none. */
const char *rpc_call_header(const struct rpc_call *call, const char *name);
/* Who calls: a number that all calls of a client have in common while any of them is under way. */
uint64_t rpc_call_client(const struct rpc_call *call);
/* Microseconds until the client's deadline; INT64_MAX where it set none. */
int64_t rpc_call_time_left_us(const struct rpc_call *call);
/* Each ends the call; the pointer is dead afterwards. Any thread, once. */
void rpc_call_reply(struct rpc_call *call, const ProtobufCMessage *response);
void rpc_call_fail(struct rpc_call *call, const struct error *error);
/* Answers with a message that is encoded already: `head` followed by `body`, both copied. */
void rpc_call_reply_wire(struct rpc_call *call, struct bytes head, struct bytes body);
/* Lets a call that is not answered yet go on in `run` on a queue thread, so that many answers
 * leave from the thread that reads the requests, not from two that are in each other's way. */
void rpc_call_return_to_queue(struct rpc_call *call, void (*run)(void *context), void *context);
/* For an INLINE handler that finds that it would have to wait: the call goes on in `handler`,
 * as a BLOCKING one, or gets RESOURCE_EXHAUSTED when too many wait already. The caller lets go
 * of the call. */
void rpc_call_move_to_worker(struct rpc_call *call, rpc_unary_handler *handler);

#endif
