#include "tests/simulation/sim_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/simulation/sim_client.h"
#include "tests/simulation/sim_cold.h"
#include "tests/simulation/sim_core.h"
#include "tests/simulation/sim_metadata.h"
#include "tests/simulation/sim_replica.h"
#include "tests/simulation/sim_world_parts.h"

enum {
    REPLICAS_LEAST = 1,
    CLIENTS_MOST = 5,
    OPERATIONS_MOST = 40,
    STEP_MS = 20,
    RUN_MOST_S = 120,
    PEACE_MOST_S = 1800,
    AFTER_PEACE_S = 30, /* for what has no mark of its own: answers to acknowledgements, moves */
};

/* ---- the parts ---- */

/* What the buckets' policies are, by chance: all classes come up, with and without waiting. */
static void choose_buckets(struct bucket *buckets) {
    for (unsigned i = 0; i < MODEL_BUCKETS; i++) {
        buckets[i] = (struct bucket){
            .name = model_bucket_name(i),
            .storage_class = (enum storage_class)sim_range(STORAGE_HOT, STORAGE_COLD),
            .cold_after_us = sim_chance(500) ? 0 : sim_range(1, 20) * SIM_SECOND,
            .inline_max_bytes = 64 * 1024,
            .max_versions = sim_chance(300) ? (int32_t)sim_range(1, 4) : 0,
            .version_retention_us = sim_chance(200) ? sim_range(5, 60) * SIM_SECOND : 0,
            .expire_after_us = sim_chance(150) ? sim_range(10, 60) * SIM_SECOND : 0,
            .payload_deadline_us =
                sim_chance(500) ? sim_range(15, 300) * SIM_SECOND : BUCKET_PAYLOAD_DEADLINE_DEFAULT_US,
            .on_failure = sim_chance(500) ? ON_FAILURE_REVERT : ON_FAILURE_KEEP_FAILED,
            .delete_retention_us = sim_chance(400) ? sim_range(2, 40) * SIM_SECOND : BUCKET_DELETE_RETENTION_DEFAULT_US,
        };
    }
}

static void trace_buckets(const struct bucket *buckets) {
    for (unsigned i = 0; i < MODEL_BUCKETS; i++) {
        const struct bucket *bucket = &buckets[i];
        sim_trace("%s: class %d, cold after %lld s, %d versions, each for %lld s, expiry %lld s, tombstones %lld s, "
                  "deadline %lld s, on failure %d",
                  bucket->name, (int)bucket->storage_class, (long long)(bucket->cold_after_us / SIM_SECOND),
                  (int)bucket->max_versions, (long long)(bucket->version_retention_us / SIM_SECOND),
                  (long long)(bucket->expire_after_us / SIM_SECOND),
                  (long long)(bucket->delete_retention_us / SIM_SECOND),
                  (long long)(bucket->payload_deadline_us / SIM_SECOND), (int)bucket->on_failure);
    }
}

/* "stored at": a replica that is there must have it. */
static void check_copy(void *self, const struct model_payload *payload, enum tier tier, const char *name) {
    struct world *world = self;
    for (unsigned i = 0; i < world->replica_count && tier == TIER_HOT; i++) {
        struct sim_replica *replica = world->replicas[i];
        if (strcmp(sim_replica_name(replica), name) == 0 && sim_replica_up(replica)) {
            SIM_CHECK(sim_replica_has(replica, &payload->id), "payload %u of %s/%s@%lld is said to be at %s",
                      payload->number, model_bucket_name(payload->bucket), payload->key, (long long)payload->version,
                      name);
        }
    }
}

/* A replica gives a payload up only if its bytes cannot be read, or came garbled as often as they were tried. */
static void check_failure(void *self, const struct model_payload *payload) {
    struct world *world = self;
    SIM_CHECK(sim_metadata_poisoned(world->metadata, payload) || payload->garbled >= SIM_ATTEMPTS,
              "payload %u of %s/%s@%lld is given up though nothing is wrong with it", payload->number,
              model_bucket_name(payload->bucket), payload->key, (long long)payload->version);
}

/* A cold object that a version counts on must not go. */
static void check_cold_removal(void *self, const struct provenance *provenance) {
    struct world *world = self;
    const struct model_payload *payload = model_find_payload(world->model, &provenance->payload_id);
    SIM_CHECK(payload == NULL || payload->state != RECORD_STORED || !model_in_tier(payload, TIER_COLD, NULL) ||
                  !sim_metadata_keeps(world->metadata, payload),
              "the cold copy of payload %u of %s@%lld is removed, which the record counts on", payload->number,
              payload->key, (long long)payload->version);
    sim_trace("the cold copy of payload %u goes", payload != NULL ? payload->number : 0);
}

