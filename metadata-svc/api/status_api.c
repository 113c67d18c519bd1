/* AdminService.GetStatus of metadata-svc. */
#include "metadata-svc/api/metadata_api.h"
#include "metadata-svc/store/change_log.h"
#include "metadata-svc/store/record_codec.h"
#include "waybill/v1/admin_service.pb-c.h"

static void get_status(void *service, struct rpc_call *call) {
    struct metadata_api *api = service;
    struct error error = {0};
    int64_t oldest;
    int64_t newest;
    if (rpc_call_decode(call, &waybill__v1__get_status_request__descriptor) == NULL) {
        return;
    }
    if (!change_log_bounds(api->kv, &oldest, &newest, &error)) {
        rpc_call_fail(call, &error);
        return;
    }
    struct payload_spool_stats spool;
    payload_spool_stats(api->spool, &spool);
    Waybill__V1__MetadataStatus status = WAYBILL__V1__METADATA_STATUS__INIT;
    status.shard = (char *)(uintptr_t)api->shard;
    status.committed_revision = commit_feed_revision(api->feed);
    status.published_revision = event_publisher_published_revision(api->publisher);
    status.oldest_revision = oldest;
    status.events_connected = event_publisher_connected(api->publisher);
    status.read_only = api->read_only(api->read_only_self);
    status.spool_live_bytes = (int64_t)spool.live_bytes;
    status.spool_limit_bytes = (int64_t)spool.limit_bytes;
    status.spool_payloads = (int64_t)spool.live_payloads;
    Waybill__V1__GetStatusResponse response = WAYBILL__V1__GET_STATUS_RESPONSE__INIT;
    response.version = (char *)(uintptr_t)WAYBILL_VERSION;
    response.start_time = timestamp_to_proto(api->start_us, rpc_call_arena(call));
    response.service_case = WAYBILL__V1__GET_STATUS_RESPONSE__SERVICE_METADATA;
    response.metadata = &status;
    rpc_call_reply(call, &response.base);
}

void status_api_add_to(struct metadata_api *api, struct rpc_server *server) {
    rpc_server_add_unary(server, "/waybill.v1.AdminService/GetStatus", RPC_BLOCKING, get_status, api);
}
