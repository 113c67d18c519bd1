#include "metadata-svc/commit/commit_queue.h"

#include <stddef.h>
#include <stdlib.h>

#include "common/base/bucket_share.h"

enum { RETRY_AFTER_MS = 100 };

struct commit_queue {
    struct fair_queue callers;
    struct fair_queue upkeep;
    struct fair_share *buckets;
    uint64_t payloads; /* callers' changes that bring one */
    uint64_t max_payloads;
    bool upkeep_first; /* in the next batch */
};

struct commit_queue *commit_queue_new(const struct commit_queue_options *options) {
    struct commit_queue *queue = calloc(1, sizeof *queue);
    if (queue == NULL) {
        abort();
    }
    uint64_t reserve = (uint64_t)options->max_waiting * options->reserve_percent / 100;
    unsigned max_upkeep = options->max_upkeep > 0 ? options->max_upkeep : options->max_waiting;
    fair_queue_init(&queue->callers, options->max_waiting, options->client_percent);
    fair_queue_init(&queue->upkeep, max_upkeep, options->client_percent);
    queue->buckets = fair_share_new(options->max_waiting, options->bucket_percent);
    queue->max_payloads = options->max_waiting - reserve;
    return queue;
}

void commit_queue_free(struct commit_queue *queue) {
    fair_queue_destroy(&queue->callers);
    fair_queue_destroy(&queue->upkeep);
    fair_share_free(queue->buckets);
    free(queue);
}

static const char *bucket_of(const struct commit_request *request) {
    const char *name = request->record.bucket != NULL ? request->record.bucket : request->bucket.name;
    return name != NULL ? name : "";
}

/* ---- in ---- */

static bool refuse_full(const struct fair_queue *lane, struct error *error) {
    error_set(error, ERROR_RESOURCE_EXHAUSTED, "COMMIT_QUEUE_FULL", "%llu changes wait already",
              (unsigned long long)fair_queue_count(lane));
    error->retry_after_ms = RETRY_AFTER_MS;
    return false;
}

static bool refuse_client(struct error *error) {
    error_set(error, ERROR_RESOURCE_EXHAUSTED, "CLIENT_OVER_SHARE",
              "as many changes of this client wait already as may; the rest is for other clients");
    error->retry_after_ms = RETRY_AFTER_MS;
    return false;
}

static bool refuse_payload(const struct commit_queue *queue, struct error *error) {
    error_set(error, ERROR_RESOURCE_EXHAUSTED, "KEPT_FOR_METADATA",
              "%llu changes with payloads wait already; the rest of the queue is for changes without",
              (unsigned long long)queue->payloads);
    error->retry_after_ms = RETRY_AFTER_MS;
    return false;
}

static bool push(struct fair_queue *lane, struct commit_request *request, struct error *error) {
    switch (fair_queue_push(lane, &request->place, request->client)) {
    case FAIR_TAKEN:
        return true;
    case FAIR_OVER_SHARE:
        return refuse_client(error);
    case FAIR_FULL:
        break;
    }
    return refuse_full(lane, error);
}

static bool push_caller(struct commit_queue *queue, struct commit_request *request, struct error *error) {
    const char *bucket = bucket_of(request);
    bool payload = commit_brings_payload(request);
    if (payload && queue->payloads >= queue->max_payloads) {
        return refuse_payload(queue, error);
    }
    switch (fair_share_take(queue->buckets, fair_share_key(bytes_of_string(bucket)), 1, &request->bucket_place)) {
    case FAIR_TAKEN:
        break;
    case FAIR_OVER_SHARE:
        bucket_share_refuse(bucket, "commit queue", error);
        error->retry_after_ms = RETRY_AFTER_MS;
        return false;
    case FAIR_FULL:
        return refuse_full(&queue->callers, error);
    }
    if (!push(&queue->callers, request, error)) {
        fair_share_give(queue->buckets, request->bucket_place, 1);
        return false;
    }
    queue->payloads += payload;
    return true;
}

bool commit_queue_push(struct commit_queue *queue, struct commit_request *request, struct error *error) {
    request->next = NULL;
    request->bucket_place = NULL;
    return commit_is_upkeep(request) ? push(&queue->upkeep, request, error) : push_caller(queue, request, error);
}

/* ---- out ---- */

/* The batch that is being filled. */
struct taking {
    struct commit_queue *queue;
    struct commit_request **batch;
    size_t count;
    size_t changes;
    size_t bytes;
    size_t most_requests;
    size_t most_bytes;
};

static size_t changes_of(const struct commit_request *request) {
    size_t changes = request->kind == COMMIT_REPORTS ? request->report_count : request->timer_count;
    return changes > 1 ? changes : 1;
}

static void take_from(struct taking *taking, struct fair_queue *lane, size_t most_changes) {
    struct fair_item *item;
    while (taking->count < taking->most_requests && (item = fair_queue_peek(lane)) != NULL) {
        struct commit_request *request =
            (struct commit_request *)((char *)item - offsetof(struct commit_request, place));
        size_t changes = taking->changes + changes_of(request);
        size_t bytes = taking->bytes + request->inline_data.size;
        if (taking->count > 0 && (changes > most_changes || bytes > taking->most_bytes)) {
            return;
        }
        fair_queue_pop(lane);
        if (request->bucket_place != NULL) {
            fair_share_give(taking->queue->buckets, request->bucket_place, 1);
            taking->queue->payloads -= commit_brings_payload(request);
        }
        taking->changes = changes;
        taking->bytes = bytes;
        taking->batch[taking->count++] = request;
    }
}

size_t commit_queue_take(struct commit_queue *queue, struct commit_request **batch, size_t most_changes,
                         size_t most_bytes) {
    struct taking taking = {.queue = queue, .batch = batch, .most_requests = most_changes, .most_bytes = most_bytes};
    struct fair_queue *first = queue->upkeep_first ? &queue->upkeep : &queue->callers;
    struct fair_queue *second = queue->upkeep_first ? &queue->callers : &queue->upkeep;
    size_t half = most_changes / 2;
    take_from(&taking, first, half);
    size_t with_second = taking.changes > half ? taking.changes + half : most_changes;
    take_from(&taking, second, with_second);
    take_from(&taking, first, most_changes);
    queue->upkeep_first = !queue->upkeep_first;
    return taking.count;
}

unsigned commit_queue_waiting(const struct commit_queue *queue) {
    return (unsigned)(fair_queue_count(&queue->callers) + fair_queue_count(&queue->upkeep));
}
