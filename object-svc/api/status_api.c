#include "object-svc/api/status_api.h"

#include "common/observe/metrics.h"
#include "waybill/v1/admin_service.pb-c.h"

static void get_status(void *service, struct rpc_call *call) {
    struct status_api *api = service;
    if (rpc_call_decode(call, &waybill__v1__get_status_request__descriptor) == NULL) {
        return;
    }
    struct hot_stats hot;
    hot_store_stats(api->hot, &hot);
    Waybill__V1__ObjectStatus status = WAYBILL__V1__OBJECT_STATUS__INIT;
    status.replica = (char *)(uintptr_t)api->replica;
    status.events_connected = ingester_connected(api->ingester);
    status.hot_objects = (int64_t)hot.objects;
    status.hot_bytes = (int64_t)hot.object_bytes;
    status.hot_garbage_bytes = (int64_t)hot.garbage_bytes;
    status.hot_disk_bytes = (int64_t)hot.disk_bytes;
    status.hot_volumes = (int64_t)hot.volumes;
    status.hot_quarantined_volumes = (int64_t)hot.quarantined_volumes;
    status.hot_free_bytes = (int64_t)hot.free_bytes;
    status.hot_reserve_bytes = (int64_t)hot.reserve_bytes;
    status.hot_full = hot.full;
    status.compacted_bytes_total = (int64_t)counter_value(api->compacted_bytes);
    status.stored_total = (int64_t)counter_value(api->stored);
    status.tiered_total = (int64_t)counter_value(api->tiered);
    struct error cold = {0};
    status.cold_reads_suspended = cold_breaker_suspended(api->cold_breaker, COLD_PATH_READ, &cold);
    status.cold_writes_suspended = cold_breaker_suspended(api->cold_breaker, COLD_PATH_WRITE, &cold);
    status.cold_error_reason = cold.reason;
    status.cold_error_message = cold.message;
    Google__Protobuf__Timestamp start = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    start.seconds = api->start_us / 1000000;
    start.nanos = (int32_t)(api->start_us % 1000000) * 1000;
    Waybill__V1__GetStatusResponse response = WAYBILL__V1__GET_STATUS_RESPONSE__INIT;
    response.version = (char *)(uintptr_t)WAYBILL_VERSION;
    response.start_time = &start;
    response.service_case = WAYBILL__V1__GET_STATUS_RESPONSE__SERVICE_OBJECT;
    response.object = &status;
    rpc_call_reply(call, &response.base);
}

void status_api_add_to(struct status_api *api, struct rpc_server *server) {
    rpc_server_add_unary(server, "/waybill.v1.AdminService/GetStatus", RPC_BLOCKING, get_status, api);
    rpc_server_add_service(server, &waybill__v1__admin_service__descriptor);
}
