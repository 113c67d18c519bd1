#include "tests/simulation/sim_metadata.h"

#include <stdlib.h>

#include "metadata-svc/spool/spool_reconcile.h"
#include "metadata-svc/store/cached_kv.h"
#include "metadata-svc/store/change_log.h"
#include "metadata-svc/store/layout.h"
#include "metadata-svc/store/store_check.h"
#include "tests/simulation/sim_metadata_parts.h"
#include "tests/support/faulty_disk.h"

enum {
    CACHE_BYTES = 32 * 1024, /* small, so that it forgets */
    FILTER_BYTES = 4096,
    CHECKED_CHANGES = 4096,
    SPOOL_SEGMENTS = 40,
    FLUSH_MOST_US = 3000,
    PUBLISH_WINDOW = 16,
    PUBLISH_BUSY_MS = 30,
    ACK_TIMEOUT_MS = 2000,
    TIMER_PAUSE_MS = 500,
    TRIM_EVERY = 6, /* pauses */
    STEP_TIMERS = 16,
    REDRIVES_MAX = 4,
    STEP_ENTRIES = 1000,
};

struct sim_metadata *sim_metadata_new(const struct sim_metadata_options *options) {
    struct sim_metadata *metadata = calloc(1, sizeof *metadata);
    if (metadata == NULL) {
        abort();
    }
    metadata->options = *options;
    metadata->process.name = "metadata-svc";
    metadata->store = sim_kv_new();
    metadata->spool_disk = faulty_disk_new(sim_random());
    return metadata;
}

void sim_metadata_free(struct sim_metadata *metadata) {
    metadata->spool_disk->ops->free(metadata->spool_disk);
    sim_kv_free(metadata->store);
    free(metadata);
}

bool sim_metadata_up(const struct sim_metadata *metadata) {
    return metadata->process.alive;
}

bool sim_metadata_failed(const struct sim_metadata *metadata) {
    return metadata->failed || (metadata->spool != NULL && payload_spool_failed(metadata->spool));
}

/* ---- the publisher ---- */

static bool seen_publish(void *self, int64_t revision, struct bytes event, uint64_t expected_last, bool chained,
                         bool acknowledged, struct error *error) {
    struct sim_metadata *metadata = self;
    struct event_sink sink = sim_stream_sink(metadata->options.stream);
    model_seen(metadata->options.model, revision);
    return sink.publish(sink.self, revision, event, expected_last, chained, acknowledged, error);
}

static bool seen_connected(void *self) {
    struct event_sink sink = sim_stream_sink(((struct sim_metadata *)self)->options.stream);
    return sink.connected(sink.self);
}

static bool seen_sync(void *self, struct sink_end *end, struct error *error) {
    struct event_sink sink = sim_stream_sink(((struct sim_metadata *)self)->options.stream);
    return sink.sync(sink.self, end, error);
}

static size_t seen_collect(void *self, struct sink_ack *acks, size_t max) {
    struct event_sink sink = sim_stream_sink(((struct sim_metadata *)self)->options.stream);
    return sink.collect(sink.self, acks, max);
}

static void publisher_run(void *argument) {
    struct sim_metadata *metadata = argument;
    unsigned connection = sim_stream_connection(metadata->options.stream);
    while (sim_alive()) {
        if (connection != sim_stream_connection(metadata->options.stream)) {
            connection = sim_stream_connection(metadata->options.stream);
            publisher_core_resync(metadata->publisher);
        }
        bool busy = publisher_core_step(metadata->publisher);
        sim_wait((busy ? sim_range(1, PUBLISH_BUSY_MS) : 1000) * SIM_MS);
    }
}

static void open_publisher(struct sim_metadata *metadata) {
    struct publisher_core_options options = {
        .window = PUBLISH_WINDOW,
        .ack_timeout_us = ACK_TIMEOUT_MS * SIM_MS,
        .clock = &sim_clock,
    };
    struct event_sink sink = {seen_connected, seen_sync, seen_publish, seen_collect, metadata};
    metadata->publisher = publisher_core_new(change_log_reader(metadata->kv), sink, &options);
}

int64_t sim_metadata_published(const struct sim_metadata *metadata) {
    return publisher_core_published(metadata->publisher);
}

