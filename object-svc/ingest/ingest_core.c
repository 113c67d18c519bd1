#include "object-svc/ingest/ingest_core.h"

#include <assert.h>
#include <stdlib.h>

#include "common/base/failpoint.h"
#include "common/base/log.h"
#include "object-svc/ingest/ingest_failures.h"
#include "object-svc/ingest/report_each.h"
#include "object-svc/ingest/unreported.h"

enum { REPORT_LEFT_PAUSE_US = 1000000 };

static_assert(MOVE_GUARD_MAX >= 2 * INGEST_BATCH_MAX, "beside a batch others find room in the guard");

struct ingest_core {
    struct ingest_ports ports;
    struct hot_appender *appender;
    struct ingest_failures *failures;
    struct unreported *left;    /* of earlier batches */
    int64_t left_not_before_us; /* when metadata-svc may be told of those */
    /* The batch in hand. */
    struct ingest_item *items;
    size_t count;
    size_t wanted[INGEST_BATCH_MAX]; /* items to pull */
    size_t wanted_count;
    uint64_t wanted_bytes;
    size_t held[INGEST_BATCH_MAX]; /* items that the hot store has, or will have once committed */
    size_t held_count;
    struct object_report reports[INGEST_BATCH_MAX]; /* of the held ones */
    struct uuid in_hand[INGEST_BATCH_MAX];          /* objects that it is in the guard with */
    size_t in_hand_count;
};

/* What was noted and did not come is not there. */
static void take_note(void *self, const struct provenance *noted) {
    struct ingest_core *core = self;
    struct hot_object object;
    struct error error = {0};
    if (hot_store_find(core->ports.hot, &noted->payload_id, &object, &error)) {
        unreported_add(core->left, noted);
    }
}

static bool read_notes(struct ingest_core *core, struct error *error) {
    return core->ports.notes == NULL || ingest_notes_read(core->ports.notes, take_note, core, error);
}

struct ingest_core *ingest_core_new(const struct ingest_ports *ports, struct error *error) {
    struct ingest_core *core = calloc(1, sizeof *core);
    if (core == NULL) {
        abort();
    }
    core->ports = *ports;
    core->failures = ingest_failures_new(&ports->retry, &ports->sink, ports->clock, ports->attempts);
    core->left = unreported_new(UNREPORTED_MAX);
    core->appender = hot_store_open_appender(ports->hot, error);
    if (core->appender == NULL || !read_notes(core, error)) {
        ingest_core_free(core);
        return NULL;
    }
    return core;
}

void ingest_core_free(struct ingest_core *core) {
    if (core != NULL) {
        if (core->appender != NULL) {
            hot_appender_close(core->appender);
        }
        ingest_failures_free(core->failures);
        unreported_free(core->left);
        free(core);
    }
}

static void retry(struct ingest_item *item, enum retry_place place, const struct error *error) {
    item->outcome = INGEST_RETRY;
    item->place = place;
    item->error = *error;
}

/* ---- the guard ---- */

/* From before it is looked for until its report is answered, so that a copy that was found is still there when it is
 * believed to be. Nobody is waited for: a move takes as long as the cold store does. */
static bool take_in_hand(struct ingest_core *core, const struct uuid *payload_id, struct error *error) {
    if (core->ports.guard == NULL) {
        return true;
    }
    if (!move_guard_enter(core->ports.guard, payload_id, 0, error)) {
        return false;
    }
    core->in_hand[core->in_hand_count++] = *payload_id;
    return true;
}

static void let_go_of_all(struct ingest_core *core) {
    while (core->in_hand_count > 0) {
        move_guard_leave(core->ports.guard, &core->in_hand[--core->in_hand_count]);
    }
}

/* ---- what is there, and what is to be pulled ---- */

