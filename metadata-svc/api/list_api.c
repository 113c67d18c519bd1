/* ListRecords, ListRecordVersions. */
#include <stdlib.h>
#include <string.h>

#include "common/base/names.h"
#include "metadata-svc/api/metadata_api.h"
#include "metadata-svc/api/page_token.h"
#include "metadata-svc/api/record_filter.h"
#include "metadata-svc/api/request_checks.h"
#include "metadata-svc/store/layout.h"
#include "metadata-svc/store/record_codec.h"
#include "metadata-svc/store/record_store.h"
#include "waybill/v1/metadata_service.pb-c.h"

enum {
    DELIMITER_MAX_BYTES = 16,
    /* Entries that one page looks at, so that a page of what hardly any record matches does not
     * take for ever: it then ends early, with a token. */
    LIST_LOOKS_MAX = 10000,
    /* Of records on one page, about; gRPC clients take messages of up to 4 MiB unless told. */
    PAGE_MAX_BYTES = 2 * 1024 * 1024,
};

/* ---- ListRecords ---- */

/* Where a listing goes on, as its token says: behind a key, or behind all keys of a prefix. */
enum { AFTER_START = '\0', AFTER_KEY = 'k', AFTER_PREFIX = 'p' };

struct listing {
    const Waybill__V1__ListRecordsRequest *request;
    struct arena *arena;
    const struct record_filter *filter;
    struct bytes bucket_keys; /* what every head key of the bucket begins with */
    const char *name;         /* identifies the listing to its page tokens */
    char after_kind;
    const char *after;
    int32_t page_size;

    struct kv_cursor *cursor;
    Waybill__V1__ListRecordsResponse *response;
    size_t bytes;   /* of the records on the page, as they are stored */
    char last_kind; /* the last entry of the page */
    const char *last;
};

static void seek(struct listing *listing, const char *key) {
    listing->cursor->ops->cursor_seek(listing->cursor, layout_head_key(listing->arena, listing->request->bucket, key));
}

/* The first possible key behind all that begin with `prefix`: UTF-8 has no byte 0xff. */
static void seek_behind(struct listing *listing, const char *prefix) {
    char *next = arena_strdup(listing->arena, prefix);
    next[strlen(next) - 1]++;
    seek(listing, next);
}

static void seek_start(struct listing *listing) {
    const char *prefix = listing->request->prefix;
    if (listing->after_kind == AFTER_PREFIX) {
        seek_behind(listing, listing->after);
    } else {
        seek(listing, strcmp(listing->after, prefix) > 0 ? listing->after : prefix);
    }
}

/* The key under the cursor, NULL when the walk has left the listing. */
static const char *key_in_listing(const struct listing *listing) {
    const struct kv_cursor *cursor = listing->cursor;
    if (!cursor->ops->cursor_valid(cursor)) {
        return NULL;
    }
    struct bytes whole = cursor->ops->cursor_key(cursor);
    if (!bytes_start_with(whole, listing->bucket_keys)) {
        return NULL;
    }
    struct bytes key = bytes_of(whole.data + listing->bucket_keys.size, whole.size - listing->bucket_keys.size);
    if (!bytes_start_with(key, bytes_of_string(listing->request->prefix))) {
        return NULL;
    }
    char *out = arena_zalloc(listing->arena, key.size + 1);
    memcpy(out, key.data, key.size);
    return out;
}

/* The part of the key up to and with the delimiter; NULL where there is none. */
static const char *common_prefix_of(const struct listing *listing, const char *key) {
    const char *delimiter = listing->request->delimiter;
    if (delimiter[0] == '\0') {
        return NULL;
    }
    const char *found = strstr(key + strlen(listing->request->prefix), delimiter);
    if (found == NULL) {
        return NULL;
    }
    size_t size = (size_t)(found - key) + strlen(delimiter);
    char *out = arena_zalloc(listing->arena, size + 1);
    memcpy(out, key, size);
    return out;
}

static size_t entries(const struct listing *listing) {
    return listing->response->n_records + listing->response->n_common_prefixes;
}

static void end_page(struct listing *listing, char kind, const char *name) {
    listing->response->next_page_token =
        page_token_make(listing->arena, listing->name, arena_printf(listing->arena, "%c%s", kind, name));
}

static void add_record(struct listing *listing, const char *key, const struct record *record) {
    Waybill__V1__ListRecordsResponse *response = listing->response;
    response->records[response->n_records++] = record_to_proto(record, listing->arena);
    listing->last_kind = AFTER_KEY;
    listing->last = key;
}

static void add_common_prefix(struct listing *listing, const char *prefix) {
    Waybill__V1__ListRecordsResponse *response = listing->response;
    response->common_prefixes[response->n_common_prefixes++] = (char *)(uintptr_t)prefix;
    listing->last_kind = AFTER_PREFIX;
    listing->last = prefix;
}

static bool is_wanted(const struct listing *listing, const struct record *record) {
    return (record->state != RECORD_DELETED || listing->request->show_deleted) &&
           record_filter_matches(listing->filter, record);
}

