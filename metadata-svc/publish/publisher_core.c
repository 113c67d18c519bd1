#include "metadata-svc/publish/publisher_core.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/failpoint.h"
#include "common/base/log.h"

enum {
    COLLECT_MAX = 256,
    /* Every so many events, and the last one of a run, ask for an acknowledgement. It tells of
     * all before it too: each was taken only behind its forerunner. */
    ACK_EVERY = 32,
    /* Attempts that lost their place to somebody else's message, one after the other, before there are
     * pauses between them. */
    QUICK_ATTEMPTS = 8,
};

/* One event on its way. */
struct flight {
    size_t size;
    bool acked; /* by itself or by one behind it */
};

struct publisher_core {
    struct change_reader reader;
    struct event_sink sink;
    struct publisher_core_options options;

    bool synced;
    bool complained;        /* about what keeps it from publishing; once per trouble */
    int64_t pause_us;       /* before the stream is asked again; 0: things go well */
    int64_t not_before_us;  /* when it may be asked again */
    unsigned displaced;     /* attempts that lost their place, since an event was taken */
    unsigned room;          /* events on their way at most for now: fewer where many go in vain, up to the window */
    int64_t next_revision;  /* to publish */
    uint64_t next_sequence; /* that it will get */
    bool chained;           /* something was published since the last sync */
    int64_t first_flight;   /* oldest revision without acknowledgement */
    struct flight *flights; /* ring by revision: [first_flight, next_revision) */
    size_t flying_bytes;
    int64_t last_ack_us;
    int64_t held_revision; /* read, and to be published once it is known whether it is the last; 0: none */
    struct buffer held;

    atomic_int state;
    _Atomic int64_t published;
    _Atomic uint64_t published_total;
    _Atomic uint64_t rewinds_total;
    atomic_uint in_flight;
};

struct publisher_core *publisher_core_new(struct change_reader reader, struct event_sink sink,
                                          const struct publisher_core_options *options) {
    assert(options->window >= 1 && options->window <= PUBLISHER_WINDOW_MAX);
    struct publisher_core *core = calloc(1, sizeof *core);
    struct flight *flights = calloc(options->window, sizeof *flights);
    if (core == NULL || flights == NULL) {
        abort();
    }
    core->reader = reader;
    core->sink = sink;
    core->options = *options;
    core->room = options->window;
    if (core->options.window_bytes == 0) {
        core->options.window_bytes = PUBLISHER_WINDOW_BYTES;
    }
    core->flights = flights;
    core->next_revision = 1;
    core->first_flight = 1;
    int64_t oldest;
    int64_t newest;
    struct error error = {0};
    /* A log that cannot be read is met again, and told of, by the first step. */
    if (reader.bounds(reader.self, &oldest, &newest, &error) && oldest > 0) {
        atomic_store(&core->published, oldest - 1);
    }
    return core;
}

void publisher_core_free(struct publisher_core *core) {
    if (core != NULL) {
        buffer_free(&core->held);
        free(core->flights);
        free(core);
    }
}

enum publisher_state publisher_core_state(const struct publisher_core *core) {
    return (enum publisher_state)atomic_load(&core->state);
}

int64_t publisher_core_published(const struct publisher_core *core) {
    return atomic_load(&core->published);
}

uint64_t publisher_core_published_total(const struct publisher_core *core) {
    return atomic_load(&core->published_total);
}

uint64_t publisher_core_rewinds_total(const struct publisher_core *core) {
    return atomic_load(&core->rewinds_total);
}

unsigned publisher_core_in_flight(const struct publisher_core *core) {
    return atomic_load(&core->in_flight);
}

static struct flight *flight_of(struct publisher_core *core, int64_t revision) {
    return &core->flights[revision % core->options.window];
}

static int64_t flying(const struct publisher_core *core) {
    return core->next_revision - core->first_flight;
}

/* Whether one more event, behind the one that is held, may be on its way. */
static bool window_takes(const struct publisher_core *core, size_t size) {
    int64_t count = flying(core) + (core->held_revision != 0);
    return count == 0 ||
           (count < core->room && core->flying_bytes + core->held.size + size <= core->options.window_bytes);
}

/* ---- trouble ---- */

void publisher_core_resync(struct publisher_core *core) {
    core->synced = false;
    if (publisher_core_state(core) == PUBLISHER_PUBLISHING) {
        atomic_store(&core->state, PUBLISHER_WAITING);
    }
}

/* Asks the stream again, but not at once where asking did not help before. */
static void back_off(struct publisher_core *core) {
    core->not_before_us = clock_monotonic_us(core->options.clock) + core->pause_us;
    core->pause_us = core->pause_us == 0 ? PUBLISHER_FIRST_PAUSE_MS * INT64_C(1000) : core->pause_us * 2;
    if (core->pause_us > PUBLISHER_LONGEST_PAUSE_MS * INT64_C(1000)) {
        core->pause_us = PUBLISHER_LONGEST_PAUSE_MS * INT64_C(1000);
    }
    publisher_core_resync(core);
}

