/* StartScrub, GetScrub of AdminService. */
#ifndef WAYBILL_OBJECT_SCRUB_API_H
#define WAYBILL_OBJECT_SCRUB_API_H

#include "common/rpc/rpc_server.h"
#include "object-svc/scrub/scrubber.h"

struct scrub_api {
    const char *replica;
    struct scrubber *scrubber;
};

/* The api outlives the server. */
void scrub_api_add_to(struct scrub_api *api, struct rpc_server *server);

#endif
