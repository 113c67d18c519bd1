#include "common/stream/stream_connection.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/stop_signal.h"

enum {
    RECONNECT_WAIT_MS = 250,
    RECONNECT_JITTER_MS = 100,
    PING_INTERVAL_MS = 2000, /* a server that went silent is left once three are not answered */
    CONNECT_TIMEOUT_MS = 2000,
    REQUEST_TIMEOUT_MS = 3000,
    /* A server that takes nothing more must not hold a publishing thread for ever. */
    WRITE_DEADLINE_MS = 3000,
    /* How long the end of a subscription waits for the server's answer. */
    RETIRE_MS = 500,
    URLS_MAX = 16,
};

struct stream_connection {
    struct stream_connection_options options;
    natsConnection *nats;
    jsCtx *jetstream;
    atomic_bool connected;

    pthread_mutex_t telling; /* one look at the state and its telling at a time */

    pthread_mutex_t lock; /* closed */
    pthread_cond_t changed;
    bool closed; /* the library's last callback has come */

    pthread_t watcher; /* of the clock */
    bool watching;
    struct stop_signal stop;

    pthread_mutex_t retiring;             /* the list below */
    struct retired_subscription *retired; /* that the library's reading thread may still be in */
};

struct retired_subscription {
    natsSubscription *subscription;
    struct retired_subscription *next;
};

bool stream_set_error(struct error *error, natsStatus status, jsErrCode code, const char *what) {
    natsStatus last = NATS_OK;
    const char *words = nats_GetLastError(&last);
    if (words == NULL || words[0] == '\0' || last != status) {
        words = natsStatus_GetText(status);
    }
    if (code != 0) {
        return error_set(error, ERROR_UNAVAILABLE, "EVENT_STREAM_FAILED", "%s: %s (JetStream error %d)", what, words,
                         (int)code);
    }
    return error_set(error, ERROR_UNAVAILABLE, "EVENT_STREAM_FAILED", "%s: %s", what, words);
}

/* Callbacks come late and may tell of a state that is over, so each looks for itself. */
static void tell_state(struct stream_connection *connection, natsConnection *nats) {
    pthread_mutex_lock(&connection->telling);
    bool connected = natsConnection_Status(nats) == NATS_CONN_STATUS_CONNECTED;
    bool changed = atomic_exchange(&connection->connected, connected) != connected;
    if (changed && connected) {
        log_info("event_stream_connected");
    } else if (changed) {
        log_warn("event_stream_disconnected", LOG_STR("hint", "it reconnects by itself; is nats-server up?"));
    }
    if (connection->options.on_state != NULL) {
        connection->options.on_state(connection->options.self, connected);
    }
    pthread_mutex_unlock(&connection->telling);
}

static void on_connected(natsConnection *nats, void *closure) {
    tell_state(closure, nats);
}

static void on_disconnected(natsConnection *nats, void *closure) {
    tell_state(closure, nats);
}

static void on_closed(natsConnection *nats, void *closure) {
    (void)nats;
    struct stream_connection *connection = closure;
    pthread_mutex_lock(&connection->lock);
    connection->closed = true;
    pthread_cond_broadcast(&connection->changed);
    pthread_mutex_unlock(&connection->lock);
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
    status = status == NATS_OK ? natsOptions_SetWriteDeadline(options, WRITE_DEADLINE_MS) : status;
    status = status == NATS_OK ? natsOptions_SetMaxReconnect(options, -1) : status;
    status = status == NATS_OK ? natsOptions_SetReconnectWait(options, RECONNECT_WAIT_MS) : status;
    status =
        status == NATS_OK ? natsOptions_SetReconnectJitter(options, RECONNECT_JITTER_MS, RECONNECT_JITTER_MS) : status;
    status = status == NATS_OK ? natsOptions_SetDisconnectedCB(options, on_disconnected, connection) : status;
    status = status == NATS_OK ? natsOptions_SetReconnectedCB(options, on_connected, connection) : status;
    status = status == NATS_OK ? natsOptions_SetClosedCB(options, on_closed, connection) : status;
    status = status == NATS_OK ? natsOptions_SetErrorHandler(options, on_error, connection) : status;
    status = status == NATS_OK ? natsOptions_SetRetryOnFailedConnect(options, true, on_connected, connection) : status;
    if (status != NATS_OK) {
        natsOptions_Destroy(options);
        return status;
    }
    *out = options;
    return NATS_OK;
}

