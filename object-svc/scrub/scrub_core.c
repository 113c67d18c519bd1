#include "object-svc/scrub/scrub_core.h"

#include <string.h>

#include "object-svc/scrub/scrub_parts.h"

bool scrub_go_on(struct scrub *scrub, uint64_t bytes, struct error *error) {
    int64_t wait_ms = pace_after(&scrub->pace, bytes);
    struct stop_signal *stop = scrub->ports->repair.stop;
    bool stopped = wait_ms > 0 ? stop_signal_pause(stop, wait_ms) : stop_signal_raised(stop);
    return !stopped || error_set(error, ERROR_CANCELLED, "SCRUB_CANCELLED", "the service is shutting down");
}

bool scrub_is_damage(const struct error *error) {
    return error->code == ERROR_DATA_LOSS || error->code == ERROR_NOT_FOUND || strcmp(error->reason, "IO_ERROR") == 0;
}

struct scrub_finding scrub_finding_of(enum scrub_kind kind, enum object_tier tier, const struct object_name *name) {
    struct scrub_finding finding = {
        .kind = kind, .tier = tier, .version = name->version, .payload_id = name->payload_id};
    strncpy(finding.bucket, name->bucket, sizeof finding.bucket - 1);
    strncpy(finding.key, name->key, sizeof finding.key - 1);
    return finding;
}

bool scrub_core_run(const struct scrub_ports *ports, const struct scrub_options *options, struct scrub_result *result,
                    struct error *error) {
    struct scrub scrub = {
        .ports = ports,
        .options = options,
        .result = result,
        .pace = {.clock = ports->clock, .bytes_per_second = options->bytes_per_second},
    };
    const struct {
        enum scrub_phase phase;
        enum object_tier tier;
        bool (*run)(struct scrub *scrub, enum object_tier tier, struct error *error);
    } phases[] = {
        {SCRUB_RECORDS_TO_HOT, OBJECT_TIER_HOT, scrub_records},
        {SCRUB_RECORDS_TO_COLD, OBJECT_TIER_COLD, scrub_records},
        {SCRUB_HOT_TO_RECORDS, OBJECT_TIER_HOT, scrub_objects},
        {SCRUB_COLD_TO_RECORDS, OBJECT_TIER_COLD, scrub_objects},
    };
    for (size_t i = 0; i < sizeof phases / sizeof phases[0]; i++) {
        if (options->hot_only && phases[i].tier == OBJECT_TIER_COLD) {
            continue;
        }
        scrub_result_enter(result, phases[i].phase);
        if (!phases[i].run(&scrub, phases[i].tier, error)) {
            return false;
        }
    }
    scrub_result_enter(result, SCRUB_DONE);
    return true;
}
