/* WatchChanges: follows the changes and connects again after the last revision seen. */
#include <stdlib.h>

#include "common/client/client_parts.h"
#include "common/rpc/proto_message.h"

enum watch_end {
    WATCH_ENDED,  /* by the watcher */
    WATCH_BROKEN, /* the stream ended; another may go on */
};

struct following {
    struct waybill_client *client;
    const struct waybill_watch *watch;
    const struct waybill_watcher *watcher;
    int64_t next_revision; /* 0: from now on */
    unsigned failures;     /* in a row */
    bool got_through;      /* the server answered at least once */
};

/* "From now on" must mean the same after a connection is lost before the first message, so
 * it is made a revision. A server that does not tell its revision gets a 0. */
static bool pin_start(struct following *following, struct error *error) {
    struct arena arena;
    arena_init(&arena);
    Waybill__V1__GetStatusResponse *status;
    bool answered = waybill_get_status(following->client, WAYBILL_SERVICE_METADATA, &arena, &status, error);
    if (answered && status->service_case == WAYBILL__V1__GET_STATUS_RESPONSE__SERVICE_METADATA) {
        following->next_revision = status->metadata->committed_revision + 1;
        following->got_through = true;
    }
    arena_free(&arena);
    return answered || error->code != ERROR_UNAVAILABLE;
}

/* Returns whether the watcher wants more. */
static bool take_item(struct following *following, const Waybill__V1__WatchChangesResponse *item) {
    following->failures = 0;
    following->got_through = true;
    if (item->item_case == WAYBILL__V1__WATCH_CHANGES_RESPONSE__ITEM_BOOKMARK) {
        following->next_revision = item->bookmark->revision + 1;
        return true;
    }
    if (item->item_case != WAYBILL__V1__WATCH_CHANGES_RESPONSE__ITEM_EVENT) {
        return true; /* a kind of item that came later */
    }
    following->next_revision = item->event->revision + 1;
    return following->watcher->change(following->watcher->self, item->event);
}

static void fill_request(const struct following *following, Waybill__V1__WatchChangesRequest *request) {
    const struct waybill_watch *watch = following->watch;
    request->start_revision = following->next_revision;
    request->bucket = client_text(watch->bucket);
    request->key_prefix = client_text(watch->key_prefix);
    request->n_types = watch->type_count;
    request->types = (Waybill__V1__ChangeType *)watch->types;
}

/* One stream from its start to its end; BROKEN fills the error. */
static enum watch_end follow_once(struct following *following, struct error *error) {
    struct client_stream stream;
    if (!client_stream_open(following->client, following->client->metadata, "/waybill.v1.MetadataService/WatchChanges",
                            &stream, error)) {
        return WATCH_BROKEN;
    }
    Waybill__V1__WatchChangesRequest request = WAYBILL__V1__WATCH_CHANGES_REQUEST__INIT;
    fill_request(following, &request);
    rpc_stream_write_last(stream.stream, &request.base);
    struct bytes wire;
    while (rpc_stream_read(stream.stream, &wire, error) == RPC_READ_MESSAGE) {
        struct arena arena;
        arena_init(&arena);
        const Waybill__V1__WatchChangesResponse *item = (const Waybill__V1__WatchChangesResponse *)proto_decode(
            &waybill__v1__watch_changes_response__descriptor, wire, &arena, error);
        bool more = item != NULL && take_item(following, item);
        arena_free(&arena);
        if (!more) {
            client_stream_abandon(following->client, &stream);
            if (item == NULL) {
                client_bad_answer(error, "is malformed");
            }
            return item == NULL ? WATCH_BROKEN : WATCH_ENDED;
        }
    }
    if (client_stream_close(following->client, &stream, error)) {
        error_set(error, ERROR_UNAVAILABLE, "WATCH_ENDED", "the server ended the watch");
    }
    return WATCH_BROKEN;
}

bool waybill_watch(struct waybill_client *client, const struct waybill_watch *watch,
                   const struct waybill_watcher *watcher, struct error *error) {
    struct following following = {
        .client = client, .watch = watch, .watcher = watcher, .next_revision = watch->start_revision};
    if (following.next_revision == 0 && !pin_start(&following, error)) {
        return false;
    }
    for (;;) {
        if (follow_once(&following, error) == WATCH_ENDED) {
            return true;
        }
        following.failures++;
        bool hopeless = !following.got_through && following.failures >= client->max_attempts;
        if (hopeless || !client_worth_retrying(error)) {
            return false;
        }
        if (watcher->interrupted != NULL) {
            watcher->interrupted(watcher->self, error);
        }
        if (!client_back_off(client, following.failures, error, error)) {
            return false;
        }
    }
}
