#include "object-svc/ingest/delivery_answers.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/failpoint.h"
#include "common/base/log.h"

enum { LETTERS_RETRY_MS = 5000 };

/* A letter that is not written yet, with the delivery that ends with it. */
struct draft {
    struct stream_delivery *delivery;
    struct error error; /* of garbage; the letter borrows from it */
};

struct delivery_answers {
    struct dead_letters *dead_letters;
    const struct clock *clock;
    struct answer_sums sums;
    struct draft drafts[INGEST_BATCH_MAX];
    struct dead_letter letters[INGEST_BATCH_MAX];
    size_t draft_count;
    bool garbage_told; /* since the last flush */

    struct counter *stored;
    struct counter *stored_bytes;
    struct counter *obsolete;
    struct counter *waits;
    struct counter *retries;
    struct counter *given_up;
    struct counter *bad_events;
    struct histogram *commit_to_stored;
};

static double letters_kept(void *self) {
    return (double)dead_letters_count(self);
}

static struct counter *failures(struct metrics *metrics, const char *reason) {
    return metrics_counter(metrics, "waybill_object_failures_total", "Objects that could not be handled.",
                           METRIC_LABELS({"reason", reason}));
}

static void register_metrics(struct delivery_answers *answers, struct metrics *metrics) {
    answers->stored =
        metrics_counter(metrics, "waybill_objects_stored_total", "Objects stored from staged payloads.", NULL);
    answers->stored_bytes =
        metrics_counter(metrics, "waybill_object_bytes_total", "Object bytes by tier and direction.",
                        METRIC_LABELS({"tier", "hot"}, {"direction", "write"}));
    answers->obsolete = metrics_counter(metrics, "waybill_object_deliveries_obsolete_total",
                                        "Deliveries whose payload nobody wanted any more.", NULL);
    answers->waits = failures(metrics, "ingest_wait");
    answers->retries = failures(metrics, "ingest_retry");
    answers->given_up = failures(metrics, "ingest_given_up");
    answers->bad_events = failures(metrics, "bad_event");
    answers->commit_to_stored = metrics_histogram(metrics, "waybill_object_commit_to_stored_seconds",
                                                  "Time from the commit of a payload to its being STORED.",
                                                  METRIC_LABELS({"write_mode", "decoupled"}), &metric_buckets_seconds);
    metrics_gauge_callback(metrics, "waybill_dead_letters", "Events that this replica gave up and keeps a letter of.",
                           NULL, letters_kept, answers->dead_letters);
}

struct delivery_answers *delivery_answers_new(struct dead_letters *letters, const struct clock *clock,
                                              struct metrics *metrics) {
    struct delivery_answers *answers = calloc(1, sizeof *answers);
    if (answers == NULL) {
        abort();
    }
    answers->dead_letters = letters;
    answers->clock = clock;
    register_metrics(answers, metrics);
    return answers;
}

void delivery_answers_free(struct delivery_answers *answers) {
    free(answers);
}

struct counter *delivery_answers_stored(const struct delivery_answers *answers) {
    return answers->stored;
}

/* ---- one delivery ---- */

static struct dead_letter *draft_letter(struct delivery_answers *answers, struct stream_delivery *delivery,
                                        const struct error *error) {
    assert(answers->draft_count < INGEST_BATCH_MAX);
    struct draft *draft = &answers->drafts[answers->draft_count];
    struct dead_letter *letter = &answers->letters[answers->draft_count++];
    *draft = (struct draft){.delivery = delivery, .error = *error};
    *letter = (struct dead_letter){
        .id = dead_letter_id(stream_delivery_sequence(delivery), stream_delivery_time_ns(delivery)),
        .fail_unix_us = clock_unix_us(answers->clock),
        .event_sequence = stream_delivery_sequence(delivery),
        .event_subject = stream_delivery_subject(delivery),
        .reason = draft->error.reason,
        .message = draft->error.message,
        .bucket = "",
        .key = "",
    };
    return letter;
}

static void draft_dead_item(struct delivery_answers *answers, struct stream_delivery *delivery,
                            const struct ingest_item *item) {
    struct dead_letter *letter = draft_letter(answers, delivery, &item->error);
    letter->attempts = (uint32_t)item->attempts;
    letter->bucket = item->provenance.bucket;
    letter->key = item->provenance.key;
    letter->version = item->provenance.version;
    letter->payload_id = item->provenance.payload_id;
}

