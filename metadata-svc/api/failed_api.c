/* AdminService.ListFailedPayloads, RetryPayload, CancelPayload: what operators do about payloads that
 * were given up. */
#include <string.h>

#include "common/base/names.h"
#include "metadata-svc/api/change_call.h"
#include "metadata-svc/api/page_token.h"
#include "metadata-svc/api/request_checks.h"
#include "metadata-svc/store/layout.h"
#include "metadata-svc/store/record_codec.h"
#include "metadata-svc/store/record_store.h"
#include "waybill/v1/admin_service.pb-c.h"

enum { PAGE_MAX_BYTES = 2 * 1024 * 1024 /* of records, about */ };

/* ---- one failed payload ---- */

static bool spool_has(struct metadata_api *api, const struct uuid *payload_id, const struct payload_entry *entry) {
    struct payload_info info;
    struct error absent = {0};
    return entry->place == PAYLOAD_INLINE ||
           (entry->place == PAYLOAD_SPOOLED && payload_spool_stat(api->spool, payload_id, &info, &absent) &&
            !info.damaged);
}

/* NULL in `payload` where it is forgotten, or staged again, meanwhile. */
static bool read_payload(struct metadata_api *api, const struct uuid *payload_id, struct arena *arena,
                         Waybill__V1__FailedPayload **payload, struct error *error) {
    struct kv_lookup lookup = kv_lookup_of(api->kv);
    struct payload_entry entry;
    struct payload_failure failure;
    struct record record;
    bool found;
    *payload = NULL;
    if (!record_store_get_payload(lookup, payload_id, arena, &entry, &found, error) ||
        (found && !record_store_get_failure(lookup, entry.bucket, payload_id, arena, &failure, &found, error)) ||
        (found && !record_store_find_newest(lookup, entry.bucket, entry.key, entry.version, payload_id, arena, &record,
                                            &found, error))) {
        return false;
    }
    if (!found || record.state != RECORD_FAILED) {
        return true;
    }
    Waybill__V1__FailedPayload *message = arena_alloc(arena, sizeof *message);
    waybill__v1__failed_payload__init(message);
    message->record = record_to_proto(&record, arena);
    message->error_reason = (char *)(uintptr_t)failure.reason;
    message->error_message = (char *)(uintptr_t)failure.message;
    message->attempts = failure.attempts;
    message->fail_time = timestamp_to_proto(failure.fail_us, arena);
    message->retryable = spool_has(api, payload_id, &entry);
    message->expire_time = timestamp_to_proto(entry.due_us, arena);
    *payload = message;
    return true;
}

/* ---- ListFailedPayloads ---- */

struct failed_listing {
    struct metadata_api *api;
    const Waybill__V1__ListFailedPayloadsRequest *request;
    struct arena *arena;
    const char *name; /* identifies the listing to its page tokens */
    int32_t page_size;
    Waybill__V1__ListFailedPayloadsResponse *response;
    size_t bytes;
};

/* A token names bucket and payload: "photos/<uuid>". */
static bool take_position(struct failed_listing *listing, struct bytes *after, struct error *error) {
    const char *token = page_token_read(listing->arena, listing->name, listing->request->page_token, error);
    *after = (struct bytes){0};
    if (token == NULL || *token == '\0') {
        return token != NULL;
    }
    const char *slash = strchr(token, '/');
    struct uuid payload_id;
    if (slash == NULL || !uuid_parse_text(slash + 1, &payload_id)) {
        return error_set_field(error, "page_token", "BAD_PAGE_TOKEN", "the page token is not of this listing");
    }
    const char *bucket = arena_printf(listing->arena, "%.*s", (int)(slash - token), token);
    *after = layout_failure_key(listing->arena, bucket, &payload_id);
    return true;
}

static void end_page(struct failed_listing *listing) {
    const Waybill__V1__Record *last = listing->response->payloads[listing->response->n_payloads - 1]->record;
    listing->response->next_page_token = page_token_make(
        listing->arena, listing->name, arena_printf(listing->arena, "%s/%s", last->bucket, last->payload_id));
}

