#include "object-svc/api/migration_api.h"

#include "object-svc/api/api_values.h"
#include "waybill/v1/admin_service.pb-c.h"

static Waybill__V1__Migration *migration_to_proto(const struct migration_api *api,
                                                  const struct migration_status *status, struct arena *arena) {
    Waybill__V1__Migration *message = arena_alloc(arena, sizeof *message);
    waybill__v1__migration__init(message);
    message->migration_id = api_id_text(&status->memo.id, arena);
    message->tier = WAYBILL__V1__TIER__TIER_COLD;
    message->target = arena_strdup(arena, status->memo.target);
    message->join_only = status->memo.join_only;
    message->phase = (Waybill__V1__MigrationPhase)status->memo.phase;
    message->start_time = api_timestamp(status->memo.start_us, arena);
    message->replica = (char *)(uintptr_t)api->replica;
    message->copied_objects = (int64_t)status->copied_objects;
    message->copied_bytes = (int64_t)status->copied_bytes;
    message->passes = (int64_t)status->passes;
    message->present_objects = (int64_t)status->present_objects;
    message->failed_objects = (int64_t)status->failed_objects;
    message->error_reason = arena_strdup(arena, status->error.reason);
    message->error_message = arena_strdup(arena, status->error.message);
    return message;
}

static bool check_start(const Waybill__V1__StartMigrationRequest *request, struct error *error) {
    if (request->tier == WAYBILL__V1__TIER__TIER_HOT) {
        error_set_field(error, "tier", "NOT_SERVED_YET", "hot volumes are not moved yet");
        error->code = ERROR_UNIMPLEMENTED;
        return false;
    }
    return request->tier == WAYBILL__V1__TIER__TIER_COLD ||
           error_set_field(error, "tier", "BAD_TIER", "there is no tier %d", (int)request->tier);
}

static void start_migration(void *service, struct rpc_call *call) {
    struct migration_api *api = service;
    const Waybill__V1__StartMigrationRequest *request = (const Waybill__V1__StartMigrationRequest *)rpc_call_decode(
        call, &waybill__v1__start_migration_request__descriptor);
    if (request == NULL) {
        return;
    }
    struct error error = {0};
    struct migration_status status;
    if (!check_start(request, &error) ||
        !migrator_begin(api->migrator, request->target, request->join_only, &status, &error)) {
        rpc_call_fail(call, &error);
        return;
    }
    Waybill__V1__StartMigrationResponse response = WAYBILL__V1__START_MIGRATION_RESPONSE__INIT;
    response.migration_id = api_id_text(&status.memo.id, rpc_call_arena(call));
    rpc_call_reply(call, &response.base);
}

static void get_migration(void *service, struct rpc_call *call) {
    struct migration_api *api = service;
    if (rpc_call_decode(call, &waybill__v1__get_migration_request__descriptor) == NULL) {
        return;
    }
    struct error error = {0};
    struct migration_status status;
    if (!migrator_get(api->migrator, &status, &error)) {
        rpc_call_fail(call, &error);
        return;
    }
    Waybill__V1__GetMigrationResponse response = WAYBILL__V1__GET_MIGRATION_RESPONSE__INIT;
    response.migration = migration_to_proto(api, &status, rpc_call_arena(call));
    rpc_call_reply(call, &response.base);
}

static bool check_step(Waybill__V1__MigrationStep step, struct error *error) {
    return (step >= WAYBILL__V1__MIGRATION_STEP__MIGRATION_STEP_SWITCH &&
            step <= WAYBILL__V1__MIGRATION_STEP__MIGRATION_STEP_CANCEL) ||
           error_set_field(error, "step", "BAD_STEP", "there is no step %d", (int)step);
}

static void change_migration(void *service, struct rpc_call *call) {
    struct migration_api *api = service;
    const Waybill__V1__ChangeMigrationRequest *request = (const Waybill__V1__ChangeMigrationRequest *)rpc_call_decode(
        call, &waybill__v1__change_migration_request__descriptor);
    if (request == NULL) {
        return;
    }
    struct error error = {0};
    struct migration_status status;
    if (!check_step(request->step, &error) ||
        !migrator_step(api->migrator, (enum migration_step)request->step, &status, &error)) {
        rpc_call_fail(call, &error);
        return;
    }
    Waybill__V1__ChangeMigrationResponse response = WAYBILL__V1__CHANGE_MIGRATION_RESPONSE__INIT;
    response.migration = migration_to_proto(api, &status, rpc_call_arena(call));
    rpc_call_reply(call, &response.base);
}

void migration_api_add_to(struct migration_api *api, struct rpc_server *server) {
    rpc_server_add_unary(server, "/waybill.v1.AdminService/StartMigration", RPC_BLOCKING, start_migration, api);
    rpc_server_add_unary(server, "/waybill.v1.AdminService/GetMigration", RPC_BLOCKING, get_migration, api);
    rpc_server_add_unary(server, "/waybill.v1.AdminService/ChangeMigration", RPC_BLOCKING, change_migration, api);
}
