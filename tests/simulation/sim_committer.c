/* The committer of the simulated metadata-svc: takes what has arrived, a batch at a time, through
 * the commit engine, and tells the model what became durable. */
#include <stdlib.h>

#include "metadata-svc/store/change_log.h"
#include "tests/simulation/sim_metadata_parts.h"

enum { BATCH_MAX = 8, LINGER_MOST_US = 2000 };

/* ---- jobs ---- */

struct sim_job *sim_job_new(enum commit_kind kind) {
    struct sim_job *job = calloc(1, sizeof *job);
    if (job == NULL) {
        abort();
    }
    job->uses = 1;
    arena_init(&job->arena);
    job->request = (struct commit_request){
        .kind = kind,
        .arena = &job->arena,
        .actor = "",
        .reason = "",
        .replica = "",
    };
    return job;
}

void sim_job_unuse(struct sim_job *job) {
    if (--job->uses == 0) {
        arena_free(&job->arena);
        free(job);
    }
}

void sim_job_send(struct sim_metadata *metadata, struct sim_job *job, int64_t latency_us) {
    job->arrive_us = sim_now_us() + latency_us;
    job->uses++;
    struct sim_job **at = &metadata->inbox;
    while (*at != NULL && (*at)->arrive_us <= job->arrive_us) {
        at = &(*at)->next;
    }
    job->next = *at;
    *at = job;
    sim_wake(metadata->committer);
}

bool sim_job_await(struct sim_metadata *metadata, struct sim_job *job, int64_t most_us) {
    int64_t until_us = sim_now_us() + most_us;
    (void)metadata;
    job->waiter = sim_current();
    while (sim_alive() && !job->done && !job->dropped && sim_now_us() < until_us) {
        sim_wait(until_us - sim_now_us());
    }
    job->waiter = NULL;
    return sim_alive() && job->done;
}

static void drop(struct sim_job *job) {
    job->dropped = true;
    sim_wake(job->waiter);
    sim_job_unuse(job);
}

void sim_jobs_drop(struct sim_metadata *metadata) {
    while (metadata->inbox != NULL) {
        struct sim_job *job = metadata->inbox;
        metadata->inbox = job->next;
        drop(job);
    }
}

/* ---- what became of a batch ---- */

static bool take_event(void *context, int64_t revision, struct bytes event) {
    struct sim_metadata *metadata = context;
    (void)revision;
    model_commit(metadata->options.model, event);
    return true;
}

static void tell_model(struct sim_metadata *metadata) {
    struct error error = {0};
    int64_t known = model_revision(metadata->options.model);
    SIM_CHECK(known == commit_engine_revision(metadata->engine) ||
                  change_log_read(metadata->kv, known + 1, take_event, metadata, &error),
              "the change log: %s", error.message);
}

/* Bytes may go only when the objects are where the policy wants them, as committed. */
static void release(struct sim_metadata *metadata, const struct uuid *payload_id) {
    const struct model_payload *payload = model_find_payload(metadata->options.model, payload_id);
    SIM_CHECK(payload != NULL, "bytes are released that no version brought");
    SIM_CHECK(payload->state == RECORD_FAILED || model_policy_satisfied(metadata->options.model, payload),
              "the bytes of payload %u of %s/%s@%lld are released in state %d with %zu copies", payload->number,
              model_bucket_name(payload->bucket), payload->key, (long long)payload->version, (int)payload->state,
              payload->location_count);
    if (metadata->options.bug != BUG_RELEASE_FORGOTTEN) {
        payload_spool_release(metadata->spool, payload_id);
    }
}

static void answer(struct sim_metadata *metadata, struct sim_job *job) {
    for (size_t i = 0; i < job->request.released_count; i++) {
        release(metadata, &job->request.released[i]);
    }
    job->done = true;
    sim_wake(job->waiter);
    sim_job_unuse(job);
}

/* ---- batches ---- */

static size_t take_batch(struct sim_metadata *metadata, struct sim_job **batch) {
    size_t most = (size_t)sim_range(1, BATCH_MAX);
    size_t count = 0;
    while (count < most && metadata->inbox != NULL && metadata->inbox->arrive_us <= sim_now_us()) {
        batch[count++] = metadata->inbox;
        metadata->inbox = metadata->inbox->next;
    }
    return count;
}

static void run_batch(struct sim_metadata *metadata, struct sim_job **batch, size_t count) {
    struct commit_request *requests[BATCH_MAX];
    struct error error = {0};
    for (size_t i = 0; i < count; i++) {
        requests[i] = &batch[i]->request;
    }
    bool good = commit_engine_run(metadata->engine, requests, count, &error);
    if (!sim_alive()) {
        for (size_t i = 0; i < count; i++) {
            drop(batch[i]);
        }
        return;
    }
    if (good) {
        tell_model(metadata);
    } else {
        sim_trace("commits fail: %s", error.message);
    }
    metadata->failed = metadata->failed || !good;
    for (size_t i = 0; i < count; i++) {
        answer(metadata, batch[i]);
    }
    sim_wake(metadata->publishing);
}

void sim_committer_run(void *argument) {
    struct sim_metadata *metadata = argument;
    while (sim_alive()) {
        struct sim_job *batch[BATCH_MAX];
        size_t count = take_batch(metadata, batch);
        if (count > 0) {
            run_batch(metadata, batch, count);
        } else if (metadata->inbox != NULL && metadata->inbox->arrive_us > sim_now_us()) {
            sim_wait(metadata->inbox->arrive_us - sim_now_us());
        } else {
            sim_wait(SIM_SECOND);
        }
        if (sim_chance(500)) {
            sim_sleep(sim_range(0, LINGER_MOST_US)); /* the next batch gathers */
        }
    }
}
