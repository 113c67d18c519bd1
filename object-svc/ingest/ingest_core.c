#include "object-svc/ingest/ingest_core.h"

#include <stdlib.h>

#include "common/base/log.h"

struct ingest_core {
    struct ingest_ports ports;
    struct hot_appender *appender;
    /* The batch in hand. */
    struct ingest_item *items;
    size_t count;
    size_t wanted[INGEST_BATCH_MAX]; /* items to pull */
    size_t wanted_count;
    uint64_t wanted_bytes;
    size_t held[INGEST_BATCH_MAX]; /* items that the hot store has, or will have once committed */
    size_t held_count;
};

struct ingest_core *ingest_core_new(const struct ingest_ports *ports, struct error *error) {
    struct ingest_core *core = calloc(1, sizeof *core);
    if (core == NULL) {
        abort();
    }
    core->ports = *ports;
    core->appender = hot_store_open_appender(ports->hot, error);
    if (core->appender == NULL) {
        free(core);
        return NULL;
    }
    return core;
}

void ingest_core_free(struct ingest_core *core) {
    if (core != NULL) {
        hot_appender_close(core->appender);
        free(core);
    }
}

static void retry(struct ingest_item *item, const struct error *error) {
    item->outcome = INGEST_RETRY;
    item->error = *error;
}

/* A redelivery may be of something that was stored but not reported, or be there twice. */
static bool is_in_batch(const struct ingest_core *core, const struct uuid *payload_id) {
    for (size_t i = 0; i < core->wanted_count; i++) {
        if (uuid_equal(&core->items[core->wanted[i]].provenance.payload_id, payload_id)) {
            return true;
        }
    }
    return false;
}

/* One that finds no room is not even pulled. */
static void want(struct ingest_core *core, size_t index) {
    struct ingest_item *item = &core->items[index];
    struct error error = {0};
    if (!hot_store_check_room(core->ports.hot, core->wanted_bytes + item->provenance.size_bytes, &error)) {
        retry(item, &error);
        return;
    }
    core->wanted[core->wanted_count++] = index;
    core->wanted_bytes += item->provenance.size_bytes;
}

static void sort_out(struct ingest_core *core) {
    core->wanted_count = 0;
    core->wanted_bytes = 0;
    core->held_count = 0;
    for (size_t i = 0; i < core->count; i++) {
        struct ingest_item *item = &core->items[i];
        const struct uuid *payload_id = &item->provenance.payload_id;
        struct hot_object object;
        struct error error = {0};
        if (is_in_batch(core, payload_id)) {
            item->outcome = INGEST_OBSOLETE;
        } else if (hot_store_find(core->ports.hot, payload_id, &object, &error)) {
            core->held[core->held_count++] = i;
        } else if (error.code == ERROR_NOT_FOUND) {
            want(core, i);
        } else {
            retry(item, &error);
        }
    }
}

/* One payload on its way from the pull into the hot store. */
struct transfer {
    struct ingest_item *item;
    bool open;   /* the appender has begun the object */
    bool failed; /* its other chunks are passed over */
};

static void fail_transfer(struct ingest_core *core, struct transfer *transfer, const struct error *error) {
    if (transfer->open) {
        hot_appender_abort(core->appender);
    }
    transfer->open = false;
    transfer->failed = true;
    retry(transfer->item, error);
}

static void begin_transfer(struct ingest_core *core, struct transfer *transfer, const struct pull_event *event) {
    struct provenance *provenance = &transfer->item->provenance;
    struct error error = {0};
    if (event->size_bytes != provenance->size_bytes || event->crc32c != provenance->crc32c) {
        error_set(&error, ERROR_DATA_LOSS, "PAYLOAD_MISMATCH",
                  "the spool's payload is not the one that the event tells of");
        fail_transfer(core, transfer, &error);
    } else if (!hot_appender_begin(core->appender, provenance, &error)) {
        fail_transfer(core, transfer, &error);
    } else {
        transfer->open = true;
    }
}

static void refuse_transfer(struct ingest_core *core, struct transfer *transfer, const struct error *error) {
    if (error->code != ERROR_NOT_FOUND) {
        fail_transfer(core, transfer, error);
        return;
    }
    /* Released: the object is stored elsewhere, or the version is gone. */
    if (transfer->open) {
        hot_appender_abort(core->appender);
    }
    transfer->open = false;
    transfer->failed = true;
    transfer->item->outcome = INGEST_OBSOLETE;
}

