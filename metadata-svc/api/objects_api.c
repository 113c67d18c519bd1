/* CheckObjects, ListObjects: what the records say of objects, for those who compare both. They
 * read what is durable and change nothing. */
#include <stdlib.h>
#include <string.h>

#include "common/base/names.h"
#include "metadata-svc/api/metadata_api.h"
#include "metadata-svc/api/page_token.h"
#include "metadata-svc/api/place.h"
#include "metadata-svc/api/request_checks.h"
#include "metadata-svc/store/layout.h"
#include "metadata-svc/store/record_codec.h"
#include "metadata-svc/store/record_store.h"
#include "waybill/v1/report_service.pb-c.h"

enum {
    CHECKS_MAX = 1000,
    /* Entries that one page looks at, so that a place with few objects does not hold a thread. */
    LIST_LOOKS_MAX = 10000,
    PAGE_MAX_BYTES = 2 * 1024 * 1024, /* of records, about */
};

/* ---- the place ---- */

static bool is_in(const struct record *record, const struct place *place) {
    return record->state == RECORD_STORED && record_find_location(record, place->tier, place->replica) >= 0;
}

/* ---- CheckObjects ---- */

static bool check_name(const Waybill__V1__ObjectName *name, struct uuid *payload_id, struct error *error) {
    if (!name_check_bucket(name->bucket, "objects.bucket", error) || !name_check_key(name->key, "objects.key", error)) {
        return false;
    }
    if (name->version < 1) {
        return error_set_field(error, "objects.version", "BAD_VERSION", "a version is 1 or more");
    }
    *payload_id = (struct uuid){0};
    if (name->payload_id[0] != '\0' && !uuid_parse_text(name->payload_id, payload_id)) {
        return error_set_field(error, "objects.payload_id", "BAD_PAYLOAD_ID", "a payload id is a UUID");
    }
    return true;
}

/* Whether readers may come to want the bytes. */
static bool needs_bytes(const struct record *record) {
    return record->state == RECORD_STAGED || record->state == RECORD_STORED || record->state == RECORD_FAILED;
}

static bool check_object(struct metadata_api *api, const struct place *place, const Waybill__V1__ObjectName *name,
                         struct arena *arena, Waybill__V1__ObjectCheck *check, struct error *error) {
    struct uuid payload_id;
    struct record record;
    bool found;
    if (!check_name(name, &payload_id, error) ||
        !record_store_find_object(kv_lookup_of(api->kv), name->bucket, name->key, name->version, &payload_id, arena,
                                  &record, &found, error)) {
        return false;
    }
    if (!found || !needs_bytes(&record)) {
        check->standing = WAYBILL__V1__OBJECT_STANDING__OBJECT_STANDING_OBSOLETE;
        return true;
    }
    check->standing = is_in(&record, place) ? WAYBILL__V1__OBJECT_STANDING__OBJECT_STANDING_EXPECTED
                                            : WAYBILL__V1__OBJECT_STANDING__OBJECT_STANDING_UNLISTED;
    check->record = record_to_proto(&record, arena);
    return true;
}

static bool check_all(struct metadata_api *api, const Waybill__V1__CheckObjectsRequest *request, struct arena *arena,
                      Waybill__V1__CheckObjectsResponse *response, struct error *error) {
    struct place place;
    if (!take_place(request->tier, request->replica, &place, error)) {
        return false;
    }
    if (request->n_objects > CHECKS_MAX) {
        return error_set_field(error, "objects", "TOO_MANY_OBJECTS", "at most %d objects are checked at once",
                               CHECKS_MAX);
    }
    response->checks = arena_alloc(arena, request->n_objects * sizeof *response->checks);
    for (size_t i = 0; i < request->n_objects; i++) {
        Waybill__V1__ObjectCheck *check = arena_alloc(arena, sizeof *check);
        waybill__v1__object_check__init(check);
        if (!check_object(api, &place, request->objects[i], arena, check, error)) {
            return false;
        }
        response->checks[response->n_checks++] = check;
    }
    return true;
}

