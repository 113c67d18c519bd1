#include "object-svc/config.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "common/base/failpoint.h"

#define KIB(n) ((int64_t)(n) << 10)
#define MIB(n) ((int64_t)(n) << 20)
#define GIB(n) ((int64_t)(n) << 30)
#define TIB(n) ((int64_t)(n) << 40)
#define SECONDS(n) ((int64_t)(n)*1000)
#define MINUTES(n) (SECONDS(n) * 60)

/* As enum log_level. */
static const char *const log_levels[] = {"debug", "info", "warn", "error", NULL};
/* As enum object_cold_store. */
static const char *const cold_stores[] = {"directory", "s3", NULL};

#define STRING(member_, ...) CONFIG_STRING(struct object_config, member_, #member_, __VA_ARGS__)
#define INT(member_, ...) CONFIG_INT(struct object_config, member_, #member_, __VA_ARGS__)
#define SIZE(member_, ...) CONFIG_SIZE(struct object_config, member_, #member_, __VA_ARGS__)
/* The member says its unit, the key does not need to. */
#define DURATION(key_, ...) CONFIG_DURATION(struct object_config, key_##_ms, #key_, __VA_ARGS__)
#define BOOL(member_, ...) CONFIG_BOOL(struct object_config, member_, #member_, __VA_ARGS__)
#define ENUM(member_, ...) CONFIG_ENUM(struct object_config, member_, #member_, __VA_ARGS__)

