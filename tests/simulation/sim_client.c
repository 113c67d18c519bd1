#include "tests/simulation/sim_client.h"

#include <stdlib.h>
#include <string.h>

#include "metadata-svc/upload/upload_core.h"
#include "tests/simulation/sim_core.h"

enum {
    ATTEMPTS_MAX = 5,
    ANNOUNCED_MAX = 64,
    SMALL_MOST_BYTES = 3000,
    LARGE_MOST_BYTES = 90000,
    RETRY_PAUSE_MOST_MS = 800,
    UPLOAD_ATTEMPTS = 4,
    ASK_AGAIN_MOST_S = 4,
};

/* An announced payload that nobody has uploaded yet. */
struct announced {
    struct model_op op;
    struct uuid payload_id;
    unsigned attempts;
};

struct sim_clients {
    struct sim_clients_options options;
    struct announced announced[ANNOUNCED_MAX];
    size_t announced_count;
    unsigned running;
    bool stopping;
};

/* ---- choosing ---- */

static enum model_op_kind choose_kind(void) {
    static const struct {
        enum model_op_kind kind;
        unsigned weight;
    } choices[] = {
        {MODEL_PUT_METADATA, 12}, {MODEL_PUT_INLINE, 25}, {MODEL_PUT_STREAMED, 22}, {MODEL_PUT_ANNOUNCED, 10},
        {MODEL_UPDATE, 12},       {MODEL_RESTORE, 7},     {MODEL_DELETE, 12},
    };
    unsigned left = (unsigned)sim_range(1, 100);
    size_t i = 0;
    while (left > choices[i].weight) {
        left -= choices[i++].weight;
    }
    return choices[i].kind;
}

static uint64_t choose_size(enum model_op_kind kind) {
    bool large = kind != MODEL_PUT_INLINE && sim_chance(120);
    return (uint64_t)(sim_chance(50) ? 0 : sim_range(1, large ? LARGE_MOST_BYTES : SMALL_MOST_BYTES));
}

/* What the client knows of the record, true or no longer so. */
static int64_t look(struct sim_clients *clients, unsigned bucket, unsigned key) {
    struct arena arena;
    struct error error = {0};
    arena_init(&arena);
    Waybill__V1__Record *record = sim_metadata_get(clients->options.metadata, bucket, key, &arena, &error);
    int64_t version =
        record != NULL && record->state != WAYBILL__V1__RECORD_STATE__RECORD_STATE_DELETED ? record->version : 0;
    arena_free(&arena);
    return version;
}

static struct model_op choose(struct sim_clients *clients) {
    struct model_op op = {
        .kind = choose_kind(),
        .bucket = (unsigned)sim_range(0, MODEL_BUCKETS - 1),
        .key = (unsigned)sim_range(0, MODEL_KEYS - 1),
    };
    op.size = choose_size(op.kind);
    if (sim_chance(600)) {
        op.request_id = uuid_make();
    }
    if (op.kind == MODEL_PUT_STREAMED && sim_chance(600)) {
        op.upload_id = op.request_id;
    }
    if (sim_chance(400)) {
        op.has_if_version = true;
        op.if_version = look(clients, op.bucket, op.key);
    }
    if (op.kind == MODEL_RESTORE && sim_chance(500)) {
        op.restore_version = sim_range(1, 6);
    }
    return op;
}

/* ---- uploads that are resumed ---- */

/* From where on: as metadata-svc tells, or from where the last attempt may have got. */
static void find_offset(struct sim_clients *clients, struct model_op *op) {
    struct upload_progress progress;
    struct error error = {0};
    if (sim_chance(300)) {
        op->write_offset = (uint64_t)sim_range(0, (int64_t)op->size);
    } else if (sim_metadata_query_upload(clients->options.metadata, &op->upload_id, &progress, &error)) {
        SIM_CHECK(progress.persisted_bytes <= (int64_t)op->size, "upload %u has %lld of %llu bytes", op->number,
                  (long long)progress.persisted_bytes, (unsigned long long)op->size);
        op->write_offset = (uint64_t)progress.persisted_bytes;
    } else if (error.code == ERROR_NOT_FOUND) {
        op->write_offset = 0;
    }
}

/* ---- doing ---- */

static void remember_announced(struct sim_clients *clients, const struct model_op *op, const struct record *record) {
    if (op->kind == MODEL_PUT_ANNOUNCED && clients->announced_count < ANNOUNCED_MAX) {
        clients->announced[clients->announced_count++] =
            (struct announced){.op = *op, .payload_id = record->payload_id};
    }
}

/* Asks until there is an answer; without a request id only once, since again would be twice. */
static enum sim_outcome attempt(struct sim_clients *clients, struct model_op *op) {
    bool repeatable = !uuid_is_zero(&op->request_id) || !uuid_is_zero(&op->upload_id);
    enum sim_outcome outcome = SIM_UNKNOWN;
    for (unsigned i = op->answered; i < (repeatable ? ATTEMPTS_MAX : 1) && outcome == SIM_UNKNOWN; i++) {
        struct arena arena;
        struct record record;
        struct error error = {0};
        if (i > 0) {
            sim_sleep(sim_range(1, RETRY_PAUSE_MOST_MS) * SIM_MS);
            if (!uuid_is_zero(&op->upload_id)) {
                find_offset(clients, op);
            }
        }
        arena_init(&arena);
        outcome = sim_metadata_commit(clients->options.metadata, op, &arena, &record, &error);
        sim_trace("operation %u (%d of %s/key-%u): %s %s", op->number, (int)op->kind, model_bucket_name(op->bucket),
                  op->key,
                  outcome == SIM_DONE      ? "done"
                  : outcome == SIM_REFUSED ? "refused"
                                           : "unknown",
                  error.reason);
        if (outcome == SIM_DONE) {
            if (!op->answered) {
                remember_announced(clients, op, &record);
            }
            model_acknowledged(clients->options.model, op, &record);
        } else if (outcome == SIM_REFUSED && op->kind != MODEL_UPLOAD) {
            model_refused(clients->options.model, op, &error);
        }
        arena_free(&arena);
    }
    return outcome;
}

