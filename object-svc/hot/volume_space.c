#include <inttypes.h>

#include "common/base/log.h"
#include "object-svc/hot/volume_store_parts.h"

enum { FULL_RETRY_MS = 5000 };

/* What is free for new bytes, with `floor` kept; what others were promised is theirs. */
static bool room_above(struct volume_store *store, uint64_t floor, uint64_t *room, struct error *error) {
    struct disk_space space;
    if (!store->disk->ops->space(store->disk, &space, error)) {
        return false;
    }
    uint64_t taken = floor + atomic_load(&store->promised_bytes);
    *room = space.free_bytes > taken ? space.free_bytes - taken : 0;
    return true;
}

bool volume_space_for_moves(struct volume_store *store, uint64_t *bytes, struct error *error) {
    *bytes = UINT64_MAX;
    return store->reserve_bytes == 0 || room_above(store, store->reserve_bytes / 2, bytes, error);
}

static bool refuse(struct volume_store *store, uint64_t bytes, uint64_t room, bool for_move, struct error *error) {
    error_set(error, ERROR_RESOURCE_EXHAUSTED, "HOT_STORE_FULL",
              "hot storage has room for %" PRIu64 " more bytes, %" PRIu64 " are wanted; %" PRIu64
              " are kept in reserve: free or add space, or move objects to the cold tier",
              room, bytes, store->reserve_bytes);
    error->retry_after_ms = FULL_RETRY_MS;
    if (!for_move && !atomic_exchange(&store->full, true)) {
        log_error("hot_store_full", LOG_ERROR(error), LOG_STR("hint", "new objects wait in the payload spool"));
    }
    return false;
}

bool volume_space_check(struct volume_store *store, uint64_t bytes, bool for_move, struct error *error) {
    uint64_t room;
    if (store->reserve_bytes == 0) {
        return true;
    }
    if (!room_above(store, for_move ? store->reserve_bytes / 2 : store->reserve_bytes, &room, error)) {
        return false;
    }
    return bytes <= room || refuse(store, bytes, room, for_move, error);
}

bool volume_space_promise(struct volume_store *store, uint64_t bytes, bool for_move, struct error *error) {
    if (!volume_space_check(store, bytes, for_move, error)) {
        return false;
    }
    atomic_fetch_add(&store->promised_bytes, bytes);
    if (!for_move && atomic_exchange(&store->full, false)) {
        log_info("hot_store_has_room");
    }
    return true;
}

void volume_space_settle(struct volume_store *store, uint64_t bytes) {
    atomic_fetch_sub(&store->promised_bytes, bytes);
}
