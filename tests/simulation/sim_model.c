#include "tests/simulation/sim_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/checksum/crc32c.h"
#include "metadata-svc/store/change_log.h"
#include "metadata-svc/store/record_codec.h"
#include "tests/simulation/sim_core.h"
#include "tests/simulation/sim_model_parts.h"

/* ---- names ---- */

const char *model_bucket_name(unsigned bucket) {
    static const char *const names[MODEL_BUCKETS] = {"bucket-a", "bucket-b", "bucket-c"};
    return names[bucket];
}

void model_key_name(unsigned key, char name[16]) {
    snprintf(name, 16, "key-%u", key);
}

static struct model_key *find_key(struct model *model, const char *bucket, const char *key) {
    unsigned b = 0;
    while (b < MODEL_BUCKETS && strcmp(bucket, model_bucket_name(b)) != 0) {
        b++;
    }
    unsigned k = (unsigned)strtoul(key + strlen("key-"), NULL, 10);
    SIM_CHECK(b < MODEL_BUCKETS && k < MODEL_KEYS, "an event of %s/%s, which nobody wrote", bucket, key);
    return &model->keys[b][k];
}

/* ---- life ---- */

struct model *model_new(const struct bucket *buckets) {
    struct model *model = calloc(1, sizeof *model);
    if (model == NULL) {
        abort();
    }
    arena_init(&model->arena);
    memcpy(model->buckets, buckets, sizeof model->buckets);
    return model;
}

void model_free(struct model *model) {
    arena_free(&model->arena);
    free(model);
}

const struct bucket *model_bucket(const struct model *model, unsigned bucket) {
    return &model->buckets[bucket];
}

int64_t model_revision(const struct model *model) {
    return model->revision;
}

struct bytes model_event(const struct model *model, int64_t revision) {
    SIM_CHECK(revision >= 1 && revision <= model->revision, "there is no revision %lld", (long long)revision);
    return model->log[revision].event;
}

void model_watch_copies(struct model *model,
                        void (*added)(void *self, const struct model_payload *payload, enum tier tier,
                                      const char *replica),
                        void *self) {
    model->added = added;
    model->self = self;
}

void model_watch_failures(struct model *model, void (*failed)(void *self, const struct model_payload *payload),
                          void *self) {
    model->failed = failed;
    model->failed_self = self;
}

/* ---- payloads ---- */

const struct model_payload *model_find_payload(const struct model *model, const struct uuid *id) {
    for (struct model_payload *payload = model->payloads; payload != NULL; payload = payload->next) {
        if (uuid_equal(&payload->id, id)) {
            return payload;
        }
    }
    return NULL;
}

void model_note_garbled(struct model *model, const struct uuid *id) {
    struct model_payload *payload = (struct model_payload *)(uintptr_t)model_find_payload(model, id);
    payload->garbled++;
}

const struct model_payload *model_payloads(const struct model *model) {
    return model->payloads;
}

bool model_in_tier(const struct model_payload *payload, enum tier tier, const char *replica) {
    for (size_t i = 0; i < payload->location_count; i++) {
        if (payload->locations[i].tier == tier &&
            (replica == NULL || strcmp(payload->locations[i].replica, replica) == 0)) {
            return true;
        }
    }
    return false;
}

/* Told apart from the product's own bucket_policy_satisfied. */
bool model_policy_satisfied(const struct model *model, const struct model_payload *payload) {
    const struct bucket *bucket = &model->buckets[payload->bucket];
    bool hot = model_in_tier(payload, TIER_HOT, NULL);
    bool cold = model_in_tier(payload, TIER_COLD, NULL);
    bool cold_at_once = bucket->storage_class != STORAGE_HOT && bucket->cold_after_us == 0;
    return payload->state == RECORD_STORED && (cold || (hot && !cold_at_once));
}

void model_check_bytes(const struct model_payload *payload, uint64_t offset, const uint8_t *data, size_t size,
                       const char *where) {
    uint8_t expected[4096];
    for (size_t done = 0; done < size;) {
        size_t part = size - done < sizeof expected ? size - done : sizeof expected;
        sim_payload_bytes(payload->number, offset + done, expected, part);
        SIM_CHECK(memcmp(expected, data + done, part) == 0, "wrong bytes of payload %u of %s/%s@%lld from %s",
                  payload->number, model_bucket_name(payload->bucket), payload->key, (long long)payload->version,
                  where);
        done += part;
    }
}

