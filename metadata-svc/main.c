/* metadata-svc: builds its rooms in the order in which data flows, hands each what it needs,
 * starts them, waits for a signal and stops them in the opposite order. */
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/disk.h"
#include "common/base/failpoint.h"
#include "common/base/log.h"
#include "common/base/signals.h"
#include "common/observe/rpc_metrics.h"
#include "common/rpc/health.h"
#include "common/rpc/reflection.h"
#include "common/service/service_admin.h"
#include "metadata-svc/api/metadata_api.h"
#include "metadata-svc/config.h"
#include "metadata-svc/lifecycle/housekeeper.h"
#include "metadata-svc/publish/change_reader.h"
#include "metadata-svc/rebuild.h"
#include "metadata-svc/repair.h"
#include "metadata-svc/service_metrics.h"
#include "metadata-svc/snapshot/restore_place.h"
#include "metadata-svc/spool/spool_reconcile.h"
#include "metadata-svc/store/layout.h"
#include "metadata-svc/store/store_check.h"

enum {
    MALLOC_SPARE_BYTES = 4 << 20,
    READS_WAITING_MAX = 1024,
    SMALL_STREAMS_MAX = 272, /* health watches, reflection */
    BULK_MESSAGE_MAX_BYTES = 2 * 1024 * 1024,
    CHANGE_MIN_BYTES = 256, /* of the write-ahead log, for one commit */
    EXIT_BAD_CONFIG = 2,
};

struct service {
    struct metadata_config config;
    struct metrics *metrics;
    struct rpc_metrics *rpc_metrics;
    struct service_metrics figures;

    struct disk *data_disk;
    struct disk *spool_disk;
    struct record_cache *cache;
    struct kv *kv;
    struct store_room *room;
    struct commit_engine *engine;
    struct payload_spool *spool;
    struct commit_feed *feed;
    struct watch_hub *watches;
    struct replica_table *replicas;
    struct event_publisher *publisher;
    struct committer *committer;
    struct housekeeper *housekeeper;
    struct bucket_share *uploads;
    struct metadata_api api;

    struct health *health;
    struct reflection *reflection;
    struct rpc_server *small;
    struct rpc_server *bulk;
    struct service_admin *admin;
    atomic_bool read_only;
};

/* ---- what the rooms tell each other ---- */

static void on_durable(void *self, int64_t revision) {
    struct service *service = self;
    commit_feed_advance(service->feed, revision);
}

/* Publisher and watchers must not take the processor from the answers. */
static void on_answered(void *self) {
    struct service *service = self;
    watch_hub_advance(service->watches, commit_feed_revision(service->feed));
    event_publisher_notify(service->publisher);
}

static void on_batch(void *self, size_t records, int64_t flush_us) {
    struct service *service = self;
    service_metrics_batch(&service->figures, records, flush_us);
}

static void on_store_failed(void *self, const struct error *error) {
    struct service *service = self;
    (void)error;
    atomic_store(&service->read_only, true);
    health_set(service->health, "metadata.write", false);
}

static void on_events_state(void *self, bool publishing) {
    struct service *service = self;
    health_set(service->health, "events", publishing);
}

static bool is_read_only(void *self) {
    struct service *service = self;
    return atomic_load(&service->read_only);
}

static int64_t published_revision(void *self) {
    struct service *service = self;
    return event_publisher_published_revision(service->publisher);
}

static bool objects_served(void *self) {
    struct service *service = self;
    struct replica *replicas;
    struct arena arena;
    arena_init(&arena);
    bool served = replica_table_list(service->replicas, &arena, &replicas) > 0;
    arena_free(&arena);
    return served;
}

static void settle(void *self, const struct commit_request *request) {
    struct service *service = self;
    metadata_api_settle(&service->api, request);
}

/* ---- stores ---- */

static bool open_records(struct service *service, struct error *error) {
    const struct metadata_config *config = &service->config;
    char directory[4200];
    snprintf(directory, sizeof directory, "%s/records", config->data_dir);
    struct leveldb_kv_options options = {
        .cache_bytes = (size_t)config->leveldb_cache_bytes,
        .write_buffer_bytes = (size_t)config->leveldb_write_buffer_bytes,
        .log_runway_bytes = (size_t)config->leveldb_log_runway_bytes,
        .bulk_prefix = LAYOUT_PAYLOAD_PREFIX,
    };
    struct kv *records = leveldb_kv_open(directory, &options, error);
    if (records == NULL) {
        return false;
    }
    service->cache = record_cache_new((size_t)config->record_cache_bytes);
    service->kv = cached_kv_new(records, service->cache, (size_t)config->key_filter_bytes);
    /* What lies in LevelDB's sorted files is checksummed; what a crash can have cut is in the log
     * before them, which holds at most two write buffers. */
    return store_check_newest(service->kv, 2 * config->leveldb_write_buffer_bytes / CHANGE_MIN_BYTES, error);
}

