#include "object-svc/hot/hot_metrics.h"

#include <stdlib.h>

struct hot_metrics {
    struct hot_store *hot;
    struct counter *moved_bytes;
    struct counter *volumes;
    struct counter *freed_bytes;
};

static struct hot_stats stats_of(const struct hot_metrics *metrics) {
    struct hot_stats stats;
    hot_store_stats(metrics->hot, &stats);
    return stats;
}

static double objects(void *self) {
    return (double)stats_of(self).objects;
}

static double object_bytes(void *self) {
    return (double)stats_of(self).object_bytes;
}

static double garbage_bytes(void *self) {
    return (double)stats_of(self).garbage_bytes;
}

static double disk_bytes(void *self) {
    return (double)stats_of(self).disk_bytes;
}

static double volumes(void *self) {
    return (double)stats_of(self).volumes;
}

static double quarantined_volumes(void *self) {
    return (double)stats_of(self).quarantined_volumes;
}

static double free_bytes(void *self) {
    return (double)stats_of(self).free_bytes;
}

static double full(void *self) {
    return stats_of(self).full ? 1 : 0;
}

static const struct {
    const char *name;
    const char *help;
    double (*value)(void *self);
} gauges[] = {
    {"waybill_hot_objects", "Objects in this replica's hot volumes.", objects},
    {"waybill_hot_bytes", "Bytes of those objects.", object_bytes},
    {"waybill_hot_garbage_bytes", "Hot bytes that no object needs any more.", garbage_bytes},
    {"waybill_hot_disk_bytes", "Bytes of all hot volumes.", disk_bytes},
    {"waybill_hot_volumes", "Hot volumes.", volumes},
    {"waybill_hot_quarantined_volumes", "Hot volumes kept for damaged objects in them.", quarantined_volumes},
    {"waybill_hot_free_bytes", "Free bytes on the disk of the hot volumes.", free_bytes},
    {"waybill_hot_full", "1 while new objects are refused for want of room.", full},
};

struct hot_metrics *hot_metrics_new(struct hot_store *hot, struct metrics *metrics) {
    struct hot_metrics *self = calloc(1, sizeof *self);
    if (self == NULL) {
        abort();
    }
    self->hot = hot;
    for (size_t i = 0; i < sizeof gauges / sizeof gauges[0]; i++) {
        metrics_gauge_callback(metrics, gauges[i].name, gauges[i].help, NULL, gauges[i].value, self);
    }
    self->moved_bytes = metrics_counter(metrics, "waybill_object_compacted_bytes_total",
                                        "Object bytes that compaction moved to other hot volumes.", NULL);
    self->volumes =
        metrics_counter(metrics, "waybill_object_compactions_total", "Hot volumes that compaction rewrote.", NULL);
    self->freed_bytes = metrics_counter(metrics, "waybill_object_compaction_freed_bytes_total",
                                        "Bytes of hot volumes that compaction emptied.", NULL);
    return self;
}

void hot_metrics_free(struct hot_metrics *metrics) {
    free(metrics);
}

void hot_metrics_compacted(struct hot_metrics *metrics, const struct volume_compaction *sums) {
    counter_add(metrics->moved_bytes, sums->moved_bytes);
    counter_add(metrics->volumes, sums->volumes);
    counter_add(metrics->freed_bytes, sums->freed_bytes);
}

struct counter *hot_metrics_compacted_bytes(const struct hot_metrics *metrics) {
    return metrics->moved_bytes;
}
