#include "tests/simulation/sim_stream.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/arena.h"
#include "tests/simulation/sim_core.h"
#include "waybill/v1/event.pb-c.h"

enum {
    MESSAGES_MAX = 4096,
    FLIGHTS_MAX = 1024,
    LATENCY_MOST_MS = 15,
    SYNC_MOST_MS = 40,
    DUPLICATE_WINDOW_MS = 120000,
};

struct message {
    int64_t revision; /* 0: somebody else's */
    int64_t store_us;
    bool staged;
    struct bytes event;
};

/* An event on its way to the stream, or the answer on its way back. */
struct flight {
    struct message message;
    uint64_t expected_last;
    bool chained;
    bool acknowledged;
    unsigned connection;
    int64_t arrive_us;
};

struct answer {
    struct sink_ack ack;
    int64_t arrive_us;
};

struct known_id {
    int64_t revision;
    uint64_t sequence;
    int64_t until_us;
};

struct pending {
    uint64_t sequence;
    unsigned count;
    int64_t due_us;
};

struct sim_stream {
    struct arena arena; /* of all events */
    struct message messages[MESSAGES_MAX];
    size_t count;
    uint64_t before_first;                /* sequence before the first message */
    struct known_id ghosts[MESSAGES_MAX]; /* of events that are lost while their ids are known yet */
    size_t ghost_count;

    unsigned connection;
    int64_t up_us; /* when it is there again */
    int64_t last_arrive_us;
    struct flight flights[FLIGHTS_MAX];
    size_t flight_count;
    struct answer answers[FLIGHTS_MAX];
    size_t answer_count;
    unsigned losses;

    unsigned consumer;
    size_t next; /* index of the message that is delivered next */
    struct pending pending[SIM_ACK_PENDING_MAX];
    size_t pending_count;

    bool forgets_end;
    bool stops_at_others;
    int64_t believed_revision;
    bool takes_all;
    bool acks_early;
    bool acks_naks;
};

/* ---- the stream itself ---- */

static uint64_t last_sequence(const struct sim_stream *stream) {
    return stream->before_first + stream->count;
}

static bool is_up(const struct sim_stream *stream) {
    return sim_now_us() >= stream->up_us;
}

static const struct known_id *find_ghost(const struct sim_stream *stream, int64_t revision) {
    for (size_t i = 0; i < stream->ghost_count; i++) {
        if (stream->ghosts[i].revision == revision && stream->ghosts[i].until_us > sim_now_us()) {
            return &stream->ghosts[i];
        }
    }
    return NULL;
}

/* The sequence of an event whose id is known; 0: none. */
static uint64_t find_known(const struct sim_stream *stream, int64_t revision) {
    for (size_t i = stream->count; i > 0; i--) {
        if (stream->messages[i - 1].revision == revision) {
            return stream->before_first + i;
        }
    }
    const struct known_id *ghost = find_ghost(stream, revision);
    return ghost != NULL ? ghost->sequence : 0;
}

static bool fits(const struct sim_stream *stream, const struct flight *flight) {
    int64_t last = stream->count > 0 ? stream->messages[stream->count - 1].revision : 0;
    return stream->takes_all || (flight->expected_last == last_sequence(stream) &&
                                 (!flight->chained || last == flight->message.revision - 1));
}

static void answer(struct sim_stream *stream, const struct flight *flight, struct sink_ack ack) {
    if (!flight->acknowledged || flight->connection != stream->connection || sim_chance(stream->losses) ||
        stream->answer_count == FLIGHTS_MAX) {
        return;
    }
    ack.revision = flight->message.revision;
    stream->answers[stream->answer_count++] =
        (struct answer){ack, flight->arrive_us + sim_range(1, LATENCY_MOST_MS) * SIM_MS};
}

static void arrive(struct sim_stream *stream, const struct flight *flight) {
    uint64_t known = stream->takes_all ? 0 : find_known(stream, flight->message.revision);
    struct sink_ack ack = {.outcome = SINK_ACCEPTED};
    if (known != 0) {
        ack.duplicate = true;
        ack.sequence = known;
    } else if (!fits(stream, flight)) {
        ack.outcome = SINK_DISPLACED;
    } else {
        SIM_CHECK(stream->count < MESSAGES_MAX, "the simulated stream is full");
        stream->messages[stream->count] = flight->message;
        stream->messages[stream->count++].store_us = flight->arrive_us;
        ack.sequence = last_sequence(stream);
        sim_trace("stream takes revision %lld at %llu", (long long)flight->message.revision,
                  (unsigned long long)ack.sequence);
    }
    answer(stream, flight, ack);
}

