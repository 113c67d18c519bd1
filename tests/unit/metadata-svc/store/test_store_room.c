// rooms: metadata_store
#include <criterion/criterion.h>

#include "metadata-svc/store/store_room.h"

enum { RESERVE = 1000 };

/* A disk that only tells its space. */
struct told_disk {
    struct disk base;
    uint64_t free_bytes;
    bool silent;
};

static bool tell_space(struct disk *disk, struct disk_space *space, struct error *error) {
    const struct told_disk *told = (struct told_disk *)disk;
    *space = (struct disk_space){.free_bytes = told->free_bytes, .total_bytes = 1 << 20};
    return !told->silent || error_set(error, ERROR_INTERNAL, "IO_ERROR", "it does not answer");
}

static const struct disk_ops told_ops = {.space = tell_space};
static struct told_disk disk;
static struct store_room *room;

static void open_room(uint64_t free_bytes, uint64_t reserve_bytes) {
    disk = (struct told_disk){.base = {&told_ops}, .free_bytes = free_bytes};
    room = store_room_new(&disk.base, reserve_bytes);
}

static void tear_down(void) {
    store_room_free(room);
}

TestSuite(store_room, .fini = tear_down);

static bool takes(enum store_room_use use) {
    struct error error = {0};
    bool good = store_room_check(room, use, &error);
    cr_assert(good || (error.code == ERROR_RESOURCE_EXHAUSTED && error.retry_after_ms > 0));
    cr_assert(good || strcmp(error.reason, "DISK_FULL") == 0);
    return good;
}

static void see(uint64_t free_bytes) {
    disk.free_bytes = free_bytes;
    store_room_look(room);
}

Test(store_room, changes_stop_at_the_reserve_and_upkeep_at_half_of_it) {
    open_room(RESERVE, RESERVE);
    cr_assert(takes(STORE_ROOM_CHANGES) && takes(STORE_ROOM_UPKEEP));
    see(RESERVE - 1);
    cr_assert(!takes(STORE_ROOM_CHANGES) && takes(STORE_ROOM_UPKEEP));
    see(RESERVE / 2 - 1);
    cr_assert(!takes(STORE_ROOM_CHANGES) && !takes(STORE_ROOM_UPKEEP));
    see(RESERVE);
    cr_assert(takes(STORE_ROOM_CHANGES) && takes(STORE_ROOM_UPKEEP));
    cr_assert_eq(store_room_free_bytes(room), RESERVE);
}

Test(store_room, a_disk_that_is_full_at_the_start_is_noticed_then) {
    open_room(0, RESERVE);
    cr_assert(!takes(STORE_ROOM_CHANGES) && !takes(STORE_ROOM_UPKEEP));
}

Test(store_room, without_a_reserve_there_is_always_room) {
    open_room(0, 0);
    cr_assert(takes(STORE_ROOM_CHANGES) && takes(STORE_ROOM_UPKEEP));
}

Test(store_room, what_was_seen_holds_while_the_disk_does_not_answer) {
    open_room(RESERVE - 1, RESERVE);
    disk.silent = true;
    see(10 * RESERVE);
    cr_assert(!takes(STORE_ROOM_CHANGES) && takes(STORE_ROOM_UPKEEP));
}
