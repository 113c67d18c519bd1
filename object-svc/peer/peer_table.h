/* The other replicas, as metadata-svc tells of them: who is there, and a connection to each.
 *
 * One thread registers this replica every interval and takes over what it hears. A replica that
 * metadata-svc stops telling of, be it gone or metadata-svc fresh from a restart, is kept for as
 * long as a registration lasts. Any thread may ask for peers. */
#ifndef WAYBILL_PEER_PEER_TABLE_H
#define WAYBILL_PEER_PEER_TABLE_H

#include "common/base/clock.h"
#include "common/observe/metrics.h"
#include "common/rpc/rpc_channel.h"
#include "object-svc/upstream/replica_directory.h"

struct peer_table;
struct peer;

struct peer_table_options {
    const char *replica; /* this one */
    struct metadata_client *metadata;
    const struct clock *clock;
    int64_t refresh_ms; /* between two registrations; each lasts for PEER_TTL_REFRESHES */
    struct metrics *metrics;
};

enum { PEER_TTL_REFRESHES = 3 };

/* An empty table; borrows what the options name until it is freed. */
struct peer_table *peer_table_new(const struct peer_table_options *options);
/* Starts to register; `address` is where the others reach this replica. */
void peer_table_announce(struct peer_table *table, const char *address);
/* Stops to register and tells that this replica leaves; peers can still be asked for. */
void peer_table_leave(struct peer_table *table);
/* Every peer must be released before. */
void peer_table_free(struct peer_table *table);

/* NULL: no replica of that name is known, or it is this one. */
struct peer *peer_table_get(struct peer_table *table, const char *replica);
/* Whether of all replicas that are known this one is to look after the object: each other one says
 * no, as far as they know of the same. */
bool peer_table_is_nearest(struct peer_table *table, const struct uuid *payload_id);
/* The table turned out to be old: metadata-svc is asked soon, but not too often. */
void peer_table_refresh(struct peer_table *table);
void peer_release(struct peer *peer);
struct rpc_channel *peer_channel(struct peer *peer);
/* A peer that hung a moment ago is not waited for again so soon. */
void peer_note_hung(struct peer *peer);
bool peer_hung_lately(const struct peer *peer);

#endif