static void note_locations(struct model *model, struct model_payload *payload, const struct record *record) {
    struct model_payload before = *payload;
    payload->location_count = 0;
    for (size_t i = 0; i < record->location_count; i++) {
        const struct location *location = &record->locations[i];
        size_t at = payload->location_count++;
        payload->locations[at].tier = location->tier;
        snprintf(payload->locations[at].replica, sizeof payload->locations[at].replica, "%s", location->replica);
    }
    for (size_t i = 0; i < payload->location_count && model->added != NULL && !model->replaying; i++) {
        if (!model_in_tier(&before, payload->locations[i].tier, payload->locations[i].replica)) {
            model->added(model->self, payload, payload->locations[i].tier, payload->locations[i].replica);
        }
    }
}

/* ---- events ---- */

static struct model_op *op_of(struct model *model, const char *reason) {
    unsigned number = 0;
    if (reason == NULL || sscanf(reason, "op %u", &number) != 1) {
        return NULL;
    }
    SIM_CHECK(number >= 1 && number <= model->op_count, "an event of operation %u, which nobody asked for", number);
    return &model->ops[number];
}

int64_t model_serving_version(const struct model_key *key) {
    for (int64_t version = key->version; version > 0; version--) {
        const struct model_payload *payload = key->versions[version].payload;
        if (key->versions[version].tombstone || !key->versions[version].known) {
            return 0;
        }
        if (payload == NULL || payload->state == RECORD_STAGED || payload->state == RECORD_STORED) {
            return version;
        }
    }
    return 0;
}

static void note_version(struct model *model, struct model_key *key, const struct record *record, int64_t revision) {
    SIM_CHECK(record->version < MODEL_VERSIONS, "a key has too many versions");
    SIM_CHECK(key->moment_count < MODEL_MOMENTS, "the model of a key is full");
    key->version = record->version;
    key->lives = record->state != RECORD_DELETED;
    key->moments[key->moment_count++] = (struct model_moment){revision, key->lives ? record->version : 0};
    key->versions[record->version].known = true;
    key->versions[record->version].tombstone = !key->lives;
    key->versions[record->version].payload =
        (struct model_payload *)(uintptr_t)model_find_payload(model, &record->payload_id);
}

static void add_payload(struct model *model, const struct model_key *key, const struct record *record,
                        const struct model_op *op) {
    struct model_payload *payload = arena_zalloc(&model->arena, sizeof *payload);
    *payload = (struct model_payload){
        .next = model->payloads,
        .id = record->payload_id,
        .number = op->number,
        .bucket = key->bucket,
        .version = record->version,
        .size = record->size,
        .crc32c = record->crc32c,
        .state = record->state,
    };
    model_key_name(key->key, payload->key);
    model->payloads = payload;
}

/* What its author asked for must have been possible just then, and may happen once. */
static void check_author(const struct model_key *key, struct model_op *op, const struct record *record,
                         int64_t revision) {
    op->commits++;
    op->commit_revision = revision;
    SIM_CHECK(op->commits == 1, "operation %u took effect twice, at last at revision %lld", op->number,
              (long long)revision);
    SIM_CHECK(op->bucket == key->bucket && op->key == key->key, "operation %u changed %s/key-%u", op->number,
              model_bucket_name(key->bucket), key->key);
    SIM_CHECK(revision > op->invoke_revision, "operation %u took effect before it was asked for", op->number);
    int64_t current = key->lives ? key->version : 0;
    SIM_CHECK(!op->has_if_version || op->if_version == current,
              "operation %u took effect at version %lld, but was to at %lld only", op->number, (long long)current,
              (long long)op->if_version);
    bool needs_content = op->kind == MODEL_UPDATE || op->kind == MODEL_DELETE;
    SIM_CHECK(!needs_content || key->lives, "operation %u changed a record that is not there", op->number);
    SIM_CHECK((op->kind == MODEL_DELETE) == (record->state == RECORD_DELETED), "operation %u left a record %d",
              op->number, (int)record->state);
}

/* Only the version that has just failed is taken back, to what readers get, or to nothing. */
static void check_revert(const struct model *model, const struct model_key *key, const struct record *record,
                         const Waybill__V1__ChangeEvent *event) {
    SIM_CHECK(event->type == WAYBILL__V1__CHANGE_TYPE__CHANGE_TYPE_REVERTED &&
                  model->buckets[key->bucket].on_failure == ON_FAILURE_REVERT,
              "version %lld is a revert that nobody asked for", (long long)record->version);
    SIM_CHECK(key->failed_version == key->version,
              "version %lld takes back version %lld, which has not failed just now", (long long)record->version,
              (long long)key->version);
    int64_t serving = model_serving_version(key);
    SIM_CHECK((serving == 0) == (record->state == RECORD_DELETED),
              "version %lld takes back to %s, readers got version %lld", (long long)record->version,
              record->state == RECORD_DELETED ? "nothing" : "something", (long long)serving);
    const struct model_payload *payload = serving > 0 ? key->versions[serving].payload : NULL;
    SIM_CHECK(uuid_equal(&record->payload_id, payload != NULL ? &payload->id : &(struct uuid){0}),
              "version %lld takes back to another payload than that of version %lld", (long long)record->version,
              (long long)serving);
}

