#include "object-svc/api/tier_api.h"

#include <string.h>

#include "object-svc/read/serving_record.h"
#include "waybill/v1/object_service.pb-c.h"

/* One call: what it asks for, and what its answer needs. Lives in the call's arena. */
struct move_call {
    struct tier_api *api;
    struct rpc_call *call;
    enum move_direction direction;
    bool no_wait;
    bool here_only;
    Waybill__V1__Record *record;
};

/* ---- the answer ---- */

static void answer(const struct move_call *move, bool done, uint64_t moved_bytes) {
    if (move->direction == MOVE_TO_HOT) {
        Waybill__V1__PromoteObjectResponse response = WAYBILL__V1__PROMOTE_OBJECT_RESPONSE__INIT;
        response.record = move->record;
        response.done = done;
        response.moved_bytes = (int64_t)moved_bytes;
        rpc_call_reply(move->call, &response.base);
    } else {
        Waybill__V1__DemoteObjectResponse response = WAYBILL__V1__DEMOTE_OBJECT_RESPONSE__INIT;
        response.record = move->record;
        response.done = done;
        response.moved_bytes = (int64_t)moved_bytes;
        rpc_call_reply(move->call, &response.base);
    }
}

/* The move is committed: the record tells of it. */
static void answer_end(void *self, const struct error *failure) {
    struct move_call *move = self;
    struct error error = {0};
    const Waybill__V1__Record *before = move->record;
    if (failure != NULL) {
        rpc_call_fail(move->call, failure);
    } else if (metadata_client_get_record(move->api->metadata, before->bucket, before->key, before->version,
                                          rpc_call_arena(move->call), &move->record, &error)) {
        answer(move, true, 0);
    } else {
        rpc_call_fail(move->call, &error);
    }
}

/* ---- what is to be done ---- */

static bool check_stored(const Waybill__V1__Record *record, struct error *error) {
    if (record->state == WAYBILL__V1__RECORD_STATE__RECORD_STATE_COMMITTED) {
        return error_set(error, ERROR_FAILED_PRECONDITION, "NO_PAYLOAD", "version %lld has no payload",
                         (long long)record->version);
    }
    return record->state == WAYBILL__V1__RECORD_STATE__RECORD_STATE_STORED ||
           error_set(error, ERROR_FAILED_PRECONDITION, "PAYLOAD_NOT_STORED", "version %lld is not stored (yet)",
                     (long long)record->version);
}

/* Fills where the object is; `replicas` has room for all its locations. */
static void take_locations(const struct move_call *move, struct move_wish *wish, const char **replicas) {
    const Waybill__V1__Record *record = move->record;
    wish->replicas = replicas;
    for (size_t i = 0; i < record->n_locations; i++) {
        const Waybill__V1__Location *location = record->locations[i];
        if (location->tier == WAYBILL__V1__TIER__TIER_COLD) {
            wish->object.cold_copy_known = true;
        } else if (strcmp(location->replica, move->api->replica) == 0) {
            wish->here = true;
        } else {
            replicas[wish->replica_count++] = location->replica;
        }
    }
}

static bool is_done(const struct move_call *move, const struct move_wish *wish) {
    bool elsewhere = wish->replica_count > 0;
    return move->direction == MOVE_TO_HOT ? wish->here || elsewhere : !wish->here && (!elsewhere || move->here_only);
}

/* The call is over, or waits for the end of its move. False: it is to fail. */
static bool serve(struct move_call *move, const struct serving_query *query, struct error *error) {
    struct arena *arena = rpc_call_arena(move->call);
    struct move_wish wish = {.direction = move->direction};
    if (!serving_record_find(move->api->metadata, query, arena, &move->record, error) ||
        !check_stored(move->record, error) || !moved_object_of_record(move->record, &wish.object, error)) {
        return false;
    }
    wish.version = move->record->version;
    take_locations(move, &wish, arena_alloc(arena, (move->record->n_locations + 1) * sizeof(const char *)));
    if (is_done(move, &wish)) {
        move_queue_forget(move->api->moves, &wish.object.payload_id);
        answer(move, true, 0);
        return true;
    }
    if (move->here_only) {
        wish.replica_count = 0;
    }
    struct move_state state;
    if (move->no_wait) {
        if (!move_queue_ask(move->api->moves, &wish, &state, error)) {
            return false;
        }
        answer(move, state.ended, state.moved_bytes);
        return true;
    }
    wish.done = answer_end;
    wish.self = move;
    return move_queue_ask(move->api->moves, &wish, &state, error);
}

static struct move_call *begin(struct tier_api *api, struct rpc_call *call, enum move_direction direction,
                               bool no_wait) {
    struct move_call *move = arena_zalloc(rpc_call_arena(call), sizeof *move);
    *move = (struct move_call){.api = api, .call = call, .direction = direction, .no_wait = no_wait};
    return move;
}

static void promote_object(void *service, struct rpc_call *call) {
    Waybill__V1__PromoteObjectRequest *request =
        (Waybill__V1__PromoteObjectRequest *)rpc_call_decode(call, &waybill__v1__promote_object_request__descriptor);
    if (request == NULL) {
        return;
    }
    struct error error = {0};
    struct serving_query query = {.bucket = request->bucket, .key = request->key, .version = request->version};
    if (!serve(begin(service, call, MOVE_TO_HOT, request->no_wait), &query, &error)) {
        rpc_call_fail(call, &error);
    }
}

static void demote_object(void *service, struct rpc_call *call) {
    Waybill__V1__DemoteObjectRequest *request =
        (Waybill__V1__DemoteObjectRequest *)rpc_call_decode(call, &waybill__v1__demote_object_request__descriptor);
    if (request == NULL) {
        return;
    }
    struct error error = {0};
    struct serving_query query = {.bucket = request->bucket, .key = request->key, .version = request->version};
    struct move_call *move = begin(service, call, MOVE_TO_COLD, request->no_wait);
    move->here_only = request->here_only;
    if (!serve(move, &query, &error)) {
        rpc_call_fail(call, &error);
    }
}

void tier_api_add_to(struct tier_api *api, struct rpc_server *server) {
    rpc_server_add_unary(server, "/waybill.v1.ObjectService/PromoteObject", RPC_BLOCKING, promote_object, api);
    rpc_server_add_unary(server, "/waybill.v1.ObjectService/DemoteObject", RPC_BLOCKING, demote_object, api);
}
