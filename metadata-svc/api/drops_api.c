/* ListDrops: which objects of a place no version needs any more. */
#include <stdlib.h>

#include "metadata-svc/api/metadata_api.h"
#include "metadata-svc/api/page_token.h"
#include "metadata-svc/api/place.h"
#include "metadata-svc/api/request_checks.h"
#include "metadata-svc/store/due_drops.h"
#include "metadata-svc/store/record_codec.h"
#include "waybill/v1/report_service.pb-c.h"

static Waybill__V1__ObjectDrop *drop_to_proto(const struct due_drop *drop, struct arena *arena) {
    Waybill__V1__ObjectDrop *message = arena_alloc(arena, sizeof *message);
    Waybill__V1__ObjectName *name = arena_alloc(arena, sizeof *name);
    waybill__v1__object_drop__init(message);
    waybill__v1__object_name__init(name);
    name->bucket = (char *)(uintptr_t)drop->object.bucket;
    name->key = (char *)(uintptr_t)drop->object.key;
    name->version = drop->object.version;
    name->payload_id = uuid_to_text(&drop->payload_id, arena);
    message->object = name;
    message->due_time = timestamp_to_proto(drop->due_us, arena);
    return message;
}

/* Where the page before ended. */
static bool take_position(const char *listing, const char *token, struct arena *arena, struct layout_drop *after,
                          struct error *error) {
    const char *position = page_token_read(arena, listing, token, error);
    if (position == NULL || position[0] == '\0') {
        return position != NULL;
    }
    char *id = arena_strdup(arena, position);
    id[UUID_TEXT_BYTES - 1] = '\0';
    after->due_us = strtoll(position + UUID_TEXT_BYTES, NULL, 10);
    return uuid_parse_text(id, &after->payload_id) ||
           error_set_field(error, "page_token", "BAD_PAGE_TOKEN", "the token is damaged");
}

static bool read_page(struct metadata_api *api, const Waybill__V1__ListDropsRequest *request, struct arena *arena,
                      Waybill__V1__ListDropsResponse *response, struct error *error) {
    struct place place;
    int32_t page_size;
    if (!take_place(request->tier, request->replica, &place, error) ||
        !check_page_size(request->page_size, &page_size, error)) {
        return false;
    }
    const char *listing = arena_printf(arena, "drops %d %s", (int)request->tier, request->replica);
    struct layout_drop after = {.tier = (uint8_t)place.tier, .replica = place.replica};
    struct due_drop *drops = arena_alloc(arena, (size_t)page_size * sizeof *drops);
    size_t count;
    bool more;
    if (!take_position(listing, request->page_token, arena, &after, error) ||
        !due_drops_read(api->kv, &after, clock_unix_us(&system_clock), arena, drops, (size_t)page_size, &count, &more,
                        error)) {
        return false;
    }
    response->drops = arena_alloc(arena, count * sizeof *response->drops);
    for (; response->n_drops < count; response->n_drops++) {
        response->drops[response->n_drops] = drop_to_proto(&drops[response->n_drops], arena);
    }
    if (more) {
        const char *id = response->drops[count - 1]->object->payload_id;
        response->next_page_token =
            page_token_make(arena, listing, arena_printf(arena, "%s %lld", id, (long long)drops[count - 1].due_us));
    }
    return true;
}

static void list_drops(void *service, struct rpc_call *call) {
    struct metadata_api *api = service;
    Waybill__V1__ListDropsRequest *request =
        (Waybill__V1__ListDropsRequest *)rpc_call_decode(call, &waybill__v1__list_drops_request__descriptor);
    if (request == NULL) {
        return;
    }
    struct error error = {0};
    Waybill__V1__ListDropsResponse response = WAYBILL__V1__LIST_DROPS_RESPONSE__INIT;
    if (read_page(api, request, rpc_call_arena(call), &response, &error)) {
        rpc_call_reply(call, &response.base);
    } else {
        rpc_call_fail(call, &error);
    }
}

void drops_api_add_to(struct metadata_api *api, struct rpc_server *server) {
    rpc_server_add_unary(server, "/waybill.v1.ReportService/ListDrops", RPC_BLOCKING, list_drops, api);
}