static void check_objects(void *service, struct rpc_call *call) {
    Waybill__V1__CheckObjectsRequest *request =
        (Waybill__V1__CheckObjectsRequest *)rpc_call_decode(call, &waybill__v1__check_objects_request__descriptor);
    if (request == NULL) {
        return;
    }
    struct error error = {0};
    Waybill__V1__CheckObjectsResponse response = WAYBILL__V1__CHECK_OBJECTS_RESPONSE__INIT;
    if (check_all(service, request, rpc_call_arena(call), &response, &error)) {
        rpc_call_reply(call, &response.base);
    } else {
        rpc_call_fail(call, &error);
    }
}

/* ---- ListObjects ----
 *
 * Latest versions first, then those before them. What becomes an older version meanwhile is met
 * in the second part, perhaps once more; nothing is passed over. */

struct object_listing {
    const Waybill__V1__ListObjectsRequest *request;
    struct arena *arena;
    struct kv_lookup lookup;
    struct place place;
    const char *name; /* identifies the listing to its page tokens */
    int32_t page_size;
    Waybill__V1__ListObjectsResponse *response;
    size_t bytes;
};

/* Which part is walked, and behind which name. */
struct position {
    bool older;              /* the second part */
    struct layout_name name; /* "" at the part's start */
};

static struct bytes part_prefix(const struct object_listing *listing, bool older) {
    const char *bucket = listing->request->bucket;
    struct bytes prefix =
        older ? layout_versions_prefix(listing->arena, bucket) : layout_head_key(listing->arena, bucket, "");
    return bucket[0] != '\0' ? prefix : bytes_of(prefix.data, 1);
}

static struct bytes position_key(const struct object_listing *listing, const struct position *position) {
    const struct layout_name *name = &position->name;
    return position->older ? layout_version_key(listing->arena, name->bucket, name->key, name->version)
                           : layout_head_key(listing->arena, name->bucket, name->key);
}

/* A version as it is now; `found` is false where it holds no object here. */
static bool read_object(const struct object_listing *listing, const struct layout_name *name, struct arena *arena,
                        struct record *record, bool *found, struct error *error) {
    struct record_head head;
    bool good = name->version == 0
                    ? record_store_get_head(listing->lookup, name->bucket, name->key, arena, &head, found, error)
                    : record_store_get_version(listing->lookup, name->bucket, name->key, name->version, arena,
                                               &head.record, found, error);
    *found = good && *found && is_in(&head.record, &listing->place);
    if (!*found) {
        return good;
    }
    *record = head.record;
    /* Of versions that share a payload the newest stands for all. */
    struct payload_share share;
    bool shared;
    if (!record_store_get_share(listing->lookup, &record->payload_id, arena, &share, &shared, error)) {
        return false;
    }
    *found = !shared || share.newest_version == record->version;
    return true;
}

/* Adds the version to the page, if it holds an object here. */
static bool add_object(struct object_listing *listing, const struct layout_name *name, struct error *error) {
    struct arena looked_at;
    struct record record;
    bool found;
    arena_init(&looked_at); /* what is not wanted takes no memory of the page */
    bool good = read_object(listing, name, &looked_at, &record, &found, error);
    arena_free(&looked_at);
    if (!good || !found) {
        return good;
    }
    good = read_object(listing, name, listing->arena, &record, &found, error);
    if (good && found) {
        Waybill__V1__Record *message = record_to_proto(&record, listing->arena);
        listing->response->records[listing->response->n_records++] = message;
        listing->bytes += waybill__v1__record__get_packed_size(message);
    }
    return good;
}

/* 01 occurs in no name. */
static void end_page(struct object_listing *listing, const struct layout_name *last) {
    const char *name =
        arena_printf(listing->arena, "%lld\001%s\001%s", (long long)last->version, last->bucket, last->key);
    listing->response->next_page_token = page_token_make(listing->arena, listing->name, name);
}

static bool take_position(const struct object_listing *listing, struct position *from, struct error *error) {
    const char *after = page_token_read(listing->arena, listing->name, listing->request->page_token, error);
    *from = (struct position){0};
    if (after == NULL || after[0] == '\0') {
        return after != NULL;
    }
    char *text = arena_strdup(listing->arena, after);
    char *bucket = strchr(text, '\001') + 1;
    char *key = strchr(bucket, '\001') + 1;
    bucket[-1] = '\0';
    key[-1] = '\0';
    from->name = (struct layout_name){bucket, key, strtoll(text, NULL, 10)};
    from->older = from->name.version != 0;
    return true;
}

