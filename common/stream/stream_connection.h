/* A connection to NATS that outlives the server: it connects in the background, reconnects
 * for ever, and never holds the start of a service up. Any thread. */
#ifndef WAYBILL_STREAM_STREAM_CONNECTION_H
#define WAYBILL_STREAM_STREAM_CONNECTION_H

#include <nats/nats.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/error.h"

struct stream_connection;

struct stream_connection_options {
    const char *urls; /* comma between */
    const char *name; /* shown by the server */
    /* Called after every connect and disconnect with the state as it then is, which may be the
     * one that was told before: a server that was away for a moment. On a thread of the NATS
     * library, one call at a time, must be quick and must not call this connection; the first
     * call may come before stream_connection_new returns, none comes after
     * stream_connection_free. May be NULL. */
    void (*on_state)(void *self, bool connected);
    void *self;
};

/* INVALID_ARGUMENT (BAD_NATS_URL) when the URLs cannot be read or the server refuses our
 * credentials; a server that is away is no failure. */
struct stream_connection *stream_connection_new(const struct stream_connection_options *options, struct error *error);
bool stream_connection_connected(const struct stream_connection *connection);
/* Whether the library has given up for good, which it does when a server goes away in the
 * middle of a first handshake or refuses our credentials twice: only a new connection helps. */
bool stream_connection_closed(const struct stream_connection *connection);
/* Grows with every reconnect, before anything comes from the new server: whoever remembers it
 * can tell that the server was away. */
uint64_t stream_connection_reconnects(const struct stream_connection *connection);
/* Sends what is still buffered, for half a second at most, and closes. Subscriptions made
 * over it must be gone. NULL is fine. */
void stream_connection_free(struct stream_connection *connection);

/* For the other files of this room. */
natsConnection *stream_connection_nats(struct stream_connection *connection);
jsCtx *stream_connection_jetstream(struct stream_connection *connection);
/* UNAVAILABLE (EVENT_STREAM_FAILED), with what was being done and NATS's words. */
bool stream_set_error(struct error *error, natsStatus status, jsErrCode code, const char *what);
/* Ends a subscription of this connection and waits until no handler of it runs any more. Its
 * memory goes once the library's reading thread has left it for certain: now if the server
 * answers, else with the connection. NULL is fine. */
void stream_unsubscribe(struct stream_connection *connection, natsSubscription *subscription);

#endif
