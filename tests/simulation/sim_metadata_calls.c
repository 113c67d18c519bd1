/* What is asked of the simulated metadata-svc, over a network that is not to be relied on. */
#include <stdlib.h>

#include "common/checksum/crc32c.h"
#include "metadata-svc/store/record_codec.h"
#include "metadata-svc/store/record_store.h"
#include "tests/simulation/sim_metadata_parts.h"

enum {
    LATENCY_MOST_MS = 12,
    LATE_MOST_MS = 9000,
    LATE_REPORT_MOST_MS = 30000,
    SHORT_DEADLINE_S = 600,
    DROPS_PAGE = 8,
};

/* ---- the network ---- */

bool sim_unavailable(struct error *error) {
    return error_set(error, ERROR_UNAVAILABLE, "UNAVAILABLE", "metadata-svc does not answer");
}

static int64_t latency_us(const struct sim_metadata *metadata, enum commit_kind kind) {
    bool report = kind == COMMIT_REPORTS;
    int64_t late_ms = report ? LATE_REPORT_MOST_MS : LATE_MOST_MS;
    bool late = sim_chance(report ? metadata->late_reports : metadata->delays);
    return sim_range(1, late ? late_ms : LATENCY_MOST_MS) * SIM_MS;
}

/* A message to the process or back; false where it got lost. */
bool sim_cross(const struct sim_metadata *metadata, struct error *error) {
    bool lost = sim_chance(metadata->losses);
    sim_sleep(lost ? SIM_CALL_TIMEOUT_MS * SIM_MS : sim_range(1, LATENCY_MOST_MS) * SIM_MS);
    return (sim_alive() && !lost && metadata->process.alive) || sim_unavailable(error);
}

/* Sends the job and waits for its answer; SIM_UNKNOWN where there is none. */
static enum sim_outcome call(struct sim_metadata *metadata, struct sim_job *job, struct error *error) {
    if (!sim_alive() || !metadata->process.alive || sim_chance(metadata->losses)) {
        sim_sleep(sim_range(1, SIM_CALL_TIMEOUT_MS) * SIM_MS);
        sim_unavailable(error);
        return SIM_UNKNOWN;
    }
    sim_job_send(metadata, job, latency_us(metadata, job->request.kind));
    if (!sim_job_await(metadata, job, SIM_CALL_TIMEOUT_MS * SIM_MS) || sim_chance(metadata->losses)) {
        sim_unavailable(error);
        return SIM_UNKNOWN;
    }
    sim_sleep(sim_range(1, LATENCY_MOST_MS) * SIM_MS);
    if (!job->request.committed) {
        *error = job->request.error;
        return error->code == ERROR_UNAVAILABLE ? SIM_UNKNOWN : SIM_REFUSED;
    }
    return SIM_DONE;
}

/* ---- commits ---- */

enum sim_outcome sim_metadata_create_bucket(struct sim_metadata *metadata, const struct bucket *bucket,
                                            struct error *error) {
    struct sim_job *job = sim_job_new(COMMIT_CREATE_BUCKET);
    job->request.bucket = *bucket;
    job->request.new_uid = uuid_make();
    enum sim_outcome outcome = call(metadata, job, error);
    sim_job_unuse(job);
    return outcome;
}

static struct bytes payload_of(const struct model_op *op, struct arena *arena) {
    uint8_t *data = arena_alloc(arena, op->size + 1);
    sim_payload_bytes(op->payload_number, 0, data, op->size);
    return bytes_of(data, op->size);
}

static void take_payload(struct commit_request *request, const struct model_op *op, struct arena *arena) {
    struct bytes data = payload_of(op, arena);
    struct record *record = &request->record;
    record->has_size = true;
    record->size = (int64_t)data.size;
    record->has_crc32c = true;
    record->crc32c = crc32c(data);
    record->payload_id = op->kind == MODEL_UPLOAD ? op->payload_id : uuid_make();
    if (op->kind == MODEL_PUT_INLINE) {
        request->payload_source = PAYLOAD_FROM_REQUEST;
        request->inline_data = data;
    } else {
        request->payload_source = op->kind == MODEL_PUT_ANNOUNCED ? PAYLOAD_FROM_PRODUCER : PAYLOAD_FROM_SPOOL;
    }
}