static void build(struct world *world, enum sim_bug bug) {
    static const char *const names[WORLD_REPLICAS_MAX] = {"replica-0", "replica-1", "replica-2"};
    struct bucket buckets[MODEL_BUCKETS];
    choose_buckets(buckets);
    trace_buckets(buckets);
    world->trims = sim_chance(300);
    world->model = model_new(buckets);
    world->stream = sim_stream_new();
    world->cold = sim_cold_new();
    struct sim_metadata_options metadata_options = {
        .model = world->model,
        .stream = world->stream,
        .bug = bug,
        .change_log_retention_us = world->trims ? WORLD_KEPT_S * SIM_SECOND : 0,
        .redrive_after_us = sim_chance(500) ? sim_range(3, 20) * SIM_SECOND : 0,
        .failed_retention_us = sim_range(20, 120) * SIM_SECOND,
        .upload_idle_us = sim_range(5, 30) * SIM_SECOND,
        .drop_delay_us = sim_range(0, 20) * SIM_SECOND,
        .poisoned = sim_chance(250) ? (unsigned)sim_range(50, 400) : 0,
        .poison_salt = sim_random(),
    };
    world->metadata = sim_metadata_new(&metadata_options);
    int64_t recall_stay_us = (sim_chance(500) ? 20 : sim_range(1, 5)) * SIM_SECOND;
    world->replica_count = (unsigned)sim_range(REPLICAS_LEAST, WORLD_REPLICAS_MAX);
    for (unsigned i = 0; i < world->replica_count; i++) {
        struct sim_replica_options options = {
            .name = names[i],
            .model = world->model,
            .metadata = world->metadata,
            .stream = world->stream,
            .cold = world->cold,
            .bug = bug,
            .recall_stay_us = recall_stay_us,
        };
        world->replicas[i] = sim_replica_new(&options);
    }
    model_watch_copies(world->model, check_copy, world);
    model_watch_failures(world->model, check_failure, world);
    sim_cold_watch_removals(world->cold, check_cold_removal, world);
    switch (bug) {
    case BUG_PUBLISH_WITHOUT_REWIND:
        sim_stream_forget_end(world->stream);
        break;
    case BUG_PUBLISH_STOPS_AT_OTHERS:
        sim_stream_stop_at_others(world->stream);
        break;
    case BUG_PUBLISH_WITHOUT_FENCING:
        sim_stream_take_all(world->stream);
        break;
    case BUG_ACK_BEFORE_STORE:
        sim_stream_ack_early(world->stream);
        break;
    case BUG_FAILURES_ACKNOWLEDGED:
        sim_stream_ack_naks(world->stream);
        break;
    case BUG_COLD_NOT_VERIFIED:
        sim_cold_trust(world->cold);
        break;
    case BUG_COLD_WRITE_DENIED:
        sim_cold_trust(world->cold);
        sim_cold_deny_failures(world->cold);
        break;
    default:
        break;
    }
}

static void demolish(struct world *world) {
    for (unsigned i = 0; i < world->replica_count; i++) {
        sim_replica_kill(world->replicas[i], SIM_DEATH_CLEAN);
    }
    sim_metadata_kill(world->metadata, SIM_DEATH_CLEAN);
    sim_run_until(sim_now_us() + 60 * SIM_SECOND); /* whoever waits hears that nobody answers */
    for (unsigned i = 0; i < world->replica_count; i++) {
        sim_replica_free(world->replicas[i]);
    }
    sim_metadata_free(world->metadata);
    sim_cold_free(world->cold);
    sim_stream_free(world->stream);
    model_free(world->model);
    sim_clients_free(world->clients);
}

/* ---- the begin ---- */

static void create_buckets(void *argument) {
    struct world *world = argument;
    for (unsigned i = 0; i < MODEL_BUCKETS; i++) {
        struct error error = {0};
        SIM_CHECK(sim_metadata_create_bucket(world->metadata, model_bucket(world->model, i), &error) == SIM_DONE,
                  "a bucket cannot be made: %s", error.message);
    }
}

static void start_clients(struct world *world) {
    struct sim_clients_options options = {
        .model = world->model,
        .metadata = world->metadata,
        .clients = (unsigned)sim_range(1, CLIENTS_MOST),
        .operations = (unsigned)sim_range(8, OPERATIONS_MOST),
        .think_most_us = sim_range(1, 3000) * SIM_MS,
    };
    world->clients = sim_clients_start(&options);
}