static void log_item(const char *event, const struct ingest_item *item, const char *hint) {
    const struct provenance *provenance = &item->provenance;
    log_warn(event, LOG_ERROR(&item->error), LOG_STR("bucket", provenance->bucket), LOG_STR("key", provenance->key),
             LOG_INT("version", provenance->version), LOG_STR("class", retry_class_name(item->fault)),
             LOG_INT("attempt", item->attempts), LOG_STR("hint", hint));
}

/* Without a reserve the hot volumes may be full to the last byte; with one only some objects are too large. A move has
 * one object in hand. */
static bool hits_all(const struct ingest_item *item) {
    if (strcmp(item->error.reason, "OBJECT_MOVING") == 0) {
        return false;
    }
    return item->fault == RETRY_OUTAGE || item->place == RETRY_PLACE_UPSTREAM ||
           strcmp(item->error.reason, "DISK_FULL") == 0;
}

static void try_again(struct delivery_answers *answers, struct stream_delivery *delivery,
                      const struct ingest_item *item) {
    if (retry_class_counts(item->fault)) {
        counter_add(answers->retries, 1);
        answers->sums.failing++;
        if (item->attempts == 1) {
            log_item("payload_not_stored", item, "it is tried again after a pause");
        }
    } else {
        /* An outage hits all alike; the ingester tells of it once. */
        counter_add(answers->waits, 1);
        answers->sums.waiting++;
        answers->sums.blocked += hits_all(item);
    }
    stream_delivery_nak(delivery, item->delay_ms);
}

void delivery_answers_item(struct delivery_answers *answers, struct stream_delivery *delivery,
                           const struct ingest_item *item) {
    const struct provenance *provenance = &item->provenance;
    switch (item->outcome) {
    case INGEST_STORED:
        counter_add(answers->stored, 1);
        counter_add(answers->stored_bytes, provenance->size_bytes);
        histogram_observe_us(answers->commit_to_stored, clock_unix_us(answers->clock) - provenance->commit_unix_us);
        answers->sums.settled++;
        FAILPOINT("ingest.ack.before");
        stream_delivery_ack(delivery);
        FAILPOINT("ingest.ack.after");
        break;
    case INGEST_OBSOLETE:
        counter_add(answers->obsolete, 1);
        answers->sums.settled++;
        stream_delivery_ack(delivery);
        break;
    case INGEST_RETRY:
        try_again(answers, delivery, item);
        break;
    case INGEST_FAILED:
        counter_add(answers->given_up, 1);
        answers->sums.settled++;
        log_item("payload_given_up", item, "its version is FAILED now; see waybill failed");
        FAILPOINT("ingest.give_up.before");
        stream_delivery_term(delivery);
        FAILPOINT("ingest.give_up.after");
        break;
    case INGEST_DEAD:
        log_item("payload_given_up", item, "metadata-svc does not take its failure; a dead letter is kept");
        counter_add(answers->given_up, 1);
        draft_dead_item(answers, delivery, item);
        break;
    }
}

void delivery_answers_garbage(struct delivery_answers *answers, struct stream_delivery *delivery,
                              const struct error *error) {
    counter_add(answers->bad_events, 1);
    if (!answers->garbage_told) {
        log_error("bad_event", LOG_ERROR(error), LOG_STR("subject", stream_delivery_subject(delivery)),
                  LOG_INT("sequence", stream_delivery_sequence(delivery)),
                  LOG_STR("hint", "somebody else writes to the stream; dead letters tell of all such events"));
    }
    answers->garbage_told = true;
    draft_letter(answers, delivery, error);
}

/* ---- all of a batch ---- */

static void write_letters(struct delivery_answers *answers) {
    struct error error = {0};
    bool good = answers->draft_count == 0 ||
                dead_letters_add(answers->dead_letters, answers->letters, answers->draft_count, &error);
    if (!good) {
        log_error("dead_letters_not_kept", LOG_ERROR(&error), LOG_INT("count", answers->draft_count),
                  LOG_STR("hint", "their events stay in the stream and are tried again"));
    }
    for (size_t i = 0; i < answers->draft_count; i++) {
        if (good) {
            stream_delivery_term(answers->drafts[i].delivery);
            answers->sums.settled++;
        } else {
            stream_delivery_nak(answers->drafts[i].delivery, LETTERS_RETRY_MS);
            answers->sums.waiting++;
        }
    }
    answers->draft_count = 0;
}

struct answer_sums delivery_answers_flush(struct delivery_answers *answers) {
    write_letters(answers);
    struct answer_sums sums = answers->sums;
    answers->sums = (struct answer_sums){0};
    answers->garbage_told = false;
    return sums;
}
