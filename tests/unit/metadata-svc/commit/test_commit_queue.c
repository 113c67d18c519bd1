// rooms: metadata_commit
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "metadata-svc/commit/commit_queue.h"

enum { QUEUE = 100, MANY_BYTES = 1 << 20 };

static struct commit_queue *queue;
static struct commit_request *batch[QUEUE * 4];

static struct commit_request *make(enum commit_kind kind, uint64_t client, const char *bucket) {
    struct commit_request *request = calloc(1, sizeof *request);
    request->kind = kind;
    request->client = client;
    request->record = record_make(bucket, "key");
    return request;
}

/* Pushes until one is refused; how many were not. */
static int fill(enum commit_kind kind, enum payload_source source, uint64_t client, const char *bucket,
                struct error *error) {
    for (int pushed = 0;; pushed++) {
        struct commit_request *request = make(kind, client, bucket);
        request->payload_source = source;
        if (!commit_queue_push(queue, request, error)) {
            free(request);
            return pushed;
        }
    }
}

static bool push(struct commit_request *request) {
    struct error error = {0};
    return commit_queue_push(queue, request, &error);
}

static void set_up(void) {
    struct commit_queue_options options = {
        .max_waiting = QUEUE, .max_upkeep = 10, .reserve_percent = 20, .client_percent = 90, .bucket_percent = 75};
    queue = commit_queue_new(&options);
}

/* What is in the queue belongs to nobody else. */
static void tear_down(void) {
    size_t count;
    while ((count = commit_queue_take(queue, batch, QUEUE, MANY_BYTES)) > 0) {
        for (size_t i = 0; i < count; i++) {
            free(batch[i]);
        }
    }
    cr_assert_eq(commit_queue_waiting(queue), 0);
    commit_queue_free(queue);
}

TestSuite(commit_queue, .init = set_up, .fini = tear_down, .timeout = 60);

Test(commit_queue, changes_with_payload_leave_the_reserve_to_those_without) {
    static const enum payload_source sources[] = {PAYLOAD_FROM_REQUEST, PAYLOAD_FROM_SPOOL, PAYLOAD_FROM_PRODUCER};
    struct error error = {0};
    int pushed = 0;
    uint64_t client = 1;
    for (const char *bucket = "abcdefgh"; *bucket != '\0'; bucket++, client++) {
        pushed += fill(COMMIT_PUT, sources[client % 3], client, bucket, &error);
        pushed += fill(COMMIT_FINISH_UPLOAD, PAYLOAD_FROM_NOWHERE, client, bucket, &error);
    }
    cr_assert_eq(pushed, 80);
    cr_assert_eq(error.code, ERROR_RESOURCE_EXHAUSTED);
    cr_assert_str_eq(error.reason, "KEPT_FOR_METADATA");
    cr_assert_gt(error.retry_after_ms, 0);
    cr_assert(push(make(COMMIT_PUT, client, "z")));
    cr_assert(push(make(COMMIT_DELETE, client, "z")));
}

Test(commit_queue, one_client_and_one_bucket_leave_places_for_others) {
    struct error error = {0};
    cr_assert_eq(fill(COMMIT_PUT, PAYLOAD_FROM_NOWHERE, 1, "photos", &error), 75);
    cr_assert_str_eq(error.reason, "BUCKET_OVER_SHARE");
    cr_assert_str_eq(error.detail_value, "photos");
    cr_assert_eq(fill(COMMIT_PUT, PAYLOAD_FROM_NOWHERE, 2, "photos", &error), 0, "whoever writes to the bucket");
    cr_assert_eq(fill(COMMIT_PUT, PAYLOAD_FROM_NOWHERE, 1, "films", &error), 15);
    cr_assert_str_eq(error.reason, "CLIENT_OVER_SHARE");
    cr_assert_gt(fill(COMMIT_PUT, PAYLOAD_FROM_NOWHERE, 2, "films", &error), 1);
}

Test(commit_queue, the_first_of_a_client_is_in_the_next_batch_whatever_waits) {
    struct error error = {0};
    fill(COMMIT_PUT, PAYLOAD_FROM_NOWHERE, 1, "photos", &error);
    struct commit_request *other = make(COMMIT_PUT, 2, "films");
    cr_assert(push(other));
    cr_assert_eq(commit_queue_take(queue, batch, 4, MANY_BYTES), 4);
    bool there = false;
    for (int i = 0; i < 4; i++) {
        there |= batch[i] == other;
        free(batch[i]);
    }
    cr_assert(there);
}

Test(commit_queue, places_come_back_with_each_batch) {
    struct error error = {0};
    for (int round = 0; round < 3; round++) {
        cr_assert_eq(fill(COMMIT_PUT, PAYLOAD_FROM_SPOOL, 1, "photos", &error), 75);
        cr_assert_eq(commit_queue_take(queue, batch, QUEUE, MANY_BYTES), 75);
        for (int i = 0; i < 75; i++) {
            free(batch[i]);
        }
    }
}

Test(commit_queue, reports_have_their_own_places_and_half_of_a_batch) {
    struct error error = {0};
    for (uint64_t client = 1; client < 9; client++) {
        fill(COMMIT_PUT, PAYLOAD_FROM_NOWHERE, client, client % 2 == 0 ? "photos" : "films", &error);
    }
    int reports = 0;
    for (uint64_t replica = 10; replica < 20; replica++) {
        struct commit_request *report = make(COMMIT_REPORTS, replica, NULL);
        report->report_count = 2;
        cr_assert(push(report));
        reports++;
    }
    struct commit_request *refused = make(COMMIT_REPORTS, 30, NULL);
    cr_assert_not(commit_queue_push(queue, refused, &error));
    cr_assert_str_eq(error.reason, "COMMIT_QUEUE_FULL");
    free(refused);
    for (int round = 0; round < 2; round++) {
        size_t count = commit_queue_take(queue, batch, 16, MANY_BYTES);
        int of_replicas = 0;
        for (size_t i = 0; i < count; i++) {
            of_replicas += batch[i]->kind == COMMIT_REPORTS;
            free(batch[i]);
        }
        cr_assert_eq(of_replicas, 4, "eight changes in four requests");
        cr_assert_eq(count, 12);
    }
}

Test(commit_queue, a_batch_of_one_serves_both_lanes_in_turn) {
    for (int i = 0; i < 4; i++) {
        struct commit_request *report = make(COMMIT_REPORTS, 1, NULL);
        report->report_count = 1000; /* larger than any batch */
        cr_assert(push(report));
        cr_assert(push(make(COMMIT_PUT, 2, "photos")));
    }
    int of_replicas = 0;
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(commit_queue_take(queue, batch, 1, MANY_BYTES), 1);
        of_replicas += batch[0]->kind == COMMIT_REPORTS;
        free(batch[0]);
    }
    cr_assert_eq(of_replicas, 2);
}

Test(commit_queue, payload_bytes_bound_a_batch_but_for_its_first_request) {
    for (int i = 0; i < 3; i++) {
        struct commit_request *request = make(COMMIT_PUT, 1, "photos");
        request->payload_source = PAYLOAD_FROM_REQUEST;
        request->inline_data.size = 600;
        cr_assert(push(request));
    }
    cr_assert_eq(commit_queue_take(queue, batch, QUEUE, 1000), 1);
    free(batch[0]);
    cr_assert_eq(commit_queue_take(queue, batch, QUEUE, 1200), 2);
    free(batch[0]);
    free(batch[1]);
}
