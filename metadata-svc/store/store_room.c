#include "metadata-svc/store/store_room.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/log.h"

struct store_room {
    struct disk *disk;
    uint64_t reserve_bytes;
    bool full; /* the looking thread's: told */
    _Atomic uint64_t free_bytes;
    atomic_bool refuses[STORE_ROOM_UPKEEP + 1];
};

struct store_room *store_room_new(struct disk *disk, uint64_t reserve_bytes) {
    struct store_room *room = calloc(1, sizeof *room);
    if (room == NULL) {
        abort();
    }
    room->disk = disk;
    room->reserve_bytes = reserve_bytes;
    store_room_look(room);
    return room;
}

void store_room_free(struct store_room *room) {
    free(room);
}

static void tell(struct store_room *room, bool full, uint64_t free_bytes) {
    if (full && !room->full) {
        log_error("record_store_full", LOG_INT("free_bytes", free_bytes), LOG_INT("reserve_bytes", room->reserve_bytes),
                  LOG_STR("hint", "changes are refused and reads go on; free or add space on the disk of data_dir"));
    } else if (!full && room->full) {
        log_info("record_store_has_room", LOG_INT("free_bytes", free_bytes));
    }
    room->full = full;
}

void store_room_look(struct store_room *room) {
    struct disk_space space;
    struct error unknown = {0};
    if (!room->disk->ops->space(room->disk, &space, &unknown)) {
        return;
    }
    bool full = space.free_bytes < room->reserve_bytes;
    atomic_store(&room->free_bytes, space.free_bytes);
    atomic_store(&room->refuses[STORE_ROOM_CHANGES], full);
    atomic_store(&room->refuses[STORE_ROOM_UPKEEP], space.free_bytes < room->reserve_bytes / 2);
    tell(room, full, space.free_bytes);
}

bool store_room_check(struct store_room *room, enum store_room_use use, struct error *error) {
    if (!atomic_load_explicit(&room->refuses[use], memory_order_relaxed)) {
        return true;
    }
    error_set(error, ERROR_RESOURCE_EXHAUSTED, "DISK_FULL",
              "the disk of the record store has %" PRIu64 " bytes free, %" PRIu64 " of them are kept in reserve",
              store_room_free_bytes(room), room->reserve_bytes);
    return error_retry_after(error, ERROR_RETRY_DISK_FULL_MS);
}

uint64_t store_room_free_bytes(const struct store_room *room) {
    return atomic_load(&room->free_bytes);
}
