/* An event publisher between a change log in memory and a real nats-server, and a look into
 * the stream that does not go through our own code. */
#ifndef WAYBILL_TESTS_PUBLISHING_FIXTURE_H
#define WAYBILL_TESTS_PUBLISHING_FIXTURE_H

#include <criterion/criterion.h>
#include <nats/nats.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/arena.h"
#include "metadata-svc/publish/event_publisher.h"
#include "tests/support/nats_server.h"
#include "waybill/v1/event.pb-c.h"

enum { PATIENCE_MS = 60000, LOOK_MS = 2 };

struct log_in_memory {
    _Atomic int64_t oldest;
    _Atomic int64_t newest;
    const char *history; /* the records' content type, so that two logs can differ */
};

struct publishing {
    struct nats_server server;
    struct log_in_memory log;
    struct event_publisher *publisher;
    natsConnection *nats; /* for looking */
    jsCtx *jetstream;
};

/* ---- the log ---- */

/* The event of a revision: one of 97 keys in one of three buckets. */
static struct bytes make_event(const struct log_in_memory *log, int64_t revision, struct arena *arena) {
    Waybill__V1__ChangeEvent event = WAYBILL__V1__CHANGE_EVENT__INIT;
    Waybill__V1__Record record = WAYBILL__V1__RECORD__INIT;
    Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    time.seconds = 1700000000 + revision;
    time.nanos = 5000;
    record.bucket = arena_printf(arena, "bucket-%d", (int)(revision % 3));
    record.key = arena_printf(arena, "dir/k\xc3\xa4y %d", (int)(revision % 97));
    record.version = revision;
    record.revision = revision;
    record.content_type = arena_strdup(arena, log->history);
    event.shard = "0";
    event.revision = revision;
    event.type = WAYBILL__V1__CHANGE_TYPE__CHANGE_TYPE_STAGED;
    event.commit_time = &time;
    event.record = &record;
    size_t size = waybill__v1__change_event__get_packed_size(&event);
    uint8_t *wire = arena_alloc(arena, size);
    waybill__v1__change_event__pack(&event, wire);
    return bytes_of(wire, size);
}

static bool log_bounds(void *self, int64_t *oldest, int64_t *newest, struct error *error) {
    struct log_in_memory *log = self;
    (void)error;
    *newest = atomic_load(&log->newest);
    *oldest = *newest > 0 ? atomic_load(&log->oldest) : 0;
    return true;
}

static bool log_read(void *self, int64_t revision, bool (*visit)(void *context, int64_t at, struct bytes event),
                     void *context, struct error *error) {
    struct log_in_memory *log = self;
    (void)error;
    bool wanted = true;
    for (; wanted && revision <= atomic_load(&log->newest); revision++) {
        struct arena arena;
        arena_init(&arena);
        wanted = visit(context, revision, make_event(log, revision, &arena));
        arena_free(&arena);
    }
    return true;
}

/* ---- the publisher ---- */

static void start_publisher(struct publishing *p) {
    struct event_publisher_options options = {
        .shard = "0",
        .nats_url = p->server.url,
        .window = 512,
        .stream_max_bytes = INT64_C(1) << 30,
        .stream_max_age_ms = 3600000,
        .clock = &system_clock,
    };
    struct error error = {0};
    struct change_reader reader = {log_bounds, log_read, &p->log};
    p->publisher = event_publisher_start(reader, &options, &error);
    cr_assert_not_null(p->publisher, "%s", error.message);
}

static void publishing_open(struct publishing *p, bool start_server) {
    memset(p, 0, sizeof *p);
    p->log.history = "text/plain";
    atomic_store(&p->log.oldest, 1);
    p->server = nats_server_new();
    if (start_server) {
        nats_server_start(&p->server);
    }
    start_publisher(p);
}

static void stop_looking(struct publishing *p) {
    jsCtx_Destroy(p->jetstream);
    natsConnection_Destroy(p->nats);
    p->jetstream = NULL;
    p->nats = NULL;
}

static void publishing_close(struct publishing *p) {
    event_publisher_stop(p->publisher);
    stop_looking(p);
    nats_Close();
    nats_server_free(&p->server);
}

static void commit_to(struct publishing *p, int64_t revision) {
    atomic_store(&p->log.newest, revision);
    event_publisher_notify(p->publisher);
}

static void await_published(struct publishing *p, int64_t revision) {
    for (int waited = 0; event_publisher_published_revision(p->publisher) < revision; waited += LOOK_MS) {
        cr_assert_lt(waited, PATIENCE_MS, "published %lld of %lld",
                     (long long)event_publisher_published_revision(p->publisher), (long long)revision);
        usleep(LOOK_MS * 1000);
    }
}

static void await_state(struct publishing *p, enum publisher_state state) {
    for (int waited = 0; event_publisher_state(p->publisher) != state; waited += LOOK_MS) {
        cr_assert_lt(waited, PATIENCE_MS);
        usleep(LOOK_MS * 1000);
    }
}

/* ---- the stream ---- */

static void look(struct publishing *p) {
    if (p->nats != NULL) {
        return;
    }
    cr_assert_eq(natsConnection_ConnectTo(&p->nats, p->server.url), NATS_OK);
    cr_assert_eq(natsConnection_JetStream(&p->jetstream, p->nats, NULL), NATS_OK);
}

static natsMsg *message_at(struct publishing *p, uint64_t sequence) {
    natsMsg *message = NULL;
    jsErrCode code = 0;
    look(p);
    natsStatus status = js_GetMsg(&message, p->jetstream, "WAYBILL_CHANGES_0", sequence, NULL, &code);
    return status == NATS_OK ? message : NULL;
}

static const char *header_of(natsMsg *message, const char *name) {
    const char *value = NULL;
    return natsMsgHeader_Get(message, name, &value) == NATS_OK ? value : "";
}

static uint64_t last_sequence(struct publishing *p) {
    jsStreamInfo *info = NULL;
    jsErrCode code = 0;
    look(p);
    cr_assert_eq(js_GetStreamInfo(&info, p->jetstream, "WAYBILL_CHANGES_0", NULL, &code), NATS_OK);
    uint64_t last = info->State.LastSeq;
    jsStreamInfo_Destroy(info);
    return last;
}

/* That the message at `sequence` is the event of `revision`, byte for byte. */
static void check_event_at(struct publishing *p, uint64_t sequence, int64_t revision) {
    struct arena arena;
    arena_init(&arena);
    natsMsg *message = message_at(p, sequence);
    cr_assert_not_null(message, "no message at %llu", (unsigned long long)sequence);
    struct bytes expected = make_event(&p->log, revision, &arena);
    struct bytes found = bytes_of(natsMsg_GetData(message), (size_t)natsMsg_GetDataLength(message));
    cr_assert_str_eq(header_of(message, "Nats-Msg-Id"), arena_printf(&arena, "0-%lld", (long long)revision));
    cr_assert(bytes_equal(expected, found), "another body at %llu", (unsigned long long)sequence);
    natsMsg_Destroy(message);
    arena_free(&arena);
}

/* The whole stream is the revisions `first` to `last`, in order, each once. */
static void check_stream(struct publishing *p, int64_t first, int64_t last) {
    cr_assert_eq(last_sequence(p), (uint64_t)(last - first + 1));
    for (int64_t revision = first; revision <= last; revision++) {
        check_event_at(p, (uint64_t)(revision - first + 1), revision);
    }
}

#endif
