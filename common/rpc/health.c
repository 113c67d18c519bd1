#include "common/rpc/health.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/rpc/proto_message.h"
#include "common/rpc/rpc_stream.h"
#include "grpc/health/v1/health.pb-c.h"

enum {
    HEALTH_MAX_NAMES = 16,
    HEALTH_NAME_BYTES = 64,
    /* A watcher that nothing wakes looks again, so that a lost client is not kept for ever. */
    HEALTH_WATCH_MS = 60000,
};

typedef Grpc__Health__V1__HealthCheckResponse__ServingStatus health_status;

struct health_name {
    char name[HEALTH_NAME_BYTES];
    bool serving;
};

/* A Watch under way; on its handler's stack. */
struct health_watcher {
    struct rpc_stream *stream;
    struct health_watcher *next;
};

struct health {
    pthread_mutex_t lock;
    struct health_name names[HEALTH_MAX_NAMES];
    unsigned count;
    bool shut_down;
    struct health_watcher *watchers;
};

struct health *health_new(void) {
    struct health *health = calloc(1, sizeof *health);
    if (health == NULL) {
        abort();
    }
    pthread_mutex_init(&health->lock, NULL);
    return health;
}

void health_free(struct health *health) {
    if (health != NULL) {
        assert(health->watchers == NULL);
        pthread_mutex_destroy(&health->lock);
        free(health);
    }
}

/* ---- under the lock ---- */

static struct health_name *find(struct health *health, const char *name) {
    for (unsigned i = 0; i < health->count; i++) {
        if (strcmp(health->names[i].name, name) == 0) {
            return &health->names[i];
        }
    }
    return NULL;
}

static health_status status_of(struct health *health, const char *name) {
    bool serving = !health->shut_down;
    if (name[0] == '\0') {
        for (unsigned i = 0; i < health->count; i++) {
            serving = serving && health->names[i].serving;
        }
    } else {
        const struct health_name *found = find(health, name);
        if (found == NULL) {
            return GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN;
        }
        serving = serving && found->serving;
    }
    return serving ? GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
                   : GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING;
}

static void wake_watchers(struct health *health) {
    for (struct health_watcher *watcher = health->watchers; watcher != NULL; watcher = watcher->next) {
        rpc_stream_wake(watcher->stream);
    }
}

/* ---- what the service says ---- */

void health_set(struct health *health, const char *name, bool serving) {
    assert(strlen(name) < HEALTH_NAME_BYTES && name[0] != '\0');
    pthread_mutex_lock(&health->lock);
    struct health_name *found = find(health, name);
    bool is_new = found == NULL;
    if (is_new) {
        assert(health->count < HEALTH_MAX_NAMES);
        found = &health->names[health->count++];
        snprintf(found->name, sizeof found->name, "%s", name);
    }
    if (is_new || found->serving != serving) {
        found->serving = serving;
        wake_watchers(health);
    }
    pthread_mutex_unlock(&health->lock);
}

void health_shut_down(struct health *health) {
    pthread_mutex_lock(&health->lock);
    health->shut_down = true;
    wake_watchers(health);
    pthread_mutex_unlock(&health->lock);
}

static health_status current_status(struct health *health, const char *name) {
    pthread_mutex_lock(&health->lock);
    health_status status = status_of(health, name);
    pthread_mutex_unlock(&health->lock);
    return status;
}

bool health_serving(const struct health *health, const char *name) {
    /* Only the lock changes, which is no part of what the caller sees. */
    return current_status((struct health *)health, name) ==
           GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
}

/* ---- what clients ask ---- */

static void check(void *service, struct rpc_call *call) {
    struct health *health = service;
    const Grpc__Health__V1__HealthCheckRequest *request = (const Grpc__Health__V1__HealthCheckRequest *)rpc_call_decode(
        call, &grpc__health__v1__health_check_request__descriptor);
    if (request == NULL) {
        return;
    }
    Grpc__Health__V1__HealthCheckResponse response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    response.status = current_status(health, request->service);
    if (response.status == GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN) {
        struct error error;
        error_set(&error, ERROR_NOT_FOUND, "UNKNOWN_SERVICE", "there is no health of \"%s\" here", request->service);
        rpc_call_fail(call, &error);
        return;
    }
    rpc_call_reply(call, &response.base);
}

static void add_watcher(struct health *health, struct health_watcher *watcher) {
    pthread_mutex_lock(&health->lock);
    watcher->next = health->watchers;
    health->watchers = watcher;
    pthread_mutex_unlock(&health->lock);
}

static void remove_watcher(struct health *health, struct health_watcher *watcher) {
    pthread_mutex_lock(&health->lock);
    struct health_watcher **link = &health->watchers;
    while (*link != watcher) {
        link = &(*link)->next;
    }
    *link = watcher->next;
    pthread_mutex_unlock(&health->lock);
}

/* Sends the status now and at each change, until the client goes or the server drains. */
static void send_changes(struct health *health, struct rpc_stream *stream, const char *name) {
    struct health_watcher watcher = {.stream = stream};
    add_watcher(health, &watcher);
    Grpc__Health__V1__HealthCheckResponse response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    bool go_on = true;
    bool first = true;
    while (go_on) {
        health_status status = current_status(health, name);
        if (first || status != response.status) {
            response.status = status;
            first = false;
            go_on = rpc_stream_write(stream, &response.base);
        }
        go_on = go_on && rpc_stream_wait(stream, HEALTH_WATCH_MS);
    }
    /* A drain comes after health_shut_down: the client hears of that before the end. */
    health_status last = current_status(health, name);
    if (last != response.status && !rpc_stream_cancelled(stream)) {
        response.status = last;
        rpc_stream_write(stream, &response.base);
    }
    remove_watcher(health, &watcher);
}

static void watch(void *service, struct rpc_stream *stream) {
    struct bytes wire;
    struct error error;
    enum rpc_read got = rpc_stream_read(stream, &wire, &error);
    if (got == RPC_READ_END) {
        error_set(&error, ERROR_INVALID_ARGUMENT, "MALFORMED_REQUEST", "the call came without a message");
    }
    struct arena arena;
    arena_init(&arena);
    const Grpc__Health__V1__HealthCheckRequest *request = NULL;
    if (got == RPC_READ_MESSAGE) {
        request = (const Grpc__Health__V1__HealthCheckRequest *)proto_decode(
            &grpc__health__v1__health_check_request__descriptor, wire, &arena, &error);
    }
    if (request != NULL) {
        send_changes(service, stream, request->service);
    }
    rpc_stream_finish(stream, request != NULL ? NULL : &error);
    arena_free(&arena);
}

void health_add_to(struct health *health, struct rpc_server *server) {
    rpc_server_add_service(server, &grpc__health__v1__health__descriptor);
    rpc_server_add_unary(server, "/grpc.health.v1.Health/Check", RPC_INLINE, check, health);
    rpc_server_add_stream(server, "/grpc.health.v1.Health/Watch", watch, health);
}