static void step_transfer(struct ingest_core *core, struct transfer *transfer, enum pull_step step,
                          const struct pull_event *event) {
    struct error error = {0};
    size_t index = core->wanted[event->index];
    if (step == PULL_BEGIN) {
        *transfer = (struct transfer){.item = &core->items[index]};
        begin_transfer(core, transfer, event);
    } else if (step == PULL_REFUSED) {
        if (transfer->item != &core->items[index]) {
            *transfer = (struct transfer){.item = &core->items[index]};
        }
        refuse_transfer(core, transfer, &event->error);
    } else if (transfer->failed || !transfer->open) {
        return;
    } else if (step == PULL_CHUNK) {
        if (!hot_appender_append(core->appender, event->data, &error)) {
            transfer->open = false;
            fail_transfer(core, transfer, &error);
        }
    } else if (!hot_appender_finish(core->appender, &error)) {
        transfer->open = false;
        fail_transfer(core, transfer, &error);
    } else {
        transfer->open = false;
        core->held[core->held_count++] = index;
    }
}

static void pull_wanted(struct ingest_core *core) {
    if (core->wanted_count == 0) {
        return;
    }
    struct payload_range ranges[INGEST_BATCH_MAX];
    struct error error = {0};
    error_set(&error, ERROR_UNAVAILABLE, "PULL_BROKEN", "the pull ended before this payload");
    for (size_t i = 0; i < core->wanted_count; i++) {
        struct ingest_item *item = &core->items[core->wanted[i]];
        ranges[i] = (struct payload_range){.payload_id = item->provenance.payload_id};
        retry(item, &error); /* until it has come */
    }
    const struct payload_source *source = &core->ports.source;
    struct payload_pull *pull = source->open(source->self, ranges, core->wanted_count, &error);
    if (pull == NULL) {
        for (size_t i = 0; i < core->wanted_count; i++) {
            retry(&core->items[core->wanted[i]], &error);
        }
        return;
    }
    struct transfer transfer = {0};
    struct pull_event event;
    enum pull_step step;
    while ((step = source->next(pull, &event)) != PULL_DONE && step != PULL_BROKEN) {
        step_transfer(core, &transfer, step, &event);
        core->ports.progress(core->ports.progress_self);
    }
    if (step == PULL_BROKEN && transfer.open) {
        fail_transfer(core, &transfer, &event.error);
    }
    source->close(pull);
}

static void judge(struct ingest_core *core, struct ingest_item *item, const struct object_report *report) {
    struct error error = {0};
    if (report->verdict == REPORT_ACCEPTED) {
        item->outcome = INGEST_STORED;
        return;
    }
    /* Not wanted here: give the copy up. If that fails, a scrub or the next report finds it. */
    if (!hot_store_remove(core->ports.hot, &item->provenance.payload_id, 1, &error)) {
        log_warn("obsolete_copy_kept", LOG_ERROR(&error), LOG_STR("key", item->provenance.key));
    }
    if (report->verdict == REPORT_OBSOLETE) {
        item->outcome = INGEST_OBSOLETE;
        return;
    }
    error_set(&error, ERROR_FAILED_PRECONDITION, "REPORT_REJECTED", "metadata-svc did not accept the stored object");
    retry(item, &error);
}

/* One flush and one report for all that this batch brought. */
static void commit_and_report(struct ingest_core *core) {
    struct error error = {0};
    struct object_report reports[INGEST_BATCH_MAX];
    if (core->held_count == 0) {
        return;
    }
    bool good = hot_appender_commit(core->appender, &error);
    for (size_t i = 0; good && i < core->held_count; i++) {
        const struct provenance *provenance = &core->items[core->held[i]].provenance;
        reports[i] = (struct object_report){
            .bucket = provenance->bucket,
            .key = provenance->key,
            .version = provenance->version,
            .payload_id = provenance->payload_id,
            .outcome = OBJECT_STORED,
            .tier = OBJECT_TIER_HOT,
            .size_bytes = provenance->size_bytes,
            .crc32c = provenance->crc32c,
        };
    }
    const struct report_sink *sink = &core->ports.sink;
    good = good && sink->report(sink->self, reports, core->held_count, &error);
    for (size_t i = 0; i < core->held_count; i++) {
        struct ingest_item *item = &core->items[core->held[i]];
        if (good) {
            judge(core, item, &reports[i]);
        } else {
            retry(item, &error);
        }
    }
}

void ingest_core_run(struct ingest_core *core, struct ingest_item *items, size_t count) {
    core->items = items;
    core->count = count;
    sort_out(core);
    pull_wanted(core);
    commit_and_report(core);
}
