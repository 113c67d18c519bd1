#include "metadata-svc/service_metrics.h"

static double outbox_depth(void *self) {
    struct metadata_api *api = self;
    return (double)(commit_feed_revision(api->feed) - event_publisher_published_revision(api->publisher));
}

static double published_revision(void *self) {
    struct metadata_api *api = self;
    return (double)event_publisher_published_revision(api->publisher);
}

static double committed_revision(void *self) {
    struct metadata_api *api = self;
    return (double)commit_feed_revision(api->feed);
}

static double commits_waiting(void *self) {
    struct metadata_api *api = self;
    return committer_waiting(api->committer);
}

static double uploads(void *self) {
    struct metadata_api *api = self;
    return (double)bucket_share_taken(api->uploads);
}

static double stream_rewinds(void *self) {
    struct metadata_api *api = self;
    return (double)event_publisher_rewinds(api->publisher);
}

static double watches(void *self) {
    struct metadata_api *api = self;
    struct watch_hub_stats stats;
    watch_hub_stats(api->watches, &stats);
    return (double)stats.watches;
}

static double watch_events(void *self) {
    struct metadata_api *api = self;
    struct watch_hub_stats stats;
    watch_hub_stats(api->watches, &stats);
    return (double)stats.events;
}

static double watches_cut_off(void *self) {
    struct metadata_api *api = self;
    struct watch_hub_stats stats;
    watch_hub_stats(api->watches, &stats);
    return (double)stats.cut_off;
}

static double spool_bytes(void *self) {
    struct metadata_api *api = self;
    struct payload_spool_stats stats;
    payload_spool_stats(api->spool, &stats);
    return (double)stats.live_bytes;
}

static double store_free_bytes(void *self) {
    struct metadata_api *api = self;
    return (double)store_room_free_bytes(api->room);
}

static double broken_off_uploads(void *self) {
    struct metadata_api *api = self;
    struct payload_spool_stats stats;
    payload_spool_stats(api->spool, &stats);
    return (double)stats.idle_uploads;
}

static double broken_off_bytes(void *self) {
    struct metadata_api *api = self;
    struct payload_spool_stats stats;
    payload_spool_stats(api->spool, &stats);
    return (double)stats.idle_bytes;
}

static double cache_hits(void *self) {
    struct metadata_api *api = self;
    struct record_cache_stats stats;
    record_cache_stats(api->cache, &stats);
    return (double)stats.hits;
}

static double cache_misses(void *self) {
    struct metadata_api *api = self;
    struct record_cache_stats stats;
    record_cache_stats(api->cache, &stats);
    return (double)stats.misses;
}

static double cache_bytes(void *self) {
    struct metadata_api *api = self;
    struct record_cache_stats stats;
    record_cache_stats(api->cache, &stats);
    return (double)stats.bytes;
}

static const char compensations_help[] = "Keys whose latest version failed, by what was done about it.";

void service_metrics_register(struct service_metrics *self, struct metrics *metrics, struct metadata_api *api) {
    self->flush_seconds =
        metrics_histogram(metrics, "waybill_metadata_flush_seconds", "Time to make one batch of commits durable.", NULL,
                          &metric_buckets_seconds);
    self->batch_records = metrics_histogram(metrics, "waybill_metadata_batch_records", "Changes that shared one flush.",
                                            NULL, &metric_buckets_count);
    api->commit_seconds =
        metrics_histogram(metrics, "waybill_metadata_commit_seconds", "Time from taking a change to its being durable.",
                          METRIC_LABELS({"write_mode", "decoupled"}), &metric_buckets_seconds);
    api->upload_seconds =
        metrics_histogram(metrics, "waybill_payload_upload_seconds", "Time from the start of an upload to its ack.",
                          METRIC_LABELS({"write_mode", "decoupled"}), &metric_buckets_seconds);
    api->payloads = (struct payload_counters){
        .deadlines_missed = metrics_counter(metrics, "waybill_payload_deadline_missed_total",
                                            "Payloads that failed because they were not stored in time.", NULL),
        .kept_failed = metrics_counter(metrics, "waybill_compensations_total", compensations_help,
                                       METRIC_LABELS({"on_failure", "keep_failed"})),
        .reverted = metrics_counter(metrics, "waybill_compensations_total", compensations_help,
                                    METRIC_LABELS({"on_failure", "revert"})),
        .redriven = metrics_counter(metrics, "waybill_redrives_total",
                                    "Staged payloads whose event was published once more.", NULL),
    };
    metrics_gauge_callback(metrics, "waybill_outbox_depth", "Commits that are not published yet.", NULL, outbox_depth,
                           api);
    metrics_gauge_callback(metrics, "waybill_published_revision", "Newest revision that the event stream has.", NULL,
                           published_revision, api);
    metrics_gauge_callback(metrics, "waybill_committed_revision", "Newest durable revision.", NULL, committed_revision,
                           api);
    metrics_counter_callback(metrics, "waybill_stream_rewinds_total",
                             "Times that the publisher had to go back because the stream had lost events.", NULL,
                             stream_rewinds, api);
    metrics_gauge_callback(metrics, "waybill_watches", "WatchChanges streams under way.", NULL, watches, api);
    metrics_counter_callback(metrics, "waybill_watch_events_total", "Changes sent to watchers, all together.", NULL,
                             watch_events, api);
    metrics_counter_callback(metrics, "waybill_watches_cut_off_total",
                             "Watchers that were cut off because they took nothing for too long.", NULL,
                             watches_cut_off, api);
    metrics_gauge_callback(metrics, "waybill_uploads", "Uploads under way.", NULL, uploads, api);
    metrics_gauge_callback(metrics, "waybill_spool_bytes", "Payload bytes in the spool.", NULL, spool_bytes, api);
    metrics_gauge_callback(metrics, "waybill_record_store_free_bytes",
                           "Free on the disk of the record store; below data_reserve_bytes changes are refused.", NULL,
                           store_free_bytes, api);
    metrics_gauge_callback(metrics, "waybill_broken_off_uploads", "Uploads that broke off and can be resumed.", NULL,
                           broken_off_uploads, api);
    metrics_gauge_callback(metrics, "waybill_broken_off_upload_bytes", "Their bytes in the spool.", NULL,
                           broken_off_bytes, api);
    metrics_counter_callback(metrics, "waybill_record_cache_hits_total", "Look-ups that the record cache answered.",
                             NULL, cache_hits, api);
    metrics_counter_callback(metrics, "waybill_record_cache_misses_total", "Look-ups that went to the record store.",
                             NULL, cache_misses, api);
    metrics_gauge_callback(metrics, "waybill_record_cache_bytes", "Bytes in the record cache.", NULL, cache_bytes, api);
    metrics_gauge_callback(metrics, "waybill_commits_waiting", "Changes that wait for the committer.", NULL,
                           commits_waiting, api);
}

void service_metrics_batch(struct service_metrics *self, size_t records, int64_t flush_us) {
    histogram_observe(self->batch_records, (double)records);
    histogram_observe_us(self->flush_seconds, flush_us);
}
