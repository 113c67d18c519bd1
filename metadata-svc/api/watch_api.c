/* WatchChanges: the change log from a revision on, then every change as it becomes durable.
 * The request is looked at here; the hub does the rest (metadata-svc/watch/). */
#include <string.h>

#include "common/base/names.h"
#include "common/rpc/proto_message.h"
#include "common/rpc/rpc_push.h"
#include "metadata-svc/api/metadata_api.h"
#include "waybill/v1/metadata_service.pb-c.h"

enum {
    WATCH_BOOKMARK_DEFAULT_MS = 30000,
    WATCH_BOOKMARK_MIN_MS = 100,
    WATCH_MAX_TYPES = 32,
};

/* ---- the hub's way to a client ---- */

static bool push_send(void *self, struct rpc_message *const *messages, size_t count) {
    return rpc_push_send(self, messages, count);
}

static void push_finish(void *self, const struct error *error) {
    rpc_push_finish(self, error);
}

static void push_reset(void *self, const struct error *error) {
    rpc_push_reset(self, error);
}

/* ---- the request ---- */

static bool check_filter(const Waybill__V1__WatchChangesRequest *request, struct error *error) {
    if (request->bucket[0] != '\0' && !name_check_bucket(request->bucket, "bucket", error)) {
        return false;
    }
    if (strlen(request->key_prefix) > NAME_KEY_MAX_BYTES) {
        return error_set_field(error, "key_prefix", "BAD_PREFIX", "a prefix has at most %d bytes", NAME_KEY_MAX_BYTES);
    }
    if (request->n_types > WATCH_MAX_TYPES) {
        return error_set_field(error, "types", "TOO_MANY_TYPES", "at most %d types are taken", WATCH_MAX_TYPES);
    }
    return true;
}

static bool check_start(const Waybill__V1__WatchChangesRequest *request, int64_t durable, struct error *error) {
    if (request->start_revision < 0) {
        return error_set_field(error, "start_revision", "BAD_REVISION", "a revision is 1 or more, or 0 for now");
    }
    if (request->start_revision > durable + 1) {
        error_set(error, ERROR_OUT_OF_RANGE, "REVISION_IN_FUTURE", "the newest revision is %lld", (long long)durable);
        error_set_detail(error, "newest_revision", "%lld", (long long)durable);
        return false;
    }
    return true;
}

static bool check_bookmark_interval(const Google__Protobuf__Duration *interval, int64_t *bookmark_ms,
                                    struct error *error) {
    *bookmark_ms = WATCH_BOOKMARK_DEFAULT_MS;
    if (interval == NULL || (interval->seconds == 0 && interval->nanos == 0)) {
        return true;
    }
    if (interval->seconds < 0 || interval->seconds > 86400 || interval->nanos < 0 || interval->nanos > 999999999) {
        return error_set_field(error, "bookmark_interval", "BAD_DURATION", "it is 0 to 24 hours");
    }
    *bookmark_ms = interval->seconds * 1000 + interval->nanos / 1000000;
    if (*bookmark_ms < WATCH_BOOKMARK_MIN_MS) {
        *bookmark_ms = WATCH_BOOKMARK_MIN_MS;
    }
    return true;
}

/* The settings borrow from the request. */
static bool settings_of(struct metadata_api *api, const Waybill__V1__WatchChangesRequest *request,
                        struct watch_settings *settings, struct error *error) {
    int64_t durable = commit_feed_revision(api->feed);
    int64_t bookmark_ms;
    if (!check_filter(request, error) || !check_start(request, durable, error) ||
        !check_bookmark_interval(request->bookmark_interval, &bookmark_ms, error)) {
        return false;
    }
    *settings = (struct watch_settings){
        .next_revision = request->start_revision == 0 ? durable + 1 : request->start_revision,
        .bookmark_us = bookmark_ms * 1000,
        .filter = {request->bucket, request->key_prefix, request->types, request->n_types},
    };
    return true;
}

static void watch_changes(void *service, struct rpc_push *push) {
    struct metadata_api *api = service;
    struct error error = {0};
    struct watch_settings settings;
    const Waybill__V1__WatchChangesRequest *request = (const Waybill__V1__WatchChangesRequest *)rpc_push_decode(
        push, &waybill__v1__watch_changes_request__descriptor);
    if (request == NULL) {
        return;
    }
    if (!settings_of(api, request, &settings, &error)) {
        rpc_push_finish(push, &error);
        return;
    }
    struct watch_client client = {push_send, push_finish, push_reset, push};
    struct watch *watch = watch_new(api->watches, &settings, &client);
    rpc_push_begin(push, &(struct rpc_push_listener){watch_taken, watch_gone, watch_freed, watch});
    watch_begin(watch);
}

void watch_api_add_to(struct metadata_api *api, struct rpc_server *server) {
    rpc_server_add_push(server, "/waybill.v1.MetadataService/WatchChanges", watch_changes, api);
}
