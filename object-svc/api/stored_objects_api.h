/* AdminService.ListStoredObjects: what the objects of a tier say of themselves. */
#ifndef WAYBILL_OBJECT_STORED_OBJECTS_API_H
#define WAYBILL_OBJECT_STORED_OBJECTS_API_H

#include <stdatomic.h>

#include "common/rpc/rpc_server.h"
#include "object-svc/cold/cold_store.h"
#include "object-svc/hot/hot_store.h"

struct stored_objects_api {
    const char *replica;
    struct hot_store *hot;
    struct cold_store *cold;

    /* Its own; zero at the start. */
    atomic_bool running; /* one at a time: it is for emergencies, and reads much */
};

/* The api outlives the server. */
void stored_objects_api_add_to(struct stored_objects_api *api, struct rpc_server *server);

#endif