static bool add_payload(struct failed_listing *listing, struct bytes key, struct error *error) {
    Waybill__V1__FailedPayload *payload;
    struct uuid payload_id;
    if (!layout_read_failure_key(key, &payload_id)) {
        return error_set(error, ERROR_DATA_LOSS, "RECORD_CORRUPT", "the name of a failed payload cannot be read");
    }
    if (!read_payload(listing->api, &payload_id, listing->arena, &payload, error)) {
        return false;
    }
    if (payload != NULL) {
        listing->response->payloads[listing->response->n_payloads++] = payload;
        listing->bytes += protobuf_c_message_get_packed_size(&payload->base);
    }
    return true;
}

static bool walk(struct failed_listing *listing, struct bytes after, struct error *error) {
    struct kv *kv = listing->api->kv;
    struct bytes prefix = layout_failures_prefix(listing->arena, listing->request->bucket);
    struct kv_cursor *cursor = kv->ops->cursor_open(kv);
    bool good = true;
    for (cursor->ops->cursor_seek(cursor, after.size > 0 ? after : prefix);
         good && cursor->ops->cursor_valid(cursor) && bytes_start_with(cursor->ops->cursor_key(cursor), prefix);
         cursor->ops->cursor_next(cursor)) {
        struct bytes key = cursor->ops->cursor_key(cursor);
        if (bytes_equal(key, after)) {
            continue;
        }
        if (listing->response->n_payloads == (size_t)listing->page_size || listing->bytes >= PAGE_MAX_BYTES) {
            end_page(listing);
            break;
        }
        good = add_payload(listing, key, error);
    }
    good = good && cursor->ops->cursor_check(cursor, error);
    cursor->ops->cursor_close(cursor);
    return good;
}

/* The only one asked for. */
static bool read_one(struct failed_listing *listing, struct error *error) {
    Waybill__V1__FailedPayload *payload;
    struct uuid payload_id;
    if (!uuid_parse_text(listing->request->payload_id, &payload_id)) {
        return error_set_field(error, "payload_id", "BAD_PAYLOAD_ID", "a payload id is a UUID");
    }
    if (!read_payload(listing->api, &payload_id, listing->arena, &payload, error)) {
        return false;
    }
    const char *bucket = listing->request->bucket;
    if (payload != NULL && (*bucket == '\0' || strcmp(bucket, payload->record->bucket) == 0)) {
        listing->response->payloads[listing->response->n_payloads++] = payload;
    }
    return true;
}

static bool read_page(struct failed_listing *listing, struct error *error) {
    const Waybill__V1__ListFailedPayloadsRequest *request = listing->request;
    struct bucket bucket;
    struct bytes after;
    if (!check_page_size(request->page_size, &listing->page_size, error) ||
        (*request->bucket != '\0' &&
         (!name_check_bucket(request->bucket, "bucket", error) ||
          !record_store_get_bucket(kv_lookup_of(listing->api->kv), request->bucket, listing->arena, &bucket, error)))) {
        return false;
    }
    listing->name = arena_printf(listing->arena, "failed %s", request->bucket);
    listing->response->payloads =
        arena_alloc(listing->arena, (size_t)listing->page_size * sizeof *listing->response->payloads);
    if (*request->payload_id != '\0') {
        return read_one(listing, error);
    }
    return take_position(listing, &after, error) && walk(listing, after, error);
}

static void list_failed_payloads(void *service, struct rpc_call *call) {
    Waybill__V1__ListFailedPayloadsRequest *request = (Waybill__V1__ListFailedPayloadsRequest *)rpc_call_decode(
        call, &waybill__v1__list_failed_payloads_request__descriptor);
    if (request == NULL) {
        return;
    }
    struct error error = {0};
    Waybill__V1__ListFailedPayloadsResponse response = WAYBILL__V1__LIST_FAILED_PAYLOADS_RESPONSE__INIT;
    struct failed_listing listing = {
        .api = service, .request = request, .arena = rpc_call_arena(call), .response = &response};
    if (read_page(&listing, &error)) {
        rpc_call_reply(call, &response.base);
    } else {
        rpc_call_fail(call, &error);
    }
}

