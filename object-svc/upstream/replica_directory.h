/* Where replicas find each other: each registers with metadata-svc again and again, and hears of
 * all others that do. Any thread. */
#ifndef WAYBILL_UPSTREAM_REPLICA_DIRECTORY_H
#define WAYBILL_UPSTREAM_REPLICA_DIRECTORY_H

#include "common/base/arena.h"
#include "common/base/error.h"
#include "object-svc/upstream/metadata_client.h"

struct replica_address {
    const char *name;
    const char *address; /* host:port, or another gRPC target */
};

/* Registers this replica under `address` for `ttl_ms`; `replicas` are all that are there, this
 * one too, in the arena. One attempt, of at most `timeout_ms`. */
bool replica_directory_register(struct metadata_client *client, const char *address, int64_t ttl_ms, int64_t timeout_ms,
                                struct arena *arena, struct replica_address **replicas, size_t *count,
                                struct error *error);
/* Tells that this replica stops. */
bool replica_directory_leave(struct metadata_client *client, int64_t timeout_ms, struct error *error);

#endif
