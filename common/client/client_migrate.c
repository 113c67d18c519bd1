#include "common/client/client_parts.h"

enum { POLL_MS = 200 };

bool waybill_start_migration(struct waybill_client *client, Waybill__V1__Tier tier, const char *target, bool join_only,
                             struct arena *arena, struct error *error) {
    Waybill__V1__StartMigrationRequest request = WAYBILL__V1__START_MIGRATION_REQUEST__INIT;
    request.tier = tier;
    request.target = client_text(target);
    request.join_only = join_only;
    return client_call(client, client->object, "/waybill.v1.AdminService/StartMigration", &request.base,
                       &waybill__v1__start_migration_response__descriptor, arena, error) != NULL;
}

static bool take_migration(Waybill__V1__Migration *found, Waybill__V1__Migration **migration, struct error *error) {
    *migration = found;
    return found != NULL || client_bad_answer(error, "holds no migration");
}

bool waybill_get_migration(struct waybill_client *client, Waybill__V1__Tier tier, struct arena *arena,
                           Waybill__V1__Migration **migration, struct error *error) {
    Waybill__V1__GetMigrationRequest request = WAYBILL__V1__GET_MIGRATION_REQUEST__INIT;
    request.tier = tier;
    Waybill__V1__GetMigrationResponse *response = (Waybill__V1__GetMigrationResponse *)client_call(
        client, client->object, "/waybill.v1.AdminService/GetMigration", &request.base,
        &waybill__v1__get_migration_response__descriptor, arena, error);
    return response != NULL && take_migration(response->migration, migration, error);
}

bool waybill_change_migration(struct waybill_client *client, Waybill__V1__Tier tier, Waybill__V1__MigrationStep step,
                              struct arena *arena, Waybill__V1__Migration **migration, struct error *error) {
    Waybill__V1__ChangeMigrationRequest request = WAYBILL__V1__CHANGE_MIGRATION_REQUEST__INIT;
    request.step = step;
    request.tier = tier;
    Waybill__V1__ChangeMigrationResponse *response = (Waybill__V1__ChangeMigrationResponse *)client_call(
        client, client->object, "/waybill.v1.AdminService/ChangeMigration", &request.base,
        &waybill__v1__change_migration_response__descriptor, arena, error);
    return response != NULL && take_migration(response->migration, migration, error);
}

bool waybill_await_migration(struct waybill_client *client, Waybill__V1__Tier tier,
                             const struct waybill_migration_watcher *watcher, struct arena *arena,
                             Waybill__V1__Migration **migration, struct error *error) {
    for (;;) {
        struct arena looked_at;
        Waybill__V1__Migration *seen;
        arena_init(&looked_at);
        bool good = waybill_get_migration(client, tier, &looked_at, &seen, error);
        bool going = good && seen->phase == WAYBILL__V1__MIGRATION_PHASE__MIGRATION_PHASE_COPYING;
        if (good) {
            watcher->look(watcher->self, seen);
        }
        arena_free(&looked_at);
        if (!going) {
            return good && waybill_get_migration(client, tier, arena, migration, error);
        }
        if (!client_pause(client, POLL_MS, error)) {
            return false;
        }
    }
}