/* Lets what is on its way come by now, in order. */
static void pump(struct sim_stream *stream) {
    size_t done = 0;
    while (done < stream->flight_count && stream->flights[done].arrive_us <= sim_now_us()) {
        if (stream->flights[done].arrive_us >= stream->up_us) {
            arrive(stream, &stream->flights[done]);
        }
        done++;
    }
    stream->flight_count -= done;
    memmove(stream->flights, stream->flights + done, stream->flight_count * sizeof stream->flights[0]);
}

/* ---- the sink ---- */

static bool sink_connected(void *self) {
    return sim_alive() && is_up(self);
}

static bool no_answer(struct error *error) {
    return error_set(error, ERROR_UNAVAILABLE, "EVENT_STREAM_FAILED", "the stream does not answer");
}

static bool sink_sync(void *self, struct sink_end *end, struct error *error) {
    struct sim_stream *stream = self;
    unsigned connection = stream->connection;
    sim_sleep(sim_range(1, SYNC_MOST_MS) * SIM_MS);
    if (!sim_alive() || !is_up(stream) || connection != stream->connection || sim_chance(stream->losses)) {
        return no_answer(error);
    }
    pump(stream);
    stream->answer_count = 0;
    *end = (struct sink_end){.sequence = last_sequence(stream)};
    size_t newest = stream->count;
    while (newest > 0 && stream->messages[newest - 1].revision == 0 && !stream->stops_at_others) {
        newest--;
    }
    if (newest < stream->count && sim_chance(300)) {
        *end = (struct sink_end){.unfinished = true};
        return true;
    }
    if (newest > 0) {
        end->revision = stream->messages[newest - 1].revision;
        end->event = stream->messages[newest - 1].event;
    }
    if (stream->forgets_end && stream->believed_revision > end->revision) {
        end->revision = stream->believed_revision;
        end->event = (struct bytes){0};
    }
    return true;
}

static bool is_staged(struct bytes event) {
    Waybill__V1__ChangeEvent *message = waybill__v1__change_event__unpack(NULL, event.size, event.data);
    SIM_CHECK(message != NULL, "an event cannot be decoded");
    bool staged = message->type == WAYBILL__V1__CHANGE_TYPE__CHANGE_TYPE_STAGED;
    waybill__v1__change_event__free_unpacked(message, NULL);
    return staged;
}

static bool sink_publish(void *self, int64_t revision, struct bytes event, uint64_t expected_last, bool chained,
                         bool acknowledged, struct error *error) {
    struct sim_stream *stream = self;
    if (!sink_connected(stream) || stream->flight_count == FLIGHTS_MAX) {
        return no_answer(error);
    }
    if (revision > stream->believed_revision) {
        stream->believed_revision = revision;
    }
    if (sim_chance(stream->losses)) {
        return true;
    }
    int64_t arrive_us = sim_now_us() + sim_range(1, LATENCY_MOST_MS) * SIM_MS;
    if (arrive_us < stream->last_arrive_us && !stream->takes_all) {
        arrive_us = stream->last_arrive_us; /* one connection keeps their order */
    }
    stream->last_arrive_us = arrive_us;
    size_t at = stream->flight_count++;
    for (; at > 0 && stream->flights[at - 1].arrive_us > arrive_us; at--) {
        stream->flights[at] = stream->flights[at - 1];
    }
    stream->flights[at] = (struct flight){
        .message = {.revision = revision, .staged = is_staged(event), .event = arena_copy(&stream->arena, event)},
        .expected_last = expected_last,
        .chained = chained,
        .acknowledged = acknowledged,
        .connection = stream->connection,
        .arrive_us = arrive_us,
    };
    return true;
}

static size_t sink_collect(void *self, struct sink_ack *acks, size_t max) {
    struct sim_stream *stream = self;
    size_t count = 0;
    if (!sim_alive()) {
        return 0;
    }
    pump(stream);
    for (size_t i = 0; i < stream->answer_count && count < max;) {
        if (stream->answers[i].arrive_us > sim_now_us()) {
            i++;
            continue;
        }
        acks[count++] = stream->answers[i].ack;
        stream->answers[i] = stream->answers[--stream->answer_count];
    }
    return count;
}

