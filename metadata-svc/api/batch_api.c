/* BatchPutRecords, BatchGetRecords. */
#include <stdatomic.h>

#include "common/base/names.h"
#include "metadata-svc/api/change_call.h"
#include "metadata-svc/api/put_request.h"
#include "metadata-svc/api/record_reading.h"
#include "metadata-svc/store/record_codec.h"

enum { BATCH_MAX_REQUESTS = 500 };

static bool check_count(size_t count, struct error *error) {
    if (count == 0) {
        return error_set_field(error, "requests", "FIELD_REQUIRED", "a batch holds at least one request");
    }
    if (count > BATCH_MAX_REQUESTS) {
        return error_set_field(error, "requests", "BATCH_TOO_LARGE", "a batch holds at most %d requests, this one %zu",
                               BATCH_MAX_REQUESTS, count);
    }
    return true;
}

/* ---- BatchPutRecords ---- */

struct batch_item {
    struct batch_put *batch;
    struct commit_request commit;
    bool taken; /* it went to the committer, or may go there */
};

/* A call whose changes are committed each for itself; whoever ends the last one answers. */
struct batch_put {
    struct metadata_api *api;
    struct rpc_call *call;
    struct batch_item *items;
    size_t count;
    int64_t start_us;
    atomic_size_t open; /* items without an outcome, and one while the handler submits */
};

static void add_metadata(Waybill__V1__PutRecordResult *result, const struct error *error, struct arena *arena) {
    Waybill__V1__PutRecordResult__ErrorMetadataEntry *entry = arena_alloc(arena, sizeof *entry);
    waybill__v1__put_record_result__error_metadata_entry__init(entry);
    entry->key = utf8_clean(error->detail_key, arena);
    entry->value = utf8_clean(error->detail_value, arena);
    result->error_metadata = arena_alloc(arena, sizeof(void *));
    result->error_metadata[0] = entry;
    result->n_error_metadata = 1;
}

static void fill_result(struct batch_item *item, Waybill__V1__PutRecordResult *result) {
    const struct commit_request *commit = &item->commit;
    struct arena *arena = commit->arena;
    waybill__v1__put_record_result__init(result);
    if (commit->committed) {
        result->response = put_request_answer(commit);
        return;
    }
    result->code = (int32_t)commit->error.code;
    result->message = utf8_clean(commit->error.message, arena);
    result->error_reason = utf8_clean(commit->error.reason, arena);
    result->error_field = utf8_clean(commit->error.field, arena);
    if (commit->error.detail_key[0] != '\0') {
        add_metadata(result, &commit->error, arena);
    }
}

static void answer_batch(struct batch_put *batch) {
    struct arena *arena = rpc_call_arena(batch->call);
    Waybill__V1__BatchPutRecordsResponse response = WAYBILL__V1__BATCH_PUT_RECORDS_RESPONSE__INIT;
    Waybill__V1__PutRecordResult *results = arena_alloc(arena, batch->count * sizeof *results);
    response.results = arena_alloc(arena, batch->count * sizeof *response.results);
    response.n_results = batch->count;
    for (size_t i = 0; i < batch->count; i++) {
        fill_result(&batch->items[i], &results[i]);
        response.results[i] = &results[i];
    }
    rpc_call_reply(batch->call, &response.base);
}

static void end_one(struct batch_put *batch) {
    if (atomic_fetch_sub(&batch->open, 1) == 1) {
        answer_batch(batch);
    }
}

static void item_done(struct commit_request *commit) {
    struct batch_item *item = commit->context;
    struct batch_put *batch = item->batch;
    histogram_observe_us(batch->api->commit_seconds, clock_monotonic_us(batch->api->clock) - batch->start_us);
    end_one(batch);
}

static struct bytes pack(const ProtobufCMessage *message, struct arena *arena) {
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *wire = arena_alloc(arena, size);
    protobuf_c_message_pack(message, wire);
    return bytes_of(wire, size);
}

/* All requests are taken before the first is submitted: from then on the call's arena belongs
 * to the committer. */
