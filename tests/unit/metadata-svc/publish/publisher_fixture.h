/* The publisher core between an array for a change log, a stream in memory that obeys
 * scripts, and a clock that stands still until it is moved. */
#ifndef WAYBILL_TESTS_PUBLISHER_FIXTURE_H
#define WAYBILL_TESTS_PUBLISHER_FIXTURE_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metadata-svc/publish/publisher_core.h"

enum { LOG_MAX = 4096, EVENT_BYTES = 32 };

struct fake_log {
    int64_t oldest; /* 0 and 0: empty */
    int64_t newest;
    const char *history; /* part of every event, so that two logs can differ */
    size_t event_bytes;  /* each event is padded to it; 0: as short as it is */
    bool broken;
};

struct fake_message {
    int64_t revision; /* 0: removed, or not ours */
    char event[EVENT_BYTES];
};

struct fake_stream {
    bool connected;
    bool sync_fails;
    unsigned unfinished_syncs;                 /* the next so many do not come to an end */
    struct fake_message messages[LOG_MAX + 1]; /* by sequence */
    uint64_t last;
    unsigned syncs;
    unsigned publishes;
    /* The script. */
    unsigned lose_publishes;  /* the next so many vanish on their way */
    unsigned lose_acks;       /* the next so many acknowledgements vanish */
    unsigned refuse;          /* the next so many are refused for another reason */
    unsigned intrude;         /* before the next so many comes a message of somebody else */
    unsigned break_publishes; /* the next so many are not taken */
    bool deduplicate;         /* knows the ids of removed events, too */
    bool hold_acks;
    bool reverse_acks;
    uint64_t seen[LOG_MAX + 1]; /* sequence by revision, when it deduplicates */
    struct sink_ack acks[LOG_MAX];
    size_t ack_count;
};

struct fixture {
    struct fake_log log;
    struct fake_stream *stream;
    int64_t now_us;
    struct clock clock;
    struct publisher_core *core;
};

/* ---- the log ---- */

static size_t fake_event(const struct fake_log *log, int64_t revision, char *event) {
    return (size_t)snprintf(event, EVENT_BYTES, "%s-%lld", log->history, (long long)revision);
}

static bool fake_bounds(void *self, int64_t *oldest, int64_t *newest, struct error *error) {
    struct fake_log *log = self;
    *oldest = log->oldest;
    *newest = log->newest;
    return !log->broken || error_set(error, ERROR_DATA_LOSS, "RECORD_CORRUPT", "broken");
}

static bool fake_read(void *self, int64_t revision, bool (*visit)(void *context, int64_t at, struct bytes event),
                      void *context, struct error *error) {
    struct fake_log *log = self;
    static char padded[1 << 16];
    if (log->broken) {
        return error_set(error, ERROR_DATA_LOSS, "RECORD_CORRUPT", "broken");
    }
    if (revision < log->oldest) {
        return error_set(error, ERROR_OUT_OF_RANGE, "REVISION_TRIMMED", "trimmed");
    }
    for (; revision <= log->newest; revision++) {
        size_t size = fake_event(log, revision, padded);
        if (!visit(context, revision, bytes_of(padded, log->event_bytes > size ? log->event_bytes : size))) {
            break;
        }
    }
    return true;
}

/* ---- the stream ---- */

static bool fake_connected(void *self) {
    struct fake_stream *stream = self;
    return stream->connected;
}

static bool fake_sync(void *self, struct sink_end *end, struct error *error) {
    struct fake_stream *stream = self;
    stream->syncs++;
    stream->ack_count = 0;
    if (stream->sync_fails) {
        return error_set(error, ERROR_UNAVAILABLE, "EVENT_STREAM_FAILED", "no answer");
    }
    if (stream->unfinished_syncs > 0) {
        stream->unfinished_syncs--;
        *end = (struct sink_end){.unfinished = true};
        return true;
    }
    *end = (struct sink_end){.sequence = stream->last};
    for (uint64_t at = stream->last; at > 0; at--) {
        const struct fake_message *message = &stream->messages[at];
        if (message->revision > 0) {
            end->revision = message->revision;
            end->event = bytes_of_string(message->event);
            break;
        }
    }
    return true;
}

static void fake_answer(struct fake_stream *stream, struct sink_ack ack) {
    if (stream->lose_acks > 0) {
        stream->lose_acks--;
        return;
    }
    cr_assert_lt(stream->ack_count, LOG_MAX);
    stream->acks[stream->ack_count++] = ack;
}

static void fake_store(struct fake_stream *stream, int64_t revision, struct bytes event) {
    struct fake_message *message = &stream->messages[++stream->last];
    message->revision = revision;
    size_t size = event.size < EVENT_BYTES - 1 ? event.size : EVENT_BYTES - 1;
    memcpy(message->event, event.data, size);
    message->event[size] = '\0';
    stream->seen[revision] = stream->last;
}

