/* The figures of a gRPC server, by the names that go-grpc-prometheus gave them, so that the
 * dashboards and alerts written for those fit:
 *   grpc_server_handled_total{grpc_service,grpc_method,grpc_code}
 *   grpc_server_handling_seconds{grpc_service,grpc_method}
 *
 * rpc_metrics_finished is a `finished` of struct rpc_observer (common/rpc/rpc_server.h); one
 * rpc_metrics may watch several servers. */
#ifndef WAYBILL_OBSERVE_RPC_METRICS_H
#define WAYBILL_OBSERVE_RPC_METRICS_H

#include <stdint.h>

#include "common/base/error.h"
#include "common/observe/metrics.h"

struct rpc_metrics;

struct rpc_metrics *rpc_metrics_new(struct metrics *metrics);
/* After the servers that it watches; the figures stay in the registry. */
void rpc_metrics_free(struct rpc_metrics *self);
/* `self` is the struct rpc_metrics, `method` "/package.Service/Method". Any thread, no lock.
 * A method that has only ever been UNIMPLEMENTED is counted as "unknown": its name is
 * whatever a client made up. */
void rpc_metrics_finished(void *self, const char *method, enum error_code code, int64_t duration_us);
/* The spelling of the grpc_code label: "OK", "NotFound", ... */
const char *rpc_metrics_code_name(enum error_code code);

#endif