/* ---- the housekeeper ---- */

static void run_due(struct sim_metadata *metadata) {
    struct sim_job *job = sim_job_new(COMMIT_TIMERS);
    struct timer *due = arena_alloc(&job->arena, STEP_TIMERS * sizeof *due);
    struct error error = {0};
    int count = due_timers_read(&metadata->due, &job->arena, due, STEP_TIMERS, &error);
    job->request.timers = due;
    job->request.timer_count = count > 0 ? (size_t)count : 0; /* it fails when the process is killed meanwhile */
    job->request.redrives_max = (size_t)sim_range(0, REDRIVES_MAX);
    job->request.published_revision = sim_metadata_published(metadata);
    if (job->request.timer_count > 0 && sim_alive()) {
        sim_job_send(metadata, job, 0);
        sim_job_await(metadata, job, INT64_MAX / 4);
    }
    sim_job_unuse(job);
}

static void trim(struct sim_metadata *metadata) {
    struct error error = {0};
    int64_t retention_us = metadata->options.change_log_retention_us;
    if (retention_us > 0 && sim_alive()) {
        change_log_trim(metadata->kv, sim_metadata_published(metadata), clock_unix_us(&sim_clock) - retention_us,
                        STEP_ENTRIES, &error);
    }
}

static void housekeeper_run(void *argument) {
    struct sim_metadata *metadata = argument;
    for (unsigned round = 1; sim_alive(); round++) {
        sim_sleep(TIMER_PAUSE_MS * SIM_MS);
        if (sim_alive() && !metadata->failed && metadata->options.bug != BUG_DEADLINES_FORGOTTEN) {
            run_due(metadata);
        }
        if (sim_alive() && metadata->options.bug != BUG_IDLE_UPLOADS_KEPT) {
            payload_spool_expire_uploads(metadata->spool);
        }
        if (round % TRIM_EVERY == 0) {
            trim(metadata);
        }
    }
}

/* ---- life ---- */

static bool open_stores(struct sim_metadata *metadata, struct error *error) {
    struct commit_engine_options engine_options = {
        .shard = "0",
        .redrive_after_us = metadata->options.redrive_after_us,
        .failed_retention_us = metadata->options.failed_retention_us,
        .drop_delay_us = metadata->options.drop_delay_us,
    };
    struct payload_spool_options spool_options = {
        .segment_bytes = PAYLOAD_SPOOL_SEGMENT_MIN_BYTES,
        .max_bytes = (uint64_t)SPOOL_SEGMENTS * PAYLOAD_SPOOL_SEGMENT_MIN_BYTES,
        .upload_idle_us = metadata->options.upload_idle_us,
        .clock = &sim_clock,
    };
    metadata->cache = record_cache_new(CACHE_BYTES);
    metadata->raw = sim_kv_open(metadata->store);
    metadata->kv = cached_kv_new(sim_kv_open(metadata->store), metadata->cache, FILTER_BYTES);
    cached_kv_await_filter(metadata->kv); /* its thread is done by then */
    sim_plant(metadata);
    return store_check_newest(metadata->kv, CHECKED_CHANGES, error) &&
           (metadata->engine = commit_engine_new(metadata->kv, &sim_clock, &engine_options, error)) != NULL &&
           (metadata->spool = payload_spool_open(metadata->spool_disk, &spool_options, error)) != NULL &&
           (metadata->options.bug == BUG_RECONCILE_SKIPPED || spool_reconcile(metadata->spool, metadata->kv, error));
}

bool sim_metadata_start(struct sim_metadata *metadata) {
    struct error error = {0};
    sim_process_start(&metadata->process);
    sim_kv_set_flush_us(metadata->store, FLUSH_MOST_US);
    bool good = open_stores(metadata, &error);
    sim_trace("metadata-svc starts%s%s", good ? "" : " and fails: ", error.message);
    if (!good) {
        SIM_CHECK(error.code != ERROR_DATA_LOSS, "metadata-svc does not start: %s", error.message);
        return false;
    }
    model_restart(metadata->options.model, metadata->kv);
    open_publisher(metadata);
    metadata->due = (struct due_timers){.kv = metadata->kv, .clock = &sim_clock, .long_walk_us = SIM_SECOND};
    metadata->committer = sim_spawn("committer", &metadata->process, sim_committer_run, metadata);
    metadata->publishing = sim_spawn("publisher", &metadata->process, publisher_run, metadata);
    sim_spawn("housekeeper", &metadata->process, housekeeper_run, metadata);
    return true;
}