/* Connects, or starts to. */
static natsStatus start_connecting(struct stream_connection *connection) {
    natsOptions *options = NULL;
    natsStatus status = make_options(connection, &options);
    if (status != NATS_OK) {
        return status;
    }
    status = natsConnection_Connect(&connection->nats, options);
    natsOptions_Destroy(options);
    if (status == NATS_OK) {
        on_connected(connection->nats, connection);
    } else if (status == NATS_NOT_YET_CONNECTED) {
        log_warn("event_stream_not_connected", LOG_STR("urls", connection->options.urls),
                 LOG_STR("hint", "it connects by itself once nats-server is up"));
        status = NATS_OK;
    }
    return status;
}

/* ---- the clock ----
 *
 * The library waits until times of the wall clock, so where that is set back a wait of half a second lasts
 * as long as it was set back, or until a message comes. A connection that is closed ends all its waits, and
 * its owner makes another one. */

enum { CLOCK_LOOK_MS = 500, CLOCK_BACK_US = 2000000 };

static int64_t wall_ahead_us(void) {
    return clock_unix_us(&system_clock) - clock_monotonic_us(&system_clock);
}

static void *watch_clock(void *argument) {
    struct stream_connection *connection = argument;
    int64_t before_us = wall_ahead_us();
    while (!stop_signal_pause(&connection->stop, CLOCK_LOOK_MS)) {
        int64_t ahead_us = wall_ahead_us();
        if (ahead_us < before_us - CLOCK_BACK_US) {
            log_warn(
                "clock_set_back", LOG_INT("seconds", (before_us - ahead_us) / 1000000),
                LOG_STR("hint", "the connection to NATS is made anew, since its waits would last that much longer"));
            natsConnection_Close(connection->nats);
        }
        before_us = ahead_us;
    }
    return NULL;
}

static void start_watching(struct stream_connection *connection) {
    if (pthread_create(&connection->watcher, NULL, watch_clock, connection) != 0) {
        abort();
    }
    pthread_setname_np(connection->watcher, "clock-watch");
    connection->watching = true;
}

static void stop_watching(struct stream_connection *connection) {
    stop_signal_raise(&connection->stop);
    if (connection->watching) {
        pthread_join(connection->watcher, NULL);
    }
    stop_signal_destroy(&connection->stop);
}

struct stream_connection *stream_connection_new(const struct stream_connection_options *options, struct error *error) {
    struct stream_connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL) {
        abort();
    }
    connection->options = *options;
    pthread_mutex_init(&connection->telling, NULL);
    pthread_mutex_init(&connection->lock, NULL);
    pthread_cond_init(&connection->changed, NULL);
    pthread_mutex_init(&connection->retiring, NULL);
    stop_signal_init(&connection->stop);
    jsOptions js_options;
    natsStatus status = start_connecting(connection);
    if (status == NATS_OK) {
        status = jsOptions_Init(&js_options);
    }
    if (status == NATS_OK) {
        js_options.Wait = REQUEST_TIMEOUT_MS;
        status = natsConnection_JetStream(&connection->jetstream, connection->nats, &js_options);
    }
    if (status != NATS_OK) {
        error_set(error, ERROR_INVALID_ARGUMENT, "BAD_NATS_URL", "connecting to NATS at %s: %s", options->urls,
                  natsStatus_GetText(status));
        stream_connection_free(connection);
        return NULL;
    }
    start_watching(connection);
    return connection;
}

bool stream_connection_connected(const struct stream_connection *connection) {
    return atomic_load(&connection->connected);
}

bool stream_connection_closed(const struct stream_connection *connection) {
    return natsConnection_IsClosed(connection->nats);
}

/* Counted by the library itself, since its callbacks come some time after the first messages. */
uint64_t stream_connection_reconnects(const struct stream_connection *connection) {
    natsStatistics *statistics = NULL;
    uint64_t reconnects = 0;
    if (natsStatistics_Create(&statistics) != NATS_OK) {
        abort();
    }
    natsConnection_GetStats(connection->nats, statistics);
    natsStatistics_GetCounts(statistics, NULL, NULL, NULL, NULL, &reconnects);
    natsStatistics_Destroy(statistics);
    return reconnects;
}

static struct retired_subscription *take_retired(struct stream_connection *connection) {
    pthread_mutex_lock(&connection->retiring);
    struct retired_subscription *list = connection->retired;
    connection->retired = NULL;
    pthread_mutex_unlock(&connection->retiring);
    return list;
}

