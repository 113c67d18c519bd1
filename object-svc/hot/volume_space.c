#include <inttypes.h>

#include "common/base/log.h"
#include "object-svc/hot/volume_store_parts.h"

enum { FULL_RETRY_MS = 5000 };

/* What the disk had free is good for a moment, and for new bytes that are a part of the reserve, which stands for what
 * others do to the disk meanwhile. So the small objects of a batch need one look at the disk, not one each. */
enum { KNOWN_US = 50000, KNOWN_RESERVE_SHARE = 4 };

/* Under the lock of what is known. */
static bool look(struct volume_store *store, struct error *error) {
    uint64_t promised = atomic_load(&store->promised_bytes); /* those are others' */
    struct disk_space space;
    if (!store->disk->ops->space(store->disk, &space, error)) {
        return false;
    }
    store->known = (struct known_space){
        .free_bytes = space.free_bytes > promised ? space.free_bytes - promised : 0,
        .good_for_bytes = store->reserve_bytes / KNOWN_RESERVE_SHARE,
        .until_us = clock_monotonic_us(store->clock) + KNOWN_US,
    };
    return true;
}

/* Under the same lock: what is free for new bytes, with `floor` kept. Looks anew unless what is known says that there
 * is enough, so nothing is refused for what was true a moment ago. */
static bool find_room(struct volume_store *store, uint64_t floor, uint64_t bytes, uint64_t *room, struct error *error) {
    const struct known_space *known = &store->known;
    bool enough = bytes <= known->good_for_bytes && known->free_bytes >= floor && bytes <= known->free_bytes - floor &&
                  clock_monotonic_us(store->clock) < known->until_us;
    if (!enough && !look(store, error)) {
        return false;
    }
    *room = known->free_bytes > floor ? known->free_bytes - floor : 0;
    return true;
}

static void take_room(struct volume_store *store, uint64_t bytes) {
    struct known_space *known = &store->known;
    known->free_bytes -= bytes;
    known->good_for_bytes -= bytes < known->good_for_bytes ? bytes : known->good_for_bytes;
    atomic_fetch_add(&store->promised_bytes, bytes);
}

bool volume_space_for_moves(struct volume_store *store, uint64_t *bytes, struct error *error) {
    *bytes = UINT64_MAX;
    if (store->reserve_bytes == 0) {
        return true;
    }
    pthread_mutex_lock(&store->known_lock);
    bool found = find_room(store, store->reserve_bytes / 2, UINT64_MAX, bytes, error);
    pthread_mutex_unlock(&store->known_lock);
    return found;
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

/* `take`: it is promised, too. */
static bool check(struct volume_store *store, uint64_t bytes, bool for_move, bool take, struct error *error) {
    uint64_t room = 0;
    if (store->reserve_bytes == 0) {
        atomic_fetch_add(&store->promised_bytes, take ? bytes : 0);
        return true;
    }
    pthread_mutex_lock(&store->known_lock);
    bool found = find_room(store, for_move ? store->reserve_bytes / 2 : store->reserve_bytes, bytes, &room, error);
    if (found && take && bytes <= room) {
        take_room(store, bytes);
    }
    pthread_mutex_unlock(&store->known_lock);
    return found && (bytes <= room || refuse(store, bytes, room, for_move, error));
}

bool volume_space_check(struct volume_store *store, uint64_t bytes, bool for_move, struct error *error) {
    return check(store, bytes, for_move, false, error);
}

bool volume_space_promise(struct volume_store *store, uint64_t bytes, bool for_move, struct error *error) {
    if (!check(store, bytes, for_move, true, error)) {
        return false;
    }
    if (!for_move && atomic_exchange(&store->full, false)) {
        log_info("hot_store_has_room");
    }
    return true;
}

void volume_space_settle(struct volume_store *store, uint64_t bytes) {
    atomic_fetch_sub(&store->promised_bytes, bytes);
}