static void close_stores(struct sim_metadata *metadata) {
    publisher_core_free(metadata->publisher);
    commit_engine_free(metadata->engine);
    payload_spool_close(metadata->spool);
    metadata->kv->ops->close(metadata->kv);
    metadata->raw->ops->close(metadata->raw);
    record_cache_free(metadata->cache);
    metadata->publisher = NULL;
    metadata->engine = NULL;
    metadata->spool = NULL;
    metadata->kv = NULL;
}

void sim_metadata_kill(struct sim_metadata *metadata, enum sim_death death) {
    sim_trace("metadata-svc dies: %d", (int)death);
    if (death != SIM_DEATH_CLEAN) {
        faulty_disk_cut_at(metadata->spool_disk, 1);
    }
    sim_process_kill(&metadata->process);
    sim_jobs_drop(metadata);
    close_stores(metadata);
    metadata->committer = NULL;
    metadata->publishing = NULL;
    metadata->failed = false;
    faulty_disk_restart(metadata->spool_disk, death != SIM_DEATH_POWER ? FAULTY_KEEP
                                              : sim_chance(700)        ? FAULTY_TEAR
                                                                       : FAULTY_DROP);
    sim_kv_restart(metadata->store, death != SIM_DEATH_POWER);
}

/* ---- faults ---- */

void sim_metadata_fail_commit(struct sim_metadata *metadata) {
    sim_kv_fail_next_flush(metadata->store);
}

void sim_metadata_fail_spool(struct sim_metadata *metadata, enum sim_disk_fault fault) {
    uint64_t at = faulty_disk_operations(metadata->spool_disk) + (uint64_t)sim_range(1, 40);
    if (fault == SIM_DISK_CUT) {
        faulty_disk_cut_at(metadata->spool_disk, at);
    } else {
        faulty_disk_fail_at(metadata->spool_disk, at, fault == SIM_DISK_FULL ? FAULTY_NO_SPACE : FAULTY_IO_ERROR);
    }
}

void sim_metadata_set_network(struct sim_metadata *metadata, unsigned losses, unsigned delays, unsigned late_reports) {
    metadata->losses = losses;
    metadata->delays = delays;
    metadata->late_reports = late_reports;
}

void sim_metadata_set_garbled(struct sim_metadata *metadata, unsigned per_mille) {
    metadata->garbled = per_mille;
}

bool sim_metadata_keeps(struct sim_metadata *metadata, const struct model_payload *payload) {
    struct kv *kv = sim_kv_open(metadata->store);
    struct arena arena;
    struct record record;
    struct error error = {0};
    bool found;
    arena_init(&arena);
    SIM_CHECK(record_store_find_object(kv_lookup_of(kv), model_bucket_name(payload->bucket), payload->key,
                                       payload->version, &payload->id, &arena, &record, &found, &error),
              "%s", error.message);
    arena_free(&arena);
    kv->ops->close(kv);
    return found;
}

struct kv *sim_metadata_kv(struct sim_metadata *metadata) {
    return metadata->kv;
}

size_t sim_metadata_drops_left(struct sim_metadata *metadata, enum tier tier, const char *replica) {
    struct layout_drop first = {.tier = (uint8_t)tier, .replica = replica};
    struct due_drop drops[1];
    struct arena arena;
    struct error error = {0};
    size_t count;
    bool more;
    arena_init(&arena);
    SIM_CHECK(due_drops_read(metadata->kv, &first, INT64_MAX, &arena, drops, 1, &count, &more, &error), "%s",
              error.message);
    arena_free(&arena);
    return count;
}

uint64_t sim_metadata_spooled(struct sim_metadata *metadata) {
    struct payload_spool_stats stats;
    payload_spool_stats(metadata->spool, &stats);
    return stats.live_payloads;
}
