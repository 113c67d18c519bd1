/* A connection to NATS that outlives the server: it connects in the background, reconnects
 * for ever, and never holds the start of a service up. Any thread. */
#ifndef WAYBILL_STREAM_STREAM_CONNECTION_H
#define WAYBILL_STREAM_STREAM_CONNECTION_H

#include <nats/nats.h>
#include <stdbool.h>

#include "common/base/error.h"

struct stream_connection;

struct stream_connection_options {
    const char *urls; /* comma between */
    const char *name; /* shown by the server */
    /* The state changed; on a thread of the NATS library, must be quick. May be NULL. */
    void (*on_state)(void *self, bool connected);
    void *self;
};

/* INVALID_ARGUMENT (BAD_NATS_URL) when the URLs cannot be read; a server that is away is no
 * failure. */
struct stream_connection *stream_connection_new(const struct stream_connection_options *options, struct error *error);
bool stream_connection_connected(const struct stream_connection *connection);
/* Subscriptions made over it must be gone. NULL is fine. */
void stream_connection_free(struct stream_connection *connection);

/* For the other files of this room. */
natsConnection *stream_connection_nats(struct stream_connection *connection);
jsCtx *stream_connection_jetstream(struct stream_connection *connection);
/* UNAVAILABLE (EVENT_STREAM_FAILED), with what was being done and NATS's words. */
bool stream_set_error(struct error *error, natsStatus status, jsErrCode code, const char *what);

#endif
