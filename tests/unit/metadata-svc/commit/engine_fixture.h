/* A commit engine over a LevelDB in a directory of its own, with a clock that stands and a
 * store that fails on demand; the bucket "photos" is there. */
#ifndef WAYBILL_TESTS_ENGINE_FIXTURE_H
#define WAYBILL_TESTS_ENGINE_FIXTURE_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/names.h"
#include "common/checksum/crc32c.h"
#include "metadata-svc/commit/commit_engine.h"
#include "metadata-svc/store/change_log.h"
#include "metadata-svc/store/record_store.h"
#include "waybill/v1/event.pb-c.h"

#define SECOND_US 1000000LL
#define HOUR_US (3600 * SECOND_US)

enum { REDRIVE_AFTER_S = 600, FAILED_RETENTION_H = 100, DROP_DELAY_S = 30 };

/* A clock that stands where it is put. */
static int64_t now_us = 1700000000000000;

static inline int64_t read_now(void *self) {
    (void)self;
    return now_us;
}

static const struct clock still_clock = {read_now, read_now, NULL};

/* A store whose writes fail on demand, over the real one. */
struct failing_kv {
    struct kv base;
    struct kv *real;
    bool fail;
    unsigned gets;
};

static struct failing_kv failing;

static inline bool failing_get(struct kv *kv, struct bytes key, struct arena *arena, struct bytes *value, bool *found,
                               struct error *error) {
    struct kv *real = ((struct failing_kv *)kv)->real;
    ((struct failing_kv *)kv)->gets++;
    return real->ops->get(real, key, arena, value, found, error);
}

static inline bool failing_write(struct kv *kv, const struct kv_batch *batch, bool sync, struct error *error) {
    struct failing_kv *self = (struct failing_kv *)kv;
    if (self->fail) {
        return error_set(error, ERROR_INTERNAL, "RECORD_STORE_FAILED", "injected");
    }
    return self->real->ops->write(self->real, batch, sync, error);
}

static inline struct kv_cursor *failing_cursor_open(struct kv *kv) {
    struct kv *real = ((struct failing_kv *)kv)->real;
    return real->ops->cursor_open(real);
}

static struct kv_ops failing_ops;

static char directory[64];
static struct kv *kv;
static struct commit_engine *engine;
static struct arena arena;

static inline void open_engine(void) {
    struct error error = {0};
    struct leveldb_kv_options options = {.cache_bytes = 1 << 20, .write_buffer_bytes = 1 << 20};
    failing.real = leveldb_kv_open(directory, &options, &error);
    cr_assert_not_null(failing.real, "%s", error.message);
    failing_ops = *failing.real->ops;
    failing_ops.get = failing_get;
    failing_ops.write = failing_write;
    failing_ops.cursor_open = failing_cursor_open;
    failing_ops.cursor_open_bulk = failing_cursor_open;
    failing.base.ops = &failing_ops;
    failing.fail = false;
    kv = &failing.base;
    struct commit_engine_options engine_options = {.shard = "0",
                                                   .redrive_after_us = REDRIVE_AFTER_S * SECOND_US,
                                                   .failed_retention_us = FAILED_RETENTION_H * HOUR_US,
                                                   .drop_delay_us = DROP_DELAY_S * SECOND_US};
    engine = commit_engine_new(kv, &still_clock, &engine_options, &error);
    cr_assert_not_null(engine, "%s", error.message);
}

static inline void close_engine(void) {
    commit_engine_free(engine);
    failing.real->ops->close(failing.real);
}

static inline struct commit_request make(enum commit_kind kind, const char *key) {
    struct commit_request request = {
        .kind = kind,
        .arena = &arena,
        .actor = "",
        .reason = "",
        .replica = "",
        .new_uid = uuid_make(),
        .record = record_make("photos", key),
    };
    return request;
}

static inline bool run(struct commit_request *request) {
    struct error error = {0};
    struct commit_request *requests[] = {request};
    commit_engine_run(engine, requests, 1, &error);
    return request->committed;
}

