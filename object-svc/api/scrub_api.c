#include "object-svc/api/scrub_api.h"

#include <string.h>

#include "object-svc/api/api_values.h"
#include "waybill/v1/admin_service.pb-c.h"

enum { FINDINGS_PAGE = 500 };

/* ---- StartScrub ---- */

static bool take_options(const Waybill__V1__StartScrubRequest *request, struct scrub_options *options,
                         struct error *error) {
    *options = (struct scrub_options){
        .repair = request->repair,
        .quarantine = request->quarantine,
        .hot_only = request->hot_only,
        .bytes_per_second = request->bytes_per_second,
    };
    if (request->bytes_per_second < 0) {
        return error_set_field(error, "bytes_per_second", "BAD_SIZE", "a rate is 0 or more");
    }
    if (request->bucket[0] != '\0' && !name_check_bucket(request->bucket, "bucket", error)) {
        return false;
    }
    strncpy(options->bucket, request->bucket, sizeof options->bucket - 1);
    return true;
}

static void start_scrub(void *service, struct rpc_call *call) {
    struct scrub_api *api = service;
    const Waybill__V1__StartScrubRequest *request =
        (const Waybill__V1__StartScrubRequest *)rpc_call_decode(call, &waybill__v1__start_scrub_request__descriptor);
    if (request == NULL) {
        return;
    }
    struct error error = {0};
    struct scrub_options options;
    struct uuid id;
    if (!take_options(request, &options, &error) || !scrubber_begin(api->scrubber, &options, &id, &error)) {
        rpc_call_fail(call, &error);
        return;
    }
    Waybill__V1__StartScrubResponse response = WAYBILL__V1__START_SCRUB_RESPONSE__INIT;
    response.scrub_id = api_id_text(&id, rpc_call_arena(call));
    rpc_call_reply(call, &response.base);
}

/* ---- GetScrub ---- */

static Waybill__V1__ScrubFinding *finding_to_proto(const struct scrub_finding *finding, struct arena *arena) {
    Waybill__V1__ScrubFinding *message = arena_alloc(arena, sizeof *message);
    waybill__v1__scrub_finding__init(message);
    message->kind = (Waybill__V1__ScrubKind)finding->kind;
    message->tier = (Waybill__V1__Tier)finding->tier;
    message->bucket = (char *)(uintptr_t)finding->bucket;
    message->key = (char *)(uintptr_t)finding->key;
    message->version = finding->version;
    message->payload_id = api_id_text(&finding->payload_id, arena);
    message->action = (Waybill__V1__ScrubAction)finding->action;
    message->message = (char *)(uintptr_t)finding->message;
    return message;
}

static void add_findings(Waybill__V1__GetScrubResponse *response, const struct scrub_finding *findings, size_t count,
                         struct arena *arena) {
    response->n_findings = count;
    response->findings = arena_alloc(arena, count * sizeof *response->findings);
    for (size_t i = 0; i < count; i++) {
        response->findings[i] = finding_to_proto(&findings[i], arena);
    }
}

static Waybill__V1__StartScrubRequest *options_to_proto(const struct scrub_options *options, struct arena *arena) {
    Waybill__V1__StartScrubRequest *message = arena_alloc(arena, sizeof *message);
    waybill__v1__start_scrub_request__init(message);
    message->bucket = arena_strdup(arena, options->bucket);
    message->repair = options->repair;
    message->quarantine = options->quarantine;
    message->hot_only = options->hot_only;
    message->bytes_per_second = options->bytes_per_second;
    return message;
}

static void add_status(Waybill__V1__GetScrubResponse *response, const struct scrub_status *status,
                       struct arena *arena) {
    const struct scrub_counts *counts = &status->counts;
    response->scrub_id = api_id_text(&status->id, arena);
    response->done = status->end_us != 0;
    response->objects_checked = (int64_t)counts->objects;
    response->bytes_checked = (int64_t)counts->bytes;
    response->corrupt = (int64_t)counts->found[SCRUB_CORRUPT];
    response->missing = (int64_t)counts->found[SCRUB_MISSING];
    response->orphaned = (int64_t)counts->found[SCRUB_ORPHANED];
    response->unlisted = (int64_t)counts->found[SCRUB_UNLISTED];
    response->repaired = (int64_t)counts->repaired;
    response->quarantined = (int64_t)counts->quarantined;
    response->failed = (int64_t)counts->failed;
    response->phase = (Waybill__V1__ScrubPhase)counts->phase;
    response->options = options_to_proto(&status->options, arena);
    response->start_time = api_timestamp(status->start_us, arena);
    response->end_time = api_timestamp(status->end_us, arena);
    response->error_reason = arena_strdup(arena, status->error.reason);
    response->error_message = arena_strdup(arena, status->error.message);
}

static bool take_which(const Waybill__V1__GetScrubRequest *request, struct uuid *id, struct error *error) {
    *id = (struct uuid){0};
    if (request->scrub_id[0] != '\0' && !uuid_parse_text(request->scrub_id, id)) {
        return error_set_field(error, "scrub_id", "BAD_SCRUB_ID", "a scrub id is a UUID");
    }
    return request->first_finding >= 0 || error_set_field(error, "first_finding", "BAD_RANGE", "findings count from 0");
}

static void get_scrub(void *service, struct rpc_call *call) {
    struct scrub_api *api = service;
    const Waybill__V1__GetScrubRequest *request =
        (const Waybill__V1__GetScrubRequest *)rpc_call_decode(call, &waybill__v1__get_scrub_request__descriptor);
    if (request == NULL) {
        return;
    }
    struct error error = {0};
    struct arena *arena = rpc_call_arena(call);
    struct scrub_finding *findings = arena_alloc(arena, FINDINGS_PAGE * sizeof *findings);
    struct scrub_status status;
    struct uuid id;
    size_t count;
    if (!take_which(request, &id, &error) || !scrubber_get(api->scrubber, &id, (size_t)request->first_finding, findings,
                                                           FINDINGS_PAGE, &status, &count, &error)) {
        rpc_call_fail(call, &error);
        return;
    }
    Waybill__V1__GetScrubResponse response = WAYBILL__V1__GET_SCRUB_RESPONSE__INIT;
    response.replica = (char *)(uintptr_t)api->replica;
    add_status(&response, &status, arena);
    add_findings(&response, findings, count, arena);
    rpc_call_reply(call, &response.base);
}

void scrub_api_add_to(struct scrub_api *api, struct rpc_server *server) {
    rpc_server_add_unary(server, "/waybill.v1.AdminService/StartScrub", RPC_BLOCKING, start_scrub, api);
    rpc_server_add_unary(server, "/waybill.v1.AdminService/GetScrub", RPC_BLOCKING, get_scrub, api);
}
