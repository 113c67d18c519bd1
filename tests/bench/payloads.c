#include "tests/bench/payloads.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"

enum { KEY_BYTES = 64, PATTERN_BYTES = (1 << 20) + 4096 };

static void make_key(const struct payloads *payloads, uint64_t number, char key[KEY_BYTES]) {
    snprintf(key, KEY_BYTES, "payloads/%lu/%016lx", (unsigned long)payloads->bytes, (unsigned long)number);
}

/* ---- upload ---- */

/* Bytes that no compression helps with; a payload's begin at an offset of its own. */
static uint8_t pattern[PATTERN_BYTES];
static pthread_once_t pattern_made = PTHREAD_ONCE_INIT;

static void make_pattern(void) {
    uint64_t state = 88172645463325252;
    for (size_t i = 0; i < PATTERN_BYTES; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        pattern[i] = (uint8_t)state;
    }
}

struct source {
    uint64_t number;
    uint64_t size;
    uint64_t offset;
};

static int64_t read_source(void *self, void *out, size_t size, struct error *error) {
    struct source *source = self;
    (void)error;
    uint64_t left = source->size - source->offset;
    size_t now = left < size ? (size_t)left : size;
    now = now < PATTERN_BYTES - 4096 ? now : PATTERN_BYTES - 4096;
    memcpy(out, pattern + source->number % 4096, now);
    source->offset += now;
    return (int64_t)now;
}

static bool seek_source(void *self, int64_t offset, struct error *error) {
    struct source *source = self;
    (void)error;
    source->offset = (uint64_t)offset;
    return true;
}

void payloads_upload(void *self, uint64_t number) {
    const struct payloads *payloads = self;
    char key[KEY_BYTES];
    struct arena arena;
    struct error error;
    Waybill__V1__Record *record;
    pthread_once(&pattern_made, make_pattern);
    number += payloads->first;
    make_key(payloads, number, key);
    struct source bytes = {.number = number, .size = payloads->bytes};
    struct waybill_source source = {read_source, seek_source, (int64_t)payloads->bytes, &bytes};
    struct waybill_put put = {.bucket = payloads->bucket, .key = key, .content_type = "application/octet-stream"};
    arena_init(&arena);
    bool good = payloads->is_inline
                    ? waybill_put_bytes(payloads->client, &put, bytes_of(pattern + number % 4096, payloads->bytes),
                                        NULL, &arena, &record, &error)
                    : waybill_put_source(payloads->client, &put, &source, NULL, &arena, &record, &error);
    if (!good) {
        load_die("upload", &error);
    }
    arena_free(&arena);
}

/* ---- read ---- */

static bool drop(void *self, struct bytes data, struct error *error) {
    (void)self;
    (void)data;
    (void)error;
    return true;
}

void payloads_read(void *self, uint64_t number) {
    const struct payloads *payloads = self;
    char key[KEY_BYTES];
    struct arena arena;
    struct error error;
    struct waybill_sink sink = {.write = drop};
    struct waybill_read_result result;
    make_key(payloads, number % payloads->count, key);
    struct waybill_read read = {.bucket = payloads->bucket, .key = key};
    arena_init(&arena);
    if (!waybill_read_object(payloads->client, &read, &sink, &arena, &result, &error)) {
        load_die("read", &error);
    }
    if (!result.checked || (uint64_t)result.bytes != payloads->bytes) {
        load_die("what was read is not what was put", NULL);
    }
    arena_free(&arena);
}

/* ---- store ---- */

struct storing {
    struct payloads payloads;
    uint64_t ahead;
    int64_t start_revision;
    pthread_mutex_t lock; /* over all below */
    pthread_cond_t changed;
    uint64_t begun;  /* uploads */
    uint64_t stored; /* of them */
    int64_t begin_us;
    int64_t end_us;
    int64_t last_us; /* when the last of those measured became STORED */
    uint64_t measured;
    struct store_result *result;
};

