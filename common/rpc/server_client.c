#include "common/rpc/server_client.h"

#include <grpc/grpc_security.h>

/* The core makes one such context for each connection, which lives as long as any of its calls;
 * once peers authenticate themselves it also tells who they are. */
uint64_t server_client_of(grpc_call *call) {
    grpc_auth_context *context = grpc_call_auth_context(call);
    uint64_t client = (uint64_t)(uintptr_t)context;
    if (context != NULL) {
        grpc_auth_context_release(context);
    }
    return client;
}