static void keep_retired(struct stream_connection *connection, struct retired_subscription *list) {
    struct retired_subscription *last = list;
    while (last->next != NULL) {
        last = last->next;
    }
    pthread_mutex_lock(&connection->retiring);
    last->next = connection->retired;
    connection->retired = list;
    pthread_mutex_unlock(&connection->retiring);
}

static void destroy_retired(struct retired_subscription *list) {
    while (list != NULL) {
        struct retired_subscription *next = list->next;
        natsSubscription_Destroy(list->subscription);
        free(list);
        list = next;
    }
}

/* Callbacks are queued behind one another on a thread of the library; after the one that
 * tells of the end there are none. */
static void close_connection(struct stream_connection *connection) {
    natsConnection_Close(connection->nats);
    pthread_mutex_lock(&connection->lock);
    while (!connection->closed) {
        pthread_cond_wait(&connection->changed, &connection->lock);
    }
    pthread_mutex_unlock(&connection->lock);
    destroy_retired(take_retired(connection)); /* closing joined the reading thread */
    natsConnection_Destroy(connection->nats);
}

void stream_connection_free(struct stream_connection *connection) {
    if (connection == NULL) {
        return;
    }
    stop_watching(connection);
    jsCtx_Destroy(connection->jetstream);
    if (connection->nats != NULL) {
        close_connection(connection);
    }
    pthread_cond_destroy(&connection->changed);
    pthread_mutex_destroy(&connection->retiring);
    pthread_mutex_destroy(&connection->lock);
    pthread_mutex_destroy(&connection->telling);
    free(connection);
}

natsConnection *stream_connection_nats(struct stream_connection *connection) {
    return connection->nats;
}

jsCtx *stream_connection_jetstream(struct stream_connection *connection) {
    return connection->jetstream;
}

struct subscription_end {
    pthread_mutex_t lock; /* over */
    pthread_cond_t changed;
    bool over;
};

static void on_subscription_over(void *closure) {
    struct subscription_end *end = closure;
    pthread_mutex_lock(&end->lock);
    end->over = true;
    pthread_cond_broadcast(&end->changed);
    pthread_mutex_unlock(&end->lock);
}

enum { SUBSCRIPTION_PATIENCE_SECONDS = 2 };

/* Waits for the end, for a while; returns whether it came. */
static bool await_end(struct subscription_end *end) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += SUBSCRIPTION_PATIENCE_SECONDS;
    int timed_out = 0;
    pthread_mutex_lock(&end->lock);
    while (!end->over && timed_out == 0) {
        timed_out = pthread_cond_timedwait(&end->changed, &end->lock, &until);
    }
    bool over = end->over;
    pthread_mutex_unlock(&end->lock);
    return over;
}

/* The library's reading thread looks a subscription up and then uses it without holding on to
 * it (libnats 3.4.1, natsConn_processMsg; mended in 3.8), so freeing one beside it is a use of freed memory.
 * The thread answers to the server's PONG after what it was doing, and by then it finds an ended
 * subscription no more: an answered flush is the proof that it is out. */
static void retire(struct stream_connection *connection, natsSubscription *subscription) {
    struct retired_subscription *list = calloc(1, sizeof *list);
    if (list == NULL) {
        abort();
    }
    list->subscription = subscription;
    list->next = take_retired(connection); /* the answer speaks of those that ended before the question */
    if (natsConnection_FlushTimeout(connection->nats, RETIRE_MS) == NATS_OK) {
        destroy_retired(list);
    } else {
        keep_retired(connection, list);
    }
}

void stream_unsubscribe(struct stream_connection *connection, natsSubscription *subscription) {
    if (subscription == NULL) {
        return;
    }
    struct subscription_end *end = calloc(1, sizeof *end);
    if (end == NULL) {
        abort();
    }
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&end->lock, NULL);
    pthread_cond_init(&end->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    /* Only those with a handler have somebody to wait for. Unsubscribing fails where the
     * connection is closed already; the end is told all the same, be it late: then `end` must
     * outlive this call. */
    bool told = natsSubscription_SetOnCompleteCB(subscription, on_subscription_over, end) == NATS_OK;
    natsSubscription_Unsubscribe(subscription);
    if (!told || await_end(end)) {
        pthread_cond_destroy(&end->changed);
        pthread_mutex_destroy(&end->lock);
        free(end);
    }
    retire(connection, subscription);
}
