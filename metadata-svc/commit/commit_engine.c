#include "metadata-svc/commit/commit_engine.h"

#include <stdlib.h>

#include "metadata-svc/commit/bucket_changes.h"
#include "metadata-svc/commit/change_builder.h"
#include "metadata-svc/commit/descriptor_changes.h"
#include "metadata-svc/commit/record_changes.h"
#include "metadata-svc/commit/report_changes.h"
#include "metadata-svc/commit/retention.h"
#include "metadata-svc/store/change_log.h"
#include "metadata-svc/store/layout.h"
#include "metadata-svc/store/record_codec.h"

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
    return engine;
}

void commit_engine_free(struct commit_engine *engine) {
    if (engine != NULL) {
        overlay_free(&engine->builder.overlay);
        free(engine);
    }
}

int64_t commit_engine_revision(const struct commit_engine *engine) {
    return engine->durable_revision;
}

int64_t commit_engine_last_flush_us(const struct commit_engine *engine) {
    return engine->last_flush_us;
}

/* The wall clock may go back; commit times do not. */
static int64_t next_commit_time(struct commit_engine *engine) {
    int64_t now_us = clock_unix_us(engine->clock);
    if (now_us > engine->last_commit_us) {
        engine->last_commit_us = now_us;
    }
    return engine->last_commit_us;
}

static bool is_bucket_change(const struct commit_request *request) {
    return request->kind == COMMIT_CREATE_BUCKET || request->kind == COMMIT_UPDATE_BUCKET ||
           request->kind == COMMIT_DELETE_BUCKET;
}

/* Whether the request took effect before. Then its result is filled: the same answer again,
 * or the error for another request under the same id. */
static bool answered_before(struct commit_engine *engine, struct commit_request *request) {
    if (uuid_is_zero(&request->request_id)) {
        return false;
    }
    struct request_entry entry;
    bool found;
    if (!record_store_get_request(overlay_lookup(&engine->builder.overlay), &request->request_id, request->arena,
                                  &entry, &found, &request->error)) {
        return true;
    }
    if (!found) {
        return false;
    }
    int64_t forget_us = entry.commit_us + engine->options.request_retention_us;
    if (forget_us < engine->builder.now_us) {
        /* Not swept yet; its expiry must not take the new entry of this id with it. */
        overlay_delete(&engine->builder.overlay,
                       layout_request_expiry_key(request->arena, forget_us, &request->request_id));
        return false;
    }
    if (memcmp(entry.fingerprint.raw, request->fingerprint.raw, sizeof entry.fingerprint.raw) != 0) {
        error_set_field(&request->error, "request_id", "REQUEST_ID_REUSED",
                        "this request_id was used for another request");
        return true;
    }
    request->committed = is_bucket_change(request)
                             ? bucket_decode(entry.answer, request->arena, &request->bucket, &request->error)
                             : record_decode(entry.answer, request->arena, &request->record, &request->error);
    return true;
}

static void remember(struct commit_engine *engine, struct commit_request *request) {
    if (uuid_is_zero(&request->request_id) || request->validate_only) {
        return;
    }
    struct arena *arena = request->arena;
    struct request_entry entry = {
        .fingerprint = request->fingerprint,
        .commit_us = engine->builder.now_us,
        .answer =
            is_bucket_change(request) ? bucket_encode(&request->bucket, arena) : record_encode(&request->record, arena),
    };
    struct overlay *overlay = &engine->builder.overlay;
    overlay_put(overlay, layout_request_key(arena, &request->request_id), record_store_request_value(&entry, arena));
    int64_t forget_us = entry.commit_us + engine->options.request_retention_us;
    overlay_put(overlay, layout_request_expiry_key(arena, forget_us, &request->request_id), (struct bytes){0});
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
    }
    return error_set(&request->error, ERROR_INTERNAL, "UNKNOWN_CHANGE", "unknown kind of change");
}

static bool refuse_all(struct commit_request **requests, size_t count) {
    for (size_t i = 0; i < count; i++) {
        requests[i]->committed = false;
        requests[i]->released_count = 0;
        error_set(&requests[i]->error, ERROR_UNAVAILABLE, "READ_ONLY",
                  "the record store refuses writes after a disk error; whether this change was kept is known after "
                  "a restart");
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
    bool good = engine->kv->ops->write(engine->kv, batch, true, error);
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
    bool whole = true;
    for (size_t i = 0; i < count; i++) {
        struct commit_request *request = requests[i];
        request->committed = false;
        request->released_count = 0;
        if (answered_before(engine, request)) {
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

int64_t commit_engine_forget_requests(struct kv *kv, int64_t now_us, int64_t max_entries, struct error *error) {
    static const uint8_t first[] = {LAYOUT_REQUEST_EXPIRY_PREFIX};
    struct arena arena;
    arena_init(&arena);
    struct kv_batch batch = {0};
    int64_t forgotten = 0;
    struct kv_cursor *cursor = kv->ops->cursor_open(kv);
    kv->ops->cursor_seek(cursor, bytes_of(first, sizeof first));
    for (; forgotten < max_entries && kv->ops->cursor_valid(cursor); kv->ops->cursor_next(cursor)) {
        struct bytes key = kv->ops->cursor_key(cursor);
        if (key.data[0] != LAYOUT_REQUEST_EXPIRY_PREFIX || layout_number_of(key) >= now_us) {
            break;
        }
        struct uuid id;
        memcpy(id.raw, key.data + key.size - sizeof id.raw, sizeof id.raw);
        kv_batch_delete(&batch, key);
        kv_batch_delete(&batch, layout_request_key(&arena, &id));
        forgotten++;
    }
    bool good = kv->ops->cursor_check(cursor, error);
    kv->ops->cursor_close(cursor);
    good = good && (forgotten == 0 || kv->ops->write(kv, &batch, false, error));
    kv_batch_free(&batch);
    arena_free(&arena);
    return good ? forgotten : -1;
}