struct event_sink sim_stream_sink(struct sim_stream *stream) {
    return (struct event_sink){sink_connected, sink_sync, sink_publish, sink_collect, stream};
}

unsigned sim_stream_connection(const struct sim_stream *stream) {
    return stream->connection;
}

/* ---- the consumer ---- */

static struct pending *find_pending(struct sim_stream *stream, const struct sim_delivery *delivery) {
    if (delivery->consumer != stream->consumer || !is_up(stream) || !sim_alive()) {
        return NULL;
    }
    for (size_t i = 0; i < stream->pending_count; i++) {
        if (stream->pending[i].sequence == delivery->sequence) {
            return &stream->pending[i];
        }
    }
    return NULL;
}

static void hand_out(struct sim_stream *stream, struct pending *pending, struct sim_delivery *delivery) {
    pending->count++;
    pending->due_us = sim_now_us() + SIM_ACK_WAIT_MS * SIM_MS;
    *delivery = (struct sim_delivery){
        .sequence = pending->sequence,
        .consumer = stream->consumer,
        .count = pending->count,
        .store_us = stream->messages[pending->sequence - stream->before_first - 1].store_us,
        .body = stream->messages[pending->sequence - stream->before_first - 1].event,
    };
}

static int deliver_again(struct sim_stream *stream, struct sim_delivery *deliveries, int max) {
    int count = 0;
    for (size_t i = 0; i < stream->pending_count && count < max; i++) {
        if (stream->pending[i].due_us <= sim_now_us()) {
            hand_out(stream, &stream->pending[i], &deliveries[count++]);
        }
    }
    return count;
}

int sim_stream_fetch(struct sim_stream *stream, struct sim_delivery *deliveries, int max) {
    sim_sleep(sim_range(1, LATENCY_MOST_MS) * SIM_MS);
    if (!sim_alive() || !is_up(stream)) {
        return -1;
    }
    pump(stream);
    int count = deliver_again(stream, deliveries, max);
    while (count < max && stream->pending_count < SIM_ACK_PENDING_MAX && stream->next < stream->count) {
        if (stream->messages[stream->next++].staged) {
            struct pending *pending = &stream->pending[stream->pending_count++];
            *pending = (struct pending){.sequence = stream->before_first + stream->next};
            hand_out(stream, pending, &deliveries[count++]);
        }
    }
    for (int i = 0; i < count && stream->acks_early; i++) {
        sim_stream_ack(stream, &deliveries[i]);
    }
    return count;
}

void sim_stream_ack(struct sim_stream *stream, const struct sim_delivery *delivery) {
    struct pending *pending = find_pending(stream, delivery);
    if (pending != NULL && !sim_chance(stream->losses)) {
        *pending = stream->pending[--stream->pending_count];
    }
}

void sim_stream_nak(struct sim_stream *stream, const struct sim_delivery *delivery, int64_t delay_ms) {
    struct pending *pending = find_pending(stream, delivery);
    if (stream->acks_naks) {
        sim_stream_ack(stream, delivery);
    } else if (pending != NULL && !sim_chance(stream->losses)) {
        pending->due_us = sim_now_us() + delay_ms * SIM_MS;
    }
}

void sim_stream_in_progress(struct sim_stream *stream, const struct sim_delivery *delivery) {
    struct pending *pending = find_pending(stream, delivery);
    if (pending != NULL) {
        pending->due_us = sim_now_us() + SIM_ACK_WAIT_MS * SIM_MS;
    }
}

unsigned sim_stream_undelivered(struct sim_stream *stream) {
    unsigned staged = (unsigned)stream->pending_count;
    pump(stream);
    for (size_t i = stream->next; i < stream->count; i++) {
        staged += stream->messages[i].staged;
    }
    return staged;
}

/* ---- faults ---- */

void sim_stream_set_losses(struct sim_stream *stream, unsigned per_mille) {
    stream->losses = per_mille;
}

