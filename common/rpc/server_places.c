/* Admission: calls take places when they come and give them back when they are over; each kind of
 * call has so many, and each client a fair share of them (common/base/fair_share.h). */
#include "common/rpc/server_client.h"
#include "common/rpc/server_parts.h"

void server_places_init(struct server_places *places, const struct rpc_server *server, unsigned limit,
                        const char *full_reason, const char *what) {
    *places = (struct server_places){
        .share = fair_share_new(limit, server->options.client_share_percent),
        .full_reason = full_reason,
        .what = what,
    };
}

void server_enter(struct rpc_server *server) {
    pthread_mutex_lock(&server->lock);
    server->calls++;
    pthread_mutex_unlock(&server->lock);
}

/* With the lock held. */
static void give_back(struct server_place *place) {
    if (place->holder != NULL) {
        fair_share_give(place->share, place->holder, place->count);
        place->holder = NULL;
    }
}

void server_give_place(struct rpc_server *server, struct server_place *place) {
    pthread_mutex_lock(&server->lock);
    give_back(place);
    pthread_mutex_unlock(&server->lock);
}

void server_leave(struct rpc_server *server, struct server_place *place) {
    pthread_mutex_lock(&server->lock);
    give_back(place);
    server->calls--;
    server->admitted -= place->admitted;
    if (server->calls == 0 || server->admitted == 0) {
        pthread_cond_broadcast(&server->quieter);
    }
    pthread_mutex_unlock(&server->lock);
}

bool server_refuse_place(enum fair_verdict verdict, const struct server_places *places, struct error *error) {
    unsigned long long limit = (unsigned long long)fair_share_limit(places->share);
    if (verdict == FAIR_FULL) {
        error_set(error, ERROR_RESOURCE_EXHAUSTED, places->full_reason,
                  "too many %s: the limit is %llu; try again later", places->what, limit);
    } else {
        error_set(error, ERROR_RESOURCE_EXHAUSTED, "CLIENT_OVER_SHARE",
                  "too many %s of this client: the limit is %llu, of which others need some; wait for its own to end",
                  places->what, limit);
    }
    error->retry_after_ms = SERVER_RETRY_AFTER_MS;
    return false;
}

bool server_admit(struct rpc_server *server, grpc_call *call, const struct server_places *places, uint64_t count,
                  struct server_place *place, struct error *error) {
    enum fair_verdict verdict = FAIR_TAKEN;
    place->client = server_client_of(call);
    pthread_mutex_lock(&server->lock);
    bool draining = atomic_load(&server->draining);
    if (!draining) {
        place->share = places->share;
        place->count = count;
        verdict = fair_share_take(places->share, place->client, count, &place->holder);
        place->admitted = true;
        server->admitted++;
    }
    pthread_mutex_unlock(&server->lock);
    if (draining) {
        return error_set(error, ERROR_UNAVAILABLE, "DRAINING", "the server is shutting down; try again") ||
               error_retry_after(error, ERROR_RETRY_DRAINING_MS);
    }
    return verdict == FAIR_TAKEN || server_refuse_place(verdict, places, error);
}
