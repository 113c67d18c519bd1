#include "metadata-svc/config.h"

#include <stddef.h>
#include <string.h>

#include "common/base/failpoint.h"

#define KIB(n) ((int64_t)(n) << 10)
#define MIB(n) ((int64_t)(n) << 20)
#define GIB(n) ((int64_t)(n) << 30)
#define TIB(n) ((int64_t)(n) << 40)
#define SECONDS(n) ((int64_t)(n)*1000)
#define MINUTES(n) (SECONDS(n) * 60)
#define HOURS(n) (MINUTES(n) * 60)

/* As enum rebuild_events. */
static const char *const rebuild_events[] = {"required", "ignored", NULL};
/* As enum log_level. */
static const char *const log_levels[] = {"debug", "info", "warn", "error", NULL};

#define STRING(member_, ...) CONFIG_STRING(struct metadata_config, member_, #member_, __VA_ARGS__)
#define INT(member_, ...) CONFIG_INT(struct metadata_config, member_, #member_, __VA_ARGS__)
#define SIZE(member_, ...) CONFIG_SIZE(struct metadata_config, member_, #member_, __VA_ARGS__)
/* The member says its unit, the key does not need to. */
#define DURATION(key_, ...) CONFIG_DURATION(struct metadata_config, key_##_ms, #key_, __VA_ARGS__)
#define ENUM(member_, ...) CONFIG_ENUM(struct metadata_config, member_, #member_, __VA_ARGS__)

