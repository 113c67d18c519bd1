/* Uploads to the simulated metadata-svc: the stream's end in the service is a fiber of the process, which drives
 * the upload core; the client's end waits for it, or breaks the stream off. */
#include <stdlib.h>

#include "common/checksum/crc32c.h"
#include "metadata-svc/upload/upload_core.h"
#include "tests/simulation/sim_metadata_parts.h"

enum { CHUNK_BYTES = 12 * 1024, STREAM_TIMEOUT_MS = 6000 };

/* Owned by whoever has use of it: both ends. */
struct stream {
    unsigned uses;
    struct sim_metadata *metadata;
    struct sim_job *job;
    struct model_op op;
    struct sim_fiber *client;
    bool broken; /* by the network, or by the client, who is gone */
    bool done;
    bool good;
    struct error error;
};

static void unuse(struct stream *stream) {
    if (--stream->uses == 0) {
        sim_job_unuse(stream->job);
        free(stream);
    }
}

/* ---- in the service ---- */

static bool commit(void *self, struct commit_request *request, struct error *error) {
    struct stream *stream = self;
    sim_job_send(stream->metadata, stream->job, 0);
    if (!sim_job_await(stream->metadata, stream->job, INT64_MAX / 4)) {
        return sim_unavailable(error);
    }
    *error = request->committed ? *error : request->error;
    return request->committed;
}

/* One chunk that comes; false where the stream is over. */
static bool take_chunk(struct stream *stream, struct upload_core *upload, struct error *error) {
    uint8_t chunk[CHUNK_BYTES];
    /* From where the client believes that it goes on. */
    uint64_t offset = upload->received;
    uint64_t left = stream->op.size - offset;
    size_t part = left < sizeof chunk ? (size_t)left : sizeof chunk;
    sim_sleep(sim_range(0, 3) * SIM_MS);
    stream->broken = stream->broken || sim_chance(stream->metadata->losses);
    if (!sim_alive() || stream->broken) {
        return error_set(error, ERROR_CANCELLED, "UPLOAD_ABORTED", "the stream broke off");
    }
    sim_payload_bytes(stream->op.payload_number, offset, chunk, part);
    return upload_core_append(upload, bytes_of(chunk, part), error);
}

static bool run_upload(struct stream *stream, struct upload_core *upload, struct error *error) {
    struct upload_end end = {0};
    if (!upload_core_find(upload, error) || (!upload->took_effect && !upload_core_open(upload, error))) {
        return false;
    }
    while (!upload->took_effect && upload->received < stream->op.size) {
        if (!take_chunk(stream, upload, error)) {
            return false;
        }
    }
    return upload_core_finish(upload, &end, commit, stream, error);
}

static void upload_run(void *argument) {
    struct stream *stream = argument;
    struct upload_core upload = {
        .kv = stream->metadata->kv,
        .spool = stream->metadata->spool,
        .arena = &stream->job->arena,
        .commit = &stream->job->request,
        .upload_id = stream->op.upload_id,
        .write_offset = (int64_t)stream->op.write_offset,
    };
    stream->good = run_upload(stream, &upload, &stream->error);
    upload_core_leave(&upload, false);
    stream->done = sim_alive();
    sim_wake(stream->client);
    unuse(stream);
}

/* ---- at the client ---- */

enum sim_outcome sim_upload(struct sim_metadata *metadata, struct sim_job *job, const struct model_op *op,
                            struct error *error) {
    if (!sim_cross(metadata, error)) {
        return SIM_UNKNOWN;
    }
    struct stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL) {
        abort();
    }
    *stream = (struct stream){.uses = 2, .metadata = metadata, .job = job, .op = *op, .client = sim_current()};
    job->uses++;
    unsigned life = metadata->process.life;
    int64_t until_us = sim_now_us() + STREAM_TIMEOUT_MS * SIM_MS;
    sim_spawn("upload", &metadata->process, upload_run, stream);
    while (!stream->done && metadata->process.alive && metadata->process.life == life && sim_now_us() < until_us) {
        sim_wait(until_us - sim_now_us());
    }
    enum sim_outcome outcome = SIM_UNKNOWN;
    if (stream->done && sim_cross(metadata, error)) {
        *error = stream->error;
        bool refused = !stream->good && !job->request.committed && job->done && error->code != ERROR_UNAVAILABLE;
        outcome = stream->good ? SIM_DONE : refused ? SIM_REFUSED : SIM_UNKNOWN;
    }
    stream->broken = true;
    stream->client = NULL;
    unuse(stream);
    return outcome;
}

bool sim_metadata_query_upload(struct sim_metadata *metadata, const struct uuid *upload_id,
                               struct upload_progress *progress, struct error *error) {
    struct arena arena;
    if (!sim_cross(metadata, error)) {
        return false;
    }
    arena_init(&arena);
    bool good = upload_find_progress(metadata->kv, metadata->spool, upload_id, &arena, progress, error);
    arena_free(&arena);
    return good && sim_cross(metadata, error);
}

enum sim_outcome sim_metadata_cancel_upload(struct sim_metadata *metadata, const struct uuid *upload_id,
                                            struct error *error) {
    if (!sim_cross(metadata, error)) {
        return SIM_UNKNOWN;
    }
    return upload_cancel_new_record(metadata->spool, upload_id)
               ? SIM_DONE
               : sim_metadata_change_payload(metadata, COMMIT_CANCEL_UPLOAD, upload_id, error);
}