/* Uploads one of the announced payloads; an upload that broke off is begun again some day. */
static void upload(struct sim_clients *clients) {
    size_t at = (size_t)sim_range(0, (int64_t)clients->announced_count - 1);
    struct announced announced = clients->announced[at];
    clients->announced[at] = clients->announced[--clients->announced_count];
    struct model_op op = announced.op;
    op.kind = MODEL_UPLOAD;
    op.has_if_version = false;
    op.request_id = (struct uuid){0};
    op.payload_id = announced.payload_id;
    op.payload_number = announced.op.payload_number;
    op.upload_id = announced.payload_id;
    struct model_op *invoked = model_invoke(clients->options.model, &op);
    if (sim_chance(80)) {
        struct error error = {0};
        enum sim_outcome cancelled =
            sim_metadata_cancel_upload(clients->options.metadata, &announced.payload_id, &error);
        sim_trace("upload of %u is cancelled: %d %s", announced.op.number, (int)cancelled, error.reason);
        return;
    }
    find_offset(clients, invoked);
    enum sim_outcome outcome = attempt(clients, invoked);
    if (outcome == SIM_UNKNOWN && ++announced.attempts < UPLOAD_ATTEMPTS && clients->announced_count < ANNOUNCED_MAX) {
        clients->announced[clients->announced_count++] = announced;
    }
}

/* Whoever asks once more gets the same answer, also after a restart; who asks for something else under the
 * same id is refused. */
static void ask_once_more(struct sim_clients *clients, struct model_op *op) {
    struct model_op other = choose(clients);
    sim_sleep(sim_range(0, ASK_AGAIN_MOST_S) * SIM_SECOND);
    if (sim_chance(700)) {
        attempt(clients, op);
    } else if (other.kind != MODEL_PUT_STREAMED) {
        other.request_id = op->request_id;
        struct model_op *invoked = model_invoke(clients->options.model, &other);
        invoked->payload_number = invoked->number;
        SIM_CHECK(attempt(clients, invoked) != SIM_DONE, "operation %u was done under the id of operation %u",
                  invoked->number, op->number);
    }
}

static void put_or_so(struct sim_clients *clients) {
    struct model_op chosen = choose(clients);
    struct model_op *op = model_invoke(clients->options.model, &chosen);
    op->payload_number = op->number;
    if (attempt(clients, op) == SIM_DONE && !uuid_is_zero(&op->request_id) && sim_chance(200)) {
        ask_once_more(clients, op);
    }
}

/* ---- operators ---- */

enum { OPERATOR_PAUSE_MOST_S = 6 };

static const struct model_payload *choose_payload(struct sim_clients *clients) {
    const struct model_payload *chosen = NULL;
    unsigned count = 0;
    for (const struct model_payload *payload = model_payloads(clients->options.model); payload != NULL;
         payload = payload->next) {
        bool failed = payload->state == RECORD_FAILED;
        bool wanted = failed || payload->state == RECORD_STAGED || payload->state == RECORD_AWAITING_PAYLOAD;
        if (wanted && sim_range(0, count++) == 0) {
            chosen = payload;
        }
    }
    return chosen;
}

static void operator_run(void *argument) {
    struct sim_clients *clients = argument;
    while (!clients->stopping && clients->running > 1) {
        struct error error = {0};
        sim_sleep(sim_range(1, OPERATOR_PAUSE_MOST_S) * SIM_SECOND);
        const struct model_payload *payload = choose_payload(clients);
        if (payload != NULL && (payload->state == RECORD_FAILED || sim_chance(300))) {
            bool retried = payload->state == RECORD_FAILED && sim_chance(700);
            unsigned number = payload->number;
            struct uuid id = payload->id;
            enum sim_outcome outcome = retried ? sim_metadata_retry_payload(clients->options.metadata, &id, &error)
                                               : sim_metadata_cancel_payload(clients->options.metadata, &id, &error);
            sim_trace("payload %u is %s: %d %s", number, retried ? "retried" : "cancelled", (int)outcome, error.reason);
        }
    }
    clients->running--;
}

/* ---- all ---- */

static void client_run(void *argument) {
    struct sim_clients *clients = argument;
    for (unsigned i = 0; i < clients->options.operations && !clients->stopping; i++) {
        sim_sleep(sim_range(0, clients->options.think_most_us));
        if (clients->announced_count > 0 && sim_chance(300)) {
            upload(clients);
        } else if (sim_chance(150)) {
            look(clients, (unsigned)sim_range(0, MODEL_BUCKETS - 1), (unsigned)sim_range(0, MODEL_KEYS - 1));
        } else {
            put_or_so(clients);
        }
    }
    clients->running--;
}

struct sim_clients *sim_clients_start(const struct sim_clients_options *options) {
    struct sim_clients *clients = calloc(1, sizeof *clients);
    if (clients == NULL) {
        abort();
    }
    clients->options = *options;
    clients->running = options->clients + 1;
    sim_spawn("operator", NULL, operator_run, clients);
    for (unsigned i = 0; i < options->clients; i++) {
        sim_spawn("client", NULL, client_run, clients);
    }
    return clients;
}

void sim_clients_stop(struct sim_clients *clients) {
    clients->stopping = true;
}

bool sim_clients_done(const struct sim_clients *clients) {
    return clients->running == 0;
}

void sim_clients_free(struct sim_clients *clients) {
    free(clients);
}
