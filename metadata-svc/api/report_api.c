/* ReportObjects: what object-svc did becomes commits. */
#include <string.h>

#include "common/base/names.h"
#include "metadata-svc/api/change_call.h"
#include "metadata-svc/store/record_codec.h"
#include "waybill/v1/report_service.pb-c.h"

enum {
    REPORTS_MAX = 1000,
    REPORT_CALLS_MAX = 1024, /* at once, whatever other calls there are: reports make room */
};
/* Leaves room to count on from. */
#define REPORT_NUMBER_MAX ((INT64_C(1) << 62) - 1)

static bool is_tier(int tier) {
    return tier == TIER_HOT || tier == TIER_COLD;
}

static bool take_report(const Waybill__V1__ObjectReport *message, struct object_report *report, struct error *error) {
    if (!name_check_bucket(message->bucket, "reports.bucket", error) ||
        !name_check_key(message->key, "reports.key", error)) {
        return false;
    }
    if (!uuid_parse_text(message->payload_id, &report->payload_id)) {
        return error_set_field(error, "reports.payload_id", "BAD_PAYLOAD_ID", "a payload id is a UUID");
    }
    if (message->version < 1) {
        return error_set_field(error, "reports.version", "BAD_VERSION", "a version is 1 or more");
    }
    int outcome = (int)message->outcome;
    int tier = (int)message->tier;
    int drop_tier = (int)message->drop_tier;
    if (outcome < OBJECT_STORED || outcome > OBJECT_DROPPED) {
        return error_set_field(error, "reports.outcome", "BAD_OUTCOME", "there is no outcome %d", outcome);
    }
    if (outcome != OBJECT_FAILED && !is_tier(tier)) {
        return error_set_field(error, "reports.tier", "BAD_TIER", "there is no tier %d", tier);
    }
    if (drop_tier != 0 && (!is_tier(drop_tier) || drop_tier == tier)) {
        return error_set_field(error, "reports.drop_tier", "BAD_TIER", "drop_tier is another tier than tier");
    }
    if (message->drop_due_time != NULL &&
        (outcome != OBJECT_DROPPED || timestamp_from_proto(message->drop_due_time) <= 0)) {
        return error_set_field(error, "reports.drop_due_time", "BAD_OUTCOME", "only what was dropped has a due time");
    }
    if (message->attempts < 0) {
        return error_set_field(error, "reports.attempts", "BAD_ATTEMPTS", "attempts are 0 or more");
    }
    report->bucket = message->bucket;
    report->key = message->key;
    report->version = message->version;
    report->outcome = (enum object_outcome)outcome;
    report->tier = (enum tier)tier;
    report->drop_tier = drop_tier;
    report->size = message->size;
    report->crc32c = message->crc32c;
    report->error_reason = message->error_reason;
    report->error_message = message->error_message;
    report->attempts = message->attempts;
    report->drop_due_us = timestamp_from_proto(message->drop_due_time);
    report->message = "";
    return true;
}

static bool take_reports(const Waybill__V1__ReportObjectsRequest *request, struct commit_request *commit,
                         struct error *error) {
    size_t replica_bytes = strlen(request->replica);
    if (replica_bytes == 0 || replica_bytes > REPLICA_NAME_MAX_BYTES) {
        return error_set_field(error, "replica", "BAD_REPLICA", "a replica's name has 1 to %d bytes",
                               REPLICA_NAME_MAX_BYTES);
    }
    if (request->n_reports > REPORTS_MAX) {
        return error_set_field(error, "reports", "TOO_MANY_REPORTS", "at most %d reports are taken", REPORTS_MAX);
    }
    if (request->number < 0 || request->number > REPORT_NUMBER_MAX) {
        return error_set_field(error, "number", "BAD_RANGE", "a report's number is 0 or more, and below 2^62");
    }
    commit->replica = request->replica;
    commit->report_number = request->number;
    commit->actor = request->replica;
    commit->report_count = request->n_reports;
    commit->reports = arena_zalloc(commit->arena, request->n_reports * sizeof *commit->reports);
    for (size_t i = 0; i < request->n_reports; i++) {
        if (!take_report(request->reports[i], &commit->reports[i], error)) {
            return false;
        }
    }
    return true;
}

static void answer_reports(struct change_call *change) {
    const struct commit_request *commit = &change->commit;
    Waybill__V1__ReportObjectsResponse response = WAYBILL__V1__REPORT_OBJECTS_RESPONSE__INIT;
    response.n_results = commit->report_count;
    response.results = arena_alloc(commit->arena, commit->report_count * sizeof *response.results);
    for (size_t i = 0; i < commit->report_count; i++) {
        Waybill__V1__ReportResult *result = arena_alloc(commit->arena, sizeof *result);
        waybill__v1__report_result__init(result);
        result->verdict = (Waybill__V1__ReportVerdict)commit->reports[i].verdict;
        result->message = (char *)(uintptr_t)commit->reports[i].message;
        response.results[i] = result;
    }
    rpc_call_reply(change->call, &response.base);
}

static void report_objects(void *service, struct rpc_call *call) {
    Waybill__V1__ReportObjectsRequest *request =
        (Waybill__V1__ReportObjectsRequest *)rpc_call_decode(call, &waybill__v1__report_objects_request__descriptor);
    if (request == NULL) {
        return;
    }
    struct error error = {0};
    struct change_call *change = change_call_begin(service, call, COMMIT_REPORTS, answer_reports);
    if (!take_reports(request, &change->commit, &error)) {
        rpc_call_fail(call, &error);
        return;
    }
    change_call_submit(change);
}

void report_api_add_to(struct metadata_api *api, struct rpc_server *server) {
    rpc_server_add_unary_apart(server, "/waybill.v1.ReportService/ReportObjects", RPC_INLINE, report_objects, api,
                               REPORT_CALLS_MAX);
}