/* What to do about a start that failed. */
static const char *hint_of(const struct error *error) {
    bool damaged = error->code == ERROR_DATA_LOSS || strcmp(error->reason, "RECORD_STORE_FAILED") == 0;
    return damaged ? "check the disk; then restore a snapshot (waybill restore), or run with --repair, which keeps "
                     "what can be read and tells what is lost, or on an empty data_dir with --rebuild"
                   : "mend the cause and start the service again";
}

static bool on_one_disk(const char *one, const char *other) {
    struct stat a;
    struct stat b;
    return stat(one, &a) == 0 && stat(other, &b) == 0 && a.st_dev == b.st_dev;
}

static bool open_spool(struct service *service, struct error *error) {
    const struct metadata_config *config = &service->config;
    bool shared = on_one_disk(config->data_dir, config->spool_dir);
    struct payload_spool_options options = {
        .segment_bytes = (uint64_t)config->spool_segment_bytes,
        .max_bytes = (uint64_t)config->spool_max_bytes,
        .bucket_percent = (unsigned)config->bucket_share_percent,
        .upload_idle_us = config->upload_idle_timeout_ms * 1000,
        .reserve_bytes = shared ? 2 * (uint64_t)config->data_reserve_bytes : 0,
    };
    service->spool = payload_spool_open(service->spool_disk, &options, error);
    return service->spool != NULL && spool_reconcile(service->spool, service->kv, error);
}

static bool open_stores(struct service *service, struct error *error) {
    const struct metadata_config *config = &service->config;
    struct commit_engine_options engine_options = {
        .shard = config->shard,
        .redrive_after_us = config->redrive_after_ms * 1000,
        .failed_retention_us = config->failed_payload_retention_ms * 1000,
        .drop_delay_us = config->object_drop_delay_ms * 1000,
    };
    return restore_place_check(config->data_dir, error) &&
           (service->data_disk = posix_disk_new(config->data_dir, error)) != NULL &&
           (service->spool_disk = posix_disk_new(config->spool_dir, error)) != NULL && open_records(service, error) &&
           (service->engine = commit_engine_new(service->kv, &system_clock, &engine_options, error)) != NULL &&
           open_spool(service, error);
}

/* ---- the fast path ---- */

/* A request's answer is read from the change log, so the log is kept for both. */
static int64_t longer_of(int64_t one, int64_t other) {
    return one > other ? one : other;
}

static struct commit_queue_options queue_options(const struct metadata_config *config) {
    return (struct commit_queue_options){
        .max_waiting = (unsigned)config->commit_queue,
        .max_upkeep = (unsigned)config->upkeep_queue,
        .reserve_percent = (unsigned)config->commit_reserve_percent,
        .client_percent = (unsigned)config->client_share_percent,
        .bucket_percent = (unsigned)config->bucket_share_percent,
    };
}

