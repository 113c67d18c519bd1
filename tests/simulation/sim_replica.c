#include "tests/simulation/sim_replica.h"

#include <stdio.h>
#include <stdlib.h>

#include "object-svc/hot/volume_compaction.h"
#include "object-svc/hot/volume_store.h"
#include "object-svc/ingest/dead_letter_codec.h"
#include "object-svc/ingest/ingest_round.h"
#include "object-svc/ingest/staged_change.h"
#include "object-svc/tier/drop_core.h"
#include "object-svc/tier/tier_core.h"
#include "tests/simulation/sim_core.h"
#include "tests/simulation/sim_disk.h"
#include "tests/simulation/sim_index.h"
#include "tests/simulation/sim_ports.h"
#include "tests/support/faulty_disk.h"

enum {
    VOLUME_BYTES = 96 * 1024,
    SYNC_EVERY_BYTES = 32 * 1024,
    BATCH_MAX = 6,
    IDLE_MOST_MS = 400,
    TIER_PAUSE_MS = 2000,
    COMPACT_PAUSE_MS = 15000,
    COMPACT_PERCENT = 40,
    RETRY_FIRST_MS = 100,
    RETRY_LONGEST_MS = 5000,
    INGEST_BATCH_BYTES = 64 * 1024,
    LETTERS_MAX = 10000,
    LETTERS_KNOWN_MAX = 32,
};

struct sim_replica {
    struct sim_replica_options options;
    struct sim_process process;
    struct disk *disk;
    struct disk *notes_disk;
    struct sim_kv *index;
    char index_directory[32];
    struct sim_link link;
    struct sim_kv *letter_store;
    char letter_directory[32];
    struct uuid letters[LETTERS_KNOWN_MAX]; /* that must be there */
    size_t letters_known;

    /* Of one life. */
    struct hot_store *hot;
    struct hot_store_ops ops;
    const struct hot_store_ops *inner;
    struct ingest_round *round;
    struct dead_letters *dead_letters;
    struct metrics *metrics;
    struct move_guard guard;
    struct move_notes *notes;
};

/* The replica of a store, for its checked calls. */
static struct sim_replica *replicas[4];

static struct sim_replica *replica_of(const struct hot_store *store) {
    for (size_t i = 0; i < 4; i++) {
        if (replicas[i] != NULL && replicas[i]->hot == store) {
            return replicas[i];
        }
    }
    abort();
}

struct sim_replica *sim_replica_new(const struct sim_replica_options *options) {
    struct sim_replica *replica = calloc(1, sizeof *replica);
    if (replica == NULL) {
        abort();
    }
    replica->options = *options;
    sim_plant_objects(options->bug);
    replica->process.name = options->name;
    replica->disk = faulty_disk_new(sim_random());
    replica->notes_disk = faulty_disk_new(sim_random());
    replica->index = sim_kv_new();
    snprintf(replica->index_directory, sizeof replica->index_directory, "index-of-%s", options->name);
    sim_index_place(replica->index_directory, replica->index);
    replica->letter_store = sim_kv_new();
    snprintf(replica->letter_directory, sizeof replica->letter_directory, "letters-of-%s", options->name);
    sim_index_place(replica->letter_directory, replica->letter_store);
    if (options->bug == BUG_LETTERS_NOT_FLUSHED) {
        sim_kv_set_way(replica->letter_store, SIM_KV_UNSYNCED);
    }
    replica->link =
        (struct sim_link){.metadata = options->metadata, .replica = options->name, .numbers = {.clock = &sim_clock}};
    for (size_t i = 0; i < 4; i++) {
        if (replicas[i] == NULL) {
            replicas[i] = replica;
            break;
        }
    }
    return replica;
}

void sim_replica_free(struct sim_replica *replica) {
    for (size_t i = 0; i < 4; i++) {
        replicas[i] = replicas[i] == replica ? NULL : replicas[i];
    }
    sim_index_place(replica->index_directory, NULL);
    sim_index_place(replica->letter_directory, NULL);
    sim_kv_free(replica->letter_store);
    replica->disk->ops->free(replica->disk);
    replica->notes_disk->ops->free(replica->notes_disk);
    sim_kv_free(replica->index);
    free(replica);
}

