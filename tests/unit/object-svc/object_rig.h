/* The object path's stores on temporary directories, with a spool and a metadata-svc that
 * answer as a test tells them to. */
#ifndef WAYBILL_TESTS_OBJECT_RIG_H
#define WAYBILL_TESTS_OBJECT_RIG_H

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/disk.h"
#include "common/checksum/crc32c.h"
#include "object-svc/cold/cold_store.h"
#include "object-svc/hot/volume_store.h"
#include "object-svc/tier/moved_object.h"
#include "object-svc/upstream/object_report.h"
#include "object-svc/upstream/payload_source.h"

enum { RIG_PAYLOADS_MAX = 64, RIG_CHUNK_BYTES = 1000 };

/* A payload as the spool of the rig holds it. */
struct rig_payload {
    struct uuid id;
    struct bytes data;
    uint32_t crc32c; /* as the header tells it */
    bool released;   /* refused with NOT_FOUND */
    bool corrupt;    /* refused with DATA_LOSS in the middle */
    bool cut;        /* the stream breaks in the middle */
    bool garbled;    /* what comes in the middle makes no sense */
};

struct rig {
    char directory[64];
    int64_t now_us;
    struct clock clock;
    struct disk *disk;
    struct hot_store *hot;
    struct cold_store *cold;
    struct rig_payload payloads[RIG_PAYLOADS_MAX];
    size_t payload_count;
    unsigned pulls;
    /* metadata-svc */
    enum report_verdict verdict;
    bool sink_fails;
    bool failures_not_taken;           /* FAILED is rejected */
    const struct uuid *poisons_report; /* a call with a report of this payload is refused as a whole */
    pthread_mutex_t report_lock;       /* what is noted of reports, which may come from several threads */
    unsigned failed_reports;
    unsigned reports;
    unsigned report_calls;
    struct object_report last_report;
    char last_key[64];
    void (*on_report)(struct rig *rig);
};

struct payload_pull {
    struct rig *rig;
    size_t count;
    size_t index;
    int step; /* 0: begin, then chunks, then end */
    struct uuid ids[RIG_PAYLOADS_MAX];
};

static inline int64_t rig_now(void *self) {
    return ((struct rig *)self)->now_us;
}

static inline struct rig_payload *rig_find(struct rig *rig, const struct uuid *id) {
    for (size_t i = 0; i < rig->payload_count; i++) {
        if (uuid_equal(&rig->payloads[i].id, id)) {
            return &rig->payloads[i];
        }
    }
    return NULL;
}

static inline struct payload_pull *rig_open(void *self, const struct payload_range *ranges, size_t count,
                                            struct error *error) {
    (void)error;
    struct rig *rig = self;
    rig->pulls++;
    struct payload_pull *pull = calloc(1, sizeof *pull);
    pull->rig = rig;
    pull->count = count;
    for (size_t i = 0; i < count; i++) {
        pull->ids[i] = ranges[i].payload_id;
    }
    return pull;
}

static inline enum pull_step rig_next(struct payload_pull *pull, struct pull_event *event) {
    *event = (struct pull_event){.index = pull->index};
    if (pull->index == pull->count) {
        return PULL_DONE;
    }
    struct rig_payload *payload = rig_find(pull->rig, &pull->ids[pull->index]);
    if (payload == NULL || payload->released) {
        pull->index++;
        error_set(&event->error, ERROR_NOT_FOUND, "PAYLOAD_REFUSED", "released");
        return PULL_REFUSED;
    }
    if (pull->step == 0) {
        pull->step = 1;
        event->size_bytes = payload->data.size;
        event->crc32c = payload->crc32c;
        return PULL_BEGIN;
    }
    size_t offset = (size_t)(pull->step - 1) * RIG_CHUNK_BYTES;
    if (offset < payload->data.size) {
        size_t left = payload->data.size - offset;
        pull->step++;
        event->data = bytes_of(payload->data.data + offset, left < RIG_CHUNK_BYTES ? left : RIG_CHUNK_BYTES);
        if (pull->step > 2 && payload->corrupt) {
            pull->index++;
            pull->step = 0;
            error_set(&event->error, ERROR_DATA_LOSS, "PAYLOAD_REFUSED", "corrupt");
            return PULL_REFUSED;
        }
        if (pull->step > 2 && payload->cut) {
            error_set(&event->error, ERROR_UNAVAILABLE, "PULL_BROKEN", "cut");
            return PULL_BROKEN;
        }
        if (pull->step > 2 && payload->garbled) {
            error_set(&event->error, ERROR_UNAVAILABLE, PULL_GARBLED, "garbled");
            return PULL_BROKEN;
        }
        return PULL_CHUNK;
    }
    pull->index++;
    pull->step = 0;
    return PULL_END;
}

static inline void rig_close(struct payload_pull *pull) {
    free(pull);
}

