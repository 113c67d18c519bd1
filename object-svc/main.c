/* object-svc: builds its rooms in the order in which data flows, hands each what it needs,
 * starts them, waits for a signal and stops them in the opposite order. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/failpoint.h"
#include "common/base/log.h"
#include "common/base/signals.h"
#include "common/base/thread_turn.h"
#include "common/observe/rpc_metrics.h"
#include "common/rpc/health.h"
#include "common/rpc/reflection.h"
#include "common/service/service_admin.h"
#include "object-svc/api/dead_letter_api.h"
#include "object-svc/api/migration_api.h"
#include "object-svc/api/scrub_api.h"
#include "object-svc/api/status_api.h"
#include "object-svc/api/stored_objects_api.h"
#include "object-svc/api/tier_api.h"
#include "object-svc/api/verify_api.h"
#include "object-svc/drain_limit.h"
#include "object-svc/hot/hot_compactor.h"
#include "object-svc/hot/hot_metrics.h"
#include "object-svc/ingest/ingester.h"
#include "object-svc/peer/advertised_address.h"
#include "object-svc/peer/peer_api.h"
#include "object-svc/read/read_api.h"
#include "object-svc/repair/repairer.h"
#include "object-svc/scrub/scrubber.h"
#include "object-svc/start_watch.h"
#include "object-svc/stores.h"
#include "object-svc/tier/tier_mover.h"

enum {
    READ_THREADS = 4,
    CALLS_WAITING_MAX = 1024,
    CALLS_IN_FLIGHT_MAX = 4096,
    RETRY_FIRST_MS = 100,
    PEER_STALL_MS = 30000,  /* another replica whose own client reads slowly is cut off, and asks again */
    OTHER_STREAMS_MAX = 16, /* health watches, reflection */
    EXIT_BAD_CONFIG = 2,
};

struct service {
    struct object_config config;
    struct metrics *metrics;
    struct rpc_metrics *rpc_metrics;
    struct counter *tiered;
    struct counter *promoted;
    struct counter *dropped[OBJECT_TIER_COLD + 1]; /* by enum object_tier */
    struct counter *tier_failures;
    struct counter *cold_bytes;

    struct stores stores;
    struct hot_metrics *hot_metrics;
    struct hot_compactor *compactor;
    struct metadata_client *metadata;
    struct ingester *ingester;
    struct move_guard move_guard;
    struct cold_reads *cold_reads;
    struct tier_mover *mover;
    struct move_queue *moves;
    struct peer_table *peers;
    struct peer_api peer_api;
    struct repairer *repairer;
    struct scrubber *scrubber;
    struct bucket_share *read_streams;
    struct read_api read;
    struct tier_api tier;
    struct verify_api verify;
    struct scrub_api scrub;
    struct migration_api migration;
    struct stored_objects_api stored;
    struct dead_letter_api dead_letters;
    struct status_api status;

    struct health *health;
    struct reflection *reflection;
    struct rpc_server *server;
    struct service_admin *admin;
};

/* ---- what the rooms tell each other ---- */

static void on_ingest_state(void *self, bool serving) {
    struct service *service = self;
    health_set(service->health, "object.ingest", serving);
}

static void on_tier_round(void *self, const struct tier_round *round, const struct drop_round *drops) {
    struct service *service = self;
    counter_add(service->tiered, round->moved_objects);
    counter_add(service->promoted, round->recalled_objects);
    counter_add(service->cold_bytes, round->moved_bytes);
    counter_add(service->tier_failures, round->failed_objects);
    for (int tier = OBJECT_TIER_HOT; tier <= OBJECT_TIER_COLD; tier++) {
        counter_add(service->dropped[tier], drops->dropped[tier]);
    }
}

static void on_moved(void *self, enum move_direction direction, const struct moved_object *object, bool good) {
    struct service *service = self;
    counter_add(direction == MOVE_TO_HOT ? service->promoted : service->tiered, good ? 1 : 0);
    counter_add(service->cold_bytes,
                good && direction == MOVE_TO_COLD && !object->cold_copy_known ? object->size_bytes : 0);
    counter_add(service->tier_failures, good ? 0 : 1);
}