static enum commit_kind kind_of(const struct model_op *op) {
    switch (op->kind) {
    case MODEL_UPLOAD:
        return COMMIT_FINISH_UPLOAD;
    case MODEL_UPDATE:
        return COMMIT_UPDATE;
    case MODEL_RESTORE:
        return COMMIT_RESTORE;
    case MODEL_DELETE:
        return COMMIT_DELETE;
    default:
        return COMMIT_PUT;
    }
}

static struct sim_job *job_of(const struct model_op *op) {
    struct sim_job *job = sim_job_new(kind_of(op));
    struct commit_request *request = &job->request;
    char *key = arena_alloc(&job->arena, 16);
    model_key_name(op->key, key);
    request->record = record_make(model_bucket_name(op->bucket), key);
    request->actor = "client";
    request->reason = arena_printf(&job->arena, "op %u", op->number);
    request->request_id = op->request_id;
    request->fingerprint = fingerprint_of(bytes_of_string(request->reason));
    request->has_if_version = op->has_if_version;
    request->if_version = op->if_version;
    request->new_uid = uuid_make();
    if (op->kind == MODEL_UPLOAD) {
        request->request_id = op->payload_id; /* under which it is remembered */
        request->fingerprint = (struct fingerprint){0};
    }
    if (op->kind == MODEL_PUT_INLINE || op->kind == MODEL_PUT_STREAMED || op->kind == MODEL_PUT_ANNOUNCED ||
        op->kind == MODEL_UPLOAD) {
        take_payload(request, op, &job->arena);
    } else if (op->kind == MODEL_UPDATE) {
        request->update.content_type = true;
        request->record.content_type = request->reason;
    } else if (op->kind == MODEL_RESTORE) {
        request->restore_version = op->restore_version;
    }
    return job;
}

enum sim_outcome sim_metadata_commit(struct sim_metadata *metadata, const struct model_op *op, struct arena *arena,
                                     struct record *record, struct error *error) {
    struct sim_job *job = job_of(op);
    enum sim_outcome outcome;
    if (job->request.payload_source != PAYLOAD_FROM_SPOOL) {
        outcome = call(metadata, job, error);
    } else {
        outcome = sim_upload(metadata, job, op, error);
    }
    if (outcome == SIM_DONE) {
        struct error lost = {0};
        SIM_CHECK(record_decode(record_encode(&job->request.record, arena), arena, record, &lost), "%s", lost.message);
    }
    sim_job_unuse(job);
    return outcome;
}

/* ---- operators ---- */

enum sim_outcome sim_metadata_change_payload(struct sim_metadata *metadata, enum commit_kind kind,
                                             const struct uuid *payload_id, struct error *error) {
    struct sim_job *job = sim_job_new(kind);
    job->request.actor = "operator";
    job->request.record = record_make("", "");
    job->request.record.payload_id = *payload_id;
    enum sim_outcome outcome = call(metadata, job, error);
    sim_job_unuse(job);
    return outcome;
}

enum sim_outcome sim_metadata_retry_payload(struct sim_metadata *metadata, const struct uuid *payload_id,
                                            struct error *error) {
    return sim_metadata_change_payload(metadata, COMMIT_RETRY_PAYLOAD, payload_id, error);
}

enum sim_outcome sim_metadata_cancel_payload(struct sim_metadata *metadata, const struct uuid *payload_id,
                                             struct error *error) {
    return sim_metadata_change_payload(metadata, COMMIT_CANCEL_PAYLOAD, payload_id, error);
}

/* ---- reading ---- */

Waybill__V1__Record *sim_metadata_get(struct sim_metadata *metadata, unsigned bucket, unsigned key, struct arena *arena,
                                      struct error *error) {
    char name[16];
    struct record_head head;
    bool found;
    if (!sim_cross(metadata, error)) {
        return NULL;
    }
    model_key_name(key, name);
    if (!record_store_get_head(kv_lookup_of(metadata->kv), model_bucket_name(bucket), name, arena, &head, &found,
                               error)) {
        return NULL;
    }
    model_check_head(metadata->options.model, bucket, key, found, &head);
    Waybill__V1__Record *record = found ? record_to_proto(&head.record, arena) : NULL;
    return sim_cross(metadata, error) ? record : NULL;
}

/* ---- reports ---- */