static const struct config_entry entries[] = {
    STRING(replica, .initial = "", .derived = "<host name>", .format = &config_format_optional_host_name,
           .help = "Name of this replica; stays with its data directory, since records say who holds the bytes"),
    STRING(shard, .initial = "0", .format = &config_format_token, .help = "Name of the shard to serve"),
    STRING(listen, .initial = "127.0.0.1:7080", .format = &config_format_address,
           .help = "Address of the gRPC port, for reads"),
    STRING(advertise_address, .initial = "", .derived = "<listen; the host name where that is every address>",
           .format = &config_format_optional_target, .help = "Where other replicas reach the gRPC port"),
    STRING(admin_listen, .initial = "127.0.0.1:9080", .format = &config_format_optional_address,
           .help = "Address of the admin port: metrics, probes, status page; empty: none"),
    STRING(data_dir, .initial = "/var/lib/waybill/object", .format = &config_format_path,
           .help = "Directory of the object index and, where hot_dir does not say otherwise, the hot volumes"),
    STRING(hot_dir, .initial = "", .derived = "<data_dir>/volumes", .format = &config_format_optional_path,
           .help = "Directory of the hot volumes"),
    ENUM(cold_store, .initial = "directory", .choices = cold_stores, .help = "Backend of the cold tier"),
    STRING(cold_dir, .initial = "", .derived = "<data_dir>/cold", .format = &config_format_optional_path,
           .help = "Directory of the cold tier, where the backend is a directory; shared by all replicas"),
    STRING(s3_endpoint, .initial = "", .format = &config_format_optional_path,
           .help = "URL of the S3 server, https://host or http://host:port, where the backend is s3"),
    STRING(s3_bucket, .initial = "", .format = &config_format_optional_path,
           .help = "S3 bucket of the cold tier; it must be there; shared by all replicas"),
    STRING(s3_prefix, .initial = "", .format = &config_format_optional_path,
           .help = "What the names of all objects in the S3 bucket begin with, before a /"),
    STRING(s3_region, .initial = "us-east-1", .format = &config_format_token,
           .help = "Region that S3 requests are signed for"),
    BOOL(s3_path_style, .initial = "true",
         .help = "Whether the S3 bucket's name goes into the path of a URL; false: before the host"),
    STRING(s3_access_key_file, .initial = "", .format = &config_format_optional_path,
           .help =
               "File that holds the S3 access key's id; read anew for each request; empty: the environment variable "
               "AWS_ACCESS_KEY_ID"),
    STRING(s3_secret_key_file, .initial = "", .format = &config_format_optional_path,
           .help = "File that holds the S3 secret key; empty: AWS_SECRET_ACCESS_KEY"),
    STRING(s3_session_token_file, .initial = "", .format = &config_format_optional_path,
           .help = "File that holds the S3 session token, where there is one; empty: AWS_SESSION_TOKEN"),
    STRING(s3_ca_file, .initial = "", .format = &config_format_optional_path,
           .help = "Certificates (PEM) that the S3 server's is checked against; empty: those of the system"),
    SIZE(s3_part_bytes, .initial = "16MiB", .min = MIB(5), .max = GIB(1),
         .help =
             "Size of a part of an S3 multipart upload, which is held in memory; smaller objects go in one request"),
    INT(s3_parallel_parts, .initial = "4", .min = 1, .max = 32, .unit = "parts",
        .help = "Most parts of S3 multipart uploads that are sent at once"),
    SIZE(s3_upload_bytes, .initial = "64MiB", .min = MIB(5), .max = GIB(64),
         .help =
             "Most bytes of parts that are on their way to S3 or wait for it, in memory, besides one part per upload"),
    SIZE(
        s3_read_ahead_bytes, .initial = "64MiB", .min = 0, .max = GIB(64),
        .help =
            "Most bytes that are read ahead of reads in order of large objects in S3, in memory, 16 MiB at most of one "
            "read; 0: none"),
    INT(s3_connections, .initial = "16", .min = 1, .max = 64, .unit = "connections",
        .help = "Most S3 requests at once; more wait"),
    DURATION(s3_connect_timeout, .initial = "5s", .min = 10, .max = MINUTES(5),
             .help = "How long connecting to the S3 server may take"),
    DURATION(s3_stall_timeout, .initial = "15s", .min = SECONDS(1), .max = MINUTES(10),
             .help = "How long an S3 request may go on without a byte"),
    STRING(metadata_target, .initial = "127.0.0.1:7070", .format = &config_format_target,
           .help = "metadata-svc's small-message port"),
    STRING(payload_target, .initial = "127.0.0.1:7071", .format = &config_format_target,
           .help = "metadata-svc's bulk port"),
    STRING(nats_url, .initial = "nats://127.0.0.1:4222", .format = &config_format_nats_urls,
           .help = "NATS servers with JetStream"),
    ENUM(log_level, .initial = "info", .choices = log_levels, .help = "Least level of the log lines that are written"),

    INT(ingest_batch, .initial = "256", .min = 1, .max = 1000, .unit = "payloads",
        .help = "Most payloads that share one append, flush and report"),
    SIZE(ingest_batch_bytes, .initial = "256MiB", .min = MIB(1), .max = TIB(1),
         .help = "Most payload bytes that share one flush and report; a larger payload comes alone"),
    INT(ingest_pending_max, .initial = "65536", .min = 1000, .max = 1000000, .unit = "events",
        .help =
            "Most events that are in work or wait for another attempt, over all replicas; beyond, no new ones come"),
    INT(ingest_attempts, .initial = "12", .min = 0, .max = 1000, .unit = "attempts",
        .help = "How often a payload is tried where the fault is its own, 3 times at most where it will stay; then its "
                "version is FAILED; waiting for what is full or away does not count; 0: for ever"),
    DURATION(ingest_retry_longest, .initial = "30s", .min = 100, .max = MINUTES(60),
             .help = "Longest pause before a payload is tried again; the first is 100 ms at most, and each after it "
                     "twice as long"),
    INT(dead_letters_max, .initial = "100000", .min = 1, .max = 10000000, .unit = "letters",
        .help = "Most events kept that were given up and that no record tells of; the oldest go first"),
    DURATION(ack_wait, .initial = "30s", .min = SECONDS(1), .max = MINUTES(60),
             .help = "How long an event may be in work before it is delivered again"),
    SIZE(volume_bytes, .initial = "1GiB", .min = MIB(1), .max = GIB(64),
         .help = "Size at which a hot volume is sealed"),
    SIZE(hot_reserve_bytes, .initial = "1GiB", .min = 0, .max = TIB(1024),
         .help = "Bytes kept free on the disk of the hot volumes: below, new objects wait in the spool; compaction may "
                 "use half of them; 0: none"),
    SIZE(hot_capacity_bytes, .initial = "0", .min = 0, .max = TIB(1024),
         .help = "Bytes that objects may take in hot volumes, for the watermarks; 0: what volumes take and their disk "
                 "has free"),
    INT(hot_high_watermark_percent, .initial = "85", .min = 0, .max = 100, .unit = "percent",
        .help = "Share of the hot capacity above which the objects that were not used for longest go to the cold "
                "store; 0: no watermark"),
    INT(hot_low_watermark_percent, .initial = "75", .min = 0, .max = 100, .unit = "percent",
        .help = "Share of the hot capacity at which that ends, and up to which objects come back to hot where "
                "their bucket becomes one that keeps them there"),
    INT(compaction_garbage_percent, .initial = "50", .min = 1, .max = 100, .unit = "percent",
        .help = "Share of garbage at which a hot volume is rewritten; 10 where the reserve is touched"),
    SIZE(compaction_bytes_per_second, .initial = "32MiB", .min = 0, .max = TIB(1),
         .help = "Most bytes that compaction copies in a second; 0: no limit"),
    DURATION(compaction_interval, .initial = "1s", .min = 10, .max = MINUTES(60),
             .help = "How often hot volumes to rewrite are looked for, and removals are made durable"),
    DURATION(tier_interval, .initial = "1s", .min = 10, .max = MINUTES(60),
             .help = "How often the tier mover looks for objects that are due"),
    DURATION(policy_refresh, .initial = "5s", .min = 10, .max = MINUTES(60),
             .help = "How often the buckets' policies are read again"),
    DURATION(recall_stay, .initial = "1h", .min = 0, .max = MINUTES(60 * 24 * 366),
             .help = "How long a hot copy that was promoted, or that another policy left, stays at least where the "
                     "bucket's objects belong in the cold store alone; cold_after where that is longer"),
    INT(cold_suspend_failures, .initial = "3", .min = 1, .max = 1000, .unit = "failures",
        .help = "How often in a row the cold store may fail before it is left alone for a while"),
    DURATION(cold_suspend_longest, .initial = "30s", .min = SECONDS(1), .max = MINUTES(60),
             .help =
                 "How long a cold store that keeps failing is left alone at most before it is tried once; the first "
                 "time a second, then twice as long"),
    DURATION(scrub_interval, .initial = "168h", .min = 0, .max = MINUTES(60 * 24 * 366),
             .help = "How often all objects are read and held to their records by themselves; the first time an "
                     "eighth of it after the start; 0: only on demand"),
    SIZE(scrub_bytes_per_second, .initial = "64MiB", .min = 0, .max = GIB(64),
         .help = "Most bytes that a scrub reads in a second; 0: no limit"),
    INT(nice, .initial = "10", .min = 0, .max = 19, .unit = "steps",
        .help = "How far this service stands back behind others on its machine, such as commits, as nice(1)"),
    SIZE(migration_bytes_per_second, .initial = "128MiB", .min = 0, .max = GIB(64),
         .help = "Most bytes that a migration of the cold store copies in a second; 0: no limit"),
    INT(max_streams, .initial = "64", .min = 1, .max = 4096, .unit = "streams",
        .help = "Reads at once; each has a thread"),
    INT(max_peer_streams, .initial = "64", .min = 1, .max = 4096, .unit = "streams",
        .help = "Reads of other replicas from this one's hot volumes at once, apart from max_streams"),
    INT(client_share_percent, .initial = "90", .min = 1, .max = 100, .unit = "percent",
        .help =
            "Share of the calls and streams at once that one client, which is a connection, comes to alone; several "
            "share alike, and there is always room for another"),
    INT(bucket_share_percent, .initial = "75", .min = 1, .max = 100, .unit = "percent",
        .help = "The same for one bucket: its share of the reads at once and of the moves that wait"),
    DURATION(peer_refresh, .initial = "5s", .min = 50, .max = MINUTES(10),
             .help = "How often this replica registers with metadata-svc; others forget it after three times that"),
    DURATION(peer_timeout, .initial = "3s", .min = 10, .max = MINUTES(5),
             .help = "How long another replica may send nothing before a read goes on from the next copy"),
    SIZE(max_message_bytes, .initial = "4MiB", .min = KIB(64), .max = MIB(64), .help = "Largest request"),
    DURATION(drain_grace, .initial = "10s", .min = 0, .max = MINUTES(60),
             .help = "How long calls may take to finish after SIGTERM"),
    STRING(failpoint, .initial = "", .format = &failpoint_format,
           .help = "For tests of recovery alone: the failpoint at which the process ends itself, as by kill -9"),
    DURATION(liveness_patience, .initial = "5m", .min = SECONDS(1), .max = MINUTES(60 * 24),
             .help = "How long the ingester may hang before /livez fails, so that the service is started again"),
};