const char *sim_replica_name(const struct sim_replica *replica) {
    return replica->options.name;
}

bool sim_replica_up(const struct sim_replica *replica) {
    return replica->process.alive;
}

/* ---- the hot store, watched ---- */

/* A copy that the records count on must not go. */
static bool checked_remove(struct hot_store *store, const struct uuid *payload_ids, size_t count, struct error *error) {
    struct sim_replica *replica = replica_of(store);
    for (size_t i = 0; i < count && sim_alive(); i++) {
        const struct model_payload *payload = model_find_payload(replica->options.model, &payload_ids[i]);
        SIM_CHECK(payload == NULL || payload->state != RECORD_STORED ||
                      !model_in_tier(payload, TIER_HOT, replica->options.name) ||
                      !sim_metadata_keeps(replica->options.metadata, payload),
                  "%s gives up its copy of payload %u of %s@%lld, which the record counts on", replica->options.name,
                  payload->number, payload->key, (long long)payload->version);
        sim_trace("%s removes payload %u", replica->options.name, payload != NULL ? payload->number : 0);
    }
    return replica->inner->remove(store, payload_ids, count, error);
}

static struct sim_replica *committing; /* for the planted bug below, which has no store at hand */

static bool lazy_commit(struct hot_appender *appender, struct error *error) {
    if (committing != NULL && sim_chance(500)) {
        return true;
    }
    return replicas[0]->inner->commit(appender, error);
}

static void watch(struct sim_replica *replica) {
    replica->inner = replica->hot->ops;
    replica->ops = *replica->inner;
    replica->ops.remove = checked_remove;
    if (replica->options.bug == BUG_REPORT_BEFORE_COMMIT) {
        committing = replica;
        replica->ops.commit = lazy_commit;
    }
    replica->hot->ops = &replica->ops;
}

/* ---- ingest ---- */

static void no_progress(void *self) {
    (void)self;
}

/* An event that is not to come again: its version has failed, or a letter tells of it. */
static void given_up(void *self, const struct stream_delivery *delivery) {
    struct sim_replica *replica = self;
    struct arena arena;
    struct staged_change change;
    struct error error = {0};
    uint8_t key[DEAD_LETTER_KEY_BYTES];
    struct uuid id = dead_letter_id(stream_delivery_sequence(delivery), stream_delivery_time_ns(delivery));
    arena_init(&arena);
    SIM_CHECK(staged_change_read(stream_delivery_body(delivery), &arena, &change, &error), "%s", error.message);
    const struct model_payload *payload = model_find_payload(replica->options.model, &change.provenance.payload_id);
    dead_letter_key(&id, key);
    bool kept = sim_kv_keeps(replica->letter_store, bytes_of(key, sizeof key));
    SIM_CHECK(kept || payload->fail_us > 0, "%s gives up payload %u of %s@%lld without a word", replica->options.name,
              payload->number, payload->key, (long long)payload->version);
    if (kept && replica->letters_known < LETTERS_KNOWN_MAX) {
        replica->letters[replica->letters_known++] = id;
    }
    sim_trace("%s gives payload %u up%s", replica->options.name, payload->number, kept ? ", with a letter" : "");
    arena_free(&arena);
}

static void ingest_run(void *argument) {
    struct sim_replica *replica = argument;
    while (sim_alive()) {
        struct stream_delivery *deliveries[BATCH_MAX];
        int count =
            sim_stream_deliver(replica->options.stream, deliveries, (int)sim_range(1, BATCH_MAX), given_up, replica);
        int64_t pause_ms = sim_range(20, IDLE_MOST_MS);
        if (count > 0) {
            pause_ms = ingest_round_run(replica->round, deliveries, count);
        } else {
            ingest_round_rest(replica->round);
        }
        sim_sleep(pause_ms * SIM_MS);
    }
}

