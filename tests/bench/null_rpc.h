/* The cheapest unary call that carries 300 bytes each way: what the rpc room costs without
 * any work behind it. */
#ifndef WAYBILL_BENCH_NULL_RPC_H
#define WAYBILL_BENCH_NULL_RPC_H

#include "common/rpc/rpc_server.h"
#include "tests/bench/load.h"

#define NULL_RPC_PATH "/bench/Echo"

/* Its method, answered at once on the queue thread. */
void null_rpc_serve(struct rpc_server *server);

/* Its request and the check that all of it came back; `self` is not used. */
const ProtobufCMessage *null_rpc_request(void *self, uint64_t number);
bool null_rpc_check(void *self, uint64_t number, struct bytes response);

#endif