/* A redelivery may be of something that was stored but not reported, or be there twice. */
static bool is_in_batch(const struct ingest_core *core, const struct uuid *payload_id) {
    for (size_t i = 0; i < core->wanted_count; i++) {
        if (uuid_equal(&core->items[core->wanted[i]].provenance.payload_id, payload_id)) {
            return true;
        }
    }
    return false;
}

static bool is_held(const struct ingest_core *core, const struct uuid *payload_id) {
    for (size_t i = 0; i < core->held_count; i++) {
        if (uuid_equal(&core->items[core->held[i]].provenance.payload_id, payload_id)) {
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
        retry(item, RETRY_PLACE_HERE, &error);
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
        } else if (!take_in_hand(core, payload_id, &error) && !is_held(core, payload_id)) {
            retry(item, RETRY_PLACE_HERE, &error);
        } else if (hot_store_find(core->ports.hot, payload_id, &object, &error)) {
            core->held[core->held_count++] = i;
        } else if (error.code == ERROR_NOT_FOUND) {
            want(core, i);
        } else {
            retry(item, RETRY_PLACE_HERE, &error);
        }
    }
}

/* ---- pulling ---- */

/* One payload on its way from the pull into the hot store. */
struct transfer {
    struct ingest_item *item;
    bool open;   /* the appender has begun the object */
    bool failed; /* its other chunks are passed over */
};

static void fail_transfer(struct ingest_core *core, struct transfer *transfer, enum retry_place place,
                          const struct error *error) {
    if (transfer->open) {
        hot_appender_abort(core->appender);
    }
    transfer->open = false;
    transfer->failed = true;
    retry(transfer->item, place, error);
}

static void begin_transfer(struct ingest_core *core, struct transfer *transfer, const struct pull_event *event) {
    struct provenance *provenance = &transfer->item->provenance;
    struct error error = {0};
    if (event->size_bytes != provenance->size_bytes || event->crc32c != provenance->crc32c) {
        error_set(&error, ERROR_DATA_LOSS, "PAYLOAD_MISMATCH",
                  "the spool's payload is not the one that the event tells of");
        fail_transfer(core, transfer, RETRY_PLACE_UPSTREAM, &error);
    } else if (!hot_appender_begin(core->appender, provenance, &error)) {
        fail_transfer(core, transfer, RETRY_PLACE_HERE, &error);
    } else {
        transfer->open = true;
    }
}

static void refuse_transfer(struct ingest_core *core, struct transfer *transfer, const struct error *error) {
    if (error->code != ERROR_NOT_FOUND) {
        fail_transfer(core, transfer, RETRY_PLACE_UPSTREAM, error);
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

static void step_transfer(struct ingest_core *core, struct transfer *transfer, enum pull_step step, size_t index,
                          const struct pull_event *event) {
    struct error error = {0};
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
            fail_transfer(core, transfer, RETRY_PLACE_HERE, &error);
        }
    } else if (!hot_appender_finish(core->appender, &error)) {
        transfer->open = false;
        fail_transfer(core, transfer, RETRY_PLACE_HERE, &error);
    } else {
        transfer->open = false;
        core->held[core->held_count++] = index;
    }
}

/* Where nobody is there any more, the others need not be asked for. */
static size_t end_broken_pull(struct ingest_core *core, struct transfer *transfer, size_t first,
                              const struct pull_event *event) {
    if (transfer->open) {
        fail_transfer(core, transfer, RETRY_PLACE_UPSTREAM, &event->error);
    }
    bool of_payload = retry_class_counts(retry_class_of(&event->error, RETRY_PLACE_UPSTREAM));
    size_t at = first + event->index;
    if (!of_payload || at >= core->wanted_count) {
        return core->wanted_count;
    }
    retry(&core->items[core->wanted[at]], RETRY_PLACE_UPSTREAM, &event->error);
    return at + 1;
}

/* Pulls what is wanted from `first` on; returns the first that has to be asked for in another
 * pull, since what came for the one before it could not be understood. */
