#include "object-svc/tier/drop_core.h"

#include <string.h>

#include "common/base/failpoint.h"

static struct moved_object object_of(const struct object_name *name) {
    struct moved_object object = {.version = name->version, .payload_id = name->payload_id};
    strncpy(object.bucket, name->bucket, sizeof object.bucket - 1);
    strncpy(object.key, name->key, sizeof object.key - 1);
    return object;
}

static struct object_report report_of(const struct object_drop *drop, enum object_tier tier) {
    return (struct object_report){
        .bucket = drop->object.bucket,
        .key = drop->object.key,
        .version = drop->object.version,
        .payload_id = drop->object.payload_id,
        .outcome = OBJECT_DROPPED,
        .tier = tier,
        .drop_due_us = drop->due_us,
    };
}

static bool remove_object(const struct tier_ports *ports, enum object_tier tier, const struct object_drop *drop,
                          struct error *error) {
    struct moved_object object = object_of(&drop->object);
    if (ports->guard != NULL && !move_guard_enter(ports->guard, &object.payload_id, 0, error)) {
        return false;
    }
    bool good = tier == OBJECT_TIER_HOT ? hot_store_remove(ports->hot, &object.payload_id, 1, error)
                                        : tier_remove_cold(ports, &object, error);
    if (ports->guard != NULL) {
        move_guard_leave(ports->guard, &object.payload_id);
    }
    return good;
}

/* Removes what it can; returns how many reports that makes. */
static size_t remove_all(const struct tier_ports *ports, enum object_tier tier, const struct object_drop *drops,
                         size_t count, const struct tier_move *move, struct object_report *reports,
                         struct error *error) {
    size_t removed = 0;
    for (size_t i = 0; i < count; i++) {
        struct error cause = {0};
        if (move->step != NULL && !move->step(move->self, 0, error)) {
            break;
        }
        if (FAILPOINT("drop.remove.before") && remove_object(ports, tier, &drops[i], &cause) &&
            FAILPOINT("drop.remove.after")) {
            reports[removed++] = report_of(&drops[i], tier);
        } else if (strcmp(cause.reason, "OBJECT_MOVING") != 0) {
            *error = cause;
            break; /* what stands in the way of one does so for the others */
        }
    }
    return removed;
}

static bool run_tier(const struct tier_ports *ports, const struct drop_source *source, enum object_tier tier,
                     const struct tier_move *move, struct drop_round *round, struct arena *arena) {
    const char *page_token = "";
    struct object_drop *drops;
    size_t count;
    struct error error = {0};
    bool more = false;
    if (source->list(source->self, tier, arena, &page_token, &drops, &count, &error)) {
        struct object_report *reports = arena_alloc(arena, (count + 1) * sizeof *reports);
        size_t removed = remove_all(ports, tier, drops, count, move, reports, &error);
        bool told = removed == 0 ||
                    (FAILPOINT("drop.report.before") &&
                     ports->sink.report(ports->sink.self, reports, removed, &error) && FAILPOINT("drop.report.after"));
        round->dropped[tier] += told ? removed : 0;
        more = told && removed == count && page_token[0] != '\0';
    }
    if (round->error.code == ERROR_OK && error.code != ERROR_CANCELLED) {
        round->error = error;
    }
    return more;
}

bool drop_core_run(const struct tier_ports *ports, const struct drop_source *source, const struct tier_move *move,
                   struct drop_round *round) {
    bool more = false;
    for (int tier = OBJECT_TIER_HOT; tier <= OBJECT_TIER_COLD; tier++) {
        struct arena arena;
        arena_init(&arena);
        more |= run_tier(ports, source, (enum object_tier)tier, move, round, &arena);
        arena_free(&arena);
    }
    return more;
}
