#include "object-svc/ingest/ingester.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "common/base/pulse.h"
#include "common/base/stop_signal.h"
#include "common/stream/stream_consumer.h"
#include "object-svc/ingest/ingest_round.h"
#include "object-svc/ingest/look_ahead.h"

enum {
    FETCH_WAIT_MS = 500,
    RECONNECT_PAUSE_MS = 500,
};

struct ingester {
    struct ingester_options options;
    char stream_name[64];
    char filter[64];
    struct stream_connection *connection;
    struct stream_consumer *consumer;
    struct look_ahead *look_ahead;
    struct ingest_round *round;
    struct stop_signal stop;
    pthread_t thread;
    struct pulse pulse;
    pthread_mutex_t telling; /* both that follow, and telling of them */
    bool connected;          /* as the connection last told */
    bool flowing;            /* as the thread last found */

    bool fetch_failed; /* the thread's: said once */
};

/* ---- state, for health ---- */

static void on_connection(void *self, bool connected) {
    struct ingester *ingester = self;
    pthread_mutex_lock(&ingester->telling);
    ingester->connected = connected;
    ingester->flowing = ingester->flowing && connected; /* until something comes */
    ingester->options.on_state(ingester->options.self, ingester->flowing);
    pthread_mutex_unlock(&ingester->telling);
}

static void set_flowing(struct ingester *ingester, bool flowing) {
    pthread_mutex_lock(&ingester->telling);
    flowing = flowing && ingester->connected;
    if (ingester->flowing != flowing) {
        ingester->flowing = flowing;
        ingester->options.on_state(ingester->options.self, flowing);
    }
    pthread_mutex_unlock(&ingester->telling);
}

static void beat(void *self) {
    pulse_beat(&((struct ingester *)self)->pulse);
}

/* ---- the connection ---- */

static bool connect_stream(struct ingester *ingester, struct error *error) {
    const struct ingester_options *options = &ingester->options;
    snprintf(ingester->stream_name, sizeof ingester->stream_name, "WAYBILL_CHANGES_%s", options->shard);
    snprintf(ingester->filter, sizeof ingester->filter, "waybill.changes.%s.*.staged", options->shard);
    struct stream_connection_options connection_options = {
        .urls = options->nats_url,
        .name = "waybill-object-svc",
        .on_state = on_connection,
        .self = ingester,
    };
    ingester->connection = stream_connection_new(&connection_options, error);
    if (ingester->connection == NULL) {
        return false;
    }
    struct stream_consumer_options consumer_options = {
        .stream = ingester->stream_name,
        .durable = "waybill-object-svc",
        .filter = ingester->filter,
        .ack_wait_ms = options->ack_wait_ms,
        .max_ack_pending = options->pending_max,
    };
    ingester->consumer = stream_consumer_new(ingester->connection, &consumer_options);
    ingester->look_ahead = look_ahead_new(ingester->connection, ingester->stream_name, ingester->filter);
    return true;
}

static void disconnect_stream(struct ingester *ingester) {
    stream_consumer_free(ingester->consumer);
    look_ahead_free(ingester->look_ahead);
    stream_connection_free(ingester->connection);
    ingester->consumer = NULL;
    ingester->look_ahead = NULL;
    ingester->connection = NULL;
    on_connection(ingester, false);
}

/* A connection that the library gave up is made anew. */
static bool mend_connection(struct ingester *ingester, struct error *error) {
    if (ingester->consumer != NULL && !stream_connection_closed(ingester->connection)) {
        return true;
    }
    disconnect_stream(ingester);
    if (connect_stream(ingester, error)) {
        return true;
    }
    disconnect_stream(ingester);
    return false;
}

/* Others' turn. */
static void run_ahead(struct ingester *ingester, uint64_t after) {
    struct arena arena;
    arena_init(&arena);
    struct staged_change *found = arena_zalloc(&arena, LOOK_AHEAD_MAX * sizeof *found);
    size_t count = look_ahead_take(ingester->look_ahead, after, ingester->options.batch_bytes, &arena, found);
    if (count > 0) {
        ingest_round_run_ahead(ingester->round, found, count);
    }
    arena_free(&arena);
}