static bool start_commits(struct service *service, struct error *error) {
    const struct metadata_config *config = &service->config;
    service->room = store_room_new(service->data_disk, (uint64_t)config->data_reserve_bytes);
    service->feed = commit_feed_new(commit_engine_revision(service->engine));
    struct watch_hub_options watch_options = {
        .threads = (unsigned)config->watch_threads,
        .stall_timeout_us = config->watch_stall_timeout_ms * 1000,
        .durable = commit_feed_revision(service->feed),
        .kv = service->kv,
        .clock = &system_clock,
    };
    service->watches = watch_hub_start(&watch_options);
    struct event_publisher_options publisher_options = {
        .shard = config->shard,
        .nats_url = config->nats_url,
        .window = (unsigned)config->publish_window,
        .stream_max_bytes = config->stream_max_bytes,
        .stream_max_age_ms = config->stream_max_age_ms,
        .clock = &system_clock,
        .on_state = on_events_state,
        .self = service,
    };
    service->publisher = event_publisher_start(change_log_reader(service->kv), &publisher_options, error);
    if (service->publisher == NULL) {
        return false;
    }
    struct committer_options committer_options = {
        .queue = queue_options(config),
        .max_batch = (unsigned)config->commit_batch_records,
        .max_batch_bytes = (size_t)config->commit_batch_bytes,
        .clock = &system_clock,
        .room = service->room,
    };
    struct committer_observer observer = {on_durable, on_answered, on_batch, on_store_failed, service};
    service->replicas = replica_table_new(&system_clock);
    service->uploads =
        bucket_share_new((uint64_t)config->max_streams, (unsigned)config->bucket_share_percent, "uploads at once");
    service->api = (struct metadata_api){
        .shard = config->shard,
        .kv = service->kv,
        .cache = service->cache,
        .feed = service->feed,
        .spool = service->spool,
        .room = service->room,
        .publisher = service->publisher,
        .watches = service->watches,
        .replicas = service->replicas,
        .clock = &system_clock,
        .start_us = clock_unix_us(&system_clock),
        .outbox_max_events = config->outbox_max_events,
        .outbox_reserve_events = config->outbox_max_events * config->commit_reserve_percent / 100,
        .uploads = service->uploads,
        .max_pulls = (unsigned)config->max_pulls,
        .upload_idle_ms = config->upload_idle_timeout_ms,
        .snapshot_bytes_per_second = config->snapshot_bytes_per_second,
        .read_only = is_read_only,
        .read_only_self = service,
    };
    service_metrics_register(&service->figures, service->metrics, &service->api);
    service->committer = committer_start(service->engine, &committer_options, observer);
    service->api.committer = service->committer;
    struct housekeeper_options housekeeper_options = {
        .object_drop_retention_us = config->object_drop_retention_ms * 1000,
        .change_log_retention_us = longer_of(config->change_log_retention_ms, config->request_id_retention_ms) * 1000,
        .clock = &system_clock,
        .committer = service->committer,
        .spool = service->spool,
        .room = service->room,
        .redrives_per_second = (unsigned)config->redrives_per_second,
        .objects_served = objects_served,
        .settle = settle,
        .published_revision = published_revision,
        .self = service,
    };
    service->housekeeper = housekeeper_start(service->kv, &housekeeper_options);
    return true;
}

/* ---- ports ---- */

static const char *const small_services[] = {
    "waybill.v1.MetadataService",
    "waybill.v1.SchemaService",
    "waybill.v1.PayloadService",
    "waybill.v1.ReportService",
    "waybill.v1.AdminService",
    "grpc.health.v1.Health",
    NULL,
};

static struct rpc_server *make_server(struct service *service, const struct rpc_server_options *options) {
    struct rpc_server *server = rpc_server_new(options);
    rpc_server_observe(server, (struct rpc_observer){rpc_metrics_finished, service->rpc_metrics});
    health_add_to(service->health, server);
    reflection_add_to(service->reflection, server);
    return server;
}

static bool start_servers(struct service *service, struct error *error) {
    const struct metadata_config *config = &service->config;
    struct rpc_server_options small = {
        .name = "small",
        .listen = config->listen,
        .queue_threads = 1,
        .blocking_threads = (unsigned)config->read_threads,
        .max_waiting = READS_WAITING_MAX,
        .max_unary_in_flight = (unsigned)config->max_calls,
        .max_streams = SMALL_STREAMS_MAX,
        .client_share_percent = (unsigned)config->client_share_percent,
        .max_pushes = (unsigned)config->max_watches,
        .max_message_bytes = (size_t)config->max_message_bytes,
        .prompt = true,
    };
    struct rpc_server_options bulk = {
        .name = "bulk",
        .listen = config->bulk_listen,
        .queue_threads = 1,
        .blocking_threads = 1,
        .max_waiting = READS_WAITING_MAX,
        .max_unary_in_flight = (unsigned)config->max_calls,
        .max_streams = (unsigned)config->max_streams,
        .client_share_percent = (unsigned)config->client_share_percent,
        .max_message_bytes = BULK_MESSAGE_MAX_BYTES,
        .beside = true, /* the small port's calls are the ones in a hurry */
        .nice = (int)config->bulk_nice,
    };
    service->reflection = reflection_new(small_services);
    service->small = make_server(service, &small);
    service->bulk = make_server(service, &bulk);
    metadata_api_add_to(&service->api, service->small);
    metadata_api_add_bulk_to(&service->api, service->bulk);
    if (!rpc_server_start(service->small, error) || !rpc_server_start(service->bulk, error)) {
        return false;
    }
    health_set(service->health, "metadata.read", true);
    health_set(service->health, "metadata.write", true);
    return true;
}

