#include "metadata-svc/commit/commit_engine.h"

#include <stdlib.h>

#include "common/base/failpoint.h"
#include "metadata-svc/commit/bucket_changes.h"
#include "metadata-svc/commit/change_builder.h"
#include "metadata-svc/commit/descriptor_changes.h"
#include "metadata-svc/commit/payload_changes.h"
#include "metadata-svc/commit/record_changes.h"
#include "metadata-svc/commit/report_changes.h"
#include "metadata-svc/commit/retention.h"
#include "metadata-svc/store/change_log.h"
#include "metadata-svc/store/layout.h"
#include "metadata-svc/store/record_codec.h"

enum { CLOCK_SLACK_US = 60 * 1000000 };

struct commit_engine {
    struct kv *kv;
    const struct clock *clock;
    struct commit_engine_options options;
    struct change_builder builder;
    int64_t durable_revision;
    int64_t last_commit_us;
    int64_t last_flush_us;
    bool read_only;
};

struct commit_engine *commit_engine_new(struct kv *kv, const struct clock *clock,
                                        const struct commit_engine_options *options, struct error *error) {
    int64_t oldest;
    int64_t newest;
    if (!change_log_bounds(kv, &oldest, &newest, error)) {
        return NULL;
    }
    struct commit_engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL) {
        abort();
    }
    engine->kv = kv;
    engine->clock = clock;
    engine->options = *options;
    engine->durable_revision = newest;
    overlay_init(&engine->builder.overlay, kv);
    engine->builder.shard = options->shard;
    engine->builder.redrive_after_us = options->redrive_after_us;
    engine->builder.failed_retention_us = options->failed_retention_us;
    engine->builder.drop_delay_us = options->drop_delay_us;
    engine->builder.report_order = report_order_new(REPORT_ORDER_SETS);
    return engine;
}

void commit_engine_free(struct commit_engine *engine) {
    if (engine != NULL) {
        overlay_free(&engine->builder.overlay);
        report_order_free(engine->builder.report_order);
        free(engine);
    }
}

int64_t commit_engine_revision(const struct commit_engine *engine) {
    return engine->durable_revision;
}

int64_t commit_engine_last_flush_us(const struct commit_engine *engine) {
    return engine->last_flush_us;
}

/* The wall clock may be put right by a little and go back; commit times do not. Where it is set back by more, it was
 * wrong before: with times ahead of it nothing would come due until it is there again. */
static int64_t next_commit_time(struct commit_engine *engine) {
    int64_t now_us = clock_unix_us(engine->clock);
    if (now_us > engine->last_commit_us || now_us < engine->last_commit_us - CLOCK_SLACK_US) {
        engine->last_commit_us = now_us;
    }
    return engine->last_commit_us;
}

static bool is_bucket_change(const struct commit_request *request) {
    return request->kind == COMMIT_CREATE_BUCKET || request->kind == COMMIT_UPDATE_BUCKET ||
           request->kind == COMMIT_DELETE_BUCKET;
}

/* The answer that the change log has for a request that took effect in an earlier batch. */
static bool answer_from_log(struct commit_request *request, int64_t revision, struct bytes logged) {
    struct arena *arena = request->arena;
    Waybill__V1__ChangeEvent *event =
        waybill__v1__change_event__unpack(arena_protobuf(arena), logged.size, logged.data);
    if (event == NULL || (is_bucket_change(request) ? event->bucket == NULL : event->record == NULL)) {
        return error_set(&request->error, ERROR_DATA_LOSS, "RECORD_CORRUPT",
                         "the answer at revision %lld cannot be read", (long long)revision);
    }
    return is_bucket_change(request) ? bucket_from_proto(event->bucket, &request->bucket, &request->error)
                                     : record_from_proto(event->record, arena, &request->record, &request->error);
}

/* The same for one of this batch: its arena ends with it, so the answer is copied. */
static bool answer_from_batch(struct commit_request *request, const struct commit_request *earlier) {
    struct arena *arena = request->arena;
    if (is_bucket_change(request)) {
        return bucket_decode(bucket_encode(&earlier->bucket, arena), arena, &request->bucket, &request->error);
    }
    return record_decode(record_encode(&earlier->record, arena), arena, &request->record, &request->error);
}

/* The request of this batch that took effect at the revision. */
static const struct commit_request *find_in_batch(struct commit_request **batch, size_t count,
                                                  const struct uuid *request_id) {
    for (size_t i = 0; i < count; i++) {
        if (batch[i]->committed && uuid_equal(&batch[i]->request_id, request_id)) {
            return batch[i];
        }
    }
    return NULL;
}

static bool fill_answer(struct commit_engine *engine, struct commit_request *request, int64_t revision,
                        struct bytes logged, struct commit_request **batch, size_t count) {
    const struct commit_request *earlier =
        revision > engine->durable_revision ? find_in_batch(batch, count, &request->request_id) : NULL;
    return earlier != NULL ? answer_from_batch(request, earlier) : answer_from_log(request, revision, logged);
}

/* The request's entry and the event that answers it. Both go in one step, so when the event is
 * gone the entry is too, even if it was there a moment ago. */
static bool find_entry(struct commit_engine *engine, struct commit_request *request, struct request_entry *entry,
                       struct bytes *logged, bool *found) {
    struct kv *kv = engine->kv;
    if (!record_store_get_request(overlay_lookup(&engine->builder.overlay), &request->request_id, request->arena, entry,
                                  found, &request->error)) {
        return false;
    }
    if (!*found || entry->revision > engine->durable_revision) {
        return true;
    }
    return kv->ops->get(kv, layout_change_key(request->arena, entry->revision), request->arena, logged, found,
                        &request->error);
}

