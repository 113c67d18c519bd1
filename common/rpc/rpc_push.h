/* Server-streaming calls without a thread of their own: one request comes in, then messages
 * are pushed whenever there are some. Thousands of such calls cost memory only.
 *
 * The handler runs on a thread of the pushes' own completion queue and must not block. It
 * looks at the request and either ends the call with rpc_push_finish, or calls rpc_push_begin
 * and leaves the call to whoever pushes.
 *
 * Rules:
 * - At most one send is under way per call. What does not fit through the client's flow
 *   control waits there, so that a client which reads nothing costs one send's messages.
 * - Callbacks come from a thread of the queue or of a caller of rpc_push_send, of whatever
 *   call; `gone` also within rpc_push_begin and from the thread that drains. They must be
 *   quick, and call no function of this file unless said otherwise; who calls rpc_push_begin
 *   or rpc_push_send holds no lock that they take.
 * - rpc_push_finish is called once. No callback but `freed` begins after it has returned; one
 *   that began before may still run. `freed` is the last of all: until then what the
 *   callbacks work on must live, and the push may still be reset. */
#ifndef WAYBILL_RPC_RPC_PUSH_H
#define WAYBILL_RPC_RPC_PUSH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/bytes.h"
#include "common/base/error.h"

struct rpc_push;
struct rpc_server;

/* ---- messages ---- */

/* A message's wire form, made once and sent any number of times without a copy. Its memory
 * lives until its owner freed it and every send of it is over. */
struct rpc_message;

/* `head` followed by `body`, both copied. */
struct rpc_message *rpc_message_new(struct bytes head, struct bytes body);
struct bytes rpc_message_bytes(const struct rpc_message *message);
void rpc_message_free(struct rpc_message *message);

/* ---- calls ---- */

typedef void rpc_push_handler(void *service, struct rpc_push *push);

struct rpc_push_listener {
    /* All messages of the send under way were taken by the transport, or never will be. May
     * call rpc_push_send and rpc_push_finish. */
    void (*taken)(void *self);
    /* The call can only be finished: CANCELLED or DEADLINE_EXCEEDED when the client is gone,
     * UNAVAILABLE (DRAINING) when the server drains. At most once. */
    void (*gone)(void *self, const struct error *why);
    /* The call is over and `push` dead. */
    void (*freed)(void *self);
    void *self;
};

/* Most messages of one send. */
enum { RPC_PUSH_MAX_MESSAGES = 256 };

/* Adds a method before the server starts; `path` must outlive the server. More than
 * max_pushes calls at once get RESOURCE_EXHAUSTED (TOO_MANY_STREAMS) with RetryInfo. */
void rpc_server_add_push(struct rpc_server *server, const char *path, rpc_push_handler *handler, void *service);

/* The request's wire form, and memory; both live until the call is freed. */
struct bytes rpc_push_request(const struct rpc_push *push);
struct arena *rpc_push_arena(struct rpc_push *push);
/* Decodes the request; on failure finishes the call and returns NULL. */
ProtobufCMessage *rpc_push_decode(struct rpc_push *push, const ProtobufCMessageDescriptor *type);

/* Takes the call over: the client gets its headers, the listener hears from now on. */
void rpc_push_begin(struct rpc_push *push, const struct rpc_push_listener *listener);
/* Sends 1 to RPC_PUSH_MAX_MESSAGES messages; the caller keeps them. Never blocks; any thread,
 * while no send is under way. True when all of them were taken at once; else `taken` comes,
 * perhaps before this returns. */
bool rpc_push_send(struct rpc_push *push, struct rpc_message *const *messages, size_t count);
/* Ends the call behind the messages of the send under way; error NULL is OK. Any thread. */
void rpc_push_finish(struct rpc_push *push, const struct error *error);
/* For a call that is finished but whose client takes nothing: drops what waits for it, and
 * ends it with the error's code and message, without details. Any thread, until `freed`. */
void rpc_push_reset(struct rpc_push *push, const struct error *error);

#endif