static bool fill_replica(struct object_config *config, struct error *error) {
    if (*config->replica != '\0') {
        return true;
    }
    char name[256] = "";
    if (gethostname(name, sizeof name - 1) != 0) {
        return error_set_errno(error, errno, "replica: cannot read the host name; set it");
    }
    if (!config_format_host_name.matches(name)) {
        return error_set_field(error, "replica", "BAD_CONFIG",
                               "replica: the host name \"%.64s\" will not do; set it: %s", name,
                               config_format_host_name.allowed);
    }
    config_set_string(&config->replica, name);
    return true;
}

static void fill_directory(char **member, const struct object_config *config, const char *name) {
    char path[1024 + sizeof "/volumes"];
    if (**member == '\0') {
        snprintf(path, sizeof path, "%s/%s", config->data_dir, name);
        config_set_string(member, path);
    }
}

static bool complete(void *values, struct error *error) {
    struct object_config *config = values;
    fill_directory(&config->hot_dir, config, "volumes");
    fill_directory(&config->cold_dir, config, "cold");
    if (config->hot_high_watermark_percent > 0 &&
        config->hot_low_watermark_percent > config->hot_high_watermark_percent) {
        return error_set_field(error, "hot_low_watermark_percent", "BAD_CONFIG",
                               "hot_low_watermark_percent: must not be above hot_high_watermark_percent");
    }
    if (config->cold_store == OBJECT_COLD_STORE_S3 && (*config->s3_endpoint == '\0' || *config->s3_bucket == '\0')) {
        const char *missing = *config->s3_endpoint == '\0' ? "s3_endpoint" : "s3_bucket";
        return error_set_field(error, missing, "BAD_CONFIG", "%s: must be set where cold_store is s3", missing);
    }
    return fill_replica(config, error);
}

static const struct config_task tasks[] = {
    {"list-failpoints", "Print the names that failpoint may have, and exit",
     offsetof(struct object_config, list_failpoints)},
};

const struct config_table object_config_table = {
    .program = "waybill-object-svc",
    .summary = "Pulls payloads, stores them in the hot and the cold tier, and serves reads.",
    .entries = entries,
    .count = sizeof entries / sizeof entries[0],
    .complete = complete,
    .tasks = tasks,
    .task_count = sizeof tasks / sizeof tasks[0],
};
