/* ObjectService: the read side of object-svc's gRPC port. */
#ifndef WAYBILL_READ_READ_API_H
#define WAYBILL_READ_READ_API_H

#include "common/base/bucket_share.h"
#include "common/observe/metrics.h"
#include "common/rpc/rpc_server.h"
#include "object-svc/read/object_reader.h"

struct read_api {
    struct object_reader_ports ports;
    struct metadata_client *metadata;
    unsigned max_streams;         /* served at once; more are refused */
    struct bucket_share *streams; /* the same, shared by buckets */
    /* Told of each read when its first bytes are sent; may be NULL. Any thread, must not wait. */
    void (*on_read)(void *self, enum read_source source, const Waybill__V1__Record *record);
    void *self;
    struct counter *read_bytes[READ_FROM_SPOOL + 1]; /* by enum read_source */
};

/* Fills the counters and adds the handlers; the api outlives the server. */
void read_api_add_to(struct read_api *api, struct metrics *metrics, struct rpc_server *server);

#endif