static struct object_report report_of(struct sim_metadata *metadata, const struct sim_report *from,
                                      struct arena *arena) {
    struct object_report report = {
        .bucket = arena_strdup(arena, from->bucket),
        .key = arena_strdup(arena, from->key),
        .version = from->version,
        .payload_id = from->payload_id,
        .outcome = (enum object_outcome)from->outcome,
        .tier = (enum tier)from->tier,
        .drop_tier = from->drop_tier,
        .drop_due_us = from->drop_due_us,
        .size = (int64_t)from->size_bytes,
        .crc32c = from->crc32c,
        .error_reason = "",
        .error_message = "",
        .message = "",
    };
    struct record_head head;
    struct error error = {0};
    bool found;
    if (metadata->options.bug == BUG_OLD_VERSION_ACCEPTED &&
        record_store_get_head(kv_lookup_of(metadata->kv), from->bucket, from->key, arena, &head, &found, &error) &&
        found) {
        report.version = head.record.version;
        report.payload_id = head.record.payload_id;
        report.size = head.record.size;
        report.crc32c = head.record.crc32c;
    }
    return report;
}

/* A failure that cannot be taken: nobody is able to tell of it but the replica. */
static bool is_unspeakable(const struct sim_metadata *metadata, const struct sim_report *report) {
    const struct model_payload *payload = model_find_payload(metadata->options.model, &report->payload_id);
    return report->outcome == OBJECT_FAILED && payload->number % 3 == 0 &&
           model_bucket(metadata->options.model, payload->bucket)->payload_deadline_us < SHORT_DEADLINE_S * SIM_SECOND;
}

bool sim_metadata_report(struct sim_metadata *metadata, const char *replica, int64_t number, struct sim_report *reports,
                         size_t count, struct error *error) {
    if (!sim_alive() || !metadata->process.alive) {
        sim_sleep(sim_range(1, 100) * SIM_MS);
        return sim_unavailable(error);
    }
    for (size_t i = 0; i < count; i++) {
        if (is_unspeakable(metadata, &reports[i])) {
            return error_set(error, ERROR_INVALID_ARGUMENT, "BAD_KEY", "this report cannot be taken");
        }
    }
    struct sim_job *job = sim_job_new(COMMIT_REPORTS);
    job->request.replica = replica;
    job->request.actor = replica;
    job->request.report_count = count;
    job->request.report_number = metadata->options.bug == BUG_LATE_REPORTS_BELIEVED ? 0 : number;
    job->request.reports = arena_alloc(&job->arena, count * sizeof *job->request.reports);
    for (size_t i = 0; i < count; i++) {
        job->request.reports[i] = report_of(metadata, &reports[i], &job->arena);
    }
    bool good = call(metadata, job, error) == SIM_DONE;
    for (size_t i = 0; good && i < count; i++) {
        reports[i].verdict = (int)job->request.reports[i].verdict;
    }
    sim_job_unuse(job);
    return good;
}

/* As CheckObjects tells it. */
bool sim_metadata_standing(struct sim_metadata *metadata, const char *replica, int tier, const char *bucket,
                           const char *key, int64_t version, const struct uuid *payload_id, int *standing,
                           struct error *error) {
    enum { EXPECTED = 1, UNLISTED = 2, OBSOLETE = 3 };
    struct arena arena;
    struct record record;
    bool found;
    if (!sim_cross(metadata, error)) {
        return false;
    }
    arena_init(&arena);
    bool good = record_store_find_object(kv_lookup_of(metadata->kv), bucket, key, version, payload_id, &arena, &record,
                                         &found, error);
    bool needed = good && found &&
                  (record.state == RECORD_STAGED || record.state == RECORD_STORED || record.state == RECORD_FAILED);
    bool there = needed && record.state == RECORD_STORED &&
                 record_find_location(&record, (enum tier)tier, tier == TIER_HOT ? replica : "") >= 0;
    *standing = there ? EXPECTED : needed ? UNLISTED : OBSOLETE;
    arena_free(&arena);
    return good && sim_cross(metadata, error);
}

