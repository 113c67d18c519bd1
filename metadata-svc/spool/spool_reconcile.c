#include "metadata-svc/spool/spool_reconcile.h"

#include "common/base/log.h"
#include "metadata-svc/store/record_store.h"

struct reconciliation {
    struct payload_spool *spool;
    struct kv *kv;
    struct error *error;
    bool good;
    int64_t released;
};

static void check_payload(void *context, const struct payload_info *info) {
    struct reconciliation *state = context;
    struct arena arena;
    struct payload_entry entry;
    bool found = false;
    if (!state->good) {
        return;
    }
    arena_init(&arena);
    state->good =
        record_store_get_payload(kv_lookup_of(state->kv), &info->payload_id, &arena, &entry, &found, state->error);
    bool wanted = found && entry.place == PAYLOAD_SPOOLED && (uint64_t)entry.size == info->size_bytes &&
                  entry.crc32c == info->crc32c;
    if (state->good && !wanted) {
        payload_spool_release(state->spool, &info->payload_id);
        state->released++;
    }
    arena_free(&arena);
}

bool spool_reconcile(struct payload_spool *spool, struct kv *kv, struct error *error) {
    struct reconciliation state = {.spool = spool, .kv = kv, .error = error, .good = true};
    payload_spool_each(spool, check_payload, &state);
    if (state.released > 0) {
        log_info("spool_reconciled", LOG_INT("released", state.released));
    }
    return state.good;
}