static void take_items(struct batch_put *batch, const Waybill__V1__BatchPutRecordsRequest *request) {
    struct arena *arena = rpc_call_arena(batch->call);
    for (size_t i = 0; i < batch->count; i++) {
        struct batch_item *item = &batch->items[i];
        item->batch = batch;
        change_init(&item->commit, COMMIT_PUT, arena);
        item->commit.client = rpc_call_client(batch->call);
        item->commit.done = item_done;
        item->commit.context = item;
        item->taken =
            put_request_take(request->requests[i], pack(&request->requests[i]->base, arena), &item->commit,
                             &item->commit.error) &&
            (!commit_brings_payload(&item->commit) || change_check_outbox(batch->api, true, &item->commit.error));
    }
}

static void submit_items(struct batch_put *batch) {
    for (size_t i = 0; i < batch->count; i++) {
        struct batch_item *item = &batch->items[i];
        if (!item->taken || !committer_submit(batch->api->committer, &item->commit, &item->commit.error)) {
            end_one(batch);
        }
    }
    end_one(batch);
}

static void batch_put_records(void *service, struct rpc_call *call) {
    struct metadata_api *api = service;
    struct arena *arena = rpc_call_arena(call);
    Waybill__V1__BatchPutRecordsRequest *request = (Waybill__V1__BatchPutRecordsRequest *)rpc_call_decode(
        call, &waybill__v1__batch_put_records_request__descriptor);
    if (request == NULL) {
        return;
    }
    struct error error = {0};
    if (!check_count(request->n_requests, &error) || !change_check_outbox(api, false, &error)) {
        rpc_call_fail(call, &error);
        return;
    }
    struct batch_put *batch = arena_zalloc(arena, sizeof *batch);
    batch->api = api;
    batch->call = call;
    batch->count = request->n_requests;
    batch->items = arena_zalloc(arena, batch->count * sizeof *batch->items);
    batch->start_us = clock_monotonic_us(api->clock);
    atomic_init(&batch->open, batch->count + 1);
    take_items(batch, request);
    submit_items(batch);
}

/* ---- BatchGetRecords ---- */

static bool get_all(struct metadata_api *api, const Waybill__V1__BatchGetRecordsRequest *request, struct arena *arena,
                    Waybill__V1__BatchGetRecordsResponse *response, struct error *error) {
    response->records = arena_alloc(arena, request->n_requests * sizeof *response->records);
    for (size_t i = 0; i < request->n_requests; i++) {
        struct record record;
        struct error missing = {0};
        if (!record_reading_check(request->requests[i], error)) {
            return false;
        }
        if (record_reading_find(api, request->requests[i], arena, &record, &missing)) {
            response->records[response->n_records++] = record_to_proto(&record, arena);
        } else if (missing.code != ERROR_NOT_FOUND) {
            *error = missing;
            return false;
        }
    }
    return true;
}

static void batch_get_records(void *service, struct rpc_call *call) {
    Waybill__V1__BatchGetRecordsRequest *request = (Waybill__V1__BatchGetRecordsRequest *)rpc_call_decode(
        call, &waybill__v1__batch_get_records_request__descriptor);
    if (request == NULL) {
        return;
    }
    struct error error = {0};
    Waybill__V1__BatchGetRecordsResponse response = WAYBILL__V1__BATCH_GET_RECORDS_RESPONSE__INIT;
    if (check_count(request->n_requests, &error) &&
        get_all(service, request, rpc_call_arena(call), &response, &error)) {
        rpc_call_reply(call, &response.base);
    } else {
        rpc_call_fail(call, &error);
    }
}

void batch_api_add_to(struct metadata_api *api, struct rpc_server *server) {
    rpc_server_add_unary(server, "/waybill.v1.MetadataService/BatchPutRecords", RPC_INLINE, batch_put_records, api);
    rpc_server_add_unary(server, "/waybill.v1.MetadataService/BatchGetRecords", RPC_BLOCKING, batch_get_records, api);
}
