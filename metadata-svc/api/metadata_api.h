/* The services of metadata-svc over its rooms: each *_api.c holds the handlers of one concern,
 * and each handler reads from top to bottom: decode, check, do, answer. */
#ifndef WAYBILL_API_METADATA_API_H
#define WAYBILL_API_METADATA_API_H

#include <stdatomic.h>

#include "common/base/bucket_share.h"
#include "common/observe/metrics.h"
#include "common/rpc/rpc_server.h"
#include "metadata-svc/api/replica_table.h"
#include "metadata-svc/commit/commit_feed.h"
#include "metadata-svc/commit/committer.h"
#include "metadata-svc/publish/event_publisher.h"
#include "metadata-svc/spool/payload_spool.h"
#include "metadata-svc/store/cached_kv.h"
#include "metadata-svc/store/store_room.h"
#include "metadata-svc/watch/watch_hub.h"

/* What became of payloads in flight. */
struct payload_counters {
    struct counter *deadlines_missed;
    struct counter *kept_failed;
    struct counter *reverted;
    struct counter *redriven;
};

/* What the handlers work with; all of it outlives the servers. */
struct metadata_api {
    const char *shard;
    struct kv *kv;
    struct record_cache *cache; /* of the kv; for figures and for reads that must not wait */
    struct committer *committer;
    struct commit_feed *feed;
    struct payload_spool *spool;
    struct store_room *room;
    struct event_publisher *publisher;
    struct watch_hub *watches;
    struct replica_table *replicas;
    const struct clock *clock;
    int64_t start_us;
    int64_t outbox_max_events;
    int64_t outbox_reserve_events;     /* of them, those that only changes without payload may fill */
    struct bucket_share *uploads;      /* at once */
    unsigned max_pulls;                /* at once */
    int64_t upload_idle_ms;            /* an upload that sends nothing for so long is cut off */
    int64_t snapshot_bytes_per_second; /* 0: no limit */
    struct histogram *commit_seconds;
    struct histogram *upload_seconds;
    struct payload_counters payloads;
    atomic_bool snapshot_running; /* one at a time: each reads all there is */
    /* Whether the record store refuses writes after a disk error. Any thread. */
    bool (*read_only)(void *self);
    void *read_only_self;
};

/* Adds the handlers of the small-message port. */
void metadata_api_add_to(struct metadata_api *api, struct rpc_server *server);
/* Adds the handlers of the bulk port. */
void metadata_api_add_bulk_to(struct metadata_api *api, struct rpc_server *server);

/* After a change became durable: gives up the spooled bytes that it let go, and counts what it did
 * to payloads. Any thread. */
void metadata_api_settle(struct metadata_api *api, const struct commit_request *commit);

/* Each adds one concern; used by the two above. */
void bucket_api_add_to(struct metadata_api *api, struct rpc_server *server);
void record_api_add_to(struct metadata_api *api, struct rpc_server *server);
void list_api_add_to(struct metadata_api *api, struct rpc_server *server);
void batch_api_add_to(struct metadata_api *api, struct rpc_server *server);
void watch_api_add_to(struct metadata_api *api, struct rpc_server *server);
void report_api_add_to(struct metadata_api *api, struct rpc_server *server);
void drops_api_add_to(struct metadata_api *api, struct rpc_server *server);
void objects_api_add_to(struct metadata_api *api, struct rpc_server *server);
void replica_api_add_to(struct metadata_api *api, struct rpc_server *server);
void failed_api_add_to(struct metadata_api *api, struct rpc_server *server);
void status_api_add_to(struct metadata_api *api, struct rpc_server *server);
void upload_calls_api_add_to(struct metadata_api *api, struct rpc_server *server);
void upload_api_add_to(struct metadata_api *api, struct rpc_server *server);
void fetch_api_add_to(struct metadata_api *api, struct rpc_server *server);
void snapshot_api_add_to(struct metadata_api *api, struct rpc_server *server);

#endif
