/* Which object-svc replicas are there, and where they are reached: told by themselves, again and
 * again, forgotten when they are not heard of. In memory only, since after a restart all that are
 * there tell it again. Any thread. */
#ifndef WAYBILL_API_REPLICA_TABLE_H
#define WAYBILL_API_REPLICA_TABLE_H

#include "common/base/arena.h"
#include "common/base/clock.h"
#include "common/base/error.h"

enum { REPLICA_NAME_MAX_BYTES = 253, REPLICA_ADDRESS_MAX_BYTES = 512, REPLICAS_MAX = 1000 };

struct replica {
    const char *name;
    const char *address;
};

struct replica_table;

struct replica_table *replica_table_new(const struct clock *clock);
void replica_table_free(struct replica_table *table);
/* Adds the replica or renews it. RESOURCE_EXHAUSTED, TOO_MANY_REPLICAS with RetryInfo where
 * REPLICAS_MAX others are there. */
bool replica_table_put(struct replica_table *table, const struct replica *replica, int64_t ttl_us, struct error *error);
void replica_table_remove(struct replica_table *table, const char *name);
/* All that are there, by name; in the arena. Returns how many. */
size_t replica_table_list(struct replica_table *table, struct arena *arena, struct replica **replicas);

#endif
