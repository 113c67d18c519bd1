/* PeerService: this replica's hot copies for the other replicas. */
#ifndef WAYBILL_PEER_PEER_API_H
#define WAYBILL_PEER_PEER_API_H

#include <stdatomic.h>

#include "common/observe/metrics.h"
#include "common/rpc/rpc_server.h"
#include "object-svc/hot/hot_store.h"

struct peer_api {
    struct hot_store *hot;
    unsigned max_streams; /* served at once; more are refused */
    int64_t stall_ms;     /* a reader that takes nothing for so long is cut off */
    /* Told of a copy that proved damaged; may be NULL. Any thread. */
    void (*on_corrupt)(void *self, const struct hot_object *object);
    /* Told of each object that another replica reads; may be NULL. Any thread, must not wait. */
    void (*on_read)(void *self, const struct uuid *payload_id);
    void *self;
    struct counter *sent_bytes;
};

/* Makes the counter and adds the handler; the api outlives the server. */
void peer_api_add_to(struct peer_api *api, struct metrics *metrics, struct rpc_server *server);

#endif