static void new_version(struct model *model, struct model_key *key, const struct record *record,
                        const Waybill__V1__ChangeEvent *event) {
    struct model_op *op = op_of(model, record->cause.reason);
    bool purged = !key->lives && event->previous_version == 0;
    SIM_CHECK(purged ? record->version > key->version : record->version == key->version + 1,
              "version %lld of %s/key-%u follows %lld", (long long)record->version, model_bucket_name(key->bucket),
              key->key, (long long)key->version);
    SIM_CHECK(purged || event->previous_version == key->version, "the event of version %lld names %lld before it",
              (long long)record->version, (long long)event->previous_version);
    if (record->cause.system == SYSTEM_CAUSE_CLIENT) {
        SIM_CHECK(op != NULL, "a version without an author: \"%s\"", record->cause.reason);
        check_author(key, op, record, event->revision);
    } else if (record->cause.system == SYSTEM_CAUSE_COMPENSATION) {
        check_revert(model, key, record, event);
    }
    if (!uuid_is_zero(&record->payload_id)) {
        const struct model_payload *known = model_find_payload(model, &record->payload_id);
        SIM_CHECK(known != NULL || op != NULL, "a payload without an author");
        if (known == NULL) {
            SIM_CHECK(record->payload_version == record->version, "version %lld brought a payload of version %lld",
                      (long long)record->version, (long long)record->payload_version);
            add_payload(model, key, record, op);
        } else {
            SIM_CHECK(known->state == record->state && known->size == record->size, "a version has a payload's past");
        }
    }
    note_version(model, key, record, event->revision);
}

/* States go one way, per payload, but for what operators try again. */
static bool may_follow(enum change_type type, enum system_cause system, enum record_state before,
                       enum record_state after) {
    switch (type) {
    case CHANGE_STAGED:
        return after == RECORD_STAGED && before == (system == SYSTEM_CAUSE_REDRIVE    ? RECORD_STAGED
                                                    : system == SYSTEM_CAUSE_OPERATOR ? RECORD_FAILED
                                                                                      : RECORD_AWAITING_PAYLOAD);
    case CHANGE_STORED:
        return before == RECORD_STAGED && after == RECORD_STORED;
    case CHANGE_TIERED:
        return before == RECORD_STORED && after == RECORD_STORED;
    case CHANGE_FAILED:
        return (before == RECORD_STAGED || before == RECORD_AWAITING_PAYLOAD) && after == RECORD_FAILED;
    default:
        return false;
    }
}

static void new_state(struct model *model, const struct model_key *key, const struct record *record,
                      const Waybill__V1__ChangeEvent *event) {
    struct model_payload *payload = (struct model_payload *)(uintptr_t)model_find_payload(model, &record->payload_id);
    SIM_CHECK(payload != NULL, "a change of a payload that no version brought");
    SIM_CHECK(record->version <= key->version, "a change of version %lld of %s/%s, which is at %lld",
              (long long)record->version, record->bucket, record->key, (long long)key->version);
    SIM_CHECK(may_follow((enum change_type)event->type, record->cause.system, payload->state, record->state),
              "payload %u went from state %d to %d by a change of type %d", payload->number, (int)payload->state,
              (int)record->state, (int)event->type);
    struct model_op *op =
        event->type == WAYBILL__V1__CHANGE_TYPE__CHANGE_TYPE_STAGED ? op_of(model, record->cause.reason) : NULL;
    if (op != NULL) {
        op->commits++;
        op->commit_revision = event->revision;
        SIM_CHECK(op->commits == 1, "upload %u took effect twice", op->number);
        SIM_CHECK(uuid_equal(&op->payload_id, &record->payload_id), "upload %u staged another payload", op->number);
        payload->size = record->size;
        payload->crc32c = record->crc32c;
        payload->number = op->payload_number;
    }
    SIM_CHECK(payload->size == record->size && payload->crc32c == record->crc32c, "a payload changed its content");
    payload->state = record->state;
    payload->fail_us = record->state == RECORD_FAILED ? sim_now_us() : payload->fail_us;
    SIM_CHECK(record->state != RECORD_STORED || record->location_count > 0, "payload %u is stored nowhere",
              payload->number);
    note_locations(model, payload, record);
    if (record->state == RECORD_FAILED && record->cause.system == SYSTEM_CAUSE_OBJECT_REPORT && !model->replaying) {
        model->failed(model->failed_self, payload);
    }
}

