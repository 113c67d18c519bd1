/* The status that ends a call, kept until the core has sent it: besides the details, where the
 * error asks to come again later, grpc-retry-pushback-ms, by which gRPC's own retries go (gRFC A6). */
#ifndef WAYBILL_RPC_SERVER_STATUS_H
#define WAYBILL_RPC_SERVER_STATUS_H

#include <grpc/grpc.h>
#include <grpc/slice.h>

#include "common/base/arena.h"
#include "common/base/error.h"

enum { SERVER_STATUS_TRAILERS = 2 };

struct server_status {
    enum error_code code;
    grpc_slice text;
    grpc_metadata trailers[SERVER_STATUS_TRAILERS];
    size_t trailer_count;
};

void server_status_init(struct server_status *status);
void server_status_destroy(struct server_status *status);
/* Makes it the error's, with details; NULL is OK. Once. */
void server_status_set(struct server_status *status, const struct error *error, struct arena *arena);
/* Fills the operation that sends it. */
void server_status_op(struct server_status *status, grpc_op *op);

#endif
