/* The final accounts: with all at rest, everything is where the records say, and nowhere is there
 * anything missing. */
#include <stdlib.h>
#include <string.h>

#include "tests/simulation/sim_cold.h"
#include "tests/simulation/sim_core.h"
#include "tests/simulation/sim_world_parts.h"

/* ---- the stream ---- */

/* Every commit, in order, once: from the first on, or from where the log was trimmed. */
static void check_stream(struct world *world) {
    size_t count = sim_stream_count(world->stream);
    int64_t newest = model_revision(world->model);
    int64_t events = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t revision = sim_stream_revision_at(world->stream, i);
        if (revision == 0) {
            continue;
        }
        SIM_CHECK(revision == ++events, "event %lld of the stream is of revision %lld", (long long)events,
                  (long long)revision);
        SIM_CHECK(bytes_equal(sim_stream_event_at(world->stream, i), model_event(world->model, revision)),
                  "the stream's event of revision %lld is another one", (long long)revision);
    }
    SIM_CHECK(events == newest, "the stream has %lld events, %lld were committed", (long long)events,
              (long long)newest);
}

/* ---- the objects ---- */

static struct sim_replica *find_replica(struct world *world, const char *name) {
    for (unsigned i = 0; i < world->replica_count; i++) {
        if (strcmp(sim_replica_name(world->replicas[i]), name) == 0) {
            return world->replicas[i];
        }
    }
    sim_fail("a record names the replica \"%s\"", name);
}

static void check_cold(struct world *world, const struct model_payload *payload) {
    struct cold_name name = {model_bucket_name(payload->bucket), payload->key, payload->version};
    struct error error = {0};
    struct cold_reader *reader = cold_store_open_object(world->cold, &name, &error);
    uint8_t *data = malloc((size_t)payload->size + 1);
    if (data == NULL) {
        abort();
    }
    int64_t got = reader != NULL ? cold_reader_read(reader, 0, data, (size_t)payload->size + 1, &error) : -1;
    SIM_CHECK(got == payload->size, "the cold copy of payload %u of %s/%s@%lld cannot be read: %s", payload->number,
              name.bucket, name.key, (long long)name.version, error.message);
    model_check_bytes(payload, 0, data, (size_t)got, "the cold store");
    cold_reader_close(reader);
    free(data);
}

static void check_copies(struct world *world, const struct model_payload *payload) {
    for (size_t i = 0; i < payload->location_count; i++) {
        struct error error = {0};
        if (payload->locations[i].tier == TIER_COLD) {
            check_cold(world, payload);
            continue;
        }
        const char *name = payload->locations[i].replica;
        SIM_CHECK(sim_replica_verify(find_replica(world, name), payload, &error),
                  "the copy of payload %u of %s/%s@%lld at %s cannot be read: %s", payload->number,
                  model_bucket_name(payload->bucket), payload->key, (long long)payload->version, name, error.message);
    }
}

static void check_objects(void *argument) {
    struct world *world = argument;
    for (const struct model_payload *payload = model_payloads(world->model); payload != NULL; payload = payload->next) {
        if (payload->state == RECORD_STORED && sim_metadata_keeps(world->metadata, payload)) {
            check_copies(world, payload);
        }
    }
}

static bool check_needed(void *context, const struct cold_entry *entry) {
    struct world *world = context;
    bool needed = !sim_cold_is_whole(world->cold, &entry->name);
    for (const struct model_payload *payload = model_payloads(world->model); payload != NULL; payload = payload->next) {
        needed = needed || (payload->version == entry->name.version && strcmp(payload->key, entry->name.key) == 0 &&
                            strcmp(model_bucket_name(payload->bucket), entry->name.bucket) == 0 &&
                            sim_metadata_keeps(world->metadata, payload));
    }
    SIM_CHECK(needed, "the cold store keeps %s/%s@%lld, which no version needs", entry->name.bucket, entry->name.key,
              (long long)entry->name.version);
    return true;
}

/* What no version needs any more is dropped. Hot copies that nobody was told of, cold ones that came out
 * damaged, and those of moves that power loss cut short are left to a scrub. */
static void check_needless(struct world *world) {
    struct error error = {0};
    SIM_CHECK(!world->replicas_keep_power || cold_store_list(world->cold, "", "", check_needed, world, &error), "%s",
              error.message);
}

/* ---- all ---- */

void world_check_accounts(struct world *world) {
    check_stream(world);
    model_check_store(world->model, sim_metadata_kv(world->metadata));
    /* The cold store takes its time, so it needs a fiber. */
    for (unsigned i = 0; i < world->replica_count; i++) {
        sim_replica_check_letters(world->replicas[i]);
    }
    check_needless(world);
    sim_spawn("auditor", NULL, check_objects, world);
    sim_run_until(sim_now_us() + 600 * SIM_SECOND);
}