/* ---- RetryPayload, CancelPayload ---- */

/* Waits for the commit: operators are few. */
static bool change_payload(struct metadata_api *api, struct commit_request *commit, struct error *error) {
    if (!change_check_outbox(api, false, error) || !committer_commit(api->committer, commit, error)) {
        return false;
    }
    metadata_api_settle(api, commit);
    return true;
}

static bool take_change(struct commit_request *commit, enum commit_kind kind, const char *payload_id,
                        const char *request_id, const char *reason, struct rpc_call *call, struct error *error) {
    change_init(commit, kind, rpc_call_arena(call));
    if (!uuid_parse_text(payload_id, &commit->record.payload_id)) {
        return error_set_field(error, "payload_id", "BAD_PAYLOAD_ID", "a payload id is a UUID");
    }
    return change_take_common(commit, request_id, reason, false, 0, false, rpc_call_request(call), error);
}

/* The committer knows only what the records say of the spool. */
static bool check_spool(struct metadata_api *api, const struct uuid *payload_id, struct arena *arena,
                        struct error *error) {
    struct payload_entry entry;
    bool found;
    if (!record_store_get_payload(kv_lookup_of(api->kv), payload_id, arena, &entry, &found, error)) {
        return false;
    }
    return !found || entry.place != PAYLOAD_SPOOLED || spool_has(api, payload_id, &entry) ||
           error_set(error, ERROR_FAILED_PRECONDITION, "PAYLOAD_LOST",
                     "the spool has lost the payload: write the record again");
}

static void retry_payload(void *service, struct rpc_call *call) {
    struct arena *arena = rpc_call_arena(call);
    Waybill__V1__RetryPayloadRequest *request =
        (Waybill__V1__RetryPayloadRequest *)rpc_call_decode(call, &waybill__v1__retry_payload_request__descriptor);
    if (request == NULL) {
        return;
    }
    struct error error = {0};
    struct commit_request commit;
    if (!take_change(&commit, COMMIT_RETRY_PAYLOAD, request->payload_id, request->request_id, request->reason, call,
                     &error) ||
        !check_spool(service, &commit.record.payload_id, arena, &error) || !change_payload(service, &commit, &error)) {
        rpc_call_fail(call, &error);
        return;
    }
    Waybill__V1__RetryPayloadResponse response = WAYBILL__V1__RETRY_PAYLOAD_RESPONSE__INIT;
    response.record = record_to_proto(&commit.record, arena);
    rpc_call_reply(call, &response.base);
}

static void cancel_payload(void *service, struct rpc_call *call) {
    struct arena *arena = rpc_call_arena(call);
    Waybill__V1__CancelPayloadRequest *request =
        (Waybill__V1__CancelPayloadRequest *)rpc_call_decode(call, &waybill__v1__cancel_payload_request__descriptor);
    if (request == NULL) {
        return;
    }
    struct error error = {0};
    struct commit_request commit;
    if (!take_change(&commit, COMMIT_CANCEL_PAYLOAD, request->payload_id, request->request_id, request->reason, call,
                     &error) ||
        !change_payload(service, &commit, &error)) {
        rpc_call_fail(call, &error);
        return;
    }
    Waybill__V1__CancelPayloadResponse response = WAYBILL__V1__CANCEL_PAYLOAD_RESPONSE__INIT;
    response.record = record_to_proto(&commit.record, arena);
    rpc_call_reply(call, &response.base);
}

void failed_api_add_to(struct metadata_api *api, struct rpc_server *server) {
    rpc_server_add_unary(server, "/waybill.v1.AdminService/ListFailedPayloads", RPC_BLOCKING, list_failed_payloads,
                         api);
    rpc_server_add_unary(server, "/waybill.v1.AdminService/RetryPayload", RPC_BLOCKING, retry_payload, api);
    rpc_server_add_unary(server, "/waybill.v1.AdminService/CancelPayload", RPC_BLOCKING, cancel_payload, api);
}
