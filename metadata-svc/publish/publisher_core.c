#include "metadata-svc/publish/publisher_core.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/log.h"

enum { COLLECT_MAX = 256 };

struct publisher_core {
    struct change_reader reader;
    struct event_sink sink;
    struct publisher_core_options options;
    bool synced;
    int64_t next_revision;   /* to publish */
    uint64_t next_sequence;  /* that it will get */
    int64_t first_in_flight; /* oldest revision without acknowledgement */
    bool *acked;             /* ring by revision: acknowledged out of order */
    int64_t last_ack_us;
    bool log_failed; /* said once */

    atomic_int state;
    _Atomic int64_t published;
    _Atomic uint64_t published_total;
    _Atomic uint64_t rewinds_total;
};

struct publisher_core *publisher_core_new(struct change_reader reader, struct event_sink sink,
                                          const struct publisher_core_options *options) {
    assert(options->window >= 1 && options->window <= PUBLISHER_WINDOW_MAX);
    struct publisher_core *core = calloc(1, sizeof *core);
    bool *acked = calloc(options->window, sizeof *acked);
    if (core == NULL || acked == NULL) {
        abort();
    }
    core->reader = reader;
    core->sink = sink;
    core->options = *options;
    core->acked = acked;
    core->next_revision = 1;
    return core;
}

void publisher_core_free(struct publisher_core *core) {
    if (core != NULL) {
        free(core->acked);
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

static bool *acked_slot(struct publisher_core *core, int64_t revision) {
    return &core->acked[revision % core->options.window];
}

static int64_t in_flight(const struct publisher_core *core) {
    return core->next_revision - core->first_in_flight;
}

void publisher_core_resync(struct publisher_core *core) {
    core->synced = false;
    if (publisher_core_state(core) == PUBLISHER_PUBLISHING) {
        atomic_store(&core->state, PUBLISHER_WAITING);
    }
}

/* ---- where to go on ---- */

static void fence(struct publisher_core *core, int64_t stream_revision, int64_t newest) {
    if (publisher_core_state(core) != PUBLISHER_FENCED) {
        log_error("events_fenced", LOG_INT("stream_revision", stream_revision), LOG_INT("newest_revision", newest),
                  LOG_STR("hint", "the stream knows commits that this record store does not: another writer uses the "
                                  "shard's name, or an old backup was restored; give the stream or the shard another "
                                  "name"));
    }
    atomic_store(&core->state, PUBLISHER_FENCED);
}

static void go_on_behind(struct publisher_core *core, const struct sink_end *end, int64_t oldest) {
    int64_t next = end->revision + 1;
    if (oldest > next) {
        if (end->sequence > 0 || oldest > 1) {
            log_warn("events_lost", LOG_INT("from", next), LOG_INT("to", oldest - 1),
                     LOG_STR("hint", "the stream lost events that the change log no longer has: keep it longer "
                                     "(change_log_retention)"));
        }
        next = oldest;
    }
    if (next < core->next_revision) {
        atomic_fetch_add(&core->rewinds_total, 1);
        log_info("events_rewound", LOG_INT("from", core->next_revision), LOG_INT("to", next));
    }
    core->next_revision = next;
    core->first_in_flight = next;
    core->next_sequence = end->sequence + 1;
    for (unsigned i = 0; i < core->options.window; i++) {
        core->acked[i] = false;
    }
    atomic_store(&core->published, next - 1);
    atomic_store(&core->state, PUBLISHER_PUBLISHING);
    core->synced = true;
}

static bool sync_with_stream(struct publisher_core *core) {
    struct sink_end end;
    struct error error = {0};
    int64_t oldest;
    int64_t newest;
    if (!core->sink.sync(core->sink.self, &end, &error) ||
        !core->reader.bounds(core->reader.self, &oldest, &newest, &error)) {
        if (!core->log_failed) {
            log_warn("events_wait", LOG_ERROR(&error), LOG_STR("hint", "commits go on; they are published later"));
        }
        core->log_failed = true;
        return false;
    }
    core->log_failed = false;
    if (end.revision > newest) {
        fence(core, end.revision, newest);
        return false;
    }
    go_on_behind(core, &end, oldest);
    return true;
}

/* ---- publishing ---- */

static bool publish_one(void *context, int64_t revision, struct bytes event) {
    struct publisher_core *core = context;
    struct error error = {0};
    if (in_flight(core) >= core->options.window) {
        return false;
    }
    if (!core->sink.publish(core->sink.self, revision, event, core->next_sequence - 1, &error)) {
        publisher_core_resync(core);
        return false;
    }
    if (in_flight(core) == 0) {
        core->last_ack_us = clock_monotonic_us(core->options.clock);
    }
    *acked_slot(core, revision) = false;
    core->next_revision = revision + 1;
    core->next_sequence++;
    return true;
}

static void fill_window(struct publisher_core *core) {
    struct error error = {0};
    int64_t oldest;
    int64_t newest;
    if (in_flight(core) >= core->options.window) {
        return;
    }
    bool good = core->reader.bounds(core->reader.self, &oldest, &newest, &error);
    if (good && newest >= core->next_revision) {
        good = core->reader.read(core->reader.self, core->next_revision, publish_one, core, &error);
    }
    if (!good) {
        log_error("change_log_unreadable", LOG_ERROR(&error),
                  LOG_STR("hint", "the record store is damaged; restore it from a backup"));
        publisher_core_resync(core);
    }
}

/* ---- acknowledgements ---- */

static uint64_t sequence_of(const struct publisher_core *core, int64_t revision) {
    return core->next_sequence - (uint64_t)(core->next_revision - revision);
}

static void take_ack(struct publisher_core *core, const struct sink_ack *ack) {
    if (!core->synced || ack->revision < core->first_in_flight || ack->revision >= core->next_revision) {
        return;
    }
    core->last_ack_us = clock_monotonic_us(core->options.clock);
    /* An event that the stream had already, at another place, means that this is not the
     * stream as it was last seen. */
    if (!ack->accepted || ack->sequence != sequence_of(core, ack->revision)) {
        publisher_core_resync(core);
        return;
    }
    *acked_slot(core, ack->revision) = true;
    while (core->first_in_flight < core->next_revision && *acked_slot(core, core->first_in_flight)) {
        *acked_slot(core, core->first_in_flight) = false;
        core->first_in_flight++;
        atomic_fetch_add(&core->published_total, 1);
    }
    atomic_store(&core->published, core->first_in_flight - 1);
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
    bool late = core->synced && in_flight(core) > 0 &&
                clock_monotonic_us(core->options.clock) - core->last_ack_us > core->options.ack_timeout_us;
    if (late) {
        publisher_core_resync(core);
    }
}

bool publisher_core_step(struct publisher_core *core) {
    take_acks(core);
    if (!core->sink.connected(core->sink.self)) {
        publisher_core_resync(core);
        return false;
    }
    if (!core->synced && !sync_with_stream(core)) {
        return false;
    }
    fill_window(core);
    return core->synced && in_flight(core) > 0;
}
