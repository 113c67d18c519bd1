#include "object-svc/api/dead_letter_api.h"

#include <string.h>

#include "common/base/log.h"
#include "common/base/names.h"
#include "object-svc/api/api_values.h"
#include "waybill/v1/admin_service.pb-c.h"

enum { PAGE_DEFAULT = 100, PAGE_MAX = 1000 };

/* ---- ListFailedPayloads ---- */

static Waybill__V1__Record *record_of(const struct dead_letter *letter, struct arena *arena) {
    Waybill__V1__Record *record = arena_alloc(arena, sizeof *record);
    waybill__v1__record__init(record);
    record->bucket = (char *)(uintptr_t)letter->bucket;
    record->key = (char *)(uintptr_t)letter->key;
    record->version = letter->version;
    record->payload_id = api_id_text(&letter->payload_id, arena);
    return record;
}

static Waybill__V1__FailedPayload *letter_to_proto(const struct dead_letter_api *api, const struct dead_letter *letter,
                                                   struct arena *arena) {
    Waybill__V1__DeadLetter *dead = arena_alloc(arena, sizeof *dead);
    waybill__v1__dead_letter__init(dead);
    dead->id = api_id_text(&letter->id, arena);
    dead->replica = (char *)(uintptr_t)api->replica;
    dead->event_subject = (char *)(uintptr_t)letter->event_subject;
    dead->event_sequence = (int64_t)letter->event_sequence;
    Waybill__V1__FailedPayload *message = arena_alloc(arena, sizeof *message);
    waybill__v1__failed_payload__init(message);
    message->record = record_of(letter, arena);
    message->error_reason = (char *)(uintptr_t)letter->reason;
    message->error_message = (char *)(uintptr_t)letter->message;
    message->attempts = (int32_t)letter->attempts;
    message->fail_time = api_timestamp(letter->fail_unix_us, arena);
    message->dead_letter = dead;
    return message;
}

static bool take_page(const Waybill__V1__ListFailedPayloadsRequest *request, struct uuid *after, size_t *size,
                      struct error *error) {
    *after = (struct uuid){0};
    *size = request->page_size == 0 ? PAGE_DEFAULT : (size_t)request->page_size;
    if (request->page_size < 0 || *size > PAGE_MAX) {
        return error_set_field(error, "page_size", "BAD_PAGE_SIZE", "a page has 1 to %d letters", PAGE_MAX);
    }
    if (request->page_token[0] != '\0' && !uuid_parse_text(request->page_token, after)) {
        return error_set_field(error, "page_token", "BAD_PAGE_TOKEN", "the page token is damaged");
    }
    return request->bucket[0] == '\0' || name_check_bucket(request->bucket, "bucket", error);
}

/* The only one asked for. */
static bool read_one(struct dead_letter_api *api, const Waybill__V1__ListFailedPayloadsRequest *request,
                     struct dead_letter *letter, struct arena *arena, size_t *count, struct error *error) {
    struct uuid id;
    *count = 0;
    if (!uuid_parse_text(request->payload_id, &id)) {
        return error_set_field(error, "payload_id", "BAD_PAYLOAD_ID", "the id of a dead letter is a UUID");
    }
    if (!dead_letters_get(api->letters, &id, arena, letter, error)) {
        return error->code == ERROR_NOT_FOUND;
    }
    *count = request->bucket[0] == '\0' || strcmp(request->bucket, letter->bucket) == 0;
    return true;
}

static bool read_letters(struct dead_letter_api *api, const Waybill__V1__ListFailedPayloadsRequest *request,
                         struct dead_letter *letters, struct arena *arena, size_t *count, bool *more,
                         struct error *error) {
    struct uuid after;
    size_t size;
    *more = false;
    if (!take_page(request, &after, &size, error)) {
        return false;
    }
    if (request->payload_id[0] != '\0') {
        return read_one(api, request, letters, arena, count, error);
    }
    return dead_letters_list(api->letters, request->bucket, &after, letters, size, arena, count, more, error);
}

static void list_failed(void *service, struct rpc_call *call) {
    struct dead_letter_api *api = service;
    const Waybill__V1__ListFailedPayloadsRequest *request =
        (const Waybill__V1__ListFailedPayloadsRequest *)rpc_call_decode(
            call, &waybill__v1__list_failed_payloads_request__descriptor);
    if (request == NULL) {
        return;
    }
    struct error error = {0};
    struct arena *arena = rpc_call_arena(call);
    struct dead_letter *letters = arena_alloc(arena, PAGE_MAX * sizeof *letters);
    size_t count;
    bool more;
    if (!read_letters(api, request, letters, arena, &count, &more, &error)) {
        rpc_call_fail(call, &error);
        return;
    }
    Waybill__V1__ListFailedPayloadsResponse response = WAYBILL__V1__LIST_FAILED_PAYLOADS_RESPONSE__INIT;
    response.n_payloads = count;
    response.payloads = arena_alloc(arena, (count + 1) * sizeof *response.payloads);
    for (size_t i = 0; i < count; i++) {
        response.payloads[i] = letter_to_proto(api, &letters[i], arena);
    }
    if (more && count > 0) {
        response.next_page_token = api_id_text(&letters[count - 1].id, arena);
    }
    rpc_call_reply(call, &response.base);
}

/* ---- CancelPayload ---- */

static void drop_letter(void *service, struct rpc_call *call) {
    struct dead_letter_api *api = service;
    const Waybill__V1__CancelPayloadRequest *request = (const Waybill__V1__CancelPayloadRequest *)rpc_call_decode(
        call, &waybill__v1__cancel_payload_request__descriptor);
    if (request == NULL) {
        return;
    }
    struct error error = {0};
    struct dead_letter letter;
    struct uuid id;
    struct uuid request_id;
    if (!name_check_request_id(request->request_id, "request_id", &request_id, &error)) {
        rpc_call_fail(call, &error);
        return;
    }
    if (!uuid_parse_text(request->payload_id, &id)) {
        error_set_field(&error, "payload_id", "BAD_PAYLOAD_ID", "the id of a dead letter is a UUID");
        rpc_call_fail(call, &error);
        return;
    }
    if (!dead_letters_drop(api->letters, &id, rpc_call_arena(call), &letter, &error)) {
        rpc_call_fail(call, &error);
        return;
    }
    log_info("dead_letter_dropped", LOG_STR("id", request->payload_id),
             LOG_INT("event_sequence", letter.event_sequence), LOG_STR("cause", letter.reason),
             LOG_STR("reason", request->reason));
    Waybill__V1__CancelPayloadResponse response = WAYBILL__V1__CANCEL_PAYLOAD_RESPONSE__INIT;
    response.record = record_of(&letter, rpc_call_arena(call));
    rpc_call_reply(call, &response.base);
}

void dead_letter_api_add_to(struct dead_letter_api *api, struct rpc_server *server) {
    rpc_server_add_unary(server, "/waybill.v1.AdminService/ListFailedPayloads", RPC_BLOCKING, list_failed, api);
    rpc_server_add_unary(server, "/waybill.v1.AdminService/CancelPayload", RPC_BLOCKING, drop_letter, api);
}
