/* StartMigration, GetMigration, ChangeMigration of AdminService. */
#ifndef WAYBILL_OBJECT_MIGRATION_API_H
#define WAYBILL_OBJECT_MIGRATION_API_H

#include "common/rpc/rpc_server.h"
#include "object-svc/migrate/hot_migrator.h"
#include "object-svc/migrate/migrator.h"

struct migration_api {
    const char *replica;
    struct migrator *migrator;
    struct hot_migrator *hot;
};

/* The api outlives the server. */
void migration_api_add_to(struct migration_api *api, struct rpc_server *server);

#endif
