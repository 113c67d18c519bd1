#include "object-svc/ingest/ingester.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "common/base/stop_signal.h"
#include "common/stream/stream_consumer.h"
#include "object-svc/ingest/staged_change.h"

enum {
    FETCH_WAIT_MS = 500,
    RECONNECT_PAUSE_MS = 500,
    RETRY_FIRST_MS = 100,
    RETRY_LONGEST_MS = 30000,
    STAGED_BATCHES_AHEAD = 4, /* deliveries that may wait for an answer, in batches */
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
    struct stop_signal stop;
    pthread_t thread;
    atomic_bool connected; /* as the connection last told */

    /* The thread's. */
    struct slot slots[INGEST_BATCH_MAX];
    size_t slot_count;
    int64_t progress_us; /* when the deliveries were last kept alive */
    unsigned jitter_seed;
    bool fetch_failed; /* said once */

    struct counter *stored;
    struct counter *stored_bytes;
    struct counter *obsolete;
    struct counter *retried;
    struct counter *bad_events;
    struct histogram *commit_to_stored;
};

/* ---- answers ---- */

/* Doubles with every delivery up to a cap; full jitter keeps replicas from marching in step. */
static int64_t retry_delay_ms(struct ingester *ingester, uint64_t delivery_count) {
    int64_t longest = RETRY_FIRST_MS;
    for (uint64_t i = 1; i < delivery_count && longest < RETRY_LONGEST_MS; i++) {
        longest *= 2;
    }
    longest = longest < RETRY_LONGEST_MS ? longest : RETRY_LONGEST_MS;
    return longest / 2 + rand_r(&ingester->jitter_seed) % (longest / 2 + 1);
}

static void answer(struct ingester *ingester, struct slot *slot, const struct ingest_item *item) {
    const struct provenance *provenance = &item->provenance;
    uint64_t count = stream_delivery_count(slot->delivery);
    int64_t now_us = clock_unix_us(ingester->options.ports.clock);
    switch (item->outcome) {
    case INGEST_STORED:
        counter_add(ingester->stored, 1);
        counter_add(ingester->stored_bytes, provenance->size_bytes);
        histogram_observe_us(ingester->commit_to_stored, now_us - slot->change.commit_us);
        stream_delivery_ack(slot->delivery);
        break;
    case INGEST_OBSOLETE:
        counter_add(ingester->obsolete, 1);
        stream_delivery_ack(slot->delivery);
        break;
    case INGEST_RETRY:
        counter_add(ingester->retried, 1);
        log_warn("payload_not_stored", LOG_ERROR(&item->error), LOG_STR("bucket", provenance->bucket),
                 LOG_STR("key", provenance->key), LOG_INT("version", provenance->version), LOG_INT("delivery", count),
                 LOG_STR("hint", "it is tried again after a pause"));
        stream_delivery_nak(slot->delivery, retry_delay_ms(ingester, count));
        break;
    }
    slot->delivery = NULL;
}

/* Keeps deliveries alive while a batch takes long. */
static void keep_alive(void *self) {
    struct ingester *ingester = self;
    int64_t now_us = clock_monotonic_us(ingester->options.ports.clock);
    if (now_us - ingester->progress_us < ingester->options.ack_wait_ms * 1000 / 3) {
        return;
    }
    ingester->progress_us = now_us;
    for (size_t i = 0; i < ingester->slot_count; i++) {
        stream_delivery_in_progress(ingester->slots[i].delivery);
    }
}

static void on_connection(void *self, bool connected) {
    struct ingester *ingester = self;
    atomic_store(&ingester->connected, connected);
    ingester->options.on_state(ingester->options.self, connected);
}

/* ---- batches ---- */

/* Takes the deliveries that make sense into slots; the others can only be dropped. */
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
            counter_add(ingester->bad_events, 1);
            log_error("bad_event", LOG_ERROR(&error), LOG_STR("hint", "somebody else writes to the stream"));
            stream_delivery_ack(deliveries[i]);
        }
    }
}