static int64_t unix_us(const Google__Protobuf__Timestamp *time) {
    return time != NULL ? time->seconds * 1000000 + time->nanos / 1000 : 0;
}

static void count_stored(struct storing *storing, const Waybill__V1__ChangeEvent *event) {
    int64_t now = clock_monotonic_us(&system_clock);
    storing->stored++;
    if (now < storing->begin_us || (now >= storing->end_us && storing->measured > 0)) {
        return;
    }
    storing->last_us = now;
    storing->measured++;
    latency_add(&storing->result->latency, unix_us(event->commit_time) - unix_us(event->record->create_time));
}

static bool take_change(void *self, const Waybill__V1__ChangeEvent *event) {
    struct storing *storing = self;
    pthread_mutex_lock(&storing->lock);
    if (event->record != NULL) {
        count_stored(storing, event);
    }
    pthread_cond_broadcast(&storing->changed);
    pthread_mutex_unlock(&storing->lock);
    return true;
}

static void *run_watch(void *argument) {
    struct storing *storing = argument;
    Waybill__V1__ChangeType types[] = {WAYBILL__V1__CHANGE_TYPE__CHANGE_TYPE_STORED};
    struct waybill_watch watch = {.bucket = storing->payloads.bucket,
                                  .key_prefix = "payloads/",
                                  .start_revision = storing->start_revision,
                                  .types = types,
                                  .type_count = 1};
    struct waybill_watcher watcher = {.change = take_change, .self = storing};
    struct error error;
    if (!waybill_watch(storing->payloads.client, &watch, &watcher, &error) && error.code != ERROR_CANCELLED) {
        load_die("watch", &error);
    }
    return NULL;
}

static int64_t next_revision(struct waybill_client *client) {
    struct arena arena;
    struct error error;
    Waybill__V1__GetStatusResponse *status;
    arena_init(&arena);
    if (!waybill_get_status(client, WAYBILL_SERVICE_METADATA, &arena, &status, &error)) {
        load_die("status", &error);
    }
    int64_t revision = status->metadata->committed_revision + 1;
    arena_free(&arena);
    return revision;
}

static void upload_when_due(void *self, uint64_t number) {
    struct storing *storing = self;
    pthread_mutex_lock(&storing->lock);
    while (storing->begun - storing->stored >= storing->ahead) {
        pthread_cond_wait(&storing->changed, &storing->lock);
    }
    storing->begun++;
    pthread_mutex_unlock(&storing->lock);
    payloads_upload(&storing->payloads, number);
}

static void wait_for_rest(struct storing *storing) {
    pthread_mutex_lock(&storing->lock);
    while (storing->stored < storing->begun) {
        pthread_cond_wait(&storing->changed, &storing->lock);
    }
    pthread_mutex_unlock(&storing->lock);
}

void payloads_store(const struct payloads *payloads, const struct transfer *transfer, uint64_t ahead,
                    struct transfer_result *result, struct store_result *store) {
    struct storing storing = {.payloads = *payloads, .ahead = ahead, .result = store};
    struct transfer uploads = *transfer;
    pthread_t thread;
    storing.start_revision = next_revision(payloads->client);
    storing.begin_us = clock_monotonic_us(&system_clock) + transfer->warm_up_us;
    storing.end_us = transfer->measure_us > 0 ? storing.begin_us + transfer->measure_us : INT64_MAX;
    pthread_mutex_init(&storing.lock, NULL);
    pthread_cond_init(&storing.changed, NULL);
    if (pthread_create(&thread, NULL, run_watch, &storing) != 0) {
        abort();
    }
    uploads.move = upload_when_due;
    uploads.self = &storing;
    transfer_run(&uploads, result);
    wait_for_rest(&storing);
    waybill_client_cancel(payloads->client); /* the watch */
    pthread_join(thread, NULL);
    int64_t took = storing.last_us - storing.begin_us;
    store->stored = took > 0 ? (double)storing.measured * 1e6 / (double)took : 0;
    pthread_cond_destroy(&storing.changed);
    pthread_mutex_destroy(&storing.lock);
}