static bool is_mine(void *self, const struct uuid *payload_id) {
    struct service *service = self;
    return peer_table_is_nearest(service->peers, payload_id);
}

static void on_corrupt_moved(void *self, enum object_tier tier, const struct moved_object *object) {
    struct service *service = self;
    struct repair_copy copy = {.tier = tier, .version = object->version, .payload_id = object->payload_id};
    memcpy(copy.bucket, object->bucket, sizeof copy.bucket);
    memcpy(copy.key, object->key, sizeof copy.key);
    repairer_note(service->repairer, &copy);
}

/* What is read often from the cold store comes back, where its bucket's policy wants that. */
static void promote_read(struct service *service, const Waybill__V1__Record *record) {
    struct move_wish wish = {.direction = MOVE_TO_HOT, .version = record->version, .background = true};
    struct error error = {0};
    struct move_state state;
    if (!moved_object_of_record(record, &wish.object, &error) ||
        !cold_reads_note(service->cold_reads, record->bucket, &wish.object.payload_id)) {
        return;
    }
    if (!move_queue_ask(service->moves, &wish, &state, &error)) {
        log_info("promotion_not_begun", LOG_ERROR(&error), LOG_STR("bucket", record->bucket),
                 LOG_STR("key", record->key));
    }
}

static void on_peer_read(void *self, const struct uuid *payload_id) {
    struct service *service = self;
    read_times_note(service->stores.read_times, payload_id, clock_unix_us(&system_clock));
}

static void on_read(void *self, enum read_source source, const Waybill__V1__Record *record) {
    struct service *service = self;
    struct uuid payload_id;
    if (source == READ_FROM_HOT && uuid_parse_text(record->payload_id, &payload_id)) {
        on_peer_read(service, &payload_id);
    } else if (source == READ_FROM_COLD) {
        promote_read(service, record);
    }
}

static void on_corrupt_copy(void *self, const struct damaged_copy *copy) {
    struct service *service = self;
    repairer_note_read(service->repairer, copy);
}

static void on_corrupt_hot(void *self, const struct hot_object *object) {
    struct service *service = self;
    repairer_note_hot(service->repairer, object);
}

static void on_compacted(void *self, const struct volume_compaction *sums) {
    struct service *service = self;
    hot_metrics_compacted(service->hot_metrics, sums);
}

/* ---- figures ---- */

static void register_metrics(struct service *service) {
    struct metrics *metrics = service->metrics;
    service->tiered = metrics_counter(metrics, "waybill_tier_moves_total", "Objects moved or copied between tiers.",
                                      METRIC_LABELS({"direction", "hot_to_cold"}));
    service->promoted = metrics_counter(metrics, "waybill_tier_moves_total", "Objects moved or copied between tiers.",
                                        METRIC_LABELS({"direction", "cold_to_hot"}));
    static const char dropped[] = "waybill_objects_dropped_total";
    static const char help[] = "Objects dropped from a tier since no version needs them any more.";
    service->dropped[OBJECT_TIER_HOT] = metrics_counter(metrics, dropped, help, METRIC_LABELS({"tier", "hot"}));
    service->dropped[OBJECT_TIER_COLD] = metrics_counter(metrics, dropped, help, METRIC_LABELS({"tier", "cold"}));
    service->cold_bytes = metrics_counter(metrics, "waybill_object_bytes_total", "Object bytes by tier and direction.",
                                          METRIC_LABELS({"tier", "cold"}, {"direction", "write"}));
    service->tier_failures =
        metrics_counter(metrics, "waybill_object_failures_total", "Objects that could not be handled.",
                        METRIC_LABELS({"reason", "tier_move"}));
}

/* ---- rooms ---- */

static void start_compactor(struct service *service) {
    const struct object_config *config = &service->config;
    service->hot_metrics = hot_metrics_new(service->stores.hot, service->metrics);
    struct hot_compactor_options options = {
        .hot = service->stores.hot,
        .clock = &system_clock,
        .garbage_percent = (unsigned)config->compaction_garbage_percent,
        .bytes_per_second = config->compaction_bytes_per_second,
        .interval_ms = config->compaction_interval_ms,
        .volume_done = on_compacted,
        .damaged = on_corrupt_hot,
        .self = service,
    };
    service->compactor = hot_compactor_start(&options);
}

