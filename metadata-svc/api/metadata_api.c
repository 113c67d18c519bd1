#include "metadata-svc/api/metadata_api.h"

#include "common/base/failpoint.h"
#include "waybill/v1/admin_service.pb-c.h"
#include "waybill/v1/metadata_service.pb-c.h"
#include "waybill/v1/payload_service.pb-c.h"
#include "waybill/v1/report_service.pb-c.h"
#include "waybill/v1/schema_service.pb-c.h"

void metadata_api_add_to(struct metadata_api *api, struct rpc_server *server) {
    bucket_api_add_to(api, server);
    record_api_add_to(api, server);
    list_api_add_to(api, server);
    batch_api_add_to(api, server);
    watch_api_add_to(api, server);
    report_api_add_to(api, server);
    objects_api_add_to(api, server);
    drops_api_add_to(api, server);
    replica_api_add_to(api, server);
    status_api_add_to(api, server);
    failed_api_add_to(api, server);
    rpc_server_add_service(server, &waybill__v1__metadata_service__descriptor);
    rpc_server_add_service(server, &waybill__v1__schema_service__descriptor);
    rpc_server_add_service(server, &waybill__v1__report_service__descriptor);
    rpc_server_add_service(server, &waybill__v1__admin_service__descriptor);
}

void metadata_api_settle(struct metadata_api *api, const struct commit_request *commit) {
    for (size_t i = 0; i < commit->released_count; i++) {
        FAILPOINT("spool.release.before");
        payload_spool_release(api->spool, &commit->released[i]);
        FAILPOINT("spool.release.after");
    }
    const struct payload_figures *figures = &commit->payloads;
    counter_add(api->payloads.deadlines_missed, figures->deadlines_missed);
    counter_add(api->payloads.kept_failed, figures->kept_failed);
    counter_add(api->payloads.reverted, figures->reverted);
    counter_add(api->payloads.redriven, figures->redriven);
}

void metadata_api_add_bulk_to(struct metadata_api *api, struct rpc_server *server) {
    upload_api_add_to(api, server);
    upload_calls_api_add_to(api, server);
    fetch_api_add_to(api, server);
    snapshot_api_add_to(api, server);
    rpc_server_add_service(server, &waybill__v1__payload_service__descriptor);
}
