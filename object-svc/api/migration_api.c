#include "object-svc/api/migration_api.h"

#include "object-svc/api/api_values.h"
#include "waybill/v1/admin_service.pb-c.h"

/* ---- answers ---- */

static Waybill__V1__Migration *memo_to_proto(const struct migration_api *api, const struct migration_memo *memo,
                                             struct arena *arena) {
    Waybill__V1__Migration *message = arena_alloc(arena, sizeof *message);
    waybill__v1__migration__init(message);
    message->migration_id = api_id_text(&memo->id, arena);
    message->target = arena_strdup(arena, memo->target);
    message->join_only = memo->join_only;
    message->phase = (Waybill__V1__MigrationPhase)memo->phase;
    message->start_time = api_timestamp(memo->start_us, arena);
    message->replica = (char *)(uintptr_t)api->replica;
    return message;
}

static Waybill__V1__Migration *cold_to_proto(const struct migration_api *api, const struct migration_status *status,
                                             struct arena *arena) {
    Waybill__V1__Migration *message = memo_to_proto(api, &status->memo, arena);
    message->tier = WAYBILL__V1__TIER__TIER_COLD;
    message->copied_objects = (int64_t)status->copied_objects;
    message->copied_bytes = (int64_t)status->copied_bytes;
    message->passes = (int64_t)status->passes;
    message->present_objects = (int64_t)status->present_objects;
    message->failed_objects = (int64_t)status->failed_objects;
    message->error_reason = arena_strdup(arena, status->error.reason);
    message->error_message = arena_strdup(arena, status->error.message);
    return message;
}

static Waybill__V1__Migration *hot_to_proto(const struct migration_api *api, const struct hot_migration_status *status,
                                            struct arena *arena) {
    Waybill__V1__Migration *message = memo_to_proto(api, &status->memo, arena);
    message->tier = WAYBILL__V1__TIER__TIER_HOT;
    message->copied_objects = (int64_t)status->moved_objects;
    message->copied_bytes = (int64_t)status->moved_bytes;
    message->remaining_objects = (int64_t)status->left.objects;
    message->remaining_bytes = (int64_t)status->left.bytes;
    message->failed_objects = (int64_t)status->left.damaged_objects;
    if (status->left.damaged_objects > 0) {
        message->error_reason = "OBJECT_CORRUPT";
        message->error_message = "damaged objects stay where they are until they are repaired or removed";
    }
    return message;
}

static bool check_tier(Waybill__V1__Tier tier, struct error *error) {
    return tier == WAYBILL__V1__TIER__TIER_COLD || tier == WAYBILL__V1__TIER__TIER_HOT ||
           error_set_field(error, "tier", "BAD_TIER", "there is no tier %d", (int)tier);
}

/* One that is not said is the cold one. */
static bool resolve_tier(Waybill__V1__Tier *tier, struct error *error) {
    if (*tier == WAYBILL__V1__TIER__TIER_UNSPECIFIED) {
        *tier = WAYBILL__V1__TIER__TIER_COLD;
    }
    return check_tier(*tier, error);
}

/* ---- StartMigration ---- */

static bool start(struct migration_api *api, const Waybill__V1__StartMigrationRequest *request, struct uuid *id,
                  struct error *error) {
    struct migration_status cold;
    struct hot_migration_status hot;
    bool good;
    if (!check_tier(request->tier, error)) {
        return false;
    }
    if (request->tier == WAYBILL__V1__TIER__TIER_COLD) {
        good = migrator_begin(api->migrator, request->target, request->join_only, &cold, error);
        *id = cold.memo.id;
        return good;
    }
    if (request->join_only) {
        return error_set_field(error, "join_only", "BAD_TIER", "each replica moves its own hot volumes");
    }
    good = hot_migrator_begin(api->hot, request->target, &hot, error);
    *id = hot.memo.id;
    return good;
}