static bool fake_publish(void *self, int64_t revision, struct bytes event, uint64_t expected_last, bool chained,
                         bool acknowledged, struct error *error) {
    struct fake_stream *stream = self;
    if (stream->break_publishes > 0) {
        stream->break_publishes--;
        return error_set(error, ERROR_UNAVAILABLE, "EVENT_STREAM_FAILED", "not taken");
    }
    stream->publishes++;
    if (stream->lose_publishes > 0) {
        stream->lose_publishes--;
        return true;
    }
    struct sink_ack ack = {.revision = revision, .outcome = SINK_ACCEPTED};
    if (stream->intrude > 0) {
        stream->intrude--;
        stream->last++;
    }
    if (stream->refuse > 0) {
        stream->refuse--;
        ack.outcome = SINK_REFUSED;
    } else if (stream->deduplicate && stream->seen[revision] != 0) {
        ack.duplicate = true;
        ack.sequence = stream->seen[revision];
    } else if (expected_last != stream->last || (chained && stream->messages[stream->last].revision != revision - 1)) {
        ack.outcome = SINK_DISPLACED;
    } else {
        fake_store(stream, revision, event);
        ack.sequence = stream->last;
    }
    if (acknowledged) {
        fake_answer(stream, ack);
    }
    return true;
}

static size_t fake_collect(void *self, struct sink_ack *acks, size_t max) {
    struct fake_stream *stream = self;
    if (stream->hold_acks) {
        return 0;
    }
    size_t count = stream->ack_count < max ? stream->ack_count : max;
    for (size_t i = 0; i < count; i++) {
        acks[i] = stream->acks[stream->reverse_acks ? stream->ack_count - 1 - i : i];
    }
    stream->ack_count -= count;
    if (!stream->reverse_acks) {
        memmove(stream->acks, stream->acks + count, stream->ack_count * sizeof *stream->acks);
    }
    return count;
}

/* ---- both ---- */

static int64_t fake_now(void *self) {
    struct fixture *fixture = self;
    return fixture->now_us;
}

static void fixture_start(struct fixture *fixture, unsigned window) {
    struct publisher_core_options options = {
        .window = window,
        .ack_timeout_us = 1000000,
        .clock = &fixture->clock,
    };
    struct change_reader reader = {fake_bounds, fake_read, &fixture->log};
    struct event_sink sink = {fake_connected, fake_sync, fake_publish, fake_collect, fixture->stream};
    fixture->core = publisher_core_new(reader, sink, &options);
}

/* A log of revisions 1 to `newest` and an empty stream. */
static void fixture_open(struct fixture *fixture, int64_t newest, unsigned window) {
    *fixture = (struct fixture){.log = {newest > 0, newest, "a", 0, false}, .now_us = 1000000};
    fixture->stream = calloc(1, sizeof *fixture->stream);
    cr_assert_not_null(fixture->stream);
    fixture->stream->connected = true;
    fixture->clock = (struct clock){fake_now, fake_now, fixture};
    fixture_start(fixture, window);
}

static void fixture_restart(struct fixture *fixture, unsigned window) {
    publisher_core_free(fixture->core);
    fixture->stream->ack_count = 0;
    fixture_start(fixture, window);
}

static void fixture_close(struct fixture *fixture) {
    publisher_core_free(fixture->core);
    free(fixture->stream);
}

static void fixture_steps(struct fixture *fixture, int count) {
    for (int i = 0; i < count; i++) {
        publisher_core_step(fixture->core);
    }
}

/* Steps, with time going by, until the stream is said to have `revision`. */
static void fixture_publish_to(struct fixture *fixture, int64_t revision) {
    for (int i = 0; i < 20000; i++) {
        publisher_core_step(fixture->core);
        if (publisher_core_published(fixture->core) >= revision) {
            return;
        }
        fixture->now_us += 10000;
    }
    cr_assert_fail("published %lld, not %lld", (long long)publisher_core_published(fixture->core), (long long)revision);
}

/* The stream's last messages are `first` to `last`, in order, each once, as the log has them. */
static void fixture_check_stream(const struct fixture *fixture, int64_t first, int64_t last) {
    uint64_t at = fixture->stream->last;
    for (int64_t revision = last; revision >= first; revision--, at--) {
        char expected[EVENT_BYTES];
        fake_event(&fixture->log, revision, expected);
        cr_assert_gt(at, 0);
        cr_assert_eq(fixture->stream->messages[at].revision, revision);
        cr_assert_str_eq(fixture->stream->messages[at].event, expected);
    }
    for (; at > 0; at--) {
        cr_assert_lt(fixture->stream->messages[at].revision, first);
    }
}

/* What nats-server forgets when it dies: its newest messages. */
static void fixture_lose_tail(struct fixture *fixture, uint64_t last) {
    for (uint64_t at = last + 1; at <= fixture->stream->last; at++) {
        fixture->stream->seen[fixture->stream->messages[at].revision] = 0;
        fixture->stream->messages[at] = (struct fake_message){0};
    }
    fixture->stream->last = last;
}

#endif
