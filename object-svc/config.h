/* Every tunable of object-svc, with default, range and help in config.c, from which the
 * table of docs/configuration.md is made. */
#ifndef WAYBILL_OBJECT_CONFIG_H
#define WAYBILL_OBJECT_CONFIG_H

#include <stdint.h>

#include "common/base/config.h"
#include "common/base/log.h"

/* Which backend keeps long-term objects. */
enum object_cold_store { OBJECT_COLD_STORE_DIRECTORY, OBJECT_COLD_STORE_S3 };

struct object_config {
    bool list_failpoints; /* --list-failpoints */
    char *replica;        /* filled: the host name */
    char *shard;
    char *listen;
    char *advertise_address; /* "": as main makes it of the address that it listens on */
    char *admin_listen;      /* "" = no admin port */
    char *data_dir;
    char *hot_dir; /* filled: <data_dir>/volumes */
    enum object_cold_store cold_store;
    char *cold_dir; /* filled: <data_dir>/cold */
    char *s3_endpoint;
    char *s3_bucket;
    char *s3_prefix;
    char *s3_region;
    bool s3_path_style;
    char *s3_access_key_file; /* "": the environment, as the two that follow */
    char *s3_secret_key_file;
    char *s3_session_token_file;
    char *s3_ca_file;
    int64_t s3_part_bytes;
    int64_t s3_parallel_parts;
    int64_t s3_upload_bytes;
    int64_t s3_read_ahead_bytes;
    int64_t s3_connections;
    int64_t s3_connect_timeout_ms;
    int64_t s3_stall_timeout_ms;
    char *metadata_target;
    char *payload_target;
    char *nats_url;
    enum log_level log_level;

    int64_t ingest_batch;
    int64_t ingest_batch_bytes;
    int64_t ingest_pending_max;
    int64_t ingest_attempts;
    int64_t ingest_retry_longest_ms;
    int64_t dead_letters_max;
    int64_t ack_wait_ms;
    int64_t volume_bytes;
    int64_t hot_reserve_bytes;
    int64_t compaction_garbage_percent;
    int64_t compaction_bytes_per_second;
    int64_t compaction_interval_ms;
    int64_t tier_interval_ms;
    int64_t policy_refresh_ms;
    int64_t cold_suspend_failures;
    int64_t cold_suspend_longest_ms;
    int64_t recall_stay_ms;
    int64_t hot_capacity_bytes; /* 0: as the disk has it */
    int64_t hot_high_watermark_percent;
    int64_t hot_low_watermark_percent;
    int64_t scrub_interval_ms;
    int64_t scrub_bytes_per_second;
    int64_t nice;
    int64_t migration_bytes_per_second;
    int64_t max_streams;
    int64_t max_peer_streams;
    int64_t client_share_percent;
    int64_t bucket_share_percent;
    int64_t peer_refresh_ms;
    int64_t peer_timeout_ms;
    int64_t max_message_bytes;
    int64_t drain_grace_ms;
    char *failpoint; /* "" = none */
    int64_t liveness_patience_ms;
};

extern const struct config_table object_config_table;

#endif