/* One entry; `looked_at` is given back after it, so that what is not wanted takes no memory. */
static bool take_entry(struct listing *listing, const char *key, struct arena *looked_at, bool *full,
                       struct error *error) {
    struct record_head head;
    struct bytes stored = listing->cursor->ops->cursor_value(listing->cursor);
    bool seen = listing->after_kind == AFTER_KEY && strcmp(key, listing->after) == 0;
    if (!record_store_decode_head(stored, looked_at, &head, error)) {
        return false;
    }
    if (seen || !is_wanted(listing, &head.record)) {
        listing->cursor->ops->cursor_next(listing->cursor);
        return true;
    }
    *full = entries(listing) == (size_t)listing->page_size ||
            (entries(listing) > 0 && listing->bytes + stored.size > PAGE_MAX_BYTES);
    if (*full) {
        end_page(listing, listing->last_kind, listing->last);
        return true;
    }
    const char *prefix = common_prefix_of(listing, key);
    if (prefix != NULL) {
        add_common_prefix(listing, prefix);
        seek_behind(listing, prefix);
        return true;
    }
    if (!record_store_decode_head(arena_copy(listing->arena, stored), listing->arena, &head, error)) {
        return false;
    }
    listing->bytes += stored.size;
    add_record(listing, key, &head.record);
    listing->cursor->ops->cursor_next(listing->cursor);
    return true;
}

/* Fills the page from where the cursor stands. */
static bool walk(struct listing *listing, struct error *error) {
    const char *key;
    const char *behind = listing->after;
    bool good = true;
    bool full = false;
    for (unsigned looks = 0; good && !full && (key = key_in_listing(listing)) != NULL; looks++) {
        if (looks == LIST_LOOKS_MAX) {
            end_page(listing, AFTER_KEY, behind);
            return true;
        }
        struct arena looked_at;
        arena_init(&looked_at);
        good = take_entry(listing, key, &looked_at, &full, error);
        arena_free(&looked_at);
        behind = key;
    }
    return good;
}

static bool read_page(struct metadata_api *api, struct listing *listing, struct error *error) {
    Waybill__V1__ListRecordsResponse *response = listing->response;
    size_t size = (size_t)listing->page_size;
    response->records = arena_alloc(listing->arena, size * sizeof *response->records);
    response->common_prefixes = arena_alloc(listing->arena, size * sizeof *response->common_prefixes);
    listing->bucket_keys = layout_head_key(listing->arena, listing->request->bucket, "");
    listing->cursor = api->kv->ops->cursor_open(api->kv);
    seek_start(listing);
    bool good = walk(listing, error) && listing->cursor->ops->cursor_check(listing->cursor, error);
    listing->cursor->ops->cursor_close(listing->cursor);
    return good;
}

static bool take_token(struct listing *listing, struct error *error) {
    const Waybill__V1__ListRecordsRequest *request = listing->request;
    /* All that must not change between pages; 01 occurs in none of it. */
    listing->name = arena_printf(listing->arena, "records %s %d %s\001%s\001%s", request->bucket, request->show_deleted,
                                 request->prefix, request->delimiter, request->filter);
    const char *after = page_token_read(listing->arena, listing->name, request->page_token, error);
    if (after == NULL) {
        return false;
    }
    listing->after_kind = after[0];
    listing->after = after[0] != AFTER_START ? after + 1 : after;
    return true;
}

static bool check_listing(struct metadata_api *api, struct listing *listing, struct error *error) {
    const Waybill__V1__ListRecordsRequest *request = listing->request;
    struct bucket bucket;
    if (!name_check_bucket(request->bucket, "bucket", error) ||
        !check_page_size(request->page_size, &listing->page_size, error)) {
        return false;
    }
    if (strlen(request->prefix) > NAME_KEY_MAX_BYTES) {
        return error_set_field(error, "prefix", "BAD_PREFIX", "a prefix has at most %d bytes", NAME_KEY_MAX_BYTES);
    }
    if (strlen(request->delimiter) > DELIMITER_MAX_BYTES) {
        return error_set_field(error, "delimiter", "BAD_DELIMITER", "a delimiter has at most %d bytes",
                               DELIMITER_MAX_BYTES);
    }
    listing->filter = record_filter_parse(request->filter, listing->arena, error);
    return listing->filter != NULL && take_token(listing, error) &&
           record_store_get_bucket(kv_lookup_of(api->kv), request->bucket, listing->arena, &bucket, error);
}

static void list_records(void *service, struct rpc_call *call) {
    Waybill__V1__ListRecordsRequest *request =
        (Waybill__V1__ListRecordsRequest *)rpc_call_decode(call, &waybill__v1__list_records_request__descriptor);
    if (request == NULL) {
        return;
    }
    struct error error = {0};
    Waybill__V1__ListRecordsResponse response = WAYBILL__V1__LIST_RECORDS_RESPONSE__INIT;
    struct listing listing = {.request = request, .arena = rpc_call_arena(call), .response = &response};
    if (check_listing(service, &listing, &error) && read_page(service, &listing, &error)) {
        rpc_call_reply(call, &response.base);
    } else {
        rpc_call_fail(call, &error);
    }
}