static bool open_ingest(struct sim_replica *replica, struct error *error) {
    struct ingest_round_options options = {
        .ack_wait_ms = SIM_ACK_WAIT_MS,
        .batch_bytes = INGEST_BATCH_BYTES,
        .ports =
            {
                .hot = replica->hot,
                .source = sim_payload_source(&replica->link),
                .sink = sim_report_sink(&replica->link),
                .clock = &sim_clock,
                .retry = {.first_ms = RETRY_FIRST_MS, .longest_ms = RETRY_LONGEST_MS, .attempts = SIM_ATTEMPTS},
                .guard = replica->options.bug == BUG_INGEST_UNGUARDED ? NULL : &replica->guard,
                .progress = no_progress,
            },
    };
    replica->metrics = metrics_new();
    replica->dead_letters = dead_letters_open(replica->letter_directory, LETTERS_MAX, error);
    options.metrics = replica->metrics;
    options.dead_letters = replica->dead_letters;
    replica->round = ingest_round_new(&options, error);
    return replica->round != NULL;
}

static void close_ingest(struct sim_replica *replica) {
    ingest_round_free(replica->round);
    dead_letters_close(replica->dead_letters);
    metrics_free(replica->metrics);
    replica->round = NULL;
    replica->dead_letters = NULL;
    replica->metrics = NULL;
}

static bool tells_why(const struct dead_letter *letter) {
    return letter->reason[0] != '\0' && letter->message[0] != '\0' && letter->key[0] != '\0' && letter->attempts > 0;
}

void sim_replica_check_letters(struct sim_replica *replica) {
    for (size_t i = 0; i < replica->letters_known; i++) {
        struct dead_letter letters[LETTERS_KNOWN_MAX + 1];
        struct uuid first = {0};
        struct arena arena;
        struct error error = {0};
        size_t count;
        bool more;
        bool found = false;
        arena_init(&arena);
        SIM_CHECK(dead_letters_list(replica->dead_letters, "", &first, letters, LETTERS_KNOWN_MAX + 1, &arena, &count,
                                    &more, &error),
                  "%s", error.message);
        for (size_t j = 0; j < count; j++) {
            found = found || (uuid_equal(&letters[j].id, &replica->letters[i]) && tells_why(&letters[j]));
        }
        SIM_CHECK(found || more, "a dead letter of %s is gone", replica->options.name);
        arena_free(&arena);
    }
}

/* ---- tiers ---- */

static struct bucket_policy policy_of(const struct model *model, unsigned number) {
    const struct bucket *bucket = model_bucket(model, number);
    struct bucket_policy policy = {
        .goes_cold = bucket->storage_class != STORAGE_HOT,
        .leaves_hot = bucket->storage_class == STORAGE_COLD,
        .cold_after_us = bucket->cold_after_us,
    };
    snprintf(policy.bucket, sizeof policy.bucket, "%s", bucket->name);
    return policy;
}

/* For a planted bug: whoever reports a move to the cold tier has given the hot copy up already. */
static bool drop_then_report(void *self, struct object_report *reports, size_t count, struct error *error) {
    struct sim_replica *replica = self;
    struct error ignored = {0};
    for (size_t i = 0; i < count; i++) {
        if (reports[i].drop_tier == OBJECT_TIER_HOT) {
            replica->inner->remove(replica->hot, &reports[i].payload_id, 1, &ignored);
        }
    }
    return sim_report(&replica->link, reports, count, error);
}

static struct tier_ports tier_ports_of(struct sim_replica *replica) {
    struct tier_ports ports = {
        .hot = replica->hot,
        .cold = replica->options.cold,
        .sink = sim_report_sink(&replica->link),
        .clock = &sim_clock,
        .catalog = sim_object_catalog(&replica->link),
        .guard = replica->options.bug == BUG_MOVES_UNGUARDED ? NULL : &replica->guard,
        .notes = replica->notes,
    };
    if (replica->options.bug == BUG_HOT_DROPPED_BEFORE_COMMIT) {
        ports.sink = (struct report_sink){drop_then_report, replica};
    }
    return ports;
}

static void tier_run(void *argument) {
    struct sim_replica *replica = argument;
    struct tier_ports ports = tier_ports_of(replica);
    struct drop_source source = sim_drop_source(&replica->link);
    struct tier_rules rules = {.recall_stay_us = replica->options.recall_stay_us};
    while (sim_alive()) {
        struct tier_round round = {0};
        tier_core_finish_noted(&ports);
        for (unsigned i = 0; i < MODEL_BUCKETS && sim_alive(); i++) {
            struct bucket_policy policy = policy_of(replica->options.model, i);
            tier_core_run(&ports, &rules, &policy, &round);
        }
        struct drop_round drops = {0};
        drop_core_run(&ports, &source, &rules.move, &drops);
        sim_sleep(sim_range(TIER_PAUSE_MS / 2, TIER_PAUSE_MS) * SIM_MS);
    }
}

