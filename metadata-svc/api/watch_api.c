/* WatchChanges: the change log from a revision on, then every change as it becomes durable.
 *
 * A watch holds a stream thread. It reads the log in runs, so that a slow client never keeps
 * a snapshot of the store open, and looks between waits whether its client is still there. */
#include <string.h>

#include "common/base/names.h"
#include "common/rpc/proto_message.h"
#include "common/rpc/rpc_stream.h"
#include "metadata-svc/api/metadata_api.h"
#include "metadata-svc/store/change_log.h"
#include "waybill/v1/metadata_service.pb-c.h"

enum {
    WATCH_RUN_EVENTS = 256,
    WATCH_POLL_MS = 200,
    WATCH_BOOKMARK_DEFAULT_MS = 30000,
    WATCH_BOOKMARK_MIN_MS = 100,
    WATCH_MAX_TYPES = 32,
};

struct watch {
    struct metadata_api *api;
    struct rpc_stream *stream;
    const Waybill__V1__WatchChangesRequest *filter;
    int64_t next_revision;
    int64_t bookmark_ms;
    int64_t last_sent_us;
    unsigned run; /* events seen in this run */
    bool broken;  /* the client takes no more */
};

static bool type_wanted(const Waybill__V1__WatchChangesRequest *filter, Waybill__V1__ChangeType type) {
    for (size_t i = 0; i < filter->n_types; i++) {
        if (filter->types[i] == type) {
            return true;
        }
    }
    return filter->n_types == 0;
}

static bool matches(const Waybill__V1__WatchChangesRequest *filter, const Waybill__V1__ChangeEvent *event) {
    const char *bucket = event->record != NULL   ? event->record->bucket
                         : event->bucket != NULL ? event->bucket->name
                                                 : "";
    const char *key = event->record != NULL ? event->record->key : "";
    return (filter->bucket[0] == '\0' || strcmp(filter->bucket, bucket) == 0) &&
           strncmp(key, filter->key_prefix, strlen(filter->key_prefix)) == 0 && type_wanted(filter, event->type);
}

static bool send_item(struct watch *watch, const Waybill__V1__WatchChangesResponse *item) {
    watch->broken = !rpc_stream_write(watch->stream, &item->base);
    watch->last_sent_us = clock_monotonic_us(watch->api->clock);
    return !watch->broken;
}

static bool visit_change(void *context, int64_t revision, struct bytes wire) {
    struct watch *watch = context;
    struct arena arena;
    arena_init(&arena);
    Waybill__V1__ChangeEvent *event = waybill__v1__change_event__unpack(arena_protobuf(&arena), wire.size, wire.data);
    if (event != NULL && matches(watch->filter, event)) {
        Waybill__V1__WatchChangesResponse item = WAYBILL__V1__WATCH_CHANGES_RESPONSE__INIT;
        item.item_case = WAYBILL__V1__WATCH_CHANGES_RESPONSE__ITEM_EVENT;
        item.event = event;
        send_item(watch, &item);
    }
    arena_free(&arena);
    watch->next_revision = revision + 1;
    return !watch->broken && ++watch->run < WATCH_RUN_EVENTS;
}

static void send_bookmark_if_due(struct watch *watch) {
    int64_t now_us = clock_monotonic_us(watch->api->clock);
    if (now_us - watch->last_sent_us < watch->bookmark_ms * 1000) {
        return;
    }
    Waybill__V1__WatchBookmark bookmark = WAYBILL__V1__WATCH_BOOKMARK__INIT;
    bookmark.revision = watch->next_revision - 1;
    Waybill__V1__WatchChangesResponse item = WAYBILL__V1__WATCH_CHANGES_RESPONSE__INIT;
    item.item_case = WAYBILL__V1__WATCH_CHANGES_RESPONSE__ITEM_BOOKMARK;
    item.bookmark = &bookmark;
    send_item(watch, &item);
}

