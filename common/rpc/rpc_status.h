/* struct error as a gRPC status with details, both ways (AIP-193):
 * grpc-status-details-bin holds a google.rpc.Status with ErrorInfo (domain "waybill"), and
 * BadRequest, RetryInfo or PreconditionFailure where the error asks for them. */
#ifndef WAYBILL_RPC_RPC_STATUS_H
#define WAYBILL_RPC_RPC_STATUS_H

#include "common/base/arena.h"
#include "common/base/bytes.h"
#include "common/base/error.h"

/* The google.rpc.Status in wire form, in the arena. */
struct bytes rpc_status_encode(const struct error *error, struct arena *arena);
/* Fills reason, field, detail and retry_after_ms from the wire form; false and unchanged when
 * it cannot be read. */
bool rpc_status_decode(struct bytes wire, struct error *error);

#endif