static bool start_admin(struct service *service, struct error *error) {
    /* Without the event stream commits go on, so it is no reason to take traffic away. */
    static const char *const ready_paths[] = {"metadata.write", "metadata.read", NULL};
    struct service_admin_options options = {
        .listen = service->config.admin_listen,
        .service = "metadata-svc",
        .metrics = service->metrics,
        .health = service->health,
        .ready_paths = ready_paths,
    };
    service->admin = service_admin_start(&options, error);
    return service->admin != NULL;
}

/* ---- life ---- */

static bool start(struct service *service, struct error *error) {
    service->metrics = metrics_new();
    service->rpc_metrics = rpc_metrics_new(service->metrics);
    service->health = health_new();
    health_set(service->health, "events", false);
    return open_stores(service, error) && start_commits(service, error) && start_servers(service, error) &&
           start_admin(service, error);
}

static void drain_server(struct rpc_server *server, int64_t grace_ms) {
    if (server != NULL) {
        rpc_server_drain(server, grace_ms);
        rpc_server_free(server);
    }
}

/* Also after a start that failed half way. */
static void stop(struct service *service) {
    health_shut_down(service->health);
    drain_server(service->bulk, service->config.drain_grace_ms);
    drain_server(service->small, service->config.drain_grace_ms);
    service_admin_stop(service->admin);
    housekeeper_stop(service->housekeeper);
    committer_stop(service->committer);
    event_publisher_stop(service->publisher);
    commit_engine_free(service->engine);
    watch_hub_stop(service->watches);
    replica_table_free(service->replicas);
    bucket_share_free(service->uploads);
    commit_feed_free(service->feed);
    payload_spool_close(service->spool);
    if (service->kv != NULL) {
        service->kv->ops->close(service->kv);
    }
    record_cache_free(service->cache);
    store_room_free(service->room);
    if (service->spool_disk != NULL) {
        service->spool_disk->ops->free(service->spool_disk);
    }
    if (service->data_disk != NULL) {
        service->data_disk->ops->free(service->data_disk);
    }
    reflection_free(service->reflection);
    health_free(service->health);
    rpc_metrics_free(service->rpc_metrics);
    metrics_free(service->metrics);
}

/* What is done instead of serving, if anything; false: to serve. */
static bool run_task(const struct metadata_config *config, int *status) {
    if (!failpoint_arm(config->failpoint)) {
        *status = EXIT_BAD_CONFIG;
    } else if (config->list_failpoints) {
        *status = failpoint_list();
    } else if (config->repair) {
        *status = repair_run(config);
    } else if (config->rebuild) {
        *status = rebuild_run(config);
    } else {
        return false;
    }
    return true;
}

int main(int argc, char **argv) {
    static struct service service;
    int status = EXIT_FAILURE;
    signals_prepare();
    /* Each answer frees what its request took: without some room to spare the allocator gives
     * memory back to the kernel and asks for it again all the time. */
    mallopt(M_TOP_PAD, MALLOC_SPARE_BYTES);
    mallopt(M_TRIM_THRESHOLD, 2 * MALLOC_SPARE_BYTES);
    if (!config_start(&metadata_config_table, argc, argv, &service.config, &status)) {
        return status;
    }
    log_setup("metadata-svc", service.config.log_level);
    if (run_task(&service.config, &status)) {
        config_free(&metadata_config_table, &service.config);
        return status;
    }
    struct error error = {0};
    bool good = start(&service, &error);
    if (good) {
        log_info("listening", LOG_INT("port", rpc_server_port(service.small)),
                 LOG_INT("bulk_port", rpc_server_port(service.bulk)),
                 LOG_INT("admin_port", service_admin_port(service.admin)),
                 LOG_INT("revision", commit_feed_revision(service.feed)));
        int number = signals_wait();
        log_info("draining", LOG_INT("signal", number));
    } else {
        log_error("start_failed", LOG_ERROR(&error), LOG_STR("hint", hint_of(&error)));
    }
    stop(&service);
    log_info("stopped");
    config_free(&metadata_config_table, &service.config);
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