static void run_batch(struct ingester *ingester, struct stream_delivery **deliveries, int count) {
    struct arena arena;
    arena_init(&arena);
    take_deliveries(ingester, deliveries, count, &arena);
    ingester->progress_us = clock_monotonic_us(ingester->options.ports.clock);
    struct ingest_item *items = arena_zalloc(&arena, (ingester->slot_count + 1) * sizeof *items);
    for (size_t i = 0; i < ingester->slot_count; i++) {
        items[i].provenance = ingester->slots[i].change.provenance;
    }
    ingest_core_run(ingester->core, items, ingester->slot_count);
    for (size_t i = 0; i < ingester->slot_count; i++) {
        answer(ingester, &ingester->slots[i], &items[i]);
    }
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
        .max_ack_pending = (int64_t)options->batch * STAGED_BATCHES_AHEAD,
    };
    ingester->consumer = stream_consumer_new(ingester->connection, &consumer_options);
    return true;
}

static void disconnect_stream(struct ingester *ingester) {
    stream_consumer_free(ingester->consumer);
    stream_connection_free(ingester->connection);
    ingester->consumer = NULL;
    ingester->connection = NULL;
    atomic_store(&ingester->connected, false);
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

static void *ingester_loop(void *argument) {
    struct ingester *ingester = argument;
    struct stream_delivery *deliveries[INGEST_BATCH_MAX];
    while (!stop_signal_raised(&ingester->stop)) {
        struct error error = {0};
        int count = mend_connection(ingester, &error)
                        ? stream_consumer_fetch(ingester->consumer, deliveries, (int)ingester->options.batch,
                                                FETCH_WAIT_MS, &error)
                        : -1;
        if (count > 0) {
            run_batch(ingester, deliveries, count);
        }
        if (count < 0) {
            if (!ingester->fetch_failed) {
                log_warn("events_not_fetched", LOG_ERROR(&error), LOG_STR("hint", "it is tried again"));
            }
            stop_signal_pause(&ingester->stop, RECONNECT_PAUSE_MS);
        }
        ingester->fetch_failed = count < 0;
    }
    return NULL;
}

/* ---- life ---- */

static void register_metrics(struct ingester *ingester, struct metrics *metrics) {
    ingester->stored =
        metrics_counter(metrics, "waybill_objects_stored_total", "Objects stored from staged payloads.", NULL);
    ingester->stored_bytes =
        metrics_counter(metrics, "waybill_object_bytes_total", "Object bytes by tier and direction.",
                        METRIC_LABELS({"tier", "hot"}, {"direction", "write"}));
    ingester->obsolete = metrics_counter(metrics, "waybill_object_deliveries_obsolete_total",
                                         "Deliveries whose payload nobody wanted any more.", NULL);
    ingester->retried = metrics_counter(metrics, "waybill_object_failures_total", "Objects that could not be handled.",
                                        METRIC_LABELS({"reason", "ingest_retry"}));
    ingester->bad_events =
        metrics_counter(metrics, "waybill_object_failures_total", "Objects that could not be handled.",
                        METRIC_LABELS({"reason", "bad_event"}));
    ingester->commit_to_stored = metrics_histogram(metrics, "waybill_object_commit_to_stored_seconds",
                                                   "Time from the commit of a payload to its being STORED.",
                                                   METRIC_LABELS({"write_mode", "decoupled"}), &metric_buckets_seconds);
}

static void free_parts(struct ingester *ingester) {
    disconnect_stream(ingester);
    ingest_core_free(ingester->core);
    stop_signal_destroy(&ingester->stop);
    free(ingester);
}

struct ingester *ingester_start(const struct ingester_options *options, struct error *error) {
    assert(options->batch >= 1 && options->batch <= INGEST_BATCH_MAX);
    struct ingester *ingester = calloc(1, sizeof *ingester);
    if (ingester == NULL) {
        abort();
    }
    ingester->options = *options;
    ingester->jitter_seed = (unsigned)clock_unix_us(options->ports.clock);
    stop_signal_init(&ingester->stop);
    register_metrics(ingester, options->metrics);
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

bool ingester_connected(const struct ingester *ingester) {
    return atomic_load(&ingester->connected);
}

struct counter *ingester_stored(const struct ingester *ingester) {
    return ingester->stored;
}

void ingester_stop(struct ingester *ingester) {
    if (ingester == NULL) {
        return;
    }
    stop_signal_raise(&ingester->stop);
    pthread_join(ingester->thread, NULL);
    free_parts(ingester);
}