/* Somebody's message came between, and all behind it goes in vain. Where that goes on all the time, each attempt is
 * a new chance, a long pause is none, and a long run is mostly lost; but one who never has luck must not be a
 * burden. */
static void try_again(struct publisher_core *core) {
    core->room = core->room / 2 > ACK_EVERY ? core->room / 2 : core->room < ACK_EVERY ? core->room : ACK_EVERY;
    if (core->displaced < QUICK_ATTEMPTS) {
        core->displaced++;
        core->not_before_us = 0;
        publisher_core_resync(core);
        return;
    }
    core->pause_us = PUBLISHER_FIRST_PAUSE_MS * INT64_C(1000);
    back_off(core);
}

static void complain(struct publisher_core *core, const char *event, const struct error *error, const char *hint) {
    if (!core->complained) {
        log_warn(event, LOG_ERROR(error), LOG_INT("revision", core->first_flight), LOG_STR("hint", hint));
    }
    core->complained = true;
}

/* An event was acknowledged: whatever was wrong is over. */
static void recover(struct publisher_core *core) {
    core->pause_us = 0;
    core->displaced = 0;
    core->room += core->options.window - core->room < ACK_EVERY ? core->options.window - core->room : ACK_EVERY;
    core->complained = false;
}

/* ---- where to go on ---- */

static void fence(struct publisher_core *core, const struct sink_end *end, int64_t newest) {
    if (publisher_core_state(core) != PUBLISHER_FENCED) {
        log_error("events_fenced", LOG_INT("stream_revision", end->revision), LOG_INT("newest_revision", newest),
                  LOG_STR("hint", "the stream's newest event is not in this record store: an old backup was restored, "
                                  "or another writer has the shard's name. Stop the other writer, or restore the "
                                  "newer store, or delete the stream to have it filled anew from the change log: "
                                  "docs/operations/backup.md"));
    }
    atomic_store(&core->state, PUBLISHER_FENCED);
}

struct comparison {
    int64_t revision;
    struct bytes event;
    bool differs;
};

static bool compare_one(void *context, int64_t revision, struct bytes event) {
    struct comparison *comparison = context;
    comparison->differs = revision == comparison->revision && !bytes_equal(event, comparison->event);
    return false;
}

/* Whether the stream's newest event is the log's own. One that the log no longer has cannot
 * be compared. */
static bool same_history(struct publisher_core *core, const struct sink_end *end, int64_t oldest, int64_t newest,
                         bool *same, struct error *error) {
    *same = end->revision <= newest;
    if (!*same || end->revision == 0 || end->revision < oldest) {
        return true;
    }
    struct comparison comparison = {end->revision, end->event, false};
    if (!core->reader.read(core->reader.self, end->revision, compare_one, &comparison, error)) {
        return false;
    }
    *same = !comparison.differs;
    return true;
}

/* The first revision that the stream lacks and the log has. */
static int64_t revision_behind(const struct sink_end *end, int64_t oldest) {
    int64_t next = end->revision + 1;
    if (oldest <= next) {
        return next;
    }
    log_error("events_lost", LOG_INT("from", next), LOG_INT("to", oldest - 1),
              LOG_STR("hint", "the stream lacks events that the change log no longer has: have consumers that need "
                              "them read the records, and keep the log longer (change_log_retention)"));
    return oldest;
}

static void go_on_behind(struct publisher_core *core, const struct sink_end *end, int64_t oldest) {
    int64_t next = revision_behind(end, oldest);
    if (next < core->next_revision) {
        int64_t published = atomic_load(&core->published);
        atomic_fetch_add(&core->rewinds_total, 1);
        log_info("events_rewound", LOG_INT("from", core->next_revision), LOG_INT("to", next),
                 LOG_INT("lost_by_stream", published >= next ? published - next + 1 : 0));
    }
    core->next_revision = next;
    core->first_flight = next;
    core->flying_bytes = 0;
    core->next_sequence = end->sequence + 1;
    core->chained = false;
    memset(core->flights, 0, core->options.window * sizeof *core->flights);
    atomic_store(&core->published, next - 1);
    atomic_store(&core->state, PUBLISHER_PUBLISHING);
    core->synced = true;
}

static bool sync_with_stream(struct publisher_core *core) {
    struct sink_end end = {0};
    struct error error = {0};
    int64_t oldest;
    int64_t newest;
    bool same;
    if (clock_monotonic_us(core->options.clock) < core->not_before_us) {
        return false;
    }
    bool good = core->sink.sync(core->sink.self, &end, &error);
    if (good && end.unfinished) {
        return false;
    }
    if (!good || !core->reader.bounds(core->reader.self, &oldest, &newest, &error) ||
        !same_history(core, &end, oldest, newest, &same, &error)) {
        complain(core, "events_wait", &error, "commits go on; they are published later");
        back_off(core);
        return false;
    }
    if (!same) {
        fence(core, &end, newest);
        back_off(core);
        return false;
    }
    go_on_behind(core, &end, oldest);
    return true;
}

/* ---- publishing ---- */