static size_t pull_from(struct ingest_core *core, size_t first) {
    struct payload_range ranges[INGEST_BATCH_MAX];
    struct error error = {0};
    size_t count = core->wanted_count - first;
    error_set(&error, ERROR_UNAVAILABLE, "PULL_BROKEN", "the pull ended before this payload");
    for (size_t i = 0; i < count; i++) {
        struct ingest_item *item = &core->items[core->wanted[first + i]];
        ranges[i] = (struct payload_range){.payload_id = item->provenance.payload_id};
        retry(item, RETRY_PLACE_UPSTREAM, &error); /* until it has come */
    }
    const struct payload_source *source = &core->ports.source;
    struct payload_pull *pull = source->open(source->self, ranges, count, &error);
    if (pull == NULL) {
        for (size_t i = first; i < core->wanted_count; i++) {
            retry(&core->items[core->wanted[i]], RETRY_PLACE_UPSTREAM, &error);
        }
        return core->wanted_count;
    }
    struct transfer transfer = {0};
    struct pull_event event;
    enum pull_step step;
    while ((step = source->next(pull, &event)) != PULL_DONE && step != PULL_BROKEN) {
        step_transfer(core, &transfer, step, core->wanted[first + event.index], &event);
        core->ports.progress(core->ports.progress_self);
    }
    source->close(pull);
    return step == PULL_BROKEN ? end_broken_pull(core, &transfer, first, &event) : core->wanted_count;
}

/* Without a note it is stored all the same: then a scrub finds what a kill leaves. */
static void note_wanted(struct ingest_core *core) {
    struct error error = {0};
    if (core->ports.notes == NULL || core->wanted_count == 0) {
        return;
    }
    for (size_t i = 0; i < core->wanted_count; i++) {
        ingest_notes_add(core->ports.notes, &core->items[core->wanted[i]].provenance);
    }
    if (!ingest_notes_write(core->ports.notes, unreported_count(core->left) > 0, &error)) {
        log_warn("objects_not_noted", LOG_ERROR(&error), LOG_INT("objects", core->wanted_count));
    }
}

static void pull_wanted(struct ingest_core *core) {
    size_t next = 0;
    while (next < core->wanted_count) {
        next = pull_from(core, next);
    }
}

/* ---- reporting ---- */

static void pause_left(struct ingest_core *core) {
    core->left_not_before_us = clock_monotonic_us(core->ports.clock) + REPORT_LEFT_PAUSE_US;
}

/* One that is refused for what it says would be so again; its event tells what becomes of it. */
static void keep_for_later(struct ingest_core *core, const struct provenance *provenance, const struct error *error) {
    if (!retry_class_counts(retry_class_of(error, RETRY_PLACE_UPSTREAM))) {
        unreported_add(core->left, provenance);
        pause_left(core);
    }
}

/* It is in hand, so nobody has told of it since. If that fails, a scrub or the next report finds it. */
static void give_up_copy(struct ingest_core *core, const struct object_report *report) {
    struct error error = {0};
    if (!hot_store_remove(core->ports.hot, &report->payload_id, 1, &error)) {
        log_warn("obsolete_copy_kept", LOG_ERROR(&error), LOG_STR("key", report->key));
    }
}

static void judge(struct ingest_core *core, struct ingest_item *item, struct object_report *report) {
    struct error error = {0};
    if (report->verdict != REPORT_ACCEPTED) {
        give_up_copy(core, report);
    }
    switch (report->verdict) {
    case REPORT_ACCEPTED:
        item->outcome = INGEST_STORED;
        return;
    case REPORT_OBSOLETE:
        item->outcome = INGEST_OBSOLETE;
        return;
    case REPORT_REJECTED:
        break;
    }
    error_set(&error, ERROR_FAILED_PRECONDITION, "REPORT_REJECTED", "metadata-svc did not accept the stored object");
    retry(item, RETRY_PLACE_UPSTREAM, &error);
}

