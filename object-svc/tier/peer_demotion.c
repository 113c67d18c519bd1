#include "object-svc/tier/peer_demotion.h"

#include "waybill/v1/object_service.pb-c.h"

enum { ASK_TIMEOUT_MS = 10000 };

bool peer_demotion_ask(struct peer_table *peers, const char *replica, const char *bucket, const char *key,
                       int64_t version, bool *done, struct error *error) {
    static const struct rpc_call_options options = {.timeout_ms = ASK_TIMEOUT_MS, .max_attempts = 3};
    struct peer *peer = peers != NULL ? peer_table_get(peers, replica) : NULL;
    if (peer == NULL) {
        error_set(error, ERROR_UNAVAILABLE, "OBJECT_ON_OTHER_REPLICA",
                  "replica %s has a hot copy and is not there; once it is, ask again", replica);
        error_set_detail(error, "replica", "%s", replica);
        return false;
    }
    Waybill__V1__DemoteObjectRequest request = WAYBILL__V1__DEMOTE_OBJECT_REQUEST__INIT;
    ProtobufCMessage *response;
    struct arena arena;
    arena_init(&arena);
    request.bucket = (char *)(uintptr_t)bucket;
    request.key = (char *)(uintptr_t)key;
    request.version = version;
    request.here_only = true;
    request.no_wait = true;
    bool good = rpc_channel_call(peer_channel(peer), "/waybill.v1.ObjectService/DemoteObject", &options, &request.base,
                                 &waybill__v1__demote_object_response__descriptor, &arena, &response, error);
    *done = good && ((Waybill__V1__DemoteObjectResponse *)response)->done;
    arena_free(&arena);
    peer_release(peer);
    return good;
}
