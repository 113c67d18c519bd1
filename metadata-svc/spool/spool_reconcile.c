#include "metadata-svc/spool/spool_reconcile.h"

#include <string.h>

#include "common/base/log.h"
#include "metadata-svc/store/layout.h"
#include "metadata-svc/store/record_store.h"

enum { LOSSES_LOGGED = 16 }; /* payloads; of more only the number */

struct reconciliation {
    struct payload_spool *spool;
    struct kv *kv;
    struct error *error;
    bool good;
    int64_t released;
    int64_t reopened;
    int64_t lost;
};

/* ---- what the spool has ---- */

/* Whether an upload may still go on: one that was announced as long as its payload is awaited, one
 * that makes a record of its own until its request took effect. */
static bool may_go_on(struct reconciliation *state, const struct uuid *upload_id, const struct uuid *payload_id,
                      const struct payload_entry *entry) {
    struct arena arena;
    struct request_entry request;
    bool answered = false;
    if (uuid_is_zero(upload_id)) {
        return false;
    }
    if (uuid_equal(upload_id, payload_id)) {
        return entry != NULL && entry->place == PAYLOAD_AWAITED;
    }
    arena_init(&arena);
    state->good =
        record_store_get_request(kv_lookup_of(state->kv), upload_id, &arena, &request, &answered, state->error);
    arena_free(&arena);
    return state->good && entry == NULL && !answered;
}

/* Looks at one of the spool with the entry that the records have of it, NULL for none. */
typedef void judge(struct reconciliation *state, const void *info, const struct payload_entry *entry);

/* Nothing is looked at once the store failed. */
static void look_at(struct reconciliation *state, const struct uuid *payload_id, judge *judge_it, const void *info) {
    struct arena arena;
    struct payload_entry entry;
    bool found = false;
    if (!state->good) {
        return;
    }
    arena_init(&arena);
    state->good = record_store_get_payload(kv_lookup_of(state->kv), payload_id, &arena, &entry, &found, state->error);
    if (state->good) {
        judge_it(state, info, found ? &entry : NULL);
    }
    arena_free(&arena);
}

static void release(struct reconciliation *state, const struct uuid *payload_id) {
    payload_spool_release(state->spool, payload_id);
    state->released++;
}

static void judge_payload(struct reconciliation *state, const void *payload, const struct payload_entry *entry) {
    const struct payload_info *info = payload;
    bool wanted = entry != NULL && entry->place == PAYLOAD_SPOOLED &&
                  /* One that is damaged stays while it is wanted: whole parts of it can be saved. */
                  (info->damaged || ((uint64_t)entry->size == info->size_bytes && entry->crc32c == info->crc32c));
    if (wanted) {
        return;
    }
    if (!info->damaged && may_go_on(state, &info->upload_id, &info->payload_id, entry)) {
        payload_spool_reopen(state->spool, &info->payload_id);
        state->reopened++;
    } else if (state->good) {
        release(state, &info->payload_id);
    }
}

static void check_payload(void *context, const struct payload_info *info) {
    look_at(context, &info->payload_id, judge_payload, info);
}

static void judge_upload(struct reconciliation *state, const void *upload, const struct payload_entry *entry) {
    const struct upload_info *info = upload;
    if (!may_go_on(state, &info->upload_id, &info->payload_id, entry) && state->good) {
        release(state, &info->payload_id);
    }
}

static void check_upload(void *context, const struct upload_info *info) {
    look_at(context, &info->payload_id, judge_upload, info);
}

/* ---- what the records want ---- */

static void report_loss(struct reconciliation *state, const struct uuid *id, const struct payload_entry *entry) {
    char text[UUID_TEXT_BYTES];
    uuid_print(id, text);
    if (state->lost++ < LOSSES_LOGGED) {
        log_error("spooled_payload_lost", LOG_STR("payload_id", text), LOG_STR("bucket", entry->bucket),
                  LOG_STR("key", entry->key), LOG_INT("version", entry->version),
                  LOG_STR("hint", "the disk lost bytes that were flushed; write the record again"));
    }
}

static bool check_entry(struct reconciliation *state, const struct uuid *id, struct arena *arena) {
    struct payload_entry entry;
    struct payload_info info;
    struct error absent = {0};
    bool found;
    if (!record_store_get_payload(kv_lookup_of(state->kv), id, arena, &entry, &found, state->error)) {
        return false;
    }
    if (found && entry.place == PAYLOAD_SPOOLED &&
        (!payload_spool_stat(state->spool, id, &info, &absent) || info.damaged)) {
        report_loss(state, id, &entry);
    }
    return true;
}

static bool check_entries(struct reconciliation *state) {
    const uint8_t prefix = LAYOUT_PAYLOAD_PREFIX;
    const struct kv_ops *ops = state->kv->ops;
    struct kv_cursor *cursor = ops->cursor_open(state->kv);
    bool good = true;
    for (ops->cursor_seek(cursor, bytes_of(&prefix, 1)); good && ops->cursor_valid(cursor); ops->cursor_next(cursor)) {
        struct bytes key = ops->cursor_key(cursor);
        struct uuid id;
        if (key.size != 1 + sizeof id.raw || key.data[0] != prefix) {
            break;
        }
        memcpy(id.raw, key.data + 1, sizeof id.raw);
        struct arena arena;
        arena_init(&arena);
        good = check_entry(state, &id, &arena);
        arena_free(&arena);
    }
    good = good && ops->cursor_check(cursor, state->error);
    ops->cursor_close(cursor);
    return good;
}

bool spool_reconcile(struct payload_spool *spool, struct kv *kv, struct error *error) {
    struct reconciliation state = {.spool = spool, .kv = kv, .error = error, .good = true};
    payload_spool_each(spool, check_payload, &state);
    payload_spool_each_upload(spool, check_upload, &state);
    bool good = state.good && check_entries(&state);
    if (state.released > 0 || state.reopened > 0 || state.lost > 0) {
        log_info("spool_reconciled", LOG_INT("released", state.released), LOG_INT("reopened", state.reopened),
                 LOG_INT("lost", state.lost));
    }
    return good;
}
