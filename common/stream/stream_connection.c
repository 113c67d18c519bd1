#include "common/stream/stream_connection.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"

enum {
    RECONNECT_WAIT_MS = 250,
    RECONNECT_JITTER_MS = 100,
    PING_INTERVAL_MS = 5000,
    CONNECT_TIMEOUT_MS = 2000,
    REQUEST_TIMEOUT_MS = 3000,
    URLS_MAX = 16,
};

struct stream_connection {
    struct stream_connection_options options;
    natsConnection *nats;
    jsCtx *jetstream;
    atomic_bool connected;
};

bool stream_set_error(struct error *error, natsStatus status, jsErrCode code, const char *what) {
    return error_set(error, ERROR_UNAVAILABLE, "EVENT_STREAM_FAILED", "%s: %s (JetStream error %d)", what,
                     natsStatus_GetText(status), (int)code);
}

static void tell_state(struct stream_connection *connection, bool connected) {
    if (atomic_exchange(&connection->connected, connected) == connected) {
        return;
    }
    if (connected) {
        log_info("event_stream_connected");
    } else {
        log_warn("event_stream_disconnected", LOG_STR("hint", "it reconnects by itself; is nats-server up?"));
    }
    if (connection->options.on_state != NULL) {
        connection->options.on_state(connection->options.self, connected);
    }
}

static void on_connected(natsConnection *nats, void *closure) {
    (void)nats;
    tell_state(closure, true);
}

static void on_disconnected(natsConnection *nats, void *closure) {
    (void)nats;
    tell_state(closure, false);
}

/* Slow consumers and the like; what matters is seen by the calls themselves. */
static void on_error(natsConnection *nats, natsSubscription *subscription, natsStatus status, void *closure) {
    (void)nats;
    (void)subscription;
    (void)closure;
    log_debug("event_stream_error", LOG_STR("status", natsStatus_GetText(status)));
}

static natsStatus set_servers(natsOptions *options, const char *urls) {
    char *copy = strdup(urls);
    if (copy == NULL) {
        abort();
    }
    const char *list[URLS_MAX];
    int count = 0;
    char *rest = NULL;
    for (char *url = strtok_r(copy, ",", &rest); url != NULL && count < URLS_MAX; url = strtok_r(NULL, ",", &rest)) {
        list[count++] = url;
    }
    natsStatus status = natsOptions_SetServers(options, list, count);
    free(copy);
    return status;
}

static natsStatus make_options(struct stream_connection *connection, natsOptions **out) {
    natsOptions *options = NULL;
    natsStatus status = natsOptions_Create(&options);
    status = status == NATS_OK ? set_servers(options, connection->options.urls) : status;
    status = status == NATS_OK ? natsOptions_SetName(options, connection->options.name) : status;
    status = status == NATS_OK ? natsOptions_SetTimeout(options, CONNECT_TIMEOUT_MS) : status;
    status = status == NATS_OK ? natsOptions_SetPingInterval(options, PING_INTERVAL_MS) : status;
    status = status == NATS_OK ? natsOptions_SetMaxReconnect(options, -1) : status;
    status = status == NATS_OK ? natsOptions_SetReconnectWait(options, RECONNECT_WAIT_MS) : status;
    status =
        status == NATS_OK ? natsOptions_SetReconnectJitter(options, RECONNECT_JITTER_MS, RECONNECT_JITTER_MS) : status;
    status = status == NATS_OK ? natsOptions_SetDisconnectedCB(options, on_disconnected, connection) : status;
    status = status == NATS_OK ? natsOptions_SetReconnectedCB(options, on_connected, connection) : status;
    status = status == NATS_OK ? natsOptions_SetErrorHandler(options, on_error, connection) : status;
    status = status == NATS_OK ? natsOptions_SetRetryOnFailedConnect(options, true, on_connected, connection) : status;
    if (status != NATS_OK) {
        natsOptions_Destroy(options);
        return status;
    }
    *out = options;
    return NATS_OK;
}

struct stream_connection *stream_connection_new(const struct stream_connection_options *options, struct error *error) {
    struct stream_connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL) {
        abort();
    }
    connection->options = *options;
    natsOptions *nats_options = NULL;
    natsStatus status = make_options(connection, &nats_options);
    if (status == NATS_OK) {
        status = natsConnection_Connect(&connection->nats, nats_options);
        natsOptions_Destroy(nats_options);
    }
    if (status == NATS_OK) {
        tell_state(connection, true);
    } else if (status == NATS_NOT_YET_CONNECTED) {
        log_warn("event_stream_not_connected", LOG_STR("urls", options->urls),
                 LOG_STR("hint", "it connects by itself once nats-server is up"));
        status = NATS_OK;
    }
    jsOptions js_options;
    status = status == NATS_OK ? jsOptions_Init(&js_options) : status;
    js_options.Wait = REQUEST_TIMEOUT_MS;
    status =
        status == NATS_OK ? natsConnection_JetStream(&connection->jetstream, connection->nats, &js_options) : status;
    if (status != NATS_OK) {
        error_set(error, ERROR_INVALID_ARGUMENT, "BAD_NATS_URL", "connecting to NATS at %s: %s", options->urls,
                  natsStatus_GetText(status));
        stream_connection_free(connection);
        return NULL;
    }
    return connection;
}

bool stream_connection_connected(const struct stream_connection *connection) {
    return atomic_load(&connection->connected);
}

void stream_connection_free(struct stream_connection *connection) {
    if (connection == NULL) {
        return;
    }
    jsCtx_Destroy(connection->jetstream);
    if (connection->nats != NULL) {
        natsConnection_Close(connection->nats);
        natsConnection_Destroy(connection->nats);
    }
    free(connection);
}

natsConnection *stream_connection_nats(struct stream_connection *connection) {
    return connection->nats;
}

jsCtx *stream_connection_jetstream(struct stream_connection *connection) {
    return connection->jetstream;
}