static const struct config_entry entries[] = {
    STRING(shard, .initial = "0", .format = &config_format_token,
           .help = "Name of the shard; part of the stream's name and of every subject"),
    STRING(listen, .initial = "127.0.0.1:7070", .format = &config_format_address,
           .help = "Address of the small-message port"),
    STRING(bulk_listen, .initial = "127.0.0.1:7071", .format = &config_format_address,
           .help = "Address of the bulk port, for payloads"),
    STRING(admin_listen, .initial = "127.0.0.1:9070", .format = &config_format_optional_address,
           .help = "Address of the admin port: metrics, probes, status page; empty: none"),
    STRING(data_dir, .initial = "/var/lib/waybill/metadata", .format = &config_format_path,
           .help = "Directory of the records and the change log"),
    STRING(spool_dir, .initial = "", .derived = "<data_dir>/spool", .format = &config_format_optional_path,
           .help = "Directory of the payload spool; in production on a disk of its own"),
    STRING(nats_url, .initial = "nats://127.0.0.1:4222", .format = &config_format_nats_urls,
           .help = "NATS servers with JetStream"),
    ENUM(log_level, .initial = "info", .choices = log_levels, .help = "Least level of the log lines that are written"),

    SIZE(data_reserve_bytes, .initial = "256MiB", .min = 0, .max = TIB(1024),
         .help = "Bytes kept free on the disk of data_dir: below, changes are refused and reads go on; object-svc's "
                 "reports and what time makes due may use half of them, a spool on the same disk leaves twice as many; "
                 "0: none"),
    INT(client_share_percent, .initial = "90", .min = 1, .max = 100, .unit = "percent",
        .help =
            "Share of each bound, such as commit_queue or max_streams, that one client, which is a connection, comes "
            "to alone; several share alike, and there is always room for another"),
    INT(bucket_share_percent, .initial = "75", .min = 1, .max = 100, .unit = "percent",
        .help = "The same for one bucket: its share of the commit queue, of uploads at once and of the spool"),
    INT(commit_queue, .initial = "4096", .min = 1, .max = 1000000, .unit = "commits",
        .help = "Commits that may wait for the committer; more are refused"),
    INT(upkeep_queue, .initial = "1024", .min = 1, .max = 1000000, .unit = "commits",
        .help = "Reports of object-svc, each of up to 1000 objects, that may wait for the committer besides"),
    INT(commit_reserve_percent, .initial = "25", .min = 0, .max = 90, .unit = "percent",
        .help = "Share of commit_queue, and of outbox_max_events, that is kept for commits without payload"),
    INT(commit_batch_records, .initial = "512", .min = 1, .max = 65536, .unit = "records",
        .help = "Most records that share one flush"),
    SIZE(commit_batch_bytes, .initial = "4MiB", .min = KIB(64), .max = MIB(256),
         .help = "Most bytes that share one flush"),
    DURATION(request_id_retention, .initial = "24h", .min = SECONDS(1), .max = HOURS(720),
             .help = "How long a request_id is remembered"),
    INT(read_threads, .initial = "4", .min = 1, .max = 256, .unit = "threads",
        .help = "Threads for reads that may wait for the disk"),
    INT(max_calls, .initial = "8192", .min = 1, .max = 1000000, .unit = "calls",
        .help = "Unary calls in flight, on each port; one counts for each 32 KiB of its request, which bounds memory"),
    SIZE(max_message_bytes, .initial = "4MiB", .min = KIB(64), .max = MIB(64),
         .help = "Largest request on the small-message port"),
    INT(max_watches, .initial = "12000", .min = 1, .max = 1000000, .unit = "streams",
        .help = "WatchChanges streams at once; they share watch_threads"),
    INT(watch_threads, .initial = "2", .min = 1, .max = 64, .unit = "threads",
        .help = "Threads that send changes to watchers"),
    DURATION(watch_stall_timeout, .initial = "30s", .min = 100, .max = HOURS(24),
             .help = "How long a watcher may take nothing while changes wait for it; then it is cut off"),

    INT(bulk_nice, .initial = "10", .min = 0, .max = 19, .unit = "steps",
        .help = "How far the bulk port's threads stand back behind commits where processors are short, as nice(1)"),
    INT(max_streams, .initial = "64", .min = 1, .max = 4096, .unit = "streams",
        .help = "Uploads and snapshots at once on the bulk port; each has a thread"),
    INT(max_pulls, .initial = "64", .min = 1, .max = 4096, .unit = "streams",
        .help = "Pulls of object-svc at once on the bulk port, apart from max_streams; each has a thread"),
    SIZE(spool_max_bytes, .initial = "8GiB", .min = KIB(64), .max = TIB(1024),
         .help = "Most bytes of the payload spool; a full spool refuses uploads, not commits"),
    SIZE(spool_segment_bytes, .initial = "64MiB", .min = KIB(64), .max = GIB(4),
         .help = "Size of one preallocated spool segment"),
    DURATION(upload_idle_timeout, .initial = "1h", .min = SECONDS(1), .max = HOURS(720),
             .help =
                 "How long an upload may send nothing, or wait to be resumed after it broke off; then its bytes go"),
    SIZE(snapshot_bytes_per_second, .initial = "64MiB", .min = 0, .max = TIB(1),
         .help = "Most bytes that a snapshot sends in a second, so that commits do not wait for it; 0: no limit"),

    DURATION(redrive_after, .initial = "10m", .min = 100, .max = HOURS(24),
             .help = "How long a payload waits to be stored before its event is published once more; then twice as "
                     "long, up to 32 times"),
    INT(redrives_per_second, .initial = "100", .min = 1, .max = 100000, .unit = "events/s",
        .help = "Most events that are published once more in a second"),
    DURATION(failed_payload_retention, .initial = "168h", .min = 100, .max = HOURS(8760),
             .help = "How long failed payloads are listed, and their bytes kept for another try"),
    DURATION(object_drop_delay, .initial = "24h", .min = 0, .max = HOURS(87600),
             .help = "How long objects are kept that no version needs any more: a snapshot no older than that finds "
                     "all its objects again"),
    DURATION(object_drop_retention, .initial = "2160h", .min = SECONDS(1), .max = HOURS(87600),
             .help =
                 "How long a replica that is away is still told of objects to drop, from when they were due; what it "
                 "has after that is found by a scrub there"),

    DURATION(change_log_retention, .initial = "24h", .min = SECONDS(1), .max = HOURS(8760),
             .help = "How long published changes stay in the change log, for watchers"),
    INT(outbox_max_events, .initial = "10000000", .min = 1, .max = 1000000000, .unit = "events",
        .help = "Unpublished events that may wait for NATS; then commits are refused"),
    INT(publish_window, .initial = "512", .min = 1, .max = 65536, .unit = "events",
        .help = "Events on the way to NATS without an ack"),
    SIZE(stream_max_bytes, .initial = "8GiB", .min = 0, .max = TIB(1024),
         .help = "Most bytes that the JetStream stream keeps; 0: no limit"),
    DURATION(stream_max_age, .initial = "168h", .min = 0, .max = HOURS(87600),
             .help = "How long the JetStream stream keeps an event; 0: no limit"),

    SIZE(record_cache_bytes, .initial = "64MiB", .min = MIB(1), .max = GIB(256),
         .help = "Cache of the latest versions of records"),
    SIZE(key_filter_bytes, .initial = "16MiB", .min = KIB(64), .max = GIB(4),
         .help = "Filter that tells new keys from known ones; 10 bits a key is a good size"),
    SIZE(leveldb_cache_bytes, .initial = "64MiB", .min = MIB(1), .max = GIB(256),
         .help = "LevelDB's cache of blocks that were read"),
    SIZE(leveldb_write_buffer_bytes, .initial = "64MiB", .min = KIB(64), .max = GIB(1),
         .help = "LevelDB's memory table before it is written out as a file"),
    SIZE(leveldb_log_runway_bytes, .initial = "4MiB", .min = 0, .max = GIB(1),
         .help = "Zeroed blocks ahead of LevelDB's log, which make its flushes shorter; 0: none"),
    STRING(rebuild_from, .initial = "", .format = &config_format_optional_targets,
           .help = "gRPC ports of all replicas of object-svc, for --rebuild; the first one lists the cold store, too"),
    ENUM(rebuild_events, .initial = "required", .choices = rebuild_events,
         .help = "Whether --rebuild needs the event stream's server; ignored: it goes by the objects alone"),
    DURATION(drain_grace, .initial = "10s", .min = 0, .max = MINUTES(60),
             .help = "How long calls may take to finish after SIGTERM"),
    STRING(failpoint, .initial = "", .format = &failpoint_format,
           .help = "For tests of recovery alone: the failpoint at which the process ends itself, as by kill -9"),
};

