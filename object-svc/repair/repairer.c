#include "object-svc/repair/repairer.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"

enum { RETRY_FIRST_MS = 200, RETRY_LONGEST_MS = 30000, IDLE_PAUSE_MS = 60000 };

struct waiting {
    struct repair_copy copy;
    unsigned attempts;
    int64_t due_us; /* monotonic */
    struct waiting *next;
};

/* What is counted per tier. */
struct tier_figures {
    struct counter *repaired;
    struct counter *failed;
};

struct repairer {
    struct repair_ports ports;
    struct stop_signal stop;
    pthread_t thread;
    struct counter *corrupt[READ_FROM_SPOOL + 1]; /* by enum read_source */
    struct tier_figures figures[OBJECT_TIER_COLD + 1];
    struct counter *dropped;
    pthread_mutex_t lock; /* the queue */
    struct waiting *first;
    unsigned count;
};

static const char *tier_name(enum object_tier tier) {
    return tier == OBJECT_TIER_HOT ? "hot" : "cold";
}

/* ---- the queue ---- */

static bool is_same(const struct repair_copy *a, const struct repair_copy *b) {
    return a->tier == b->tier && uuid_equal(&a->payload_id, &b->payload_id);
}

/* Puts the copy at the end; false where there is no room. */
static bool put(struct repairer *repairer, const struct repair_copy *copy) {
    struct waiting **link = &repairer->first;
    for (; *link != NULL; link = &(*link)->next) {
        if (is_same(&(*link)->copy, copy)) {
            return true;
        }
    }
    if (repairer->count == REPAIRS_WAITING_MAX) {
        return false;
    }
    struct waiting *entry = calloc(1, sizeof *entry);
    if (entry == NULL) {
        abort();
    }
    entry->copy = *copy;
    *link = entry;
    repairer->count++;
    return true;
}

bool repairer_note(struct repairer *repairer, const struct repair_copy *copy) {
    pthread_mutex_lock(&repairer->lock);
    bool taken = put(repairer, copy);
    pthread_mutex_unlock(&repairer->lock);
    counter_add(repairer->corrupt[copy->tier == OBJECT_TIER_HOT ? READ_FROM_HOT : READ_FROM_COLD], 1);
    if (taken) {
        stop_signal_wake(&repairer->stop);
    } else {
        counter_add(repairer->dropped, 1);
    }
    return taken;
}

void repairer_note_read(struct repairer *repairer, const struct damaged_copy *copy) {
    const Waybill__V1__Record *record = copy->record;
    struct repair_copy repair = {
        .tier = copy->source == READ_FROM_HOT ? OBJECT_TIER_HOT : OBJECT_TIER_COLD,
        .version = record->payload_version,
    };
    if (copy->source == READ_FROM_PEER || copy->source == READ_FROM_SPOOL) {
        counter_add(repairer->corrupt[copy->source], 1);
        return;
    }
    snprintf(repair.bucket, sizeof repair.bucket, "%s", record->bucket);
    snprintf(repair.key, sizeof repair.key, "%s", record->key);
    if (uuid_parse_text(record->payload_id, &repair.payload_id)) {
        repairer_note(repairer, &repair);
    }
}

void repairer_note_hot(struct repairer *repairer, const struct hot_object *object) {
    struct repair_copy repair = {.tier = OBJECT_TIER_HOT, .version = object->version, .payload_id = object->payload_id};
    memcpy(repair.bucket, object->bucket, sizeof repair.bucket);
    memcpy(repair.key, object->key, sizeof repair.key);
    repairer_note(repairer, &repair);
}

/* The first that is due; only this thread takes any out. NULL and how long to wait for the next. */
static struct waiting *take_due(struct repairer *repairer, int64_t *wait_ms) {
    int64_t now_us = clock_monotonic_us(&system_clock);
    *wait_ms = IDLE_PAUSE_MS;
    pthread_mutex_lock(&repairer->lock);
    struct waiting *entry = repairer->first;
    for (; entry != NULL && entry->due_us > now_us; entry = entry->next) {
        int64_t left_ms = (entry->due_us - now_us) / 1000 + 1;
        *wait_ms = left_ms < *wait_ms ? left_ms : *wait_ms;
    }
    pthread_mutex_unlock(&repairer->lock);
    return entry;
}

static void take_out(struct repairer *repairer, struct waiting *entry) {
    pthread_mutex_lock(&repairer->lock);
    struct waiting **link = &repairer->first;
    while (*link != entry) {
        link = &(*link)->next;
    }
    *link = entry->next;
    repairer->count--;
    pthread_mutex_unlock(&repairer->lock);
    free(entry);
}

/* ---- the thread ---- */

static void postpone(struct repairer *repairer, struct waiting *entry) {
    int64_t pause_ms = RETRY_FIRST_MS;
    for (unsigned i = 1; i < entry->attempts && pause_ms < RETRY_LONGEST_MS; i++) {
        pause_ms *= 2;
    }
    pause_ms = pause_ms < RETRY_LONGEST_MS ? pause_ms : RETRY_LONGEST_MS;
    pthread_mutex_lock(&repairer->lock);
    entry->due_us = clock_monotonic_us(&system_clock) + pause_ms * 1000;
    pthread_mutex_unlock(&repairer->lock);
}