static void begin(struct world *world) {
    SIM_CHECK(sim_metadata_start(world->metadata), "metadata-svc does not start on new disks");
    for (unsigned i = 0; i < world->replica_count; i++) {
        SIM_CHECK(sim_replica_start(world->replicas[i]), "a replica does not start on new disks");
    }
    sim_spawn("operator", NULL, create_buckets, world);
    sim_run_until(10 * SIM_SECOND);
    start_clients(world);
}

/* ---- peace ---- */

/* What is not where it is to be in the end. A payload that nobody uploads may wait for its deadline. */
static bool is_in_flight(const struct world *world, const struct model_payload *payload) {
    switch (payload->state) {
    case RECORD_STAGED:
        return true;
    case RECORD_STORED:
        return !model_policy_satisfied(world->model, payload);
    case RECORD_AWAITING_PAYLOAD:
        return model_bucket(world->model, payload->bucket)->payload_deadline_us < PEACE_MOST_S * SIM_SECOND;
    default:
        return false;
    }
}

static bool any_in_flight(const struct world *world) {
    const struct model_payload *payload = model_payloads(world->model);
    while (payload != NULL && !is_in_flight(world, payload)) {
        payload = payload->next;
    }
    return payload != NULL;
}

static size_t drops_left(const struct world *world) {
    size_t left = sim_metadata_drops_left(world->metadata, TIER_COLD, "");
    for (unsigned i = 0; i < world->replica_count; i++) {
        left += sim_metadata_drops_left(world->metadata, TIER_HOT, sim_replica_name(world->replicas[i]));
    }
    return left;
}

static bool at_rest(struct world *world) {
    return sim_clients_done(world->clients) && !any_in_flight(world) &&
           sim_metadata_published(world->metadata) == model_revision(world->model) &&
           sim_stream_undelivered(world->stream) == 0 && sim_metadata_spooled(world->metadata) == 0 &&
           drops_left(world) == 0;
}

static void tell_unrest(struct world *world) {
    for (const struct model_payload *payload = model_payloads(world->model); payload != NULL; payload = payload->next) {
        SIM_CHECK(!is_in_flight(world, payload),
                  "payload %u of %s/%s@%lld is in flight for ever, in state %d with %zu copies", payload->number,
                  model_bucket_name(payload->bucket), payload->key, (long long)payload->version, (int)payload->state,
                  payload->location_count);
    }
    sim_fail("there is no rest: revision %lld, published %lld, %u events undelivered, %llu payloads spooled, drops in "
             "%zu places "
             "left, clients %s",
             (long long)model_revision(world->model), (long long)sim_metadata_published(world->metadata),
             sim_stream_undelivered(world->stream), (unsigned long long)sim_metadata_spooled(world->metadata),
             drops_left(world), sim_clients_done(world->clients) ? "done" : "busy");
}

/* Time goes on until all is at rest. */
static void await_rest(struct world *world, int64_t until_us) {
    while (!at_rest(world)) {
        if (sim_now_us() > until_us) {
            tell_unrest(world);
        }
        sim_run_until(sim_now_us() + SIM_SECOND);
        world_restart_failed(world);
    }
}

static void find_peace(struct world *world) {
    world_end_faults(world);
    await_rest(world, sim_now_us() + PEACE_MOST_S * SIM_SECOND);
    sim_run_until(sim_now_us() + AFTER_PEACE_S * SIM_SECOND);
    await_rest(world, sim_now_us() + PEACE_MOST_S * SIM_SECOND); /* something fell due, perhaps */
}

void sim_world_run(uint64_t seed, enum sim_bug bug, bool trace, struct sim_totals *totals) {
    struct world *world = calloc(1, sizeof *world);
    if (world == NULL) {
        abort();
    }
    sim_begin(seed, trace);
    build(world, bug);
    begin(world);
    world_begin_faults(world);
    int64_t until_us = sim_now_us() + RUN_MOST_S * SIM_SECOND;
    while (!sim_clients_done(world->clients) && sim_now_us() < until_us) {
        sim_run_until(sim_now_us() + sim_range(1, STEP_MS) * SIM_MS);
        world_step_faults(world);
    }
    sim_clients_stop(world->clients);
    find_peace(world);
    world_check_accounts(world);
    totals->runs++;
    totals->revisions += (uint64_t)model_revision(world->model);
    totals->deaths += world->deaths;
    totals->losses += world->losses;
    demolish(world);
    totals->time_us += sim_now_us();
    totals->digest += sim_digest();
    sim_end();
    free(world);
}