bool sim_metadata_list_drops(struct sim_metadata *metadata, const char *replica, int tier, struct arena *arena,
                             struct due_drop **drops, size_t *count, struct error *error) {
    struct layout_drop after = {.tier = (uint8_t)tier, .replica = tier == TIER_HOT ? replica : ""};
    bool more;
    *drops = arena_alloc(arena, DROPS_PAGE * sizeof **drops);
    if (!sim_cross(metadata, error)) {
        return false;
    }
    sim_lists_drops = true;
    bool good =
        due_drops_read(metadata->kv, &after, clock_unix_us(&sim_clock), arena, *drops, DROPS_PAGE, count, &more, error);
    sim_lists_drops = false;
    return good && sim_cross(metadata, error);
}

/* ---- pulls ---- */

/* Which ones follows from the seed. One that the model does not know, as planted bugs make them, is none. */
bool sim_metadata_poisoned(const struct sim_metadata *metadata, const struct model_payload *payload) {
    uint32_t lot;
    if (payload == NULL) {
        return false;
    }
    sim_payload_bytes(payload->number + metadata->options.poison_salt, 0, &lot, sizeof lot);
    return payload->size > 0 && lot % 1000 < metadata->options.poisoned;
}

bool sim_metadata_garbles(struct sim_metadata *metadata, const struct sim_fetch *fetch) {
    bool garbles = sim_alive() && sim_chance(metadata->garbled);
    if (garbles) {
        model_note_garbled(metadata->options.model, &fetch->payload_id);
    }
    return garbles;
}

bool sim_metadata_fetch(struct sim_metadata *metadata, const struct uuid *payload_id, struct arena *arena,
                        struct sim_fetch *fetch, struct error *error) {
    struct payload_entry entry;
    bool found;
    if (!sim_cross(metadata, error) ||
        !record_store_get_payload(kv_lookup_of(metadata->kv), payload_id, arena, &entry, &found, error)) {
        return false;
    }
    if (!found) {
        return error_set(error, ERROR_NOT_FOUND, "PAYLOAD_NOT_SPOOLED", "the payload was released or never announced");
    }
    if (entry.place == PAYLOAD_AWAITED) {
        return error_set(error, ERROR_FAILED_PRECONDITION, "PAYLOAD_AWAITED", "the payload is not uploaded yet");
    }
    *fetch = (struct sim_fetch){
        .payload_id = *payload_id,
        .life = metadata->process.life,
        .is_inline = entry.place == PAYLOAD_INLINE,
        .data = entry.data,
        .size_bytes = (uint64_t)entry.size,
        .crc32c = entry.crc32c,
    };
    return true;
}

/* Released since the entry was read, or lost: only the first is NOT_FOUND. */
static bool explain_missing(struct sim_metadata *metadata, const struct sim_fetch *fetch, struct error *error) {
    struct arena arena;
    struct payload_entry entry;
    bool found;
    arena_init(&arena);
    if (record_store_get_payload(kv_lookup_of(metadata->kv), &fetch->payload_id, &arena, &entry, &found, error) &&
        found) {
        error_set(error, ERROR_DATA_LOSS, "PAYLOAD_CORRUPT", "the spool has lost the payload");
    }
    arena_free(&arena);
    return false;
}

bool sim_metadata_fetch_bytes(struct sim_metadata *metadata, const struct sim_fetch *fetch, uint64_t offset, void *out,
                              size_t size, struct error *error) {
    if (!sim_cross(metadata, error)) {
        return false;
    }
    if (metadata->process.life != fetch->life) {
        return sim_unavailable(error);
    }
    if (!fetch->is_inline &&
        sim_metadata_poisoned(metadata, model_find_payload(metadata->options.model, &fetch->payload_id))) {
        return error_set(error, ERROR_DATA_LOSS, "PAYLOAD_CORRUPT",
                         "a frame of the payload does not match its checksum");
    }
    if (fetch->is_inline) {
        memcpy(out, fetch->data.data + offset, size);
        return true;
    }
    if (payload_spool_read(metadata->spool, &fetch->payload_id, offset, out, size, error)) {
        return true;
    }
    return error->code == ERROR_NOT_FOUND ? explain_missing(metadata, fetch, error) : false;
}

void sim_metadata_fetched(struct sim_metadata *metadata, const struct sim_fetch *fetch) {
    if (metadata->options.bug == BUG_RELEASE_BEFORE_REPORT && metadata->process.alive) {
        payload_spool_release(metadata->spool, &fetch->payload_id);
    }
}
