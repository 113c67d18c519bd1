/* ListDrops: which objects of a place no version needs any more. */
#include <stdlib.h>

#include "metadata-svc/api/metadata_api.h"
#include "metadata-svc/api/page_token.h"
#include "metadata-svc/api/place.h"
#include "metadata-svc/api/request_checks.h"
#include "metadata-svc/store/layout.h"
#include "metadata-svc/store/record_codec.h"
#include "metadata-svc/store/record_store.h"
#include "waybill/v1/report_service.pb-c.h"

struct drop_listing {
    struct arena *arena;
    struct kv_lookup lookup;
    struct bytes prefix;
    int64_t now_us;
    int32_t page_size;
    const char *name; /* identifies the listing to its page tokens */
    struct bytes after;
    Waybill__V1__ListDropsResponse *response;
};

static Waybill__V1__ObjectDrop *drop_to_proto(const struct dropped_object *object, const struct uuid *payload_id,
                                              int64_t due_us, struct arena *arena) {
    Waybill__V1__ObjectDrop *message = arena_alloc(arena, sizeof *message);
    Waybill__V1__ObjectName *name = arena_alloc(arena, sizeof *name);
    waybill__v1__object_drop__init(message);
    waybill__v1__object_name__init(name);
    name->bucket = (char *)(uintptr_t)object->bucket;
    name->key = (char *)(uintptr_t)object->key;
    name->version = object->version;
    name->payload_id = uuid_to_text(payload_id, arena);
    message->object = name;
    message->due_time = timestamp_to_proto(due_us, arena);
    return message;
}

/* An entry is written only when the last version that has the payload goes, so none that does can
 * be found; if one is, its object stays, whatever the entry says. */
static bool add_drop(struct drop_listing *listing, struct bytes value, const struct uuid *payload_id, int64_t due_us,
                     struct error *error) {
    struct dropped_object object;
    struct record record;
    bool needed;
    if (!record_store_decode_drop(value, listing->arena, &object, error) ||
        !record_store_find_object(listing->lookup, object.bucket, object.key, object.version, payload_id,
                                  listing->arena, &record, &needed, error)) {
        return false;
    }
    if (!needed) {
        listing->response->drops[listing->response->n_drops++] =
            drop_to_proto(&object, payload_id, due_us, listing->arena);
    }
    return true;
}

static bool walk(struct drop_listing *listing, struct kv_cursor *cursor, struct error *error) {
    cursor->ops->cursor_seek(cursor, listing->after.size > 0 ? listing->after : listing->prefix);
    for (; cursor->ops->cursor_valid(cursor); cursor->ops->cursor_next(cursor)) {
        struct bytes key = cursor->ops->cursor_key(cursor);
        struct uuid payload_id;
        int64_t due_us;
        if (!layout_read_drop_key(key, listing->prefix, &due_us, &payload_id) || due_us > listing->now_us) {
            break;
        }
        if (bytes_equal(key, listing->after)) {
            continue;
        }
        if (listing->response->n_drops == (size_t)listing->page_size) {
            const Waybill__V1__ObjectDrop *last = listing->response->drops[listing->page_size - 1];
            listing->response->next_page_token =
                page_token_make(listing->arena, listing->name,
                                arena_printf(listing->arena, "%s %lld", last->object->payload_id,
                                             (long long)timestamp_from_proto(last->due_time)));
            break;
        }
        if (!add_drop(listing, cursor->ops->cursor_value(cursor), &payload_id, due_us, error)) {
            return false;
        }
    }
    return cursor->ops->cursor_check(cursor, error);
}

/* Where the page before ended. */
static bool take_position(struct drop_listing *listing, const struct place *place, const char *token,
                          struct error *error) {
    const char *after = page_token_read(listing->arena, listing->name, token, error);
    if (after == NULL || after[0] == '\0') {
        return after != NULL;
    }
    char *id = arena_strdup(listing->arena, after);
    id[UUID_TEXT_BYTES - 1] = '\0';
    struct layout_drop drop = {
        .tier = (uint8_t)place->tier, .replica = place->replica, .due_us = strtoll(after + UUID_TEXT_BYTES, NULL, 10)};
    if (!uuid_parse_text(id, &drop.payload_id)) {
        return error_set_field(error, "page_token", "BAD_PAGE_TOKEN", "the token is damaged");
    }
    listing->after = layout_drop_key(listing->arena, &drop);
    return true;
}

static bool read_page(struct metadata_api *api, const Waybill__V1__ListDropsRequest *request,
                      struct drop_listing *listing, struct error *error) {
    struct place place;
    if (!take_place(request->tier, request->replica, &place, error) ||
        !check_page_size(request->page_size, &listing->page_size, error)) {
        return false;
    }
    listing->name = arena_printf(listing->arena, "drops %d %s", (int)request->tier, request->replica);
    listing->prefix = layout_drops_prefix(listing->arena, (uint8_t)place.tier, place.replica);
    if (!take_position(listing, &place, request->page_token, error)) {
        return false;
    }
    listing->response->drops =
        arena_alloc(listing->arena, (size_t)listing->page_size * sizeof *listing->response->drops);
    struct kv_cursor *cursor = api->kv->ops->cursor_open(api->kv);
    bool good = walk(listing, cursor, error);
    cursor->ops->cursor_close(cursor);
    return good;
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
    struct drop_listing listing = {
        .arena = rpc_call_arena(call),
        .lookup = kv_lookup_of(api->kv),
        .now_us = clock_unix_us(&system_clock),
        .response = &response,
    };
    if (read_page(api, request, &listing, &error)) {
        rpc_call_reply(call, &response.base);
    } else {
        rpc_call_fail(call, &error);
    }
}

void drops_api_add_to(struct metadata_api *api, struct rpc_server *server) {
    rpc_server_add_unary(server, "/waybill.v1.ReportService/ListDrops", RPC_BLOCKING, list_drops, api);
}
