#include "object-svc/upstream/replica_directory.h"

#include "object-svc/upstream/metadata_client_parts.h"
#include "waybill/v1/report_service.pb-c.h"

static Waybill__V1__RegisterReplicaResponse *call(struct metadata_client *client,
                                                  Waybill__V1__RegisterReplicaRequest *request, const char *address,
                                                  int64_t timeout_ms, struct arena *arena, struct error *error) {
    Waybill__V1__Replica replica = WAYBILL__V1__REPLICA__INIT;
    replica.name = client->replica;
    replica.address = (char *)(uintptr_t)address;
    request->replica = &replica;
    struct rpc_call_options options = {.timeout_ms = timeout_ms};
    ProtobufCMessage *answer;
    /* Whether metadata-svc is back is worth a look each time. */
    rpc_channel_reconnect(client->metadata);
    bool good =
        rpc_channel_call(client->metadata, "/waybill.v1.ReportService/RegisterReplica", &options, &request->base,
                         &waybill__v1__register_replica_response__descriptor, arena, &answer, error);
    return good ? (Waybill__V1__RegisterReplicaResponse *)answer : NULL;
}

bool replica_directory_register(struct metadata_client *client, const char *address, int64_t ttl_ms, int64_t timeout_ms,
                                struct arena *arena, struct replica_address **replicas, size_t *count,
                                struct error *error) {
    Waybill__V1__RegisterReplicaRequest request = WAYBILL__V1__REGISTER_REPLICA_REQUEST__INIT;
    Google__Protobuf__Duration ttl = GOOGLE__PROTOBUF__DURATION__INIT;
    ttl.seconds = ttl_ms / 1000;
    ttl.nanos = (int32_t)(ttl_ms % 1000 * 1000000);
    request.ttl = &ttl;
    Waybill__V1__RegisterReplicaResponse *response = call(client, &request, address, timeout_ms, arena, error);
    if (response == NULL) {
        return false;
    }
    *count = response->n_replicas;
    *replicas = arena_alloc(arena, (*count + 1) * sizeof **replicas);
    for (size_t i = 0; i < *count; i++) {
        (*replicas)[i] = (struct replica_address){response->replicas[i]->name, response->replicas[i]->address};
    }
    return true;
}

bool replica_directory_leave(struct metadata_client *client, int64_t timeout_ms, struct error *error) {
    struct arena arena;
    arena_init(&arena);
    Waybill__V1__RegisterReplicaRequest request = WAYBILL__V1__REGISTER_REPLICA_REQUEST__INIT;
    request.leaving = true;
    bool good = call(client, &request, "", timeout_ms, &arena, error) != NULL;
    arena_free(&arena);
    return good;
}
