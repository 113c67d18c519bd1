/* Whose call it is, for fairness between clients.
 *
 * A client is a connection: whoever opens several is several. Once clients prove who they are, this
 * is the place to tell them apart by that instead. */
#ifndef WAYBILL_RPC_SERVER_CLIENT_H
#define WAYBILL_RPC_SERVER_CLIENT_H

#include <grpc/grpc.h>
#include <stdint.h>

/* A number that all calls of a client share while any of them is under way, and no other client
 * has meanwhile; 0: not known. */
uint64_t server_client_of(grpc_call *call);

#endif