static inline bool rig_report(void *self, struct object_report *reports, size_t count, struct error *error) {
    struct rig *rig = self;
    pthread_mutex_lock(&rig->report_lock);
    rig->report_calls++;
    pthread_mutex_unlock(&rig->report_lock);
    if (rig->sink_fails) {
        return error_set(error, ERROR_UNAVAILABLE, "UNAVAILABLE", "metadata-svc is away");
    }
    for (size_t i = 0; i < count && rig->poisons_report != NULL; i++) {
        if (uuid_equal(&reports[i].payload_id, rig->poisons_report)) {
            return error_set(error, ERROR_INVALID_ARGUMENT, "BAD_KEY", "this report cannot be taken");
        }
    }
    for (size_t i = 0; i < count; i++) {
        pthread_mutex_lock(&rig->report_lock);
        rig->reports++;
        rig->failed_reports += reports[i].outcome == OBJECT_FAILED;
        rig->last_report = reports[i];
        snprintf(rig->last_key, sizeof rig->last_key, "%s", reports[i].key);
        pthread_mutex_unlock(&rig->report_lock);
        if (rig->on_report != NULL) {
            rig->on_report(rig);
        }
        bool refused = rig->failures_not_taken && reports[i].outcome == OBJECT_FAILED;
        reports[i].verdict = refused ? REPORT_REJECTED : rig->verdict;
    }
    return true;
}

static inline void rig_set_up(struct rig *rig) {
    struct error error = {0};
    *rig = (struct rig){.now_us = 1700000000000000, .verdict = REPORT_ACCEPTED};
    pthread_mutex_init(&rig->report_lock, NULL);
    rig->clock = (struct clock){rig_now, rig_now, rig};
    snprintf(rig->directory, sizeof rig->directory, "/tmp/waybill-test-XXXXXX");
    cr_assert_not_null(mkdtemp(rig->directory));
    char volumes[96];
    char index[96];
    char cold[96];
    snprintf(volumes, sizeof volumes, "%s/volumes", rig->directory);
    snprintf(index, sizeof index, "%s/index", rig->directory);
    snprintf(cold, sizeof cold, "%s/cold", rig->directory);
    rig->disk = posix_disk_new(volumes, &error);
    cr_assert_not_null(rig->disk, "%s", error.message);
    struct volume_store_options hot_options = {
        .disk = rig->disk, .index_directory = index, .clock = &rig->clock, .replica = "replica-1"};
    rig->hot = volume_store_open(&hot_options, &error);
    cr_assert_not_null(rig->hot, "%s", error.message);
    struct cold_store_options cold_options = {
        .backend = "directory", .directory = cold, .replica = "replica-1", .clock = &rig->clock};
    rig->cold = cold_store_open(&cold_options, &error);
    cr_assert_not_null(rig->cold, "%s", error.message);
}

static inline void rig_tear_down(struct rig *rig) {
    pthread_mutex_destroy(&rig->report_lock);
    cold_store_close(rig->cold);
    hot_store_close(rig->hot);
    rig->disk->ops->free(rig->disk);
    char command[96];
    snprintf(command, sizeof command, "rm -rf '%s'", rig->directory);
    cr_assert_eq(system(command), 0);
}

static inline struct payload_source rig_source(struct rig *rig) {
    return (struct payload_source){rig_open, rig_next, rig_close, rig};
}

static inline struct report_sink rig_sink(struct rig *rig) {
    return (struct report_sink){rig_report, rig};
}

/* Puts bytes into the rig's spool. */
static inline struct rig_payload *rig_spool(struct rig *rig, struct bytes data) {
    struct rig_payload *payload = &rig->payloads[rig->payload_count++];
    *payload = (struct rig_payload){.id = uuid_make(), .data = data, .crc32c = crc32c(data)};
    return payload;
}

static inline struct provenance rig_provenance(const struct rig_payload *payload, const char *key) {
    return (struct provenance){
        .bucket = "photos",
        .key = key,
        .version = 1,
        .payload_id = payload->id,
        .content_type = "",
        .size_bytes = payload->data.size,
        .crc32c = crc32c(payload->data),
        .commit_unix_us = 1700000000000000,
    };
}

/* Spools bytes and stores them in the hot store, as an ingester does. */
static inline struct rig_payload *rig_store_hot(struct rig *rig, const char *key, struct bytes data) {
    struct error error = {0};
    struct rig_payload *payload = rig_spool(rig, data);
    struct provenance provenance = rig_provenance(payload, key);
    struct hot_appender *appender = hot_store_open_appender(rig->hot, &error);
    cr_assert_not_null(appender, "%s", error.message);
    cr_assert(hot_appender_begin(appender, &provenance, &error) &&
                  hot_appender_append(appender, payload->data, &error) && hot_appender_finish(appender, &error) &&
                  hot_appender_commit(appender, &error),
              "%s", error.message);
    hot_appender_close(appender);
    return payload;
}

static inline struct moved_object rig_moved(const struct rig_payload *payload, const char *key) {
    struct moved_object object = {
        .bucket = "photos",
        .version = 1,
        .payload_id = payload->id,
        .size_bytes = payload->data.size,
        .crc32c = payload->crc32c,
    };
    snprintf(object.key, sizeof object.key, "%s", key);
    return object;
}

static inline bool rig_has_hot(struct rig *rig, const struct uuid *id) {
    struct hot_object object;
    struct error error = {0};
    return hot_store_find(rig->hot, id, &object, &error);
}

static inline bool rig_has_cold(struct rig *rig, const char *key) {
    struct error error = {0};
    struct cold_name name = {"photos", key, 1};
    struct cold_reader *reader = cold_store_open_object(rig->cold, &name, &error);
    if (reader != NULL) {
        cold_reader_close(reader);
    }
    return reader != NULL;
}

#endif