static void start_moves(struct service *service, struct report_sink sink) {
    const struct object_config *config = &service->config;
    struct tier_ports ports = {
        .hot = service->stores.hot,
        .cold = service->stores.cold,
        .sink = sink,
        .clock = &system_clock,
        .catalog = metadata_client_object_catalog(service->metadata),
        .guard = &service->move_guard,
        .notes = service->stores.move_notes,
        .on_corrupt = on_corrupt_moved,
        .self = service,
    };
    service->cold_reads = cold_reads_new(&system_clock);
    struct tier_mover_options mover_options = {
        .ports = ports,
        .drops = metadata_client_drop_source(service->metadata),
        .recall_stay_ms = config->recall_stay_ms,
        .breaker = service->stores.cold_breaker,
        .watermark = {.capacity_bytes = (uint64_t)config->hot_capacity_bytes,
                      .high_percent = (unsigned)config->hot_high_watermark_percent,
                      .low_percent = (unsigned)config->hot_low_watermark_percent},
        .read_times = service->stores.read_times,
        .recall_notes = service->stores.moves_disk,
        .is_mine = is_mine,
        .cold_reads = service->cold_reads,
        .metadata = service->metadata,
        .interval_ms = config->tier_interval_ms,
        .policy_refresh_ms = config->policy_refresh_ms,
        .round_done = on_tier_round,
        .self = service,
    };
    service->mover = tier_mover_start(&mover_options);
    struct move_queue_options queue_options = {.ports = ports,
                                               .peers = service->peers,
                                               .bucket_percent = (unsigned)config->bucket_share_percent,
                                               .moved = on_moved,
                                               .self = service};
    service->moves = move_queue_start(&queue_options);
    service->tier = (struct tier_api){config->replica, service->metadata, service->moves};
}

static bool start_work(struct service *service, struct error *error) {
    const struct object_config *config = &service->config;
    service->metadata = metadata_client_new(config->metadata_target, config->payload_target, config->replica);
    struct report_sink sink = metadata_client_report_sink(service->metadata);
    struct payload_source source = metadata_client_payload_source(service->metadata);
    struct ingester_options ingester_options = {
        .shard = config->shard,
        .nats_url = config->nats_url,
        .ack_wait_ms = config->ack_wait_ms,
        .batch = (size_t)config->ingest_batch,
        .batch_bytes = (uint64_t)config->ingest_batch_bytes,
        .pending_max = config->ingest_pending_max,
        .ports = {.hot = service->stores.hot,
                  .source = source,
                  .sink = sink,
                  .clock = &system_clock,
                  .retry = {.first_ms = RETRY_FIRST_MS,
                            .longest_ms = config->ingest_retry_longest_ms,
                            .attempts = (uint64_t)config->ingest_attempts},
                  .guard = &service->move_guard,
                  .attempts = service->stores.moves_disk,
                  .notes = service->stores.ingest_notes},
        .dead_letters = service->stores.dead_letters,
        .metrics = service->metrics,
        .on_state = on_ingest_state,
        .self = service,
    };
    service->ingester = ingester_start(&ingester_options, error);
    if (service->ingester == NULL) {
        return false;
    }
    struct peer_table_options peer_options = {
        .replica = config->replica,
        .metadata = service->metadata,
        .clock = &system_clock,
        .refresh_ms = config->peer_refresh_ms,
        .metrics = service->metrics,
    };
    service->peers = peer_table_new(&peer_options);
    struct object_reader_ports reader_ports = {
        .replica = config->replica,
        .hot = service->stores.hot,
        .cold = service->stores.cold,
        .spool = source,
        .peers = {service->peers, config->peer_timeout_ms},
    };
    struct repairer_options repairer_options = {
        .ports = {.reader = reader_ports, .catalog = metadata_client_object_catalog(service->metadata)},
        .metrics = service->metrics,
    };
    service->repairer = repairer_start(&repairer_options);
    start_compactor(service);
    start_moves(service, sink);
    struct scrubber_options scrubber_options = {
        .ports = {.repair = repairer_options.ports,
                  .sink = sink,
                  .quarantine = service->stores.quarantine,
                  .clock = &system_clock,
                  .guard = &service->move_guard},
        .metrics = service->metrics,
        .interval_ms = config->scrub_interval_ms,
        .bytes_per_second = config->scrub_bytes_per_second,
        .confirm_ms = SCRUB_CONFIRM_MS,
    };
    service->scrubber = scrubber_start(&scrubber_options);
    service->migration = (struct migration_api){
        .replica = config->replica, .migrator = service->stores.migrator, .hot = service->stores.hot_migrator};
    service->stored = (struct stored_objects_api){
        .replica = config->replica, .hot = service->stores.hot, .cold = service->stores.cold};
    service->dead_letters =
        (struct dead_letter_api){.replica = config->replica, .letters = service->stores.dead_letters};
    service->scrub = (struct scrub_api){.replica = config->replica, .scrubber = service->scrubber};
    reader_ports.on_corrupt = on_corrupt_copy;
    reader_ports.self = service;
    service->peer_api = (struct peer_api){
        .on_corrupt = on_corrupt_hot,
        .on_read = on_peer_read,
        .self = service,
        .hot = service->stores.hot,
        .max_streams = (unsigned)config->max_peer_streams,
        .stall_ms = PEER_STALL_MS,
    };
    service->verify = (struct verify_api){.ports = reader_ports, .metadata = service->metadata};
    service->read_streams =
        bucket_share_new((uint64_t)config->max_streams, (unsigned)config->bucket_share_percent, "reads at once");
    service->read = (struct read_api){
        .ports = reader_ports,
        .metadata = service->metadata,
        .max_streams = (unsigned)config->max_streams,
        .streams = service->read_streams,
        .on_read = on_read,
        .self = service,
    };
    service->status = (struct status_api){
        .replica = config->replica,
        .start_us = clock_unix_us(&system_clock),
        .hot = service->stores.hot,
        .ingester = service->ingester,
        .cold_breaker = service->stores.cold_breaker,
        .compacted_bytes = hot_metrics_compacted_bytes(service->hot_metrics),
        .stored = ingester_stored(service->ingester),
        .tiered = service->tiered,
    };
    return true;
}