static void start_migration(void *service, struct rpc_call *call) {
    struct migration_api *api = service;
    const Waybill__V1__StartMigrationRequest *request = (const Waybill__V1__StartMigrationRequest *)rpc_call_decode(
        call, &waybill__v1__start_migration_request__descriptor);
    if (request == NULL) {
        return;
    }
    struct error error = {0};
    struct uuid id;
    if (!start(api, request, &id, &error)) {
        rpc_call_fail(call, &error);
        return;
    }
    Waybill__V1__StartMigrationResponse response = WAYBILL__V1__START_MIGRATION_RESPONSE__INIT;
    response.migration_id = api_id_text(&id, rpc_call_arena(call));
    rpc_call_reply(call, &response.base);
}

/* ---- GetMigration ---- */

/* NULL on failure. */
static Waybill__V1__Migration *look(struct migration_api *api, Waybill__V1__Tier tier, struct arena *arena,
                                    struct error *error) {
    struct migration_status cold;
    struct hot_migration_status hot;
    if (!resolve_tier(&tier, error)) {
        return NULL;
    }
    if (tier == WAYBILL__V1__TIER__TIER_HOT) {
        return hot_migrator_get(api->hot, &hot, error) ? hot_to_proto(api, &hot, arena) : NULL;
    }
    return migrator_get(api->migrator, &cold, error) ? cold_to_proto(api, &cold, arena) : NULL;
}

static void get_migration(void *service, struct rpc_call *call) {
    const Waybill__V1__GetMigrationRequest *request = (const Waybill__V1__GetMigrationRequest *)rpc_call_decode(
        call, &waybill__v1__get_migration_request__descriptor);
    if (request == NULL) {
        return;
    }
    struct error error = {0};
    Waybill__V1__GetMigrationResponse response = WAYBILL__V1__GET_MIGRATION_RESPONSE__INIT;
    response.migration = look(service, request->tier, rpc_call_arena(call), &error);
    if (response.migration == NULL) {
        rpc_call_fail(call, &error);
        return;
    }
    rpc_call_reply(call, &response.base);
}

/* ---- ChangeMigration ---- */

static bool check_step(Waybill__V1__MigrationStep step, struct error *error) {
    return (step >= WAYBILL__V1__MIGRATION_STEP__MIGRATION_STEP_SWITCH &&
            step <= WAYBILL__V1__MIGRATION_STEP__MIGRATION_STEP_CANCEL) ||
           error_set_field(error, "step", "BAD_STEP", "there is no step %d", (int)step);
}

/* As it is after the step; NULL on failure. */
static Waybill__V1__Migration *take_step(struct migration_api *api, const Waybill__V1__ChangeMigrationRequest *request,
                                         struct arena *arena, struct error *error) {
    struct migration_status cold;
    struct hot_migration_status hot;
    Waybill__V1__Tier tier = request->tier;
    enum migration_step step = (enum migration_step)request->step;
    if (!check_step(request->step, error) || !resolve_tier(&tier, error)) {
        return NULL;
    }
    if (tier == WAYBILL__V1__TIER__TIER_HOT) {
        return hot_migrator_step(api->hot, step, &hot, error) ? hot_to_proto(api, &hot, arena) : NULL;
    }
    return migrator_step(api->migrator, step, &cold, error) ? cold_to_proto(api, &cold, arena) : NULL;
}

static void change_migration(void *service, struct rpc_call *call) {
    const Waybill__V1__ChangeMigrationRequest *request = (const Waybill__V1__ChangeMigrationRequest *)rpc_call_decode(
        call, &waybill__v1__change_migration_request__descriptor);
    if (request == NULL) {
        return;
    }
    struct error error = {0};
    Waybill__V1__ChangeMigrationResponse response = WAYBILL__V1__CHANGE_MIGRATION_RESPONSE__INIT;
    response.migration = take_step(service, request, rpc_call_arena(call), &error);
    if (response.migration == NULL) {
        rpc_call_fail(call, &error);
        return;
    }
    rpc_call_reply(call, &response.base);
}

void migration_api_add_to(struct migration_api *api, struct rpc_server *server) {
    rpc_server_add_unary(server, "/waybill.v1.AdminService/StartMigration", RPC_BLOCKING, start_migration, api);
    rpc_server_add_unary(server, "/waybill.v1.AdminService/GetMigration", RPC_BLOCKING, get_migration, api);
    rpc_server_add_unary(server, "/waybill.v1.AdminService/ChangeMigration", RPC_BLOCKING, change_migration, api);
}
