/* Whether what somebody is told fits the history. */
#include <stdlib.h>
#include <string.h>

#include "metadata-svc/store/record_codec.h"
#include "tests/simulation/sim_core.h"
#include "tests/simulation/sim_model_parts.h"

struct model_op *model_invoke(struct model *model, const struct model_op *op) {
    SIM_CHECK(model->op_count < MODEL_OPS, "too many operations");
    struct model_op *kept = &model->ops[++model->op_count];
    *kept = *op;
    kept->number = model->op_count;
    kept->invoke_revision = model->revision;
    kept->commits = 0;
    kept->answered = false;
    return kept;
}

/* Of several uploads of one payload the first one that gets to its end takes effect, and all get its answer. */
static struct model_op *that_took_effect(struct model *model, struct model_op *op) {
    for (unsigned i = 1; i <= model->op_count && op->kind == MODEL_UPLOAD; i++) {
        struct model_op *other = &model->ops[i];
        if (other->kind == MODEL_UPLOAD && other->commits > 0 && uuid_equal(&other->payload_id, &op->payload_id)) {
            return other;
        }
    }
    return op;
}

void model_acknowledged(struct model *model, struct model_op *asked, const struct record *record) {
    struct model_op *op = that_took_effect(model, asked);
    asked->answered = true;
    SIM_CHECK(op->commits == 1, "operation %u was acknowledged and took effect %u times", op->number, op->commits);
    SIM_CHECK(record->revision == op->commit_revision, "operation %u is at revision %lld, its answer says %lld",
              op->number, (long long)op->commit_revision, (long long)record->revision);
    struct bytes answer = record_encode(record, &model->arena);
    SIM_CHECK(op->answer.size == 0 || bytes_equal(op->answer, answer),
              "operation %u got another answer the second time", op->number);
    op->answer = answer;
    op->answered = true;
    model_seen(model, record->revision);
}

/* Whether the key was at the version at some moment since the operation was asked for. */
static bool was_at(const struct model *model, const struct model_op *op, int64_t version) {
    const struct model_key *key = &model->keys[op->bucket][op->key];
    if (version == 0 && (key->moment_count == 0 || key->moments[0].revision > op->invoke_revision)) {
        return true;
    }
    for (size_t i = 0; i < key->moment_count; i++) {
        bool over = i + 1 < key->moment_count && key->moments[i + 1].revision <= op->invoke_revision;
        if (!over && key->moments[i].version == version) {
            return true;
        }
    }
    return false;
}

void model_refused(struct model *model, struct model_op *op, const struct error *error) {
    SIM_CHECK(op->commits == 0, "operation %u was refused (%s) but took effect at revision %lld", op->number,
              error->reason, (long long)op->commit_revision);
    if (strcmp(error->reason, "VERSION_MISMATCH") == 0) {
        int64_t current = strtoll(error->detail_value, NULL, 10);
        SIM_CHECK(current != op->if_version, "operation %u was refused by the version that it named", op->number);
        SIM_CHECK(was_at(model, op, current), "operation %u was told of version %lld, which was not the current one",
                  op->number, (long long)current);
    } else if (strcmp(error->reason, "RECORD_NOT_FOUND") == 0 || strcmp(error->reason, "RECORD_DELETED") == 0) {
        SIM_CHECK(was_at(model, op, 0), "operation %u was told that nothing is there", op->number);
    }
    op->answered = true;
}

void model_check_head(struct model *model, unsigned bucket, unsigned k, bool found, const struct record_head *head) {
    const struct model_key *key = &model->keys[bucket][k];
    const struct record *record = &head->record;
    model_seen(model, model->revision);
    if (!found) {
        SIM_CHECK(!key->lives, "a reader is told that %s/key-%u is not there; it is at version %lld",
                  model_bucket_name(bucket), k, (long long)key->version);
        return;
    }
    SIM_CHECK(record->version == key->version && (record->state != RECORD_DELETED) == key->lives,
              "a reader is told of version %lld of %s/key-%u, which is at %lld", (long long)record->version,
              model_bucket_name(bucket), k, (long long)key->version);
    SIM_CHECK(head->last_revision == key->revision, "a reader is told of revision %lld of %s/key-%u, not %lld",
              (long long)head->last_revision, model_bucket_name(bucket), k, (long long)key->revision);
    const struct model_payload *payload = model_find_payload(model, &record->payload_id);
    if (payload == NULL) {
        SIM_CHECK(uuid_is_zero(&record->payload_id), "a reader is told of a payload that nobody brought");
        return;
    }
    SIM_CHECK(payload->state == record->state && payload->location_count == record->location_count,
              "a reader is told that payload %u is in state %d, not %d", payload->number, (int)record->state,
              (int)payload->state);
}

void model_check_store(struct model *model, struct kv *kv) {
    struct arena arena;
    arena_init(&arena);
    for (unsigned b = 0; b < MODEL_BUCKETS; b++) {
        for (unsigned k = 0; k < MODEL_KEYS; k++) {
            struct record_head head;
            struct error error = {0};
            char name[16];
            bool found;
            model_key_name(k, name);
            SIM_CHECK(
                record_store_get_head(kv_lookup_of(kv), model_bucket_name(b), name, &arena, &head, &found, &error),
                "%s", error.message);
            model_check_head(model, b, k, found, &head);
        }
    }
    arena_free(&arena);
}
