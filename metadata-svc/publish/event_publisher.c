#include "metadata-svc/publish/event_publisher.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/failpoint.h"
#include "common/base/log.h"
#include "common/base/stop_signal.h"
#include "common/base/thread_turn.h"
#include "common/stream/stream_publisher.h"
#include "metadata-svc/publish/cloud_event.h"
#include "metadata-svc/publish/publisher_core.h"

enum {
    ACK_TIMEOUT_US = 5000000,
    LINGER_MS = 5,          /* after a run; what is committed meanwhile is the next one */
    BUSY_PAUSE_MS = 100,    /* an acknowledgement cuts it short */
    IDLE_PAUSE_MS = 1000,   /* a notification cuts it short */
    TROUBLE_PAUSE_MS = 100, /* the core decides when to try again */
    STOP_PATIENCE_MS = 500, /* for acknowledgements when stopping */
    STAND_BACK_STEPS = 5    /* events behind commits, where there are too few processors for both */
};

struct event_publisher {
    struct event_publisher_options options;
    char stream_name[64];
    char subjects[64];
    struct stream_connection *connection;
    struct stream_publisher *stream;
    struct publisher_core *core;
    struct stop_signal stop;
    pthread_t thread;
    bool publishing;         /* as it was last told; the thread's */
    atomic_bool reconnected; /* since the last step */
    atomic_bool connected;   /* as the connection last told */
};

/* ---- the sink over JetStream ---- */

static bool sink_connected(void *self) {
    struct event_publisher *publisher = self;
    return publisher->stream != NULL && stream_connection_connected(publisher->connection);
}

static bool sink_sync(void *self, struct sink_end *end, struct error *error) {
    struct event_publisher *publisher = self;
    struct stream_end found;
    if (!FAILPOINT("publish.sync.before") || !stream_publisher_sync(publisher->stream, &found, error) ||
        !FAILPOINT("publish.sync.after")) {
        return false;
    }
    *end = (struct sink_end){.unfinished = found.unfinished, .sequence = found.sequence};
    if (found.has_message) {
        end->revision = cloud_event_revision(publisher->options.shard, found.message_id);
        end->event = found.body;
    }
    return true;
}

static bool is_ours(void *self, const char *message_id) {
    struct event_publisher *publisher = self;
    return cloud_event_revision(publisher->options.shard, message_id) > 0;
}

static bool sink_publish(void *self, int64_t revision, struct bytes change, uint64_t expected_last, bool chained,
                         bool acknowledged, struct error *error) {
    struct event_publisher *publisher = self;
    struct arena arena;
    struct cloud_event event;
    arena_init(&arena);
    bool good = cloud_event_make(publisher->options.shard, change, &arena, &event, error);
    if (good) {
        char previous[STREAM_MESSAGE_ID_BYTES];
        cloud_event_message_id(publisher->options.shard, revision - 1, previous);
        struct stream_message message = {
            .token = revision,
            .subject = event.subject,
            .message_id = event.message_id,
            .expected_last_sequence = expected_last,
            .expected_last_id = chained ? previous : NULL,
            .acknowledged = acknowledged,
            .headers = event.headers,
            .header_count = event.header_count,
            .body = change,
        };
        good = FAILPOINT("publish.send.before") && stream_publisher_publish(publisher->stream, &message, error) &&
               FAILPOINT("publish.send.after");
    }
    arena_free(&arena);
    return good;
}

static struct sink_ack translate(const struct stream_ack *arrived) {
    struct sink_ack ack = {
        .revision = arrived->token,
        .outcome = arrived->outcome == STREAM_ACCEPTED     ? SINK_ACCEPTED
                   : arrived->outcome == STREAM_WRONG_LAST ? SINK_DISPLACED
                                                           : SINK_REFUSED,
        .duplicate = arrived->duplicate,
        .sequence = arrived->sequence,
    };
    snprintf(ack.why, sizeof ack.why, "%s", arrived->why);
    return ack;
}

enum { COLLECT_STEP = 64 };

static size_t sink_collect(void *self, struct sink_ack *acks, size_t max) {
    struct event_publisher *publisher = self;
    struct stream_ack arrived[COLLECT_STEP];
    size_t total = 0;
    while (publisher->stream != NULL && total < max) {
        size_t wanted = max - total < COLLECT_STEP ? max - total : COLLECT_STEP;
        size_t count = stream_publisher_collect(publisher->stream, arrived, wanted);
        for (size_t i = 0; i < count; i++) {
            acks[total++] = translate(&arrived[i]);
        }
        if (count < wanted) {
            break;
        }
    }
    return total;
}

/* ---- the thread ---- */

static void on_ack(void *self) {
    struct event_publisher *publisher = self;
    stop_signal_wake(&publisher->stop);
}

static void on_connection(void *self, bool connected) {
    struct event_publisher *publisher = self;
    if (connected) {
        atomic_store(&publisher->reconnected, true); /* before anybody publishes to it */
    }
    atomic_store(&publisher->connected, connected);
    if (connected) {
        stop_signal_wake(&publisher->stop);
    }
}

static void tell_state(struct event_publisher *publisher) {
    bool publishing = publisher_core_state(publisher->core) == PUBLISHER_PUBLISHING;
    if (publishing != publisher->publishing) {
        publisher->publishing = publishing;
        if (publisher->options.on_state != NULL) {
            publisher->options.on_state(publisher->options.self, publishing);
        }
    }
}

static bool connect_stream(struct event_publisher *publisher, struct error *error);
static void disconnect_stream(struct event_publisher *publisher);