static inline struct commit_request put_inline(const char *key, const char *text) {
    struct commit_request request = make(COMMIT_PUT, key);
    request.payload_source = PAYLOAD_FROM_REQUEST;
    request.inline_data = bytes_of_string(text);
    request.record.has_size = true;
    request.record.size = (int64_t)request.inline_data.size;
    request.record.has_crc32c = true;
    request.record.crc32c = crc32c(request.inline_data);
    request.record.payload_id = uuid_make();
    return request;
}

static inline struct commit_request put_announced(const char *key) {
    struct commit_request request = make(COMMIT_PUT, key);
    request.payload_source = PAYLOAD_FROM_PRODUCER;
    request.record.payload_id = uuid_make();
    return request;
}

static inline struct object_report report_of(const struct record *record, enum object_outcome outcome, enum tier tier) {
    return (struct object_report){
        .bucket = record->bucket,
        .key = record->key,
        .version = record->version,
        .payload_id = record->payload_id,
        .outcome = outcome,
        .tier = tier,
        .size = record->size,
        .crc32c = record->crc32c,
        .error_reason = "",
        .error_message = "",
    };
}

static inline struct commit_request reports(const char *replica, struct object_report *list, size_t count) {
    struct commit_request request = make(COMMIT_REPORTS, "");
    request.replica = replica;
    request.reports = list;
    request.report_count = count;
    return request;
}

static inline struct record get(const char *key, int64_t version) {
    struct record record;
    struct record_head head;
    struct error error = {0};
    bool found = false;
    if (version == 0) {
        cr_assert(record_store_get_head(kv_lookup_of(kv), "photos", key, &arena, &head, &found, &error));
        record = head.record;
    } else {
        cr_assert(record_store_get_version(kv_lookup_of(kv), "photos", key, version, &arena, &record, &found, &error));
    }
    cr_assert(found);
    return record;
}

static inline bool exists(const char *key, int64_t version) {
    struct record record;
    struct error error = {0};
    bool found = false;
    cr_assert(record_store_get_version(kv_lookup_of(kv), "photos", key, version, &arena, &record, &found, &error));
    return found;
}

/* All timers, in order of time. */
static inline size_t read_timers(struct timer *timers, size_t max) {
    static const uint8_t first[] = {LAYOUT_TIMER_PREFIX};
    size_t count = 0;
    struct kv_cursor *cursor = kv->ops->cursor_open(kv);
    kv->ops->cursor_seek(cursor, bytes_of(first, sizeof first));
    while (count < max && kv->ops->cursor_valid(cursor) &&
           layout_read_timer_key(&arena, kv->ops->cursor_key(cursor), &timers[count])) {
        count++;
        kv->ops->cursor_next(cursor);
    }
    kv->ops->cursor_close(cursor);
    return count;
}

/* How many redrives a run may do, and what became of the last run. */
static size_t redrives_max = 64;
static struct commit_request timers_done;

/* Does what is due now; returns how many timers are left. */
static inline size_t run_due(void) {
    struct timer timers[64];
    size_t count = read_timers(timers, 64);
    size_t due = 0;
    while (due < count && timers[due].due_us <= now_us) {
        due++;
    }
    struct commit_request request = make(COMMIT_TIMERS, "");
    request.timers = timers;
    request.timer_count = due;
    request.redrives_max = redrives_max;
    request.published_revision = commit_engine_revision(engine);
    cr_assert(run(&request), "%s", request.error.message);
    timers_done = request;
    return read_timers(timers, 64);
}

static inline void set_policy(struct bucket policy, unsigned fields) {
    struct commit_request request = make(COMMIT_UPDATE_BUCKET, "");
    policy.name = "photos";
    request.bucket = policy;
    request.bucket_fields = fields;
    cr_assert(run(&request), "%s", request.error.message);
}

static inline void set_up(void) {
    arena_init(&arena);
    snprintf(directory, sizeof directory, "/tmp/waybill-test-XXXXXX");
    cr_assert_not_null(mkdtemp(directory));
    open_engine();
    struct commit_request create = make(COMMIT_CREATE_BUCKET, "");
    create.bucket = (struct bucket){
        .name = "photos", .storage_class = STORAGE_COLD, .cold_after_us = 1000000, .inline_max_bytes = 64};
    cr_assert(run(&create), "%s", create.error.message);
}

static inline void tear_down(void) {
    close_engine();
    arena_free(&arena);
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    cr_assert_eq(system(command), 0);
}

#endif