static bool follow(struct watch *watch, struct error *error) {
    while (!watch->broken && !rpc_stream_cancelled(watch->stream)) {
        if (rpc_stream_draining(watch->stream)) {
            return error_set(error, ERROR_UNAVAILABLE, "DRAINING",
                             "the service is shutting down: watch again from the last revision seen");
        }
        int64_t durable = commit_feed_wait(watch->api->feed, watch->next_revision - 1, WATCH_POLL_MS);
        if (durable >= watch->next_revision) {
            watch->run = 0;
            if (!change_log_read(watch->api->kv, watch->next_revision, visit_change, watch, error)) {
                return false;
            }
        }
        if (!watch->broken) {
            send_bookmark_if_due(watch);
        }
    }
    return error_set(error, ERROR_CANCELLED, "WATCH_CANCELLED", "the client ended the watch");
}

static bool check_watch(struct watch *watch, struct error *error) {
    const Waybill__V1__WatchChangesRequest *filter = watch->filter;
    int64_t durable = commit_feed_revision(watch->api->feed);
    if (filter->bucket[0] != '\0' && !name_check_bucket(filter->bucket, "bucket", error)) {
        return false;
    }
    if (strlen(filter->key_prefix) > NAME_KEY_MAX_BYTES) {
        return error_set_field(error, "key_prefix", "BAD_PREFIX", "a prefix has at most %d bytes", NAME_KEY_MAX_BYTES);
    }
    if (filter->n_types > WATCH_MAX_TYPES) {
        return error_set_field(error, "types", "TOO_MANY_TYPES", "at most %d types are taken", WATCH_MAX_TYPES);
    }
    if (filter->start_revision < 0) {
        return error_set_field(error, "start_revision", "BAD_REVISION", "a revision is 1 or more, or 0 for now");
    }
    if (filter->start_revision > durable + 1) {
        error_set(error, ERROR_OUT_OF_RANGE, "REVISION_IN_FUTURE", "the newest revision is %lld", (long long)durable);
        error_set_detail(error, "newest_revision", "%lld", (long long)durable);
        return false;
    }
    watch->next_revision = filter->start_revision == 0 ? durable + 1 : filter->start_revision;
    watch->bookmark_ms = WATCH_BOOKMARK_DEFAULT_MS;
    const Google__Protobuf__Duration *interval = filter->bookmark_interval;
    if (interval != NULL && (interval->seconds != 0 || interval->nanos != 0)) {
        if (interval->seconds < 0 || interval->seconds > 86400 || interval->nanos < 0 || interval->nanos > 999999999) {
            return error_set_field(error, "bookmark_interval", "BAD_DURATION", "it is 0 to 24 hours");
        }
        watch->bookmark_ms = interval->seconds * 1000 + interval->nanos / 1000000;
        if (watch->bookmark_ms < WATCH_BOOKMARK_MIN_MS) {
            watch->bookmark_ms = WATCH_BOOKMARK_MIN_MS;
        }
    }
    return true;
}

static void watch_changes(void *service, struct rpc_stream *stream) {
    struct metadata_api *api = service;
    struct error error = {0};
    struct arena arena;
    struct bytes wire;
    arena_init(&arena);
    if (rpc_stream_read(stream, &wire, &error) == RPC_READ_MESSAGE) {
        struct watch watch = {.api = api, .stream = stream, .last_sent_us = clock_monotonic_us(api->clock)};
        watch.filter = (const Waybill__V1__WatchChangesRequest *)proto_decode(
            &waybill__v1__watch_changes_request__descriptor, wire, &arena, &error);
        if (watch.filter != NULL && check_watch(&watch, &error)) {
            follow(&watch, &error);
        }
    } else if (error.code == ERROR_OK) {
        error_set(&error, ERROR_INVALID_ARGUMENT, "REQUEST_MISSING", "the stream held no request");
    }
    rpc_stream_finish(stream, &error);
    arena_free(&arena);
}

void watch_api_add_to(struct metadata_api *api, struct rpc_server *server) {
    rpc_server_add_stream(server, "/waybill.v1.MetadataService/WatchChanges", watch_changes, api);
}