/* A connection that the library gave up is made anew. */
static void mend_connection(struct event_publisher *publisher) {
    struct error error = {0};
    if (publisher->stream != NULL && !stream_connection_closed(publisher->connection)) {
        return;
    }
    disconnect_stream(publisher);
    if (!connect_stream(publisher, &error)) {
        log_warn("event_stream_not_connected", LOG_ERROR(&error), LOG_STR("hint", "it is tried again"));
        disconnect_stream(publisher);
    }
    publisher_core_resync(publisher->core);
}

static bool step(struct event_publisher *publisher) {
    mend_connection(publisher);
    if (atomic_exchange(&publisher->reconnected, false)) {
        publisher_core_resync(publisher->core);
    }
    bool busy = publisher_core_step(publisher->core);
    tell_state(publisher);
    return busy;
}

static int64_t pause_ms(const struct event_publisher *publisher, bool busy) {
    if (publisher_core_state(publisher->core) != PUBLISHER_PUBLISHING) {
        return TROUBLE_PAUSE_MS;
    }
    return busy ? BUSY_PAUSE_MS : IDLE_PAUSE_MS;
}

static void *event_publisher_loop(void *argument) {
    struct event_publisher *publisher = argument;
    bool busy = false;
    thread_turn_stand_back(STAND_BACK_STEPS);
    do {
        busy = step(publisher);
        nats_Sleep(LINGER_MS);
    } while (!stop_signal_pause(&publisher->stop, pause_ms(publisher, busy)));
    int64_t until_us = clock_monotonic_us(publisher->options.clock) + STOP_PATIENCE_MS * INT64_C(1000);
    while (busy && clock_monotonic_us(publisher->options.clock) < until_us) {
        nats_Sleep(1);
        busy = step(publisher);
    }
    return NULL;
}

/* ---- life ---- */

static bool connect_stream(struct event_publisher *publisher, struct error *error) {
    const struct event_publisher_options *options = &publisher->options;
    snprintf(publisher->stream_name, sizeof publisher->stream_name, "WAYBILL_CHANGES_%s", options->shard);
    snprintf(publisher->subjects, sizeof publisher->subjects, "waybill.changes.%s.>", options->shard);
    struct stream_connection_options connection_options = {
        .urls = options->nats_url,
        .name = "waybill-metadata-svc",
        .on_state = on_connection,
        .self = publisher,
    };
    publisher->connection = stream_connection_new(&connection_options, error);
    if (publisher->connection == NULL) {
        return false;
    }
    struct stream_publisher_options stream_options = {
        .stream = publisher->stream_name,
        .subjects = publisher->subjects,
        .max_bytes = options->stream_max_bytes,
        .max_age_ms = options->stream_max_age_ms,
        .is_ours = is_ours,
        .on_ack = on_ack,
        .self = publisher,
    };
    publisher->stream = stream_publisher_new(publisher->connection, &stream_options, error);
    return publisher->stream != NULL;
}

static void disconnect_stream(struct event_publisher *publisher) {
    stream_publisher_free(publisher->stream);
    stream_connection_free(publisher->connection);
    publisher->stream = NULL;
    publisher->connection = NULL;
    atomic_store(&publisher->connected, false);
}

static void free_parts(struct event_publisher *publisher) {
    disconnect_stream(publisher);
    publisher_core_free(publisher->core);
    stop_signal_destroy(&publisher->stop);
    free(publisher);
}

struct event_publisher *event_publisher_start(struct change_reader reader,
                                              const struct event_publisher_options *options, struct error *error) {
    struct event_publisher *publisher = calloc(1, sizeof *publisher);
    if (publisher == NULL) {
        abort();
    }
    publisher->options = *options;
    stop_signal_init(&publisher->stop);
    struct event_sink sink = {sink_connected, sink_sync, sink_publish, sink_collect, publisher};
    struct publisher_core_options core_options = {
        .window = options->window,
        .ack_timeout_us = ACK_TIMEOUT_US,
        .clock = options->clock,
    };
    publisher->core = publisher_core_new(reader, sink, &core_options);
    /* The thread tries again whatever time can mend. */
    if (!connect_stream(publisher, error) && error->code == ERROR_INVALID_ARGUMENT) {
        free_parts(publisher);
        return NULL;
    }
    if (pthread_create(&publisher->thread, NULL, event_publisher_loop, publisher) != 0) {
        abort();
    }
    pthread_setname_np(publisher->thread, "publisher");
    return publisher;
}

void event_publisher_notify(struct event_publisher *publisher) {
    stop_signal_wake(&publisher->stop);
}

int64_t event_publisher_published_revision(const struct event_publisher *publisher) {
    return publisher_core_published(publisher->core);
}

bool event_publisher_connected(const struct event_publisher *publisher) {
    return atomic_load(&publisher->connected);
}

enum publisher_state event_publisher_state(const struct event_publisher *publisher) {
    return publisher_core_state(publisher->core);
}

uint64_t event_publisher_published_total(const struct event_publisher *publisher) {
    return publisher_core_published_total(publisher->core);
}

unsigned event_publisher_in_flight(const struct event_publisher *publisher) {
    return publisher_core_in_flight(publisher->core);
}

uint64_t event_publisher_rewinds(const struct event_publisher *publisher) {
    return publisher_core_rewinds_total(publisher->core);
}

void event_publisher_stop(struct event_publisher *publisher) {
    if (publisher == NULL) {
        return;
    }
    stop_signal_raise(&publisher->stop);
    pthread_join(publisher->thread, NULL);
    free_parts(publisher);
}
