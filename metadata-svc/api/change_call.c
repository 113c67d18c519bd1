#include "metadata-svc/api/change_call.h"

#include "common/base/names.h"
#include "metadata-svc/api/request_checks.h"

static void finish(struct commit_request *commit) {
    struct change_call *change = commit->context;
    struct metadata_api *api = change->api;
    metadata_api_settle(api, commit);
    histogram_observe_us(api->commit_seconds, clock_monotonic_us(api->clock) - change->start_us);
    if (commit->committed) {
        change->answer(change);
    } else {
        rpc_call_fail(change->call, &commit->error);
    }
}

static void finish_here(void *context) {
    struct commit_request *next;
    for (struct commit_request *commit = context; commit != NULL; commit = next) {
        next = commit->next;
        commit->done(commit);
    }
}

/* Answers start on the queue thread: two threads that write to one connection cost more than they gain. */
static void finish_on_queue(struct commit_request *list) {
    struct change_call *first = list->context;
    rpc_call_return_to_queue(first->call, finish_here, list);
}

void change_init(struct commit_request *commit, enum commit_kind kind, struct arena *arena) {
    *commit = (struct commit_request){.kind = kind, .arena = arena, .actor = "", .reason = "", .replica = ""};
}

struct change_call *change_call_begin(struct metadata_api *api, struct rpc_call *call, enum commit_kind kind,
                                      void (*answer)(struct change_call *change)) {
    struct arena *arena = rpc_call_arena(call);
    struct change_call *change = arena_zalloc(arena, sizeof *change);
    change->api = api;
    change->call = call;
    change->answer = answer;
    change->start_us = clock_monotonic_us(api->clock);
    change_init(&change->commit, kind, arena);
    change->commit.client = rpc_call_client(call);
    change->commit.done = finish;
    change->commit.finish = finish_on_queue;
    change->commit.context = change;
    return change;
}

bool change_take_common(struct commit_request *commit, const char *request_id, const char *reason, bool has_if_version,
                        int64_t if_version, bool validate_only, struct bytes request, struct error *error) {
    if (!name_check_request_id(request_id, "request_id", &commit->request_id, error) || !check_reason(reason, error) ||
        !check_if_version(has_if_version, if_version, error)) {
        return false;
    }
    commit->reason = reason;
    commit->has_if_version = has_if_version;
    commit->if_version = if_version;
    commit->validate_only = validate_only;
    commit->new_uid = uuid_make();
    if (!uuid_is_zero(&commit->request_id)) {
        commit->fingerprint = fingerprint_of_message(request);
    }
    return true;
}

bool change_check_outbox(struct metadata_api *api, bool payload, struct error *error) {
    if (!store_room_check(api->room, STORE_ROOM_CHANGES, error)) {
        return false;
    }
    int64_t waiting = commit_feed_revision(api->feed) - event_publisher_published_revision(api->publisher);
    if (waiting < api->outbox_max_events - (payload ? api->outbox_reserve_events : 0)) {
        return true;
    }
    if (waiting < api->outbox_max_events) {
        error_set(error, ERROR_RESOURCE_EXHAUSTED, "KEPT_FOR_METADATA",
                  "%lld changes wait to be published; changes without payload go on", (long long)waiting);
        error->retry_after_ms = 1000;
        return false;
    }
    error_set(error, ERROR_RESOURCE_EXHAUSTED, "OUTBOX_FULL",
              "%lld changes wait to be published; is the event stream down?", (long long)waiting);
    error->retry_after_ms = 1000;
    return false;
}

void change_call_submit(struct change_call *change) {
    struct error error = {0};
    /* Reports let payloads go, so they are taken also when the outbox is full. */
    bool good = commit_is_upkeep(&change->commit) ||
                change_check_outbox(change->api, commit_brings_payload(&change->commit), &error);
    if (!good || !committer_submit(change->api->committer, &change->commit, &error)) {
        rpc_call_fail(change->call, &error);
    }
}