/* ---- ListRecordVersions ---- */

struct version_listing {
    const Waybill__V1__ListRecordVersionsRequest *request;
    struct arena *arena;
    const char *name;
    int64_t below; /* versions at and above this one were on pages before */
    int32_t page_size;
};

/* The version of the newest kept one below `below`; 0 when there is none. */
static int64_t version_below(struct kv_cursor *cursor, const struct version_listing *listing, int64_t below) {
    const Waybill__V1__ListRecordVersionsRequest *request = listing->request;
    struct bytes bound = layout_version_key(listing->arena, request->bucket, request->key, below);
    struct bytes name = bytes_of(bound.data, bound.size - sizeof(uint64_t));
    cursor->ops->cursor_seek_before(cursor, bound);
    if (!cursor->ops->cursor_valid(cursor)) {
        return 0;
    }
    struct bytes key = cursor->ops->cursor_key(cursor);
    return key.size == bound.size && bytes_start_with(key, name) ? (int64_t)get_be64(key.data + name.size) : 0;
}

static bool read_versions(struct metadata_api *api, const struct version_listing *listing,
                          const struct record_head *head, Waybill__V1__ListRecordVersionsResponse *response,
                          struct error *error) {
    struct kv_lookup lookup = kv_lookup_of(api->kv);
    struct arena *arena = listing->arena;
    struct kv_cursor *cursor = api->kv->ops->cursor_open(api->kv);
    bool good = true;
    size_t bytes = 0;
    response->records = arena_alloc(arena, (size_t)listing->page_size * sizeof *response->records);
    int64_t version =
        listing->below > head->record.version ? head->record.version : version_below(cursor, listing, listing->below);
    while (good && version > 0) {
        struct record record;
        bool found;
        if (response->n_records == (size_t)listing->page_size || bytes > PAGE_MAX_BYTES) {
            const char *last =
                arena_printf(arena, "%lld", (long long)response->records[response->n_records - 1]->version);
            response->next_page_token = page_token_make(arena, listing->name, last);
            break;
        }
        good = record_store_get_version(lookup, listing->request->bucket, listing->request->key, version, arena,
                                        &record, &found, error);
        if (good && found) { /* it may have been trimmed just now */
            Waybill__V1__Record *message = record_to_proto(&record, arena);
            bytes += waybill__v1__record__get_packed_size(message);
            response->records[response->n_records++] = message;
        }
        version = version_below(cursor, listing, version);
    }
    good = good && cursor->ops->cursor_check(cursor, error);
    cursor->ops->cursor_close(cursor);
    return good;
}

static bool list_versions(struct metadata_api *api, struct version_listing *listing,
                          Waybill__V1__ListRecordVersionsResponse *response, struct error *error) {
    const Waybill__V1__ListRecordVersionsRequest *request = listing->request;
    struct record_head head;
    bool found;
    if (!name_check_bucket(request->bucket, "bucket", error) || !name_check_key(request->key, "key", error) ||
        !check_page_size(request->page_size, &listing->page_size, error)) {
        return false;
    }
    listing->name = arena_printf(listing->arena, "versions %s %s", request->bucket, request->key);
    const char *after = page_token_read(listing->arena, listing->name, request->page_token, error);
    if (after == NULL) {
        return false;
    }
    listing->below = after[0] != '\0' ? strtoll(after, NULL, 10) : INT64_MAX;
    if (!record_store_get_head(kv_lookup_of(api->kv), request->bucket, request->key, listing->arena, &head, &found,
                               error)) {
        return false;
    }
    if (!found) {
        return error_set(error, ERROR_NOT_FOUND, "RECORD_NOT_FOUND", "there is no such record in bucket \"%s\"",
                         request->bucket);
    }
    return read_versions(api, listing, &head, response, error);
}

static void list_record_versions(void *service, struct rpc_call *call) {
    Waybill__V1__ListRecordVersionsRequest *request = (Waybill__V1__ListRecordVersionsRequest *)rpc_call_decode(
        call, &waybill__v1__list_record_versions_request__descriptor);
    if (request == NULL) {
        return;
    }
    struct error error = {0};
    Waybill__V1__ListRecordVersionsResponse response = WAYBILL__V1__LIST_RECORD_VERSIONS_RESPONSE__INIT;
    struct version_listing listing = {.request = request, .arena = rpc_call_arena(call)};
    if (list_versions(service, &listing, &response, &error)) {
        rpc_call_reply(call, &response.base);
    } else {
        rpc_call_fail(call, &error);
    }
}

void list_api_add_to(struct metadata_api *api, struct rpc_server *server) {
    rpc_server_add_unary(server, "/waybill.v1.MetadataService/ListRecords", RPC_BLOCKING, list_records, api);
    rpc_server_add_unary(server, "/waybill.v1.MetadataService/ListRecordVersions", RPC_BLOCKING, list_record_versions,
                         api);
}