/* ---- ports ---- */

static const char *const services[] = {"waybill.v1.ObjectService", "waybill.v1.PeerService", "waybill.v1.AdminService",
                                       "grpc.health.v1.Health", NULL};

static bool start_server(struct service *service, struct error *error) {
    struct rpc_server_options options = {
        .name = "object",
        .listen = service->config.listen,
        .queue_threads = 1,
        .blocking_threads = READ_THREADS,
        .max_waiting = CALLS_WAITING_MAX,
        .max_unary_in_flight = CALLS_IN_FLIGHT_MAX,
        .max_streams = OTHER_STREAMS_MAX,
        .client_share_percent = (unsigned)service->config.client_share_percent,
        .max_message_bytes = (size_t)service->config.max_message_bytes,
    };
    service->reflection = reflection_new(services);
    service->server = rpc_server_new(&options);
    rpc_server_observe(service->server, (struct rpc_observer){rpc_metrics_finished, service->rpc_metrics});
    health_add_to(service->health, service->server);
    reflection_add_to(service->reflection, service->server);
    read_api_add_to(&service->read, service->metrics, service->server);
    peer_api_add_to(&service->peer_api, service->metrics, service->server);
    tier_api_add_to(&service->tier, service->server);
    verify_api_add_to(&service->verify, service->server);
    status_api_add_to(&service->status, service->server);
    scrub_api_add_to(&service->scrub, service->server);
    migration_api_add_to(&service->migration, service->server);
    stored_objects_api_add_to(&service->stored, service->server);
    dead_letter_api_add_to(&service->dead_letters, service->server);
    if (!rpc_server_start(service->server, error)) {
        return false;
    }
    char address[ADVERTISED_ADDRESS_BYTES];
    if (!advertised_address(service->config.advertise_address, service->config.listen, rpc_server_port(service->server),
                            address, error)) {
        return false;
    }
    peer_table_announce(service->peers, address);
    health_set(service->health, "object.read", true);
    return true;
}

