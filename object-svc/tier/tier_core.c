#include "object-svc/tier/tier_core.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "object-svc/cold/cold_breaker.h"

enum { TIER_BATCH_OBJECT_BYTES = 1024 * 1024 }; /* of each that goes with others */

struct due_list {
    struct moved_object *objects;
    size_t count;
};

static bool add_due(void *context, const struct hot_object *object) {
    struct due_list *due = context;
    due->objects[due->count++] = moved_object_of(object);
    return due->count < TIER_ROUND_OBJECTS;
}

static bool find_due(const struct tier_ports *ports, const struct bucket_policy *policy, bool cold_copy_known,
                     int64_t age_us, struct due_list *due) {
    struct error error = {0};
    int64_t before_us = clock_unix_us(ports->clock) - age_us + 1;
    due->count = 0;
    if (hot_store_visit_aged(ports->hot, policy->bucket, cold_copy_known, before_us, add_due, due, &error)) {
        return true;
    }
    log_error("tier_walk_failed", LOG_ERROR(&error), LOG_STR("bucket", policy->bucket));
    return false;
}

/* Whether a bucket has moved enough since its turn began. */
static bool turn_is_over(const struct tier_round *begin, const struct tier_round *now) {
    return now->moved_objects - begin->moved_objects >= TIER_TURN_OBJECTS ||
           now->moved_bytes - begin->moved_bytes >= TIER_TURN_BYTES;
}

static bool is_small(const struct moved_object *object) {
    return object->cold_copy_known || object->size_bytes <= TIER_BATCH_OBJECT_BYTES;
}

/* How many of those that are due go together: small ones, so that none waits long for its report. */
static size_t batch_size(const struct due_list *due, size_t from, uint64_t most) {
    size_t size = 1;
    while (size < TIER_BATCH_OBJECTS && size < most && from + size < due->count &&
           is_small(&due->objects[from + size - 1]) && is_small(&due->objects[from + size])) {
        size++;
    }
    return size;
}

/* Whether a failure is one of the others, too: whoever is away, or has no room, is so for them. */
static bool stands_in_the_way(const struct error *error) {
    return strcmp(error->reason, COLD_STORE_SUSPENDED) == 0 || error->code == ERROR_CANCELLED ||
           error->code == ERROR_RESOURCE_EXHAUSTED ||
           (error->code == ERROR_UNAVAILABLE && !tier_move_passed_over(error));
}

static void note_failure(const struct moved_object *object, const struct error *error, struct tier_round *round) {
    /* Of a store that is left alone the breaker tells. */
    if (!tier_move_passed_over(error) && strcmp(error->reason, COLD_STORE_SUSPENDED) != 0) {
        round->failed_objects++;
        log_warn("tier_move_failed", LOG_ERROR(error), LOG_STR("bucket", object->bucket), LOG_STR("key", object->key),
                 LOG_INT("version", object->version));
    }
}

/* Returns true when there may be more. */
static bool demote_due(const struct tier_ports *ports, const struct tier_rules *rules,
                       const struct bucket_policy *policy, const struct due_list *due, struct tier_round *round) {
    bool more = due->count == TIER_ROUND_OBJECTS;
    bool stopped = false;
    const struct tier_round begin = *round;
    for (size_t at = 0; at < due->count && !stopped;) {
        if (turn_is_over(&begin, round)) {
            return true;
        }
        struct error errors[TIER_BATCH_OBJECTS];
        const struct moved_object *batch = due->objects + at;
        uint64_t left = TIER_TURN_OBJECTS - (round->moved_objects - begin.moved_objects);
        size_t count =
            tier_demote_batch(ports, batch, batch_size(due, at, left), policy->leaves_hot, &rules->move, errors);
        for (size_t i = 0; i < count; i++) {
            if (errors[i].code == ERROR_OK) {
                round->moved_objects++;
                round->moved_bytes += batch[i].cold_copy_known ? 0 : batch[i].size_bytes;
                continue;
            }
            more = more && errors[i].code == ERROR_NOT_FOUND;
            note_failure(&batch[i], &errors[i], round);
            stopped = stopped || stands_in_the_way(&errors[i]);
        }
        at += count;
    }
    return more;
}

bool tier_core_run(const struct tier_ports *ports, const struct tier_rules *rules, const struct bucket_policy *policy,
                   struct tier_round *round) {
    if (!policy->goes_cold) {
        return false;
    }
    struct due_list due = {.objects = calloc(TIER_ROUND_OBJECTS, sizeof *due.objects)};
    if (due.objects == NULL) {
        abort();
    }
    bool more =
        find_due(ports, policy, false, policy->cold_after_us, &due) && demote_due(ports, rules, policy, &due, round);
    if (policy->leaves_hot) {
        int64_t stay_us = rules->recall_stay_us > policy->cold_after_us ? rules->recall_stay_us : policy->cold_after_us;
        more |= find_due(ports, policy, true, stay_us, &due) && demote_due(ports, rules, policy, &due, round);
    }
    free(due.objects);
    return more;
}

bool tier_core_finish_noted(const struct tier_ports *ports) {
    struct move_note note;
    bool all = true;
    if (ports->notes == NULL) {
        return true;
    }
    for (int slot = -1; (slot = move_notes_next(ports->notes, slot + 1, &note)) >= 0;) {
        struct error error = {0};
        if (tier_finish_noted(ports, note.tier, &note.object, &error) && move_notes_clear(ports->notes, slot, &error)) {
            continue;
        }
        if (strcmp(error.reason, "OBJECT_MOVING") == 0) {
            continue; /* somebody else has it in hand; the others need not wait */
        }
        all = false;
        log_warn("move_not_finished", LOG_ERROR(&error), LOG_STR("bucket", note.object.bucket),
                 LOG_STR("key", note.object.key), LOG_INT("version", note.object.version),
                 LOG_STR("hint", "it is tried again"));
        if (error.code == ERROR_UNAVAILABLE) {
            break;
        }
    }
    return all;
}