/* Whether the request took effect before. Then its result is filled: the same answer again,
 * or the error for another request under the same id. `batch` has those before it. */
static bool answered_before(struct commit_engine *engine, struct commit_request *request, struct commit_request **batch,
                            size_t count) {
    struct request_entry entry;
    struct bytes logged = {0};
    bool found;
    if (uuid_is_zero(&request->request_id)) {
        return false;
    }
    if (!find_entry(engine, request, &entry, &logged, &found)) {
        return true;
    }
    if (!found) {
        return false;
    }
    if (memcmp(entry.fingerprint.raw, request->fingerprint.raw, sizeof entry.fingerprint.raw) != 0) {
        error_set_field(&request->error, "request_id", "REQUEST_ID_REUSED",
                        "this request_id was used for another request");
    } else {
        request->committed = fill_answer(engine, request, entry.revision, logged, batch, count);
    }
    return true;
}

static void remember(struct commit_engine *engine, struct commit_request *request) {
    if (uuid_is_zero(&request->request_id) || request->validate_only) {
        return;
    }
    struct request_entry entry = {
        .fingerprint = request->fingerprint,
        .revision = is_bucket_change(request) ? request->bucket.revision : request->record.revision,
    };
    overlay_put(&engine->builder.overlay, layout_request_key(request->arena, &request->request_id),
                record_store_request_value(&entry, request->arena));
}

static bool apply(struct commit_engine *engine, struct commit_request *request) {
    switch (request->kind) {
    case COMMIT_CREATE_BUCKET:
        return change_create_bucket(&engine->builder, request);
    case COMMIT_UPDATE_BUCKET:
        return change_update_bucket(&engine->builder, request);
    case COMMIT_DELETE_BUCKET:
        return change_delete_bucket(&engine->builder, request);
    case COMMIT_PUT:
        return change_put(&engine->builder, request);
    case COMMIT_FINISH_UPLOAD:
        return change_finish_upload(&engine->builder, request);
    case COMMIT_CANCEL_UPLOAD:
        return change_cancel_upload(&engine->builder, request);
    case COMMIT_UPDATE:
        return change_update(&engine->builder, request);
    case COMMIT_RESTORE:
        return change_restore(&engine->builder, request);
    case COMMIT_DELETE:
        return change_delete(&engine->builder, request);
    case COMMIT_REPORTS:
        return change_reports(&engine->builder, request);
    case COMMIT_TIMERS:
        return change_timers(&engine->builder, request);
    case COMMIT_RETRY_PAYLOAD:
        return change_retry_payload(&engine->builder, request);
    case COMMIT_CANCEL_PAYLOAD:
        return change_cancel_payload(&engine->builder, request);
    }
    return error_set(&request->error, ERROR_INTERNAL, "UNKNOWN_CHANGE", "unknown kind of change");
}

static bool refuse_all(struct commit_request **requests, size_t count) {
    for (size_t i = 0; i < count; i++) {
        requests[i]->committed = false;
        requests[i]->released_count = 0;
        requests[i]->payloads = (struct payload_figures){0};
        error_set(&requests[i]->error, ERROR_UNAVAILABLE, "READ_ONLY",
                  "the record store refuses writes after a disk error; whether this change was kept is known after "
                  "a restart");
        error_retry_after(&requests[i]->error, ERROR_RETRY_READ_ONLY_MS);
    }
    return false;
}

/* The one flush that all the requests of a batch share. */
static bool write_batch(struct commit_engine *engine, struct error *error) {
    const struct kv_batch *batch = &engine->builder.overlay.batch;
    if (batch->count == 0) {
        return true;
    }
    int64_t start_us = clock_monotonic_us(engine->clock);
    FAILPOINT("commit.write.before");
    bool good = engine->kv->ops->write(engine->kv, batch, true, error);
    FAILPOINT("commit.write.after");
    engine->last_flush_us = clock_monotonic_us(engine->clock) - start_us;
    return good;
}

bool commit_engine_run(struct commit_engine *engine, struct commit_request **requests, size_t count,
                       struct error *error) {
    if (engine->read_only) {
        error_set(error, ERROR_UNAVAILABLE, "READ_ONLY", "the record store refuses writes after a disk error");
        return refuse_all(requests, count);
    }
    struct change_builder *builder = &engine->builder;
    builder->revision = engine->durable_revision;
    builder->now_us = next_commit_time(engine);
    change_builder_forget_bucket(builder);
    bool whole = true;
    for (size_t i = 0; i < count; i++) {
        struct commit_request *request = requests[i];
        request->committed = false;
        request->record_wire = (struct bytes){0};
        request->released_count = 0;
        request->payloads = (struct payload_figures){0};
        if (answered_before(engine, request, requests, i)) {
            continue;
        }
        unsigned before = builder->overlay.batch.count;
        request->committed = apply(engine, request);
        if (request->committed && request->kind != COMMIT_REPORTS && request->kind != COMMIT_TIMERS) {
            remember(engine, request);
        }
        if (!request->committed && builder->overlay.batch.count != before) {
            /* The store failed in the middle of a change: half of it must not be written. */
            *error = request->error;
            whole = false;
            break;
        }
    }
    bool good = whole && write_batch(engine, error);
    overlay_clear(&builder->overlay);
    if (!good) {
        engine->read_only = true;
        return refuse_all(requests, count);
    }
    engine->durable_revision = builder->revision;
    return true;
}
