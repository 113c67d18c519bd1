#include "object-svc/ingest/ingest_round.h"

#include <stdlib.h>

#include "common/base/log.h"
#include "object-svc/ingest/delivery_answers.h"

enum { STALL_FIRST_MS = 100, STALL_LONGEST_MS = 2000 };

/* One delivery of the batch in hand. */
struct slot {
    struct stream_delivery *delivery; /* NULL once answered */
    struct staged_change change;
};

struct ingest_round {
    struct ingest_round_options options;
    struct ingest_core *core;
    struct delivery_answers *answers;
    struct counter *stored_ahead;
    struct slot slots[INGEST_BATCH_MAX];
    size_t slot_count;
    int64_t progress_us; /* when the deliveries were last kept alive */
    int64_t stall_ms;    /* pause after a batch that waits as a whole; 0: the last one did not */
};

/* Keeps deliveries alive while a batch takes long. */
static void keep_alive(void *self) {
    struct ingest_round *round = self;
    int64_t now_us = clock_monotonic_us(round->options.ports.clock);
    round->options.ports.progress(round->options.ports.progress_self);
    if (now_us - round->progress_us < round->options.ack_wait_ms * 1000 / 3) {
        return;
    }
    round->progress_us = now_us;
    for (size_t i = 0; i < round->slot_count; i++) {
        if (round->slots[i].delivery != NULL) {
            stream_delivery_in_progress(round->slots[i].delivery);
        }
    }
}

/* Takes the deliveries that make sense into slots; the others are given up. */
static void take_deliveries(struct ingest_round *round, struct stream_delivery **deliveries, int count,
                            struct arena *arena) {
    round->slot_count = 0;
    for (int i = 0; i < count; i++) {
        struct error error = {0};
        struct slot *slot = &round->slots[round->slot_count];
        if (staged_change_read(stream_delivery_body(deliveries[i]), arena, &slot->change, &error)) {
            slot->delivery = deliveries[i];
            round->slot_count++;
        } else {
            delivery_answers_garbage(round->answers, deliveries[i], &error);
        }
    }
}

/* How many slots from `first` on share a run: small payloads do not wait for the flush of many
 * large ones. */
static size_t run_length(const struct ingest_round *round, size_t first) {
    uint64_t bytes = 0;
    size_t end = first;
    do {
        bytes += round->slots[end++].change.provenance.size_bytes;
    } while (end < round->slot_count &&
             bytes + round->slots[end].change.provenance.size_bytes <= round->options.batch_bytes);
    return end - first;
}

static void run_slots(struct ingest_round *round, size_t first, size_t count, struct ingest_item *items) {
    for (size_t i = 0; i < count; i++) {
        struct slot *slot = &round->slots[first + i];
        items[i].provenance = slot->change.provenance;
        items[i].deliveries = stream_delivery_count(slot->delivery);
    }
    ingest_core_run(round->core, items, count);
    for (size_t i = 0; i < count; i++) {
        struct slot *slot = &round->slots[first + i];
        delivery_answers_item(round->answers, slot->delivery, &items[i]);
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
static bool is_stalled(const struct ingest_round *round, const struct answer_sums *sums) {
    struct error error = {0};
    return sums->waiting > 0 && sums->settled == 0 && sums->failing == 0 &&
           (sums->blocked == sums->waiting || !hot_store_check_room(round->options.ports.hot, 1, &error));
}

/* Where all alike wait, the next batch need not be fetched at once. */
static void note_flow(struct ingest_round *round, const struct answer_sums *sums, const struct ingest_item *items,
                      size_t count) {
    bool stalled = is_stalled(round, sums);
    if (stalled && round->stall_ms == 0) {
        tell_stall(items, count);
    } else if (!stalled && round->stall_ms > 0) {
        log_info("ingest_goes_on");
    }
    int64_t longer_ms = round->stall_ms == 0 ? STALL_FIRST_MS : round->stall_ms * 2;
    round->stall_ms = !stalled ? 0 : longer_ms < STALL_LONGEST_MS ? longer_ms : STALL_LONGEST_MS;
}

int64_t ingest_round_run(struct ingest_round *round, struct stream_delivery **deliveries, int count) {
    struct arena arena;
    arena_init(&arena);
    take_deliveries(round, deliveries, count, &arena);
    round->progress_us = clock_monotonic_us(round->options.ports.clock);
    struct ingest_item *items = arena_zalloc(&arena, (round->slot_count + 1) * sizeof *items);
    size_t length;
    for (size_t first = 0; first < round->slot_count; first += length) {
        length = run_length(round, first);
        run_slots(round, first, length, items + first);
    }
    struct answer_sums sums = delivery_answers_flush(round->answers);
    note_flow(round, &sums, items, round->slot_count);
    arena_free(&arena);
    return round->stall_ms;
}

void ingest_round_run_ahead(struct ingest_round *round, const struct staged_change *changes, size_t count) {
    struct arena arena;
    arena_init(&arena);
    struct ingest_item *items = arena_zalloc(&arena, (count + 1) * sizeof *items);
    for (size_t i = 0; i < count; i++) {
        items[i].provenance = changes[i].provenance;
    }
    round->slot_count = 0;
    ingest_core_run(round->core, items, count);
    for (size_t i = 0; i < count; i++) {
        counter_add(round->stored_ahead, items[i].outcome == INGEST_STORED);
    }
    arena_free(&arena);
}

int64_t ingest_round_pause_ms(const struct ingest_round *round) {
    return round->stall_ms;
}

void ingest_round_rest(struct ingest_round *round) {
    ingest_core_rest(round->core);
}

struct counter *ingest_round_stored(const struct ingest_round *round) {
    return delivery_answers_stored(round->answers);
}

struct ingest_round *ingest_round_new(const struct ingest_round_options *options, struct error *error) {
    struct ingest_round *round = calloc(1, sizeof *round);
    if (round == NULL) {
        abort();
    }
    round->options = *options;
    round->stored_ahead = metrics_counter(options->metrics, "waybill_objects_stored_ahead_total",
                                          "Objects stored before their turn, for fairness between buckets.", NULL);
    round->answers = delivery_answers_new(options->dead_letters, options->ports.clock, options->metrics);
    struct ingest_ports ports = options->ports;
    ports.progress = keep_alive;
    ports.progress_self = round;
    round->core = ingest_core_new(&ports, error);
    if (round->core == NULL) {
        ingest_round_free(round);
        return NULL;
    }
    return round;
}

void ingest_round_free(struct ingest_round *round) {
    if (round != NULL) {
        ingest_core_free(round->core);
        delivery_answers_free(round->answers);
        free(round);
    }
}