/* What was on its way: the first so many come yet, perhaps late, the others never. */
void sim_stream_break_connection(struct sim_stream *stream) {
    pump(stream);
    stream->connection++;
    stream->answer_count = 0;
    stream->flight_count = (size_t)sim_range(0, (int64_t)stream->flight_count);
    int64_t late_us = sim_chance(300) ? sim_range(0, 200) * SIM_MS : 0;
    for (size_t i = 0; i < stream->flight_count; i++) {
        stream->flights[i].arrive_us += late_us;
    }
}

/* The consumer's place goes back too, since it was not flushed either. Where the stream is shorter
 * than it was, the library that the services use makes the consumer anew. */
static void reset_consumer(struct sim_stream *stream) {
    size_t floor = stream->next;
    for (size_t i = 0; i < stream->pending_count; i++) {
        size_t index = (size_t)(stream->pending[i].sequence - stream->before_first - 1);
        floor = index < floor ? index : floor;
    }
    floor = floor < stream->count ? floor : stream->count;
    size_t back = floor < 16 ? floor : 16;
    stream->next = floor - (size_t)sim_range(0, (int64_t)back);
    stream->pending_count = 0;
    stream->consumer++;
}

void sim_stream_reset_consumer(struct sim_stream *stream) {
    pump(stream);
    reset_consumer(stream);
}

static void lose_from(struct sim_stream *stream, size_t kept) {
    bool ghosts = sim_chance(200);
    for (size_t i = kept; ghosts && i < stream->count && stream->ghost_count < MESSAGES_MAX; i++) {
        stream->ghosts[stream->ghost_count++] = (struct known_id){
            stream->messages[i].revision, stream->before_first + i + 1, sim_now_us() + DUPLICATE_WINDOW_MS * SIM_MS};
    }
    sim_trace("the stream loses %zu of %zu messages", stream->count - kept, stream->count);
    stream->count = kept;
}

void sim_stream_crash(struct sim_stream *stream, int64_t unflushed_us, int64_t down_us) {
    sim_stream_break_connection(stream);
    stream->flight_count = 0;
    size_t flushed = 0;
    while (flushed < stream->count && stream->messages[flushed].store_us <= sim_now_us() - unflushed_us) {
        flushed++;
    }
    lose_from(stream, (size_t)sim_range((int64_t)flushed, (int64_t)stream->count));
    reset_consumer(stream);
    stream->up_us = sim_now_us() + down_us;
}

void sim_stream_intrude(struct sim_stream *stream, unsigned count) {
    pump(stream);
    for (unsigned i = 0; i < count && is_up(stream) && stream->count < MESSAGES_MAX / 2; i++) {
        stream->messages[stream->count++] = (struct message){.store_us = sim_now_us()};
    }
    sim_trace("somebody else writes %u messages", count);
}

void sim_stream_wipe(struct sim_stream *stream, int64_t down_us) {
    sim_stream_break_connection(stream);
    stream->flight_count = 0;
    stream->count = 0;
    stream->before_first = 0;
    stream->ghost_count = 0;
    reset_consumer(stream);
    stream->up_us = sim_now_us() + down_us;
    sim_trace("the stream is wiped");
}

void sim_stream_forget_end(struct sim_stream *stream) {
    stream->forgets_end = true;
}

void sim_stream_stop_at_others(struct sim_stream *stream) {
    stream->stops_at_others = true;
}

void sim_stream_take_all(struct sim_stream *stream) {
    stream->takes_all = true;
}

void sim_stream_ack_early(struct sim_stream *stream) {
    stream->acks_early = true;
}

void sim_stream_ack_naks(struct sim_stream *stream) {
    stream->acks_naks = true;
}

/* ---- what it holds ---- */

size_t sim_stream_count(struct sim_stream *stream) {
    pump(stream);
    return stream->count;
}

size_t sim_stream_events(struct sim_stream *stream) {
    size_t events = 0;
    pump(stream);
    for (size_t i = 0; i < stream->count; i++) {
        events += stream->messages[i].revision != 0;
    }
    return events;
}

int64_t sim_stream_revision_at(const struct sim_stream *stream, size_t index) {
    return stream->messages[index].revision;
}

struct bytes sim_stream_event_at(const struct sim_stream *stream, size_t index) {
    return stream->messages[index].event;
}

struct sim_stream *sim_stream_new(void) {
    struct sim_stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL) {
        abort();
    }
    arena_init(&stream->arena);
    return stream;
}

void sim_stream_free(struct sim_stream *stream) {
    arena_free(&stream->arena);
    free(stream);
}