/* ---- compaction ---- */

static bool no_pause(void *self, uint64_t bytes) {
    (void)self;
    (void)bytes;
    return sim_alive();
}

static void compaction_run(void *argument) {
    struct sim_replica *replica = argument;
    struct volume_compaction_options options = {.garbage_percent = COMPACT_PERCENT, .pace = no_pause};
    while (sim_alive()) {
        struct volume_compaction sums = {0};
        struct error error = {0};
        bool found = true;
        sim_sleep(sim_range(COMPACT_PAUSE_MS / 2, COMPACT_PAUSE_MS) * SIM_MS);
        if (!sim_alive() || !volume_compaction_prepare(replica->hot, &options, &error)) {
            continue;
        }
        while (found && volume_compaction_run(replica->hot, &options, &sums, &found, &error)) {
        }
    }
}

/* ---- life ---- */

bool sim_replica_start(struct sim_replica *replica) {
    struct error error = {0};
    struct volume_store_options options = {
        .disk = replica->disk,
        .index_directory = replica->index_directory,
        .clock = &sim_clock,
        .replica = replica->options.name,
        .volume_bytes = VOLUME_BYTES,
        .sync_every_bytes = SYNC_EVERY_BYTES,
    };
    sim_process_start(&replica->process);
    replica->link.numbers.last = 0; /* the clock is all that a new process has to count on from */
    if (replica->options.bug == BUG_HOT_NOT_FLUSHED) {
        sim_disk_plant_lying_sync(replica->disk);
    } else if (replica->options.bug == BUG_HOT_NAMES_NOT_FLUSHED) {
        sim_disk_plant_lying_names(replica->disk);
    }
    replica->hot = volume_store_open(&options, &error);
    sim_trace("%s starts%s%s", replica->options.name, replica->hot != NULL ? "" : " and fails: ", error.message);
    if (replica->hot == NULL) {
        SIM_CHECK(error.code != ERROR_DATA_LOSS && error.code != ERROR_FAILED_PRECONDITION, "%s does not start: %s",
                  replica->options.name, error.message);
        return false;
    }
    watch(replica);
    move_guard_init(&replica->guard);
    replica->notes = move_notes_open(replica->notes_disk, &error);
    SIM_CHECK(replica->notes != NULL, "%s", error.message);
    SIM_CHECK(open_ingest(replica, &error), "%s", error.message);
    sim_spawn("ingester", &replica->process, ingest_run, replica);
    sim_spawn("tier-mover", &replica->process, tier_run, replica);
    sim_spawn("compactor", &replica->process, compaction_run, replica);
    return true;
}

void sim_replica_kill(struct sim_replica *replica, enum sim_death death) {
    sim_trace("%s dies: %d", replica->options.name, (int)death);
    if (death != SIM_DEATH_CLEAN) {
        faulty_disk_cut_at(replica->disk, 1);
        faulty_disk_cut_at(replica->notes_disk, 1);
    }
    sim_process_kill(&replica->process);
    close_ingest(replica);
    if (replica->hot != NULL) {
        move_notes_close(replica->notes);
        move_guard_destroy(&replica->guard);
        hot_store_close(replica->hot);
    }
    replica->notes = NULL;
    replica->hot = NULL;
    enum faulty_unsynced unsynced = death != SIM_DEATH_POWER ? FAULTY_KEEP
                                    : sim_chance(700)        ? FAULTY_TEAR
                                                             : FAULTY_DROP;
    faulty_disk_restart(replica->disk, unsynced);
    faulty_disk_restart(replica->notes_disk, unsynced);
    sim_kv_restart(replica->index, death != SIM_DEATH_POWER);
    sim_kv_restart(replica->letter_store, death != SIM_DEATH_POWER);
}

