#include "metadata-svc/commit/report_changes.h"

#include <string.h>

#include "metadata-svc/commit/object_drops.h"
#include "metadata-svc/commit/payload_entries.h"
#include "metadata-svc/commit/payload_failing.h"
#include "metadata-svc/store/layout.h"

static void decide(struct object_report *report, enum report_verdict verdict, const char *message) {
    report->verdict = verdict;
    report->message = message;
}

static bool bytes_match(const struct record *record, const struct object_report *report) {
    return record->has_size && record->size == report->size && record->has_crc32c && record->crc32c == report->crc32c;
}

static void add_location(struct record *record, enum tier tier, const char *replica, int64_t now_us) {
    record->locations[record->location_count++] = (struct location){tier, replica, now_us};
}

static void remove_location(struct record *record, int index) {
    record->locations[index] = record->locations[--record->location_count];
}

/* Once the object is where the policy wants it, the payload may go: its entry in this batch,
 * its bytes in the spool when the batch is durable (promise 5). */
static bool release_payload(struct change_builder *builder, struct commit_request *request, const struct record *record,
                            struct error *error) {
    struct kv_lookup lookup = overlay_lookup(&builder->overlay);
    struct bucket bucket;
    struct payload_entry entry;
    bool found;
    if (!change_builder_get_bucket(builder, record->bucket, request->arena, &bucket, error) ||
        !record_store_get_payload(lookup, &record->payload_id, request->arena, &entry, &found, error)) {
        return false;
    }
    if (!found || !bucket_policy_satisfied(&bucket, record)) {
        return true;
    }
    payload_entry_remove(builder, record, &entry, request->arena);
    if (entry.place == PAYLOAD_SPOOLED) {
        request->released[request->released_count++] = record->payload_id;
    }
    return true;
}

static bool commit_stored(struct change_builder *builder, struct commit_request *request, struct object_report *report,
                          struct record *record, enum change_type type, enum system_cause cause, struct error *error) {
    record->state = RECORD_STORED;
    if (record->store_us == 0) {
        record->store_us = builder->now_us;
    }
    record->cause = (struct cause){request->actor, "", cause};
    decide(report, REPORT_ACCEPTED, "");
    return change_builder_update_version(builder, record, type, NULL, request->arena, error) &&
           release_payload(builder, request, record, error);
}

static const char *location_replica(const struct commit_request *request, enum tier tier) {
    return tier == TIER_HOT ? request->replica : "";
}

/* Makes a staged version stored. */
static bool store_in(struct change_builder *builder, struct commit_request *request, struct object_report *report,
                     struct record *record, enum tier tier, struct error *error) {
    add_location(record, tier, location_replica(request, tier), builder->now_us);
    return commit_stored(builder, request, report, record, CHANGE_STORED, SYSTEM_CAUSE_OBJECT_REPORT, error);
}

static bool apply_stored(struct change_builder *builder, struct commit_request *request, struct object_report *report,
                         struct record *record, struct error *error) {
    const char *replica = location_replica(request, report->tier);
    if (record->state == RECORD_STORED) {
        /* Told again after an answer was lost, or stored twice after a redelivery. */
        if (record_find_location(record, report->tier, replica) >= 0) {
            decide(report, REPORT_ACCEPTED, "");
        } else {
            decide(report, REPORT_OBSOLETE, "stored elsewhere already");
        }
        return true;
    }
    if (record->state != RECORD_STAGED) {
        decide(report, REPORT_OBSOLETE, "the version's payload is not wanted");
        return true;
    }
    return store_in(builder, request, report, record, report->tier, error);
}

static bool apply_tiered(struct change_builder *builder, struct commit_request *request, struct object_report *report,
                         struct record *record, struct error *error) {
    if (record->state == RECORD_STAGED && report->tier == TIER_COLD) {
        /* The move overtook the report that the object is stored hot, where it was read from, and stays unless it
         * says otherwise. */
        if (report->drop_tier == TIER_HOT) {
            return store_in(builder, request, report, record, TIER_COLD, error);
        }
        if (!store_in(builder, request, report, record, TIER_HOT, error)) {
            return false;
        }
    }
    if (record->state != RECORD_STORED) {
        if (report->tier == TIER_COLD) {
            object_drops_add_cold(builder, record, request->arena);
        }
        decide(report, REPORT_OBSOLETE, "the version is not stored");
        return true;
    }
    const char *replica = location_replica(request, report->tier);
    bool added = record_find_location(record, report->tier, replica) < 0;
    if (added) {
        if (record->location_count == RECORD_MAX_LOCATIONS) {
            decide(report, REPORT_REJECTED, "the version has too many locations");
            return true;
        }
        add_location(record, report->tier, replica, builder->now_us);
    }
    int dropped = report->drop_tier == 0
                      ? -1
                      : record_find_location(record, (enum tier)report->drop_tier,
                                             location_replica(request, (enum tier)report->drop_tier));
    if (dropped >= 0) {
        remove_location(record, dropped);
    }
    if (!added && dropped < 0) {
        decide(report, REPORT_ACCEPTED, "");
        return true;
    }
    return commit_stored(builder, request, report, record, CHANGE_TIERED, SYSTEM_CAUSE_TIER_POLICY, error);
}

