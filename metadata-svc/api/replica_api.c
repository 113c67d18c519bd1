/* RegisterReplica: object-svc replicas find each other. */
#include <string.h>

#include "common/base/config.h"
#include "metadata-svc/api/metadata_api.h"
#include "metadata-svc/api/request_checks.h"
#include "waybill/v1/report_service.pb-c.h"

#define TTL_MIN_US INT64_C(100000)
#define TTL_MAX_US INT64_C(3600000000)

static bool check_name(const char *name, struct error *error) {
    size_t size = strlen(name);
    return (size >= 1 && size <= REPLICA_NAME_MAX_BYTES) ||
           error_set_field(error, "replica.name", "BAD_REPLICA", "a replica's name has 1 to %d bytes",
                           REPLICA_NAME_MAX_BYTES);
}

static bool check_address(const char *address, struct error *error) {
    return config_format_target.matches(address) ||
           error_set_field(error, "replica.address", "BAD_ADDRESS", "an address is %s", config_format_target.allowed);
}

static bool check_ttl(const Google__Protobuf__Duration *ttl, int64_t *ttl_us, struct error *error) {
    if (!check_duration(ttl, "ttl", 0, ttl_us, error)) {
        return false;
    }
    return (*ttl_us >= TTL_MIN_US && *ttl_us <= TTL_MAX_US) ||
           error_set_field(error, "ttl", "BAD_DURATION", "a ttl is 100 ms to 1 h");
}

static bool take_registration(struct metadata_api *api, const Waybill__V1__RegisterReplicaRequest *request,
                              struct error *error) {
    if (request->replica == NULL) {
        return error_set_field(error, "replica", "BAD_REPLICA", "no replica is given");
    }
    struct replica replica = {request->replica->name, request->replica->address};
    int64_t ttl_us;
    if (!check_name(replica.name, error)) {
        return false;
    }
    if (request->leaving) {
        replica_table_remove(api->replicas, replica.name);
        return true;
    }
    return check_address(replica.address, error) && check_ttl(request->ttl, &ttl_us, error) &&
           replica_table_put(api->replicas, &replica, ttl_us, error);
}

static void answer_replicas(struct metadata_api *api, struct rpc_call *call) {
    struct arena *arena = rpc_call_arena(call);
    struct replica *replicas;
    Waybill__V1__RegisterReplicaResponse response = WAYBILL__V1__REGISTER_REPLICA_RESPONSE__INIT;
    response.n_replicas = replica_table_list(api->replicas, arena, &replicas);
    response.replicas = arena_alloc(arena, (response.n_replicas + 1) * sizeof *response.replicas);
    for (size_t i = 0; i < response.n_replicas; i++) {
        Waybill__V1__Replica *replica = arena_alloc(arena, sizeof *replica);
        waybill__v1__replica__init(replica);
        replica->name = (char *)(uintptr_t)replicas[i].name;
        replica->address = (char *)(uintptr_t)replicas[i].address;
        response.replicas[i] = replica;
    }
    rpc_call_reply(call, &response.base);
}

static void register_replica(void *service, struct rpc_call *call) {
    struct metadata_api *api = service;
    struct error error = {0};
    Waybill__V1__RegisterReplicaRequest *request = (Waybill__V1__RegisterReplicaRequest *)rpc_call_decode(
        call, &waybill__v1__register_replica_request__descriptor);
    if (request == NULL) {
        return;
    }
    if (!take_registration(api, request, &error)) {
        rpc_call_fail(call, &error);
        return;
    }
    answer_replicas(api, call);
}

void replica_api_add_to(struct metadata_api *api, struct rpc_server *server) {
    rpc_server_add_unary(server, "/waybill.v1.ReportService/RegisterReplica", RPC_INLINE, register_replica, api);
}