/* The first one behind a sync is acknowledged too: it tells what is wrong if something is. */
static bool publish_held(struct publisher_core *core, bool is_last) {
    struct error error = {0};
    int64_t revision = core->held_revision;
    bool acknowledged = is_last || !core->chained || revision % ACK_EVERY == 0;
    core->held_revision = 0;
    if (!core->sink.publish(core->sink.self, revision, buffer_bytes(&core->held), core->next_sequence - 1,
                            core->chained, acknowledged, &error)) {
        complain(core, "event_not_published", &error,
                 error.code == ERROR_DATA_LOSS ? "the change log is damaged; restore the record store from a backup"
                                               : "it is tried again");
        back_off(core);
        return false;
    }
    if (flying(core) == 0) {
        core->last_ack_us = clock_monotonic_us(core->options.clock);
    }
    *flight_of(core, revision) = (struct flight){core->held.size, false};
    core->flying_bytes += core->held.size;
    core->next_revision = revision + 1;
    core->next_sequence++;
    core->chained = true;
    buffer_clear(&core->held);
    return true;
}

static bool publish_one(void *context, int64_t revision, struct bytes event) {
    struct publisher_core *core = context;
    if (!window_takes(core, event.size)) {
        return false;
    }
    if (core->held_revision != 0 && !publish_held(core, false)) {
        return false;
    }
    core->held_revision = revision;
    buffer_clear(&core->held);
    buffer_append_bytes(&core->held, event);
    return true;
}

/* Reads on while less than half of the window is used, so that acknowledgements that drip in
 * do not make a read each. */
static void fill_window(struct publisher_core *core) {
    struct error error = {0};
    if (flying(core) > core->room / 2 || core->flying_bytes > core->options.window_bytes / 2) {
        return;
    }
    bool good = core->reader.read(core->reader.self, core->next_revision, publish_one, core, &error);
    if (core->held_revision != 0) {
        publish_held(core, true);
    }
    if (!good) {
        complain(core, "change_log_unreadable", &error, "the record store is damaged; restore it from a backup");
        back_off(core);
    }
}

/* ---- acknowledgements ---- */

static uint64_t sequence_of(const struct publisher_core *core, int64_t revision) {
    return core->next_sequence - (uint64_t)(core->next_revision - revision);
}

/* Where the window begins moves behind all that is acknowledged without a gap. */
static void advance(struct publisher_core *core) {
    while (flying(core) > 0 && flight_of(core, core->first_flight)->acked) {
        core->flying_bytes -= flight_of(core, core->first_flight)->size;
        core->first_flight++;
        atomic_fetch_add(&core->published_total, 1);
    }
    atomic_store(&core->published, core->first_flight - 1);
}

static void take_ack(struct publisher_core *core, const struct sink_ack *ack) {
    if (!core->synced || ack->revision < core->first_flight || ack->revision >= core->next_revision) {
        return;
    }
    core->last_ack_us = clock_monotonic_us(core->options.clock);
    /* A duplicate at another place is the ghost of an event that is gone; one in its place may
     * be a twin's that has our name. The sync looks at it. */
    if (ack->outcome == SINK_ACCEPTED && !ack->duplicate && ack->sequence == sequence_of(core, ack->revision)) {
        FAILPOINT("publish.ack.before");
        for (int64_t revision = core->first_flight; revision <= ack->revision; revision++) {
            flight_of(core, revision)->acked = true;
        }
        recover(core);
        FAILPOINT("publish.ack.after");
        return;
    }
    advance(core);
    if (ack->outcome == SINK_DISPLACED) {
        try_again(core);
        return;
    }
    if (ack->outcome == SINK_REFUSED) {
        struct error error;
        error_set(&error, ERROR_UNAVAILABLE, "EVENT_REFUSED", "the stream refused an event: %s", ack->why);
        complain(core, "event_refused", &error, "commits go on; mend the stream (is its storage full?)");
    }
    back_off(core);
}

static void take_acks(struct publisher_core *core) {
    struct sink_ack acks[COLLECT_MAX];
    size_t count;
    do {
        count = core->sink.collect(core->sink.self, acks, COLLECT_MAX);
        for (size_t i = 0; i < count; i++) {
            take_ack(core, &acks[i]);
        }
    } while (count == COLLECT_MAX);
    if (!core->synced) {
        return;
    }
    advance(core);
    if (flying(core) > 0 &&
        clock_monotonic_us(core->options.clock) - core->last_ack_us > core->options.ack_timeout_us) {
        struct error error;
        error_set(&error, ERROR_DEADLINE_EXCEEDED, "EVENT_NOT_ACKNOWLEDGED", "the stream does not answer");
        complain(core, "events_not_acknowledged", &error, "they are published again");
        back_off(core);
    }
}

static bool step(struct publisher_core *core) {
    take_acks(core);
    if (!core->sink.connected(core->sink.self)) {
        publisher_core_resync(core);
        /* The next server is a new chance. */
        core->not_before_us = 0;
        return false;
    }
    if (!core->synced && !sync_with_stream(core)) {
        return false;
    }
    fill_window(core);
    return core->synced && flying(core) > 0;
}

bool publisher_core_step(struct publisher_core *core) {
    bool busy = step(core);
    atomic_store(&core->in_flight, busy ? (unsigned)flying(core) : 0);
    return busy;
}
