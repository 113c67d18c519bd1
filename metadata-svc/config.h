/* Every tunable of metadata-svc, with default, range and help in config.c, from which the
 * table of docs/configuration.md is made. */
#ifndef WAYBILL_METADATA_CONFIG_H
#define WAYBILL_METADATA_CONFIG_H

#include <stdint.h>

#include "common/base/config.h"
#include "common/base/log.h"

enum rebuild_events { REBUILD_EVENTS_REQUIRED, REBUILD_EVENTS_IGNORED };

struct metadata_config {
    bool repair;          /* --repair */
    bool rebuild;         /* --rebuild */
    bool list_failpoints; /* --list-failpoints */
    char *shard;
    char *listen;
    char *bulk_listen;
    char *admin_listen; /* "" = no admin port */
    char *data_dir;
    char *spool_dir; /* filled: <data_dir>/spool */
    char *nats_url;
    enum log_level log_level;

    int64_t data_reserve_bytes; /* 0 = none */
    int64_t client_share_percent;
    int64_t bucket_share_percent;
    int64_t commit_queue;
    int64_t upkeep_queue;
    int64_t commit_reserve_percent;
    int64_t commit_batch_records;
    int64_t commit_batch_bytes;
    int64_t request_id_retention_ms;
    int64_t read_threads;
    int64_t max_calls;
    int64_t max_message_bytes;
    int64_t max_watches;
    int64_t watch_threads;
    int64_t watch_stall_timeout_ms;

    int64_t bulk_nice;
    int64_t max_streams;
    int64_t max_pulls;
    int64_t spool_max_bytes;
    int64_t spool_segment_bytes;
    int64_t upload_idle_timeout_ms;
    int64_t snapshot_bytes_per_second; /* 0 = no limit */

    int64_t redrive_after_ms;
    int64_t redrives_per_second;
    int64_t failed_payload_retention_ms;
    int64_t object_drop_delay_ms;
    int64_t object_drop_retention_ms;

    int64_t change_log_retention_ms;
    int64_t outbox_max_events;
    int64_t publish_window;
    int64_t stream_max_bytes;  /* 0 = no limit */
    int64_t stream_max_age_ms; /* 0 = no limit */

    int64_t record_cache_bytes;
    int64_t key_filter_bytes;
    int64_t leveldb_cache_bytes;
    int64_t leveldb_write_buffer_bytes;
    int64_t leveldb_log_runway_bytes;
    char *rebuild_from; /* "" = no replica */
    enum rebuild_events rebuild_events;
    int64_t drain_grace_ms;
    char *failpoint; /* "" = none */
};

extern const struct config_table metadata_config_table;

#endif
