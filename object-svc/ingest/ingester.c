#include "object-svc/ingest/ingester.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "common/base/pulse.h"
#include "common/base/stop_signal.h"
#include "common/stream/stream_consumer.h"
#include "object-svc/ingest/delivery_answers.h"
#include "object-svc/ingest/staged_change.h"

enum {
    FETCH_WAIT_MS = 500,
    RECONNECT_PAUSE_MS = 500,
    STALL_FIRST_MS = 100,
    STALL_LONGEST_MS = 2000,
};

/* One delivery of the batch in hand. */
struct slot {
    struct stream_delivery *delivery; /* NULL once answered */
    struct staged_change change;
};

struct ingester {
    struct ingester_options options;
    char stream_name[64];
    char filter[64];
    struct stream_connection *connection;
    struct stream_consumer *consumer;
    struct ingest_core *core;
    struct delivery_answers *answers;
    struct stop_signal stop;
    pthread_t thread;
    struct pulse pulse;
    pthread_mutex_t telling; /* both that follow, and telling of them */
    bool connected;          /* as the connection last told */
    bool flowing;            /* as the thread last found */

    /* The thread's. */
    struct slot slots[INGEST_BATCH_MAX];
    size_t slot_count;
    int64_t progress_us; /* when the deliveries were last kept alive */
    int64_t stall_ms;    /* pause after a batch that waits as a whole; 0: the last one did not */
    bool fetch_failed;   /* said once */
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

/* ---- batches ---- */

/* Keeps deliveries alive while a batch takes long. */
static void keep_alive(void *self) {
    struct ingester *ingester = self;
    int64_t now_us = clock_monotonic_us(ingester->options.ports.clock);
    pulse_beat(&ingester->pulse);
    if (now_us - ingester->progress_us < ingester->options.ack_wait_ms * 1000 / 3) {
        return;
    }
    ingester->progress_us = now_us;
    for (size_t i = 0; i < ingester->slot_count; i++) {
        if (ingester->slots[i].delivery != NULL) {
            stream_delivery_in_progress(ingester->slots[i].delivery);
        }
    }
}

/* Takes the deliveries that make sense into slots; the others are given up. */
static void take_deliveries(struct ingester *ingester, struct stream_delivery **deliveries, int count,
                            struct arena *arena) {
    ingester->slot_count = 0;
    for (int i = 0; i < count; i++) {
        struct error error = {0};
        struct slot *slot = &ingester->slots[ingester->slot_count];
        if (staged_change_read(stream_delivery_body(deliveries[i]), arena, &slot->change, &error)) {
            slot->delivery = deliveries[i];
            ingester->slot_count++;
        } else {
            delivery_answers_garbage(ingester->answers, deliveries[i], &error);
        }
    }
}

/* How many slots from `first` on share a run: small payloads do not wait for the flush of many
 * large ones. */
static size_t run_length(const struct ingester *ingester, size_t first) {
    uint64_t bytes = 0;
    size_t end = first;
    do {
        bytes += ingester->slots[end++].change.provenance.size_bytes;
    } while (end < ingester->slot_count &&
             bytes + ingester->slots[end].change.provenance.size_bytes <= ingester->options.batch_bytes);
    return end - first;
}

static void run_slots(struct ingester *ingester, size_t first, size_t count, struct ingest_item *items) {
    for (size_t i = 0; i < count; i++) {
        struct slot *slot = &ingester->slots[first + i];
        items[i].provenance = slot->change.provenance;
        items[i].deliveries = stream_delivery_count(slot->delivery);
    }
    ingest_core_run(ingester->core, items, count);
    for (size_t i = 0; i < count; i++) {
        struct slot *slot = &ingester->slots[first + i];
        delivery_answers_item(ingester->answers, slot->delivery, &items[i]);
        slot->delivery = NULL;
    }
}

static void tell_stall(const struct ingest_item *items, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (items[i].outcome == INGEST_RETRY) {
            log_warn("ingest_stalled", LOG_ERROR(&items[i].error), LOG_INT("payloads", count),
                     LOG_STR("hint", "they wait in the spool until this is over; nothing is given up for it"));
            return;
        }
    }
}

/* Whether the next batch will fare no better. Hot volumes that have no room for a large payload may
 * have some for others. */
static bool is_stalled(const struct ingester *ingester, const struct answer_sums *sums) {
    struct error error = {0};
    return sums->waiting > 0 && sums->settled == 0 && sums->failing == 0 &&
           (sums->blocked == sums->waiting || !hot_store_check_room(ingester->options.ports.hot, 1, &error));
}

/* Where all alike wait, the next batch need not be fetched at once. */
static void note_flow(struct ingester *ingester, const struct answer_sums *sums, const struct ingest_item *items,
                      size_t count) {
    bool stalled = is_stalled(ingester, sums);
    if (stalled && ingester->stall_ms == 0) {
        tell_stall(items, count);
    } else if (!stalled && ingester->stall_ms > 0) {
        log_info("ingest_goes_on");
    }
    int64_t longer_ms = ingester->stall_ms == 0 ? STALL_FIRST_MS : ingester->stall_ms * 2;
    ingester->stall_ms = !stalled ? 0 : longer_ms < STALL_LONGEST_MS ? longer_ms : STALL_LONGEST_MS;
    set_flowing(ingester, !stalled);
}

static void run_batch(struct ingester *ingester, struct stream_delivery **deliveries, int count) {
    struct arena arena;
    arena_init(&arena);
    take_deliveries(ingester, deliveries, count, &arena);
    ingester->progress_us = clock_monotonic_us(ingester->options.ports.clock);
    struct ingest_item *items = arena_zalloc(&arena, (ingester->slot_count + 1) * sizeof *items);
    size_t length;
    for (size_t first = 0; first < ingester->slot_count; first += length) {
        length = run_length(ingester, first);
        run_slots(ingester, first, length, items + first);
    }
    struct answer_sums sums = delivery_answers_flush(ingester->answers);
    note_flow(ingester, &sums, items, ingester->slot_count);
    arena_free(&arena);
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
    return true;
}

static void disconnect_stream(struct ingester *ingester) {
    stream_consumer_free(ingester->consumer);
    stream_connection_free(ingester->connection);
    ingester->consumer = NULL;
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
        ingest_core_rest(ingester->core);
    }
    if (count < 0) {
        set_flowing(ingester, false);
        return RECONNECT_PAUSE_MS;
    }
    if (count > 0) {
        run_batch(ingester, deliveries, count);
    } else if (ingester->stall_ms == 0 && stream_consumer_in_touch(ingester->consumer)) {
        set_flowing(ingester, true);
    }
    return ingester->stall_ms;
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
    ingest_core_free(ingester->core);
    delivery_answers_free(ingester->answers);
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
    ingester->answers = delivery_answers_new(options->dead_letters, options->ports.clock, options->metrics);
    struct ingest_ports ports = options->ports;
    ports.progress = keep_alive;
    ports.progress_self = ingester;
    ingester->core = ingest_core_new(&ports, error);
    if (ingester->core == NULL || !connect_stream(ingester, error)) {
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
    return delivery_answers_stored(ingester->answers);
}

void ingester_stop(struct ingester *ingester) {
    if (ingester == NULL) {
        return;
    }
    stop_signal_raise(&ingester->stop);
    pthread_join(ingester->thread, NULL);
    free_parts(ingester);
}