static bool apply_dropped(struct change_builder *builder, struct commit_request *request, struct object_report *report,
                          struct record *record, struct error *error) {
    int index = record_find_location(record, report->tier, location_replica(request, report->tier));
    if (index < 0) {
        decide(report, REPORT_ACCEPTED, "");
        return true;
    }
    if (record->location_count == 1) {
        decide(report, REPORT_REJECTED, "it is the only copy");
        return true;
    }
    remove_location(record, index);
    return commit_stored(builder, request, report, record, CHANGE_TIERED, SYSTEM_CAUSE_OBJECT_REPORT, error);
}

/* The payload stays where it is, so that an operator can try again. */
static bool apply_failed(struct change_builder *builder, struct commit_request *request, struct object_report *report,
                         struct record *record, struct error *error) {
    if (record->state != RECORD_STAGED) {
        decide(report, REPORT_OBSOLETE, "the version's payload is not wanted");
        return true;
    }
    struct payload_failure failure = {
        .reason = report->error_reason[0] != '\0' ? report->error_reason : "OBJECT_FAILED",
        .message = report->error_message,
        .attempts = report->attempts,
    };
    decide(report, REPORT_ACCEPTED, "");
    return payload_fail(builder, request, record, SYSTEM_CAUSE_OBJECT_REPORT, &failure, error);
}

static bool apply_report(struct change_builder *builder, struct commit_request *request, struct object_report *report,
                         struct error *error) {
    struct record record;
    bool found;
    if (report->drop_due_us != 0) {
        object_drops_done(builder, report, request->replica, request->arena);
        decide(report, REPORT_ACCEPTED, "");
        return true;
    }
    if (!record_store_find_object(overlay_lookup(&builder->overlay), report->bucket, report->key, report->version,
                                  &report->payload_id, request->arena, &record, &found, error)) {
        return false;
    }
    if (!found) {
        decide(report, REPORT_OBSOLETE, "no such version");
        return true;
    }
    bool holds_bytes = report->outcome == OBJECT_STORED || report->outcome == OBJECT_TIERED;
    if (holds_bytes && !bytes_match(&record, report)) {
        decide(report, REPORT_REJECTED, "size or CRC32C differ from the record's");
        return true;
    }
    switch (report->outcome) {
    case OBJECT_STORED:
        return apply_stored(builder, request, report, &record, error);
    case OBJECT_TIERED:
        return apply_tiered(builder, request, report, &record, error);
    case OBJECT_FAILED:
        return apply_failed(builder, request, report, &record, error);
    case OBJECT_DROPPED:
        return apply_dropped(builder, request, report, &record, error);
    }
    decide(report, REPORT_REJECTED, "unknown outcome");
    return true;
}

/* What a replica reported before it reported something else of the object is not believed any more
 * (report_order.h). Nothing of the request is then taken. */
static bool take_number(struct change_builder *builder, struct commit_request *request) {
    for (size_t i = 0; i < request->report_count && request->report_number > 0; i++) {
        int64_t newest = report_order_newest(builder->report_order, request->replica, &request->reports[i].payload_id);
        if (request->report_number <= newest) {
            error_set(&request->error, ERROR_ABORTED, "REPORT_LATE",
                      "a later report of this replica about the object was taken already");
            error_set_detail(&request->error, "newest_number", "%lld", (long long)newest);
            return false;
        }
    }
    for (size_t i = 0; i < request->report_count && request->report_number > 0; i++) {
        report_order_note(builder->report_order, request->replica, &request->reports[i].payload_id,
                          request->report_number);
    }
    return true;
}

bool change_reports(struct change_builder *builder, struct commit_request *request) {
    if (!take_number(builder, request)) {
        return false;
    }
    request->released = arena_alloc(request->arena, request->report_count * sizeof *request->released);
    request->released_count = 0;
    for (size_t i = 0; i < request->report_count; i++) {
        if (!apply_report(builder, request, &request->reports[i], &request->error)) {
            return false;
        }
    }
    return true;
}