/* While more wait than the next batch takes, some of other buckets follow. */
static void run_round(struct ingester *ingester, struct stream_delivery **deliveries, int count) {
    uint64_t newest = 0; /* some may be older ones that are delivered again */
    uint64_t pending = stream_delivery_pending(deliveries[count - 1]);
    look_ahead_begin(ingester->look_ahead);
    for (int i = 0; i < count; i++) {
        uint64_t sequence = stream_delivery_sequence(deliveries[i]);
        newest = sequence > newest ? sequence : newest;
        look_ahead_pass_over(ingester->look_ahead, stream_delivery_subject(deliveries[i]));
    }
    bool flowing = ingest_round_run(ingester->round, deliveries, count) == 0;
    set_flowing(ingester, flowing);
    if (flowing && pending > ingester->options.batch) {
        run_ahead(ingester, newest);
    }
}

/* Returns how long to pause. */
static int64_t fetch_and_run(struct ingester *ingester) {
    struct stream_delivery *deliveries[INGEST_BATCH_MAX];
    struct error error = {0};
    int count =
        mend_connection(ingester, &error)
            ? stream_consumer_fetch(ingester->consumer, deliveries, (int)ingester->options.batch, FETCH_WAIT_MS, &error)
            : -1;
    if (count < 0 && !ingester->fetch_failed) {
        log_warn("events_not_fetched", LOG_ERROR(&error), LOG_STR("hint", "it is tried again"));
    }
    ingester->fetch_failed = count < 0;
    if (count <= 0) {
        ingest_round_rest(ingester->round);
    }
    if (count < 0) {
        set_flowing(ingester, false);
        return RECONNECT_PAUSE_MS;
    }
    if (count > 0) {
        run_round(ingester, deliveries, count);
    } else if (ingest_round_pause_ms(ingester->round) == 0 && stream_consumer_in_touch(ingester->consumer)) {
        set_flowing(ingester, true);
    }
    return ingest_round_pause_ms(ingester->round);
}

static void *ingester_loop(void *argument) {
    struct ingester *ingester = argument;
    while (!stop_signal_raised(&ingester->stop)) {
        pulse_beat(&ingester->pulse);
        int64_t pause_ms = fetch_and_run(ingester);
        if (pause_ms > 0) {
            stop_signal_pause(&ingester->stop, pause_ms);
        }
    }
    return NULL;
}

/* ---- life ---- */

static void free_parts(struct ingester *ingester) {
    disconnect_stream(ingester);
    ingest_round_free(ingester->round);
    stop_signal_destroy(&ingester->stop);
    pthread_mutex_destroy(&ingester->telling);
    free(ingester);
}

struct ingester *ingester_start(const struct ingester_options *options, struct error *error) {
    assert(options->batch >= 1 && options->batch <= INGEST_BATCH_MAX);
    struct ingester *ingester = calloc(1, sizeof *ingester);
    if (ingester == NULL) {
        abort();
    }
    ingester->options = *options;
    pulse_init(&ingester->pulse, options->ports.clock);
    stop_signal_init(&ingester->stop);
    pthread_mutex_init(&ingester->telling, NULL);
    struct ingest_round_options round_options = {
        .ack_wait_ms = options->ack_wait_ms,
        .batch_bytes = options->batch_bytes,
        .ports = options->ports,
        .dead_letters = options->dead_letters,
        .metrics = options->metrics,
    };
    round_options.ports.progress = beat;
    round_options.ports.progress_self = ingester;
    ingester->round = ingest_round_new(&round_options, error);
    if (ingester->round == NULL || !connect_stream(ingester, error)) {
        free_parts(ingester);
        return NULL;
    }
    if (pthread_create(&ingester->thread, NULL, ingester_loop, ingester) != 0) {
        abort();
    }
    pthread_setname_np(ingester->thread, "ingester");
    return ingester;
}

bool ingester_connected(struct ingester *ingester) {
    pthread_mutex_lock(&ingester->telling);
    bool connected = ingester->connected;
    pthread_mutex_unlock(&ingester->telling);
    return connected;
}

int64_t ingester_silence_ms(const struct ingester *ingester) {
    return pulse_silence_ms(&ingester->pulse);
}

struct counter *ingester_stored(const struct ingester *ingester) {
    return ingest_round_stored(ingester->round);
}

void ingester_stop(struct ingester *ingester) {
    if (ingester == NULL) {
        return;
    }
    stop_signal_raise(&ingester->stop);
    pthread_join(ingester->thread, NULL);
    free_parts(ingester);
}
