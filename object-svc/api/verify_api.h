/* VerifyObject of ObjectService. */
#ifndef WAYBILL_OBJECT_VERIFY_API_H
#define WAYBILL_OBJECT_VERIFY_API_H

#include <stdatomic.h>

#include "common/rpc/rpc_server.h"
#include "object-svc/read/object_reader.h"

struct verify_api {
    struct object_reader_ports ports; /* told of each copy that proves damaged */
    struct metadata_client *metadata;
    struct rpc_server *server; /* whose drain ends a long verification; filled by verify_api_add_to */
    atomic_uint running;
};

/* The api outlives the server. */
void verify_api_add_to(struct verify_api *api, struct rpc_server *server);

#endif
