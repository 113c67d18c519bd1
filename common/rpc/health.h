/* grpc.health.v1.Health: one name per path of a service ("metadata.write", "events"), and ""
 * for the whole, which serves while every other name does. Any thread. */
#ifndef WAYBILL_RPC_HEALTH_H
#define WAYBILL_RPC_HEALTH_H

#include <stdbool.h>

#include "common/rpc/rpc_server.h"

struct health;

struct health *health_new(void);
/* Only after every server it was added to is drained. */
void health_free(struct health *health);
/* Answers Check and Watch on this server. Watches end when the server drains. */
void health_add_to(struct health *health, struct rpc_server *server);
/* A name exists from its first setting on. At most 16 names. */
void health_set(struct health *health, const char *name, bool serving);
/* Everything NOT_SERVING from now on, whatever is set later: the service drains. */
void health_shut_down(struct health *health);
/* Whether a name ("" for all) serves; false for unknown ones. */
bool health_serving(const struct health *health, const char *name);

#endif
