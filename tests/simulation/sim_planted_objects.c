/* Planted bugs of object-svc, in calls from one room to another, which the linker sends here. */
#include "object-svc/ingest/attempt_table.h"
#include "object-svc/ingest/retry_policy.h"
#include "object-svc/tier/tier_moves.h"
#include "tests/simulation/sim_replica.h"

static enum sim_bug planted;

void sim_plant_objects(enum sim_bug bug) {
    planted = bug;
}

enum retry_class __real_retry_class_of(const struct error *error, enum retry_place place);
enum retry_class __wrap_retry_class_of(const struct error *error, enum retry_place place);

enum retry_class __wrap_retry_class_of(const struct error *error, enum retry_place place) {
    enum retry_class fault = __real_retry_class_of(error, place);
    return planted == BUG_OUTAGES_COUNT && fault == RETRY_OUTAGE ? RETRY_TRANSIENT : fault;
}

uint64_t __real_attempt_table_add(struct attempt_table *table, const struct uuid *payload_id, uint64_t deliveries,
                                  int64_t now_us);
uint64_t __wrap_attempt_table_add(struct attempt_table *table, const struct uuid *payload_id, uint64_t deliveries,
                                  int64_t now_us);

uint64_t __wrap_attempt_table_add(struct attempt_table *table, const struct uuid *payload_id, uint64_t deliveries,
                                  int64_t now_us) {
    uint64_t attempts = __real_attempt_table_add(table, payload_id, deliveries, now_us);
    return planted == BUG_ATTEMPTS_FORGOTTEN ? 1 : attempts;
}

bool __real_tier_remove_cold(const struct tier_ports *ports, const struct moved_object *object, struct error *error);
bool __wrap_tier_remove_cold(const struct tier_ports *ports, const struct moved_object *object, struct error *error);

bool __wrap_tier_remove_cold(const struct tier_ports *ports, const struct moved_object *object, struct error *error) {
    return planted == BUG_DROPS_NOT_DONE || __real_tier_remove_cold(ports, object, error);
}
