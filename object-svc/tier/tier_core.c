#include "object-svc/tier/tier_core.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "object-svc/cold/cold_breaker.h"

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

/* Returns true when there may be more. */
static bool demote_due(const struct tier_ports *ports, const struct tier_rules *rules,
                       const struct bucket_policy *policy, const struct due_list *due, struct tier_round *round) {
    bool more = due->count == TIER_ROUND_OBJECTS;
    const struct tier_round begin = *round;
    for (size_t i = 0; i < due->count; i++) {
        if (turn_is_over(&begin, round)) {
            return true;
        }
        const struct moved_object *object = &due->objects[i];
        struct error error = {0};
        if (tier_demote(ports, object, policy->leaves_hot, &rules->move, &error)) {
            round->moved_objects++;
            round->moved_bytes += object->cold_copy_known ? 0 : object->size_bytes;
            continue;
        }
        more = more && error.code == ERROR_NOT_FOUND;
        if (strcmp(error.reason, COLD_STORE_SUSPENDED) == 0) {
            break; /* of which the breaker tells */
        }
        bool passed_over = tier_move_passed_over(&error);
        if (!passed_over) {
            round->failed_objects++;
            log_warn("tier_move_failed", LOG_ERROR(&error), LOG_STR("bucket", object->bucket),
                     LOG_STR("key", object->key), LOG_INT("version", object->version));
        }
        if (error.code == ERROR_CANCELLED || error.code == ERROR_RESOURCE_EXHAUSTED ||
            (error.code == ERROR_UNAVAILABLE && !passed_over)) {
            break; /* whoever is away, or has no room, is so for the others too */
        }
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