/* A loop that waits for whoever is away gets on all the same; one that hangs does not come back. */
static bool ingester_gets_on(void *self, struct error *error) {
    const struct service *service = self;
    int64_t silence_ms = ingester_silence_ms(service->ingester);
    return silence_ms <= service->config.liveness_patience_ms ||
           error_set(error, ERROR_UNAVAILABLE, "INGESTER_HANGS", "the ingester hangs for %lld s",
                     (long long)silence_ms / 1000);
}

static bool start_admin(struct service *service, struct error *error) {
    /* Without the event stream objects can be read, so it is no reason to take traffic away. */
    static const char *const ready_paths[] = {"object.read", NULL};
    const struct admin_check live = {"ingester", ingester_gets_on, service};
    struct service_admin_options options = {
        .listen = service->config.admin_listen,
        .service = "object-svc",
        .metrics = service->metrics,
        .health = service->health,
        .ready_paths = ready_paths,
        .live = &live,
        .live_count = 1,
    };
    service->admin = service_admin_start(&options, error);
    return service->admin != NULL;
}

/* ---- life ---- */

static bool start(struct service *service, struct error *error) {
    struct start_watch watch;
    move_guard_init(&service->move_guard);
    service->metrics = metrics_new();
    service->rpc_metrics = rpc_metrics_new(service->metrics);
    service->health = health_new();
    health_set(service->health, "object.ingest", false);
    register_metrics(service);
    start_watch_begin(&watch, &service->stores);
    bool good = stores_open(&service->stores, &service->config, service->metrics, error) &&
                start_work(service, error) && start_server(service, error) && start_admin(service, error);
    start_watch_end(&watch);
    return good;
}

/* Also after a start that failed half way. */
static void stop(struct service *service) {
    struct drain_limit limit;
    health_shut_down(service->health);
    drain_limit_begin(&limit, &service->stores, service->config.drain_grace_ms);
    peer_table_leave(service->peers);
    move_queue_stop(service->moves);
    if (service->server != NULL) {
        rpc_server_drain(service->server, drain_limit_left_ms(&limit));
        rpc_server_free(service->server);
    }
    service_admin_stop(service->admin);
    scrubber_stop(service->scrubber);
    move_queue_free(service->moves);
    tier_mover_stop(service->mover);
    cold_reads_free(service->cold_reads);
    hot_compactor_stop(service->compactor);
    repairer_stop(service->repairer);
    ingester_stop(service->ingester);
    bucket_share_free(service->read_streams);
    peer_table_free(service->peers);
    metadata_client_free(service->metadata);
    stores_stop(&service->stores);
    drain_limit_end(&limit);
    stores_close(&service->stores);
    reflection_free(service->reflection);
    health_free(service->health);
    rpc_metrics_free(service->rpc_metrics);
    hot_metrics_free(service->hot_metrics);
    metrics_free(service->metrics);
    move_guard_destroy(&service->move_guard);
}

int main(int argc, char **argv) {
    static struct service service;
    int status = EXIT_FAILURE;
    signals_prepare();
    if (!config_start(&object_config_table, argc, argv, &service.config, &status)) {
        return status;
    }
    log_setup("object-svc", service.config.log_level);
    bool armed = failpoint_arm(service.config.failpoint);
    if (!armed || service.config.list_failpoints) {
        status = armed ? failpoint_list() : EXIT_BAD_CONFIG;
        config_free(&object_config_table, &service.config);
        return status;
    }
    thread_turn_stand_back((int)service.config.nice); /* all other threads, too, which come later */
    struct error error = {0};
    bool good = start(&service, &error);
    if (good) {
        log_info("listening", LOG_INT("port", rpc_server_port(service.server)),
                 LOG_INT("admin_port", service_admin_port(service.admin)), LOG_STR("replica", service.config.replica));
        int number = signals_wait();
        log_info("draining", LOG_INT("signal", number));
    } else if (signals_pending() && strcmp(error.reason, "DRAINING") == 0) {
        good = true; /* it was asked to stop, and does */
    } else {
        log_error("start_failed", LOG_ERROR(&error), LOG_STR("hint", "mend the cause and start the service again"));
    }
    stop(&service);
    log_info("stopped");
    config_free(&object_config_table, &service.config);
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