static void apply_record(struct model *model, const Waybill__V1__ChangeEvent *event) {
    struct error error = {0};
    struct record record;
    SIM_CHECK(record_from_proto(event->record, &model->arena, &record, &error), "%s", error.message);
    record.cause = (struct cause){event->cause->actor, event->cause->reason, (enum system_cause)event->cause->system};
    struct model_key *key = find_key(model, record.bucket, record.key);
    SIM_CHECK(record.revision == event->revision, "the record of revision %lld says %lld", (long long)event->revision,
              (long long)record.revision);
    SIM_CHECK(event->previous_revision == key->revision || event->previous_revision == 0,
              "revision %lld of %s/%s follows %lld, not %lld", (long long)event->revision, record.bucket, record.key,
              (long long)key->revision, (long long)event->previous_revision);
    if (record.version > key->version) {
        new_version(model, key, &record, event);
    } else {
        new_state(model, key, &record, event);
    }
    key->revision = event->revision;
    key->failed_version = event->type == WAYBILL__V1__CHANGE_TYPE__CHANGE_TYPE_FAILED ? record.version : 0;
    SIM_CHECK(record.serving_version == model_serving_version(key) || record.version != key->version,
              "readers of %s/%s get version %lld, they are told of %lld", record.bucket, record.key,
              (long long)model_serving_version(key), (long long)record.serving_version);
}

static void apply(struct model *model, struct bytes wire) {
    Waybill__V1__ChangeEvent *event =
        waybill__v1__change_event__unpack(arena_protobuf(&model->arena), wire.size, wire.data);
    SIM_CHECK(event != NULL, "an event cannot be decoded");
    SIM_CHECK(event->revision == model->revision + 1, "revision %lld follows %lld", (long long)event->revision,
              (long long)model->revision);
    SIM_CHECK(model->revision + 1 < MODEL_LOG, "the model's log is full");
    model->log[++model->revision] = (struct model_entry){wire};
    sim_trace("revision %lld: type %d, %s/%s@%lld, state %d, %s", (long long)event->revision, (int)event->type,
              event->record != NULL ? event->record->bucket : "", event->record != NULL ? event->record->key : "",
              event->record != NULL ? (long long)event->record->version : 0,
              event->record != NULL ? (int)event->record->state : 0, event->cause->reason);
    if (event->record != NULL) {
        apply_record(model, event);
    }
}

void model_commit(struct model *model, struct bytes event) {
    apply(model, arena_copy(&model->arena, event));
}

void model_seen(struct model *model, int64_t revision) {
    model->seen = revision > model->seen ? revision : model->seen;
}

/* ---- after a restart ---- */

/* Begins anew and goes through the log up to the revision. */
static void replay(struct model *model, int64_t revision) {
    memset(model->keys, 0, sizeof model->keys);
    for (unsigned b = 0; b < MODEL_BUCKETS; b++) {
        for (unsigned k = 0; k < MODEL_KEYS; k++) {
            model->keys[b][k].bucket = b;
            model->keys[b][k].key = k;
        }
    }
    for (unsigned i = 1; i <= model->op_count; i++) {
        model->ops[i].commits = 0;
    }
    model->payloads = NULL;
    model->revision = 0;
    model->replaying = true;
    for (int64_t at = 1; at <= revision; at++) {
        apply(model, model->log[at].event);
    }
    model->replaying = false;
}

static bool compare_or_take(void *context, int64_t revision, struct bytes event) {
    struct model *model = context;
    if (revision > model->revision) {
        model_commit(model, event);
    } else {
        SIM_CHECK(bytes_equal(event, model->log[revision].event), "revision %lld is another one after a restart",
                  (long long)revision);
    }
    return true;
}

void model_restart(struct model *model, struct kv *kv) {
    struct error error = {0};
    int64_t oldest;
    int64_t newest;
    SIM_CHECK(change_log_bounds(kv, &oldest, &newest, &error), "%s", error.message);
    SIM_CHECK(newest >= model->seen, "revision %lld was acknowledged or seen; after a restart the log ends at %lld",
              (long long)model->seen, (long long)newest);
    if (newest < model->revision || model->revision == 0) {
        replay(model, newest < model->revision ? newest : model->revision);
    }
    SIM_CHECK(newest == 0 || change_log_read(kv, oldest, compare_or_take, model, &error),
              "the change log after a restart: %s", error.message);
    SIM_CHECK(newest == model->revision, "the log ends at %lld, the model at %lld", (long long)newest,
              (long long)model->revision);
}