static void on_reported(void *self, size_t index, const struct error *error) {
    struct ingest_core *core = self;
    struct ingest_item *item = &core->items[core->held[index]];
    if (error == NULL) {
        unreported_remove(core->left, &item->provenance.payload_id);
        judge(core, item, &core->reports[index]);
    } else {
        keep_for_later(core, &item->provenance, error);
        retry(item, RETRY_PLACE_UPSTREAM, error);
    }
}

static void on_left_reported(void *self, size_t index, const struct error *error) {
    struct ingest_core *core = self;
    const struct object_report *report = &core->reports[index];
    struct uuid payload_id = report->payload_id;
    if (error != NULL && !retry_class_counts(retry_class_of(error, RETRY_PLACE_UPSTREAM))) {
        pause_left(core);
        return;
    }
    if (error == NULL && report->verdict != REPORT_ACCEPTED) {
        give_up_copy(core, report);
    }
    unreported_remove(core->left, &payload_id);
}

/* Takes those in hand that are still there; one that was given up meanwhile needs no report. Returns how many are
 * to be reported. */
static size_t gather_left(struct ingest_core *core) {
    size_t oldest = unreported_oldest(core->left, core->reports, INGEST_BATCH_MAX);
    size_t count = 0;
    for (size_t i = 0; i < oldest; i++) {
        struct uuid payload_id = core->reports[i].payload_id;
        struct hot_object object;
        struct error error = {0};
        if (take_in_hand(core, &payload_id, &error) && hot_store_find(core->ports.hot, &payload_id, &object, &error)) {
            core->reports[count++] = core->reports[i];
        } else if (error.code == ERROR_NOT_FOUND) {
            unreported_remove(core->left, &payload_id);
        } else {
            pause_left(core);
        }
    }
    return count;
}

/* Whatever became of the events. */
static void report_left(struct ingest_core *core) {
    if (unreported_count(core->left) > 0 && clock_monotonic_us(core->ports.clock) >= core->left_not_before_us) {
        report_each(&core->ports.sink, core->reports, gather_left(core), on_left_reported, core);
        let_go_of_all(core);
        core->ports.progress(core->ports.progress_self);
    }
}

static struct object_report stored_report(const struct provenance *provenance) {
    return (struct object_report){
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

/* Where a write failed the appender takes nothing until it is told to commit. */
static void rest_appender(struct ingest_core *core) {
    struct error error = {0};
    if (!hot_appender_commit(core->appender, &error)) {
        log_debug("appender_not_at_rest", LOG_ERROR(&error)); /* the next batch tells */
    }
}

/* One flush and one report for all that this batch brought. */
static void commit_and_report(struct ingest_core *core) {
    struct error error = {0};
    if (core->held_count == 0) {
        rest_appender(core);
        return;
    }
    core->ports.progress(core->ports.progress_self);
    FAILPOINT("ingest.commit.before");
    bool durable = hot_appender_commit(core->appender, &error);
    FAILPOINT("ingest.commit.after");
    for (size_t i = 0; i < core->held_count; i++) {
        struct ingest_item *item = &core->items[core->held[i]];
        core->reports[i] = stored_report(&item->provenance);
        if (!durable) {
            retry(item, RETRY_PLACE_HERE, &error);
        }
    }
    core->ports.progress(core->ports.progress_self);
    if (durable) {
        FAILPOINT("ingest.report.before");
        report_each(&core->ports.sink, core->reports, core->held_count, on_reported, core);
        FAILPOINT("ingest.report.after");
    }
}

void ingest_core_run(struct ingest_core *core, struct ingest_item *items, size_t count) {
    core->items = items;
    core->count = count;
    sort_out(core);
    note_wanted(core);
    pull_wanted(core);
    commit_and_report(core);
    let_go_of_all(core);
    core->ports.progress(core->ports.progress_self);
    ingest_failures_settle(core->failures, items, count);
    report_left(core);
}

void ingest_core_rest(struct ingest_core *core) {
    rest_appender(core);
    report_left(core);
}