static bool is_full(const struct object_listing *listing) {
    return listing->response->n_records == (size_t)listing->page_size || listing->bytes > PAGE_MAX_BYTES;
}

/* Walks one part on; `looks` counts over both. */
static bool walk_part(struct object_listing *listing, struct kv_cursor *cursor, const struct position *from,
                      unsigned *looks, struct error *error) {
    struct bytes prefix = part_prefix(listing, from->older);
    struct bytes after = from->name.bucket != NULL ? position_key(listing, from) : (struct bytes){0};
    cursor->ops->cursor_seek(cursor, after.size > 0 ? after : prefix);
    for (; cursor->ops->cursor_valid(cursor); cursor->ops->cursor_next(cursor)) {
        struct bytes key = cursor->ops->cursor_key(cursor);
        struct layout_name name;
        if (!bytes_start_with(key, prefix)) {
            break;
        }
        if (bytes_equal(key, after)) {
            continue;
        }
        if (!layout_read_name(listing->arena, key, &name)) {
            return error_set(error, ERROR_DATA_LOSS, "RECORD_CORRUPT", "the name of a stored record cannot be read");
        }
        if (!add_object(listing, &name, error)) {
            return false;
        }
        if (++*looks == LIST_LOOKS_MAX || is_full(listing)) {
            end_page(listing, &name);
            return true;
        }
    }
    return cursor->ops->cursor_check(cursor, error);
}

static bool walk(struct metadata_api *api, struct object_listing *listing, struct position from, struct error *error) {
    struct kv_cursor *cursor = api->kv->ops->cursor_open_bulk(api->kv);
    unsigned looks = 0;
    bool good = true;
    if (!from.older) {
        good = walk_part(listing, cursor, &from, &looks, error);
        from = (struct position){.older = true};
    }
    if (good && listing->response->next_page_token[0] == '\0') {
        good = walk_part(listing, cursor, &from, &looks, error);
    }
    cursor->ops->cursor_close(cursor);
    return good;
}

static bool read_page(struct metadata_api *api, struct object_listing *listing, struct error *error) {
    const Waybill__V1__ListObjectsRequest *request = listing->request;
    struct position from;
    if (!take_place(request->tier, request->replica, &listing->place, error) ||
        (request->bucket[0] != '\0' && !name_check_bucket(request->bucket, "bucket", error)) ||
        !check_page_size(request->page_size, &listing->page_size, error)) {
        return false;
    }
    listing->name =
        arena_printf(listing->arena, "objects %d %s %s", (int)request->tier, request->replica, request->bucket);
    listing->lookup = kv_lookup_of(api->kv);
    listing->response->records =
        arena_alloc(listing->arena, (size_t)listing->page_size * sizeof *listing->response->records);
    return take_position(listing, &from, error) && walk(api, listing, from, error);
}

static void list_objects(void *service, struct rpc_call *call) {
    Waybill__V1__ListObjectsRequest *request =
        (Waybill__V1__ListObjectsRequest *)rpc_call_decode(call, &waybill__v1__list_objects_request__descriptor);
    if (request == NULL) {
        return;
    }
    struct error error = {0};
    Waybill__V1__ListObjectsResponse response = WAYBILL__V1__LIST_OBJECTS_RESPONSE__INIT;
    struct object_listing listing = {.request = request, .arena = rpc_call_arena(call), .response = &response};
    if (read_page(service, &listing, &error)) {
        rpc_call_reply(call, &response.base);
    } else {
        rpc_call_fail(call, &error);
    }
}

void objects_api_add_to(struct metadata_api *api, struct rpc_server *server) {
    rpc_server_add_unary(server, "/waybill.v1.ReportService/CheckObjects", RPC_BLOCKING, check_objects, api);
    rpc_server_add_unary(server, "/waybill.v1.ReportService/ListObjects", RPC_BLOCKING, list_objects, api);
}