static void tell_failure(const struct repair_copy *copy, const struct error *error) {
    log_error("copy_not_repaired", LOG_ERROR(error), LOG_STR("bucket", copy->bucket), LOG_STR("key", copy->key),
              LOG_INT("version", copy->version), LOG_STR("tier", tier_name(copy->tier)),
              LOG_STR("hint", error->code == ERROR_DATA_LOSS
                                  ? "no good copy is left: write the object again, or take it from a backup"
                                  : "it is tried again when the copy is read"));
}

static void tell_success(const struct repair_copy *copy, enum repair_outcome outcome) {
    static const char *const events[] = {"copy_repaired", "copy_found_good", "copy_not_wanted"};
    log_info(events[outcome], LOG_STR("bucket", copy->bucket), LOG_STR("key", copy->key),
             LOG_INT("version", copy->version), LOG_STR("tier", tier_name(copy->tier)));
}

static void repair_one(struct repairer *repairer, struct waiting *entry) {
    struct error error = {0};
    enum repair_outcome outcome;
    struct tier_figures *figures = &repairer->figures[entry->copy.tier];
    entry->attempts++;
    if (copy_repair_run(&repairer->ports, &entry->copy, &outcome, &error)) {
        counter_add(figures->repaired, outcome == REPAIR_DONE ? 1 : 0);
        tell_success(&entry->copy, outcome);
    } else if (error.code != ERROR_CANCELLED) {
        counter_add(figures->failed, 1);
        if (error.code != ERROR_DATA_LOSS && entry->attempts < REPAIR_ATTEMPTS) {
            postpone(repairer, entry);
            return;
        }
        tell_failure(&entry->copy, &error);
    }
    take_out(repairer, entry);
}

static void *repairer_loop(void *argument) {
    struct repairer *repairer = argument;
    while (!stop_signal_raised(&repairer->stop)) {
        int64_t wait_ms;
        struct waiting *entry = take_due(repairer, &wait_ms);
        if (entry != NULL) {
            repair_one(repairer, entry);
        } else {
            stop_signal_pause(&repairer->stop, wait_ms);
        }
    }
    return NULL;
}

/* ---- life ---- */

static double count_waiting(void *self) {
    struct repairer *repairer = self;
    pthread_mutex_lock(&repairer->lock);
    unsigned count = repairer->count;
    pthread_mutex_unlock(&repairer->lock);
    return count;
}

static void register_metrics(struct repairer *repairer, struct metrics *metrics) {
    static const char *const sources[] = {NULL, "hot", "peer", "cold", "spool"};
    for (int source = READ_FROM_HOT; source <= READ_FROM_SPOOL; source++) {
        repairer->corrupt[source] = metrics_counter(metrics, "waybill_object_corrupt_total",
                                                    "Times that a copy of an object proved damaged, by tier.",
                                                    METRIC_LABELS({"tier", sources[source]}));
    }
    static const char repairs[] = "waybill_object_repairs_total";
    static const char help[] = "Repairs of damaged copies, by tier and outcome.";
    for (int tier = OBJECT_TIER_HOT; tier <= OBJECT_TIER_COLD; tier++) {
        const char *name = tier_name((enum object_tier)tier);
        repairer->figures[tier] = (struct tier_figures){
            .repaired = metrics_counter(metrics, repairs, help, METRIC_LABELS({"tier", name}, {"outcome", "repaired"})),
            .failed = metrics_counter(metrics, repairs, help, METRIC_LABELS({"tier", name}, {"outcome", "failed"})),
        };
    }
    repairer->dropped = metrics_counter(metrics, "waybill_object_repairs_dropped_total",
                                        "Damaged copies that were not queued, since too many waited.", NULL);
    metrics_gauge_callback(metrics, "waybill_object_repairs_waiting", "Damaged copies that wait to be repaired.", NULL,
                           count_waiting, repairer);
}

struct repairer *repairer_start(const struct repairer_options *options) {
    struct repairer *repairer = calloc(1, sizeof *repairer);
    if (repairer == NULL) {
        abort();
    }
    repairer->ports = options->ports;
    repairer->ports.stop = &repairer->stop;
    stop_signal_init(&repairer->stop);
    pthread_mutex_init(&repairer->lock, NULL);
    register_metrics(repairer, options->metrics);
    if (pthread_create(&repairer->thread, NULL, repairer_loop, repairer) != 0) {
        abort();
    }
    pthread_setname_np(repairer->thread, "repairer");
    return repairer;
}

void repairer_stop(struct repairer *repairer) {
    if (repairer == NULL) {
        return;
    }
    stop_signal_raise(&repairer->stop);
    pthread_join(repairer->thread, NULL);
    while (repairer->first != NULL) {
        take_out(repairer, repairer->first);
    }
    pthread_mutex_destroy(&repairer->lock);
    stop_signal_destroy(&repairer->stop);
    free(repairer);
}
