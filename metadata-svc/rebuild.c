#include "metadata-svc/rebuild.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/failpoint.h"
#include "metadata-svc/rebuild/rebuild_sources.h"
#include "metadata-svc/rebuild/rebuild_writer.h"
#include "metadata-svc/snapshot/restore_place.h"
#include "metadata-svc/spool/payload_spool.h"
#include "metadata-svc/store/record_store.h"

enum {
    REPLICAS_MAX = 64,
    CACHE_BYTES = 32 << 20,
    WRITE_BUFFER_BYTES = 64 << 20,
    DAMAGE_TOLD = 100, /* of more only the number */
    PROGRESS_EVERY_US = 1000000,
};

struct rebuild {
    const struct metadata_config *config;
    struct restore_place place;
    struct gathered *gathered;
    struct kv *kv;
    struct disk *spool_disk;
    struct payload_spool *spool;
    struct rebuild_source source;
    char replicas[REPLICAS_MAX][REBUILD_REPLICA_BYTES];
    const char *replica_names[REPLICAS_MAX];
    size_t replica_count;
    bool stream_exists;
    bool cold;
    struct rebuild_totals totals;
    int64_t told_us;
    int64_t told_damage;
    int64_t unwanted_payloads; /* in the spool, that no record waits for */
};

/* ---- progress ---- */

static void tell_progress(void *self, const char *what, int64_t count) {
    struct rebuild *rebuild = self;
    int64_t now_us = clock_monotonic_us(&system_clock);
    if (now_us - rebuild->told_us >= PROGRESS_EVERY_US) {
        rebuild->told_us = now_us;
        fprintf(stderr, "%s: %lld so far\n", what, (long long)count);
    }
}

static void tell_passed_over(void *self, const char *what, const char *why) {
    struct rebuild *rebuild = self;
    if (rebuild->told_damage++ < DAMAGE_TOLD) {
        fprintf(stderr, "damaged: %s: %s\n", what, why);
    }
}

/* ---- sources ---- */

static bool is_spooled(void *self, const struct uuid *payload_id, int64_t size, uint32_t crc32c) {
    struct rebuild *rebuild = self;
    struct payload_info info;
    struct error absent;
    return payload_spool_stat(rebuild->spool, payload_id, &info, &absent) && !info.damaged &&
           info.size_bytes == (uint64_t)size && info.crc32c == crc32c;
}

static bool open_spool(struct rebuild *rebuild, struct error *error) {
    const struct metadata_config *config = rebuild->config;
    struct payload_spool_options options = {
        .segment_bytes = (uint64_t)config->spool_segment_bytes,
        .max_bytes = (uint64_t)config->spool_max_bytes,
    };
    rebuild->spool_disk = posix_disk_new(config->spool_dir, error);
    rebuild->spool = rebuild->spool_disk != NULL ? payload_spool_open(rebuild->spool_disk, &options, error) : NULL;
    return rebuild->spool != NULL;
}

static bool read_events(struct rebuild *rebuild, struct error *error) {
    struct gathered_counts counts;
    if (rebuild->config->rebuild_events == REBUILD_EVENTS_IGNORED) {
        printf("event stream: not asked\n");
        return true;
    }
    if (!rebuild_read_events(rebuild->gathered, rebuild->config->nats_url, rebuild->config->shard, &rebuild->source,
                             &rebuild->stream_exists, error)) {
        return false;
    }
    gathered_counts(rebuild->gathered, &counts);
    if (counts.events == 0) {
        printf("event stream: %s\n", rebuild->stream_exists ? "empty" : "there is none");
    } else {
        printf("event stream: revisions %lld to %lld, %lld of them missing\n", (long long)counts.first_event,
               (long long)counts.last_event, (long long)counts.missing_events);
    }
    return true;
}