static const struct config_task tasks[] = {
    {"list-failpoints", "Print the names that failpoint may have, and exit",
     offsetof(struct metadata_config, list_failpoints)},
    {"repair", "Mend the record store of a stopped service as far as it can be, tell what was lost, and exit",
     offsetof(struct metadata_config, repair)},
    {"rebuild",
     "Make a new record store of the event stream and of what the objects of rebuild_from say of themselves, and exit",
     offsetof(struct metadata_config, rebuild)},
};

static void fill_spool_dir(struct metadata_config *config) {
    if (*config->spool_dir != '\0') {
        return;
    }
    char path[1024 + sizeof "/spool"];
    snprintf(path, sizeof path, "%s/spool", config->data_dir);
    config_set_string(&config->spool_dir, path);
}

static bool complete(void *values, struct error *error) {
    struct metadata_config *config = values;
    fill_spool_dir(config);
    if (config->spool_segment_bytes > config->spool_max_bytes) {
        return error_set_field(error, "spool_segment_bytes", "BAD_CONFIG",
                               "spool_segment_bytes: larger than spool_max_bytes; allowed: at most that");
    }
    return true;
}

const struct config_table metadata_config_table = {
    .program = "waybill-metadata-svc",
    .summary = "Commits metadata records, spools payloads and publishes every change.",
    .entries = entries,
    .count = sizeof entries / sizeof entries[0],
    .complete = complete,
    .tasks = tasks,
    .task_count = sizeof tasks / sizeof tasks[0],
};
