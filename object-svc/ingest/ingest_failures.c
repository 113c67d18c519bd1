#include "object-svc/ingest/ingest_failures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "object-svc/ingest/attempt_table.h"
#include "object-svc/ingest/report_each.h"

struct ingest_failures {
    struct retry_policy policy;
    struct report_sink sink;
    const struct clock *clock;
    struct attempt_table *attempts;
    unsigned seed;
    /* Given up in the batch in hand. */
    struct ingest_item *given_up[INGEST_BATCH_MAX];
    struct object_report reports[INGEST_BATCH_MAX];
    size_t given_up_count;
};

struct ingest_failures *ingest_failures_new(const struct retry_policy *policy, const struct report_sink *sink,
                                            const struct clock *clock, struct disk *attempts) {
    struct ingest_failures *failures = calloc(1, sizeof *failures);
    if (failures == NULL) {
        abort();
    }
    failures->policy = *policy;
    failures->sink = *sink;
    failures->clock = clock;
    failures->attempts = attempt_table_open(attempts, ATTEMPT_TABLE_SLOTS);
    failures->seed = (unsigned)clock_unix_us(clock);
    return failures;
}

void ingest_failures_free(struct ingest_failures *failures) {
    if (failures != NULL) {
        attempt_table_close(failures->attempts);
        free(failures);
    }
}

static uint64_t count_attempt(struct ingest_failures *failures, const struct ingest_item *item) {
    uint64_t deliveries = item->deliveries > 0 ? item->deliveries : 1;
    if (!retry_class_counts(item->fault)) {
        return deliveries; /* only says how long the pause is */
    }
    return attempt_table_add(failures->attempts, &item->provenance.payload_id, deliveries,
                             clock_unix_us(failures->clock));
}

static struct object_report failed_report(const struct ingest_item *item) {
    return (struct object_report){
        .bucket = item->provenance.bucket,
        .key = item->provenance.key,
        .version = item->provenance.version,
        .payload_id = item->provenance.payload_id,
        .outcome = OBJECT_FAILED,
        .size_bytes = item->provenance.size_bytes,
        .crc32c = item->provenance.crc32c,
        .error_reason = item->error.reason,
        .error_message = item->error.message,
        .attempts = (uint32_t)item->attempts,
    };
}

static void decide(struct ingest_failures *failures, struct ingest_item *item) {
    item->fault = retry_class_of(&item->error, item->place);
    item->attempts = count_attempt(failures, item);
    struct retry_decision decision =
        retry_decide(&failures->policy, item->fault, &item->error, item->attempts, &failures->seed);
    item->delay_ms = decision.delay_ms;
    if (decision.give_up) {
        failures->reports[failures->given_up_count] = failed_report(item);
        failures->given_up[failures->given_up_count++] = item;
    }
}

/* Nobody who keeps records takes this failure, so it becomes a dead letter, with both causes. */
static void make_dead(struct ingest_item *item, const char *why) {
    char message[ERROR_MESSAGE_BYTES];
    memcpy(message, item->error.message, sizeof message);
    snprintf(item->error.message, sizeof item->error.message, "%.200s (not taken as failed: %.150s)", message, why);
    item->outcome = INGEST_DEAD;
}

/* How long until the report of a failure is tried again, with another attempt to store. */
static int64_t report_delay_ms(struct ingest_failures *failures, const struct ingest_item *item,
                               const struct error *error) {
    struct retry_policy patient = failures->policy;
    patient.attempts = 0;
    return retry_decide(&patient, RETRY_OUTAGE, error, item->attempts, &failures->seed).delay_ms;
}

static void on_failure_reported(void *self, size_t index, const struct error *error) {
    struct ingest_failures *failures = self;
    struct ingest_item *item = failures->given_up[index];
    if (error != NULL && !retry_class_counts(retry_class_of(error, RETRY_PLACE_UPSTREAM))) {
        item->delay_ms = report_delay_ms(failures, item, error);
        return;
    }
    attempt_table_forget(failures->attempts, &item->provenance.payload_id);
    if (error != NULL) {
        make_dead(item, error->message);
        return;
    }
    switch (failures->reports[index].verdict) {
    case REPORT_ACCEPTED:
        item->outcome = INGEST_FAILED;
        return;
    case REPORT_OBSOLETE:
        item->outcome = INGEST_OBSOLETE;
        return;
    case REPORT_REJECTED:
        break;
    }
    make_dead(item, "metadata-svc rejected the report");
}

void ingest_failures_settle(struct ingest_failures *failures, struct ingest_item *items, size_t count) {
    failures->given_up_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (items[i].outcome == INGEST_RETRY) {
            decide(failures, &items[i]);
        } else {
            attempt_table_forget(failures->attempts, &items[i].provenance.payload_id);
        }
    }
    report_each(&failures->sink, failures->reports, failures->given_up_count, on_failure_reported, failures);
}
