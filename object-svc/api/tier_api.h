/* PromoteObject, DemoteObject of ObjectService. */
#ifndef WAYBILL_OBJECT_TIER_API_H
#define WAYBILL_OBJECT_TIER_API_H

#include "common/rpc/rpc_server.h"
#include "object-svc/tier/move_queue.h"

struct tier_api {
    const char *replica;
    struct metadata_client *metadata;
    struct move_queue *moves;
};

/* The api outlives the server; the moves are stopped before the server is drained, so that no call
 * waits for them. */
void tier_api_add_to(struct tier_api *api, struct rpc_server *server);

#endif
