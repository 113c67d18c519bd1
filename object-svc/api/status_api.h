/* AdminService of object-svc. */
#ifndef WAYBILL_OBJECT_STATUS_API_H
#define WAYBILL_OBJECT_STATUS_API_H

#include "common/rpc/rpc_server.h"
#include "object-svc/cold/cold_breaker.h"
#include "object-svc/hot/hot_store.h"
#include "object-svc/ingest/ingester.h"

struct status_api {
    const char *replica;
    int64_t start_us;
    struct hot_store *hot;
    struct ingester *ingester;
    struct cold_breaker *cold_breaker;
    struct counter *stored;          /* objects stored since the start */
    struct counter *tiered;          /* objects moved since the start */
    struct counter *compacted_bytes; /* likewise, by compaction */
};

/* The api outlives the server. */
void status_api_add_to(struct status_api *api, struct rpc_server *server);

#endif