void sim_replica_fail_disk(struct sim_replica *replica, enum sim_disk_fault fault) {
    uint64_t at = faulty_disk_operations(replica->disk) + (uint64_t)sim_range(1, 40);
    if (fault == SIM_DISK_CUT) {
        faulty_disk_cut_at(replica->disk, at);
    } else {
        faulty_disk_fail_at(replica->disk, at, fault == SIM_DISK_FULL ? FAULTY_NO_SPACE : FAULTY_IO_ERROR);
    }
}

bool sim_replica_failed(struct sim_replica *replica) {
    struct error error = {0};
    return replica->hot != NULL && !replica->inner->remove(replica->hot, NULL, 0, &error);
}

/* ---- reading ---- */

bool sim_replica_has(struct sim_replica *replica, const struct uuid *payload_id) {
    struct hot_object object;
    struct error error = {0};
    return hot_store_find(replica->hot, payload_id, &object, &error);
}

bool sim_replica_verify(struct sim_replica *replica, const struct model_payload *payload, struct error *error) {
    struct hot_reader *reader = hot_store_open_object(replica->hot, &payload->id, error);
    if (reader == NULL) {
        return false;
    }
    uint8_t *data = malloc((size_t)payload->size + 1);
    if (data == NULL) {
        abort();
    }
    int64_t got = hot_reader_read(reader, 0, data, (size_t)payload->size + 1, error);
    if (got >= 0) {
        SIM_CHECK(got == payload->size, "%s has %lld bytes of payload %u", replica->options.name, (long long)got,
                  payload->number);
        model_check_bytes(payload, 0, data, (size_t)got, replica->options.name);
    }
    free(data);
    hot_reader_close(reader);
    return got >= 0;
}

struct reading {
    struct sim_replica *replica;
    unsigned bucket;
    unsigned key;
};

static void read_run(void *argument) {
    struct reading *reading = argument;
    struct sim_replica *replica = reading->replica;
    struct arena arena;
    struct error error = {0};
    arena_init(&arena);
    Waybill__V1__Record *record =
        sim_metadata_get(replica->options.metadata, reading->bucket, reading->key, &arena, &error);
    if (record != NULL && record->payload_id[0] != '\0' && sim_alive()) {
        struct sim_reading what = {
            .model = replica->options.model,
            .hot = replica->hot,
            .cold = replica->options.cold,
            .link = &replica->link,
        };
        sim_read_object(&what, record);
    }
    arena_free(&arena);
    free(reading);
}

/* What PromoteObject asks for. */
static void promote_run(void *argument) {
    struct reading *reading = argument;
    struct sim_replica *replica = reading->replica;
    struct arena arena;
    struct error error = {0};
    arena_init(&arena);
    const Waybill__V1__Record *record =
        sim_metadata_get(replica->options.metadata, reading->bucket, reading->key, &arena, &error);
    struct moved_object object = {0};
    if (record != NULL && record->state == WAYBILL__V1__RECORD_STATE__RECORD_STATE_STORED && sim_alive() &&
        uuid_parse_text(record->payload_id, &object.payload_id)) {
        struct tier_ports ports = tier_ports_of(replica);
        struct tier_move move = {0};
        snprintf(object.bucket, sizeof object.bucket, "%s", record->bucket);
        snprintf(object.key, sizeof object.key, "%s", record->key);
        object.version = record->payload_version;
        object.size_bytes = (uint64_t)record->size;
        object.crc32c = record->crc32c;
        object.cold_copy_known = true;
        bool good = tier_promote(&ports, &object, &move, &error);
        sim_trace("%s promotes %s@%lld: %s", replica->options.name, object.key, (long long)object.version,
                  good ? "done" : error.message);
    }
    arena_free(&arena);
    free(reading);
}

static struct reading *reading_of(struct sim_replica *replica, unsigned bucket, unsigned key) {
    struct reading *reading = malloc(sizeof *reading);
    if (reading == NULL) {
        abort();
    }
    *reading = (struct reading){replica, bucket, key};
    return reading;
}

void sim_replica_promote(struct sim_replica *replica, unsigned bucket, unsigned key) {
    sim_spawn("promoter", &replica->process, promote_run, reading_of(replica, bucket, key));
}

void sim_replica_read(struct sim_replica *replica, unsigned bucket, unsigned key) {
    sim_spawn("reader", &replica->process, read_run, reading_of(replica, bucket, key));
}