static bool read_tier(struct rebuild *rebuild, const char *target, enum tier tier, struct error *error) {
    struct gathered_counts before;
    struct gathered_counts after;
    char *name = rebuild->replicas[rebuild->replica_count];
    gathered_counts(rebuild->gathered, &before);
    if (!rebuild_read_objects(rebuild->gathered, target, tier, &rebuild->source, name, error)) {
        return false;
    }
    gathered_counts(rebuild->gathered, &after);
    printf("%s: %lld objects, %lld of them damaged (%s)\n", tier == TIER_HOT ? "hot volumes" : "cold store",
           (long long)(after.objects - before.objects), (long long)(after.damaged_objects - before.damaged_objects),
           name);
    return true;
}

static bool is_known(const struct rebuild *rebuild, const char *name) {
    for (size_t i = 0; i < rebuild->replica_count; i++) {
        if (strcmp(rebuild->replica_names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* All replicas share the cold store: the first one lists it. */
static bool read_replica(struct rebuild *rebuild, const char *target, struct error *error) {
    if (rebuild->replica_count == REPLICAS_MAX) {
        return error_set_field(error, "rebuild_from", "BAD_CONFIG", "more than %d replicas", REPLICAS_MAX);
    }
    if (!rebuild->cold && !read_tier(rebuild, target, TIER_COLD, error)) {
        return false;
    }
    rebuild->cold = true;
    if (!read_tier(rebuild, target, TIER_HOT, error)) {
        return false;
    }
    char *name = rebuild->replicas[rebuild->replica_count];
    if (is_known(rebuild, name)) {
        return error_set_field(error, "rebuild_from", "BAD_CONFIG", "%s is %s again: each replica once", target, name);
    }
    rebuild->replica_names[rebuild->replica_count++] = name;
    return true;
}

static bool read_replicas(struct rebuild *rebuild, struct error *error) {
    char *targets = strdup(rebuild->config->rebuild_from);
    if (targets == NULL) {
        abort();
    }
    bool good = true;
    char *rest = NULL;
    for (char *target = strtok_r(targets, ",", &rest); good && target != NULL; target = strtok_r(NULL, ",", &rest)) {
        good = read_replica(rebuild, target, error);
    }
    free(targets);
    return good;
}

/* ---- the new store ---- */

/* Most of them are those of stored objects: a release is not written down. */
static void count_unwanted(void *context, const struct payload_info *info) {
    struct rebuild *rebuild = context;
    struct payload_entry entry;
    struct error ignored;
    struct arena arena;
    bool found = false;
    arena_init(&arena);
    record_store_get_payload(kv_lookup_of(rebuild->kv), &info->payload_id, &arena, &entry, &found, &ignored);
    rebuild->unwanted_payloads += !found;
    arena_free(&arena);
}

static bool write_store(struct rebuild *rebuild, struct error *error) {
    struct leveldb_kv_options options = {.cache_bytes = CACHE_BYTES, .write_buffer_bytes = WRITE_BUFFER_BYTES};
    struct merge_sources sources = {
        .replicas = rebuild->replica_names,
        .replica_count = rebuild->replica_count,
        .cold = rebuild->cold,
        .is_spooled = is_spooled,
        .self = rebuild,
    };
    struct rebuild_options making = {
        .shard = rebuild->config->shard,
        .now_us = clock_unix_us(&system_clock),
        .redrive_after_us = rebuild->config->redrive_after_ms * 1000,
        .failed_retention_us = rebuild->config->failed_payload_retention_ms * 1000,
    };
    fprintf(stderr, "writing the record store\n");
    rebuild->kv = leveldb_kv_open(rebuild->place.staged_records, &options, error);
    if (rebuild->kv == NULL ||
        !rebuild_write(rebuild->gathered, &sources, &making, rebuild->kv, &rebuild->totals, error)) {
        return false;
    }
    fprintf(stderr, "checking it against all that was found\n");
    payload_spool_each(rebuild->spool, count_unwanted, rebuild);
    return rebuild_check(rebuild->gathered, rebuild->kv, &rebuild->totals, error);
}

static bool gather(struct rebuild *rebuild, struct error *error) {
    rebuild->gathered = gathered_open(rebuild->place.scratch, error);
    return rebuild->gathered != NULL && open_spool(rebuild, error) && read_events(rebuild, error) &&
           read_replicas(rebuild, error) && write_store(rebuild, error);
}

static void close_all(struct rebuild *rebuild) {
    if (rebuild->kv != NULL) {
        rebuild->kv->ops->close(rebuild->kv);
    }
    gathered_close(rebuild->gathered);
    payload_spool_close(rebuild->spool);
    if (rebuild->spool_disk != NULL) {
        rebuild->spool_disk->ops->free(rebuild->spool_disk);
    }
}

static bool run(struct rebuild *rebuild, struct error *error) {
    if (!restore_place_begin_records(&rebuild->place, rebuild->config->data_dir, rebuild->config->spool_dir, error)) {
        return false;
    }
    bool good = gather(rebuild, error);
    close_all(rebuild);
    if (!good) {
        restore_place_abandon(&rebuild->place);
        return false;
    }
    return FAILPOINT("rebuild.commit.before") && restore_place_commit(&rebuild->place, error) &&
           FAILPOINT("rebuild.commit.after");
}

/* ---- what it came to ---- */

static void tell_losses(const struct rebuild_totals *totals, int64_t passed_over) {
    if (totals->lost_payloads > 0) {
        printf("%lld versions have FAILED: their payloads waited to be stored and are lost, such as that of %s\n",
               (long long)totals->lost_payloads, totals->lost_example);
    }
    if (totals->missing > 0) {
        printf("%lld objects are missing: no copy was found, such as that of %s\n", (long long)totals->missing,
               totals->missing_example);
    }
    if (totals->orphans > 0) {
        printf("%lld objects are needed by no version\n", (long long)totals->orphans);
    }
    if (totals->taken_away > 0) {
        printf("%lld old versions without objects are left out: retention had taken them\n",
               (long long)totals->taken_away);
    }
    if (passed_over > 0) {
        printf("%lld events or objects could not be read and are left out\n", (long long)passed_over);
    }
}

static void tell(const struct rebuild *rebuild) {
    const struct rebuild_totals *totals = &rebuild->totals;
    printf("records: %lld versions of %lld keys, %lld of them deleted, in %lld buckets\n", (long long)totals->versions,
           (long long)totals->keys, (long long)totals->deleted_keys, (long long)totals->buckets);
    printf("payloads: %lld wait in the spool, %lld are awaited\n", (long long)totals->staged,
           (long long)totals->awaited);
    if (rebuild->unwanted_payloads > 0) {
        printf("%lld payloads in the spool are waited for by no record, most of them stored already: they go when "
               "metadata-svc starts\n",
               (long long)rebuild->unwanted_payloads);
    }
    if (totals->from_objects > 0) {
        printf("%lld versions are known by their objects alone: an update of a record that brought no payload, and a "
               "deletion, leave none\n",
               (long long)totals->from_objects);
    }
    if (totals->default_buckets > 0) {
        printf(
            "%lld buckets have the default policy, since theirs is not known: look at them (waybill bucket list) and "
            "set it (waybill bucket update)\n",
            (long long)totals->default_buckets);
    }
    tell_losses(totals, rebuild->source.passed_over_total);
    printf("revisions go on at %lld\n", (long long)totals->first_revision);
    printf("verified: all that was found is in the new store. Start metadata-svc; then waybill verify reads the "
           "objects, too.\n");
}

int rebuild_run(const struct metadata_config *config) {
    static struct rebuild rebuild;
    struct error error = {0};
    rebuild.config = config;
    rebuild.source = (struct rebuild_source){tell_progress, tell_passed_over, &rebuild, 0};
    bool good = run(&rebuild, &error);
    fflush(stdout);
    if (!good) {
        fprintf(stderr, "the metadata cannot be rebuilt: %s: %s\nnothing was changed; see docs/operations/rebuild.md\n",
                error.reason, error.message);
        return EXIT_FAILURE;
    }
    tell(&rebuild);
    return EXIT_SUCCESS;
}
