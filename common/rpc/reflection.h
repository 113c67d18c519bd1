/* grpc.reflection.v1 and v1alpha ServerReflection, from the descriptors that the build put
 * into the program. */
#ifndef WAYBILL_RPC_REFLECTION_H
#define WAYBILL_RPC_REFLECTION_H

#include "common/rpc/rpc_server.h"

struct reflection;

/* `services`: full names that list_services answers, NULL-terminated, outliving it. */
struct reflection *reflection_new(const char *const *services);
void reflection_free(struct reflection *reflection);
void reflection_add_to(struct reflection *reflection, struct rpc_server *server);

#endif
