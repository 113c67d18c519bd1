/* How much room the disk of the record store has yet. A write that finds none leaves a torn log and ends all writes
 * until a restart, so changes are refused before: one thread looks at the disk now and then, and
 * whoever has a change asks what it saw.
 *
 * Below the reserve clients' changes are refused; what lets go of bytes, the reports of object-svc and
 * what time makes due, goes on until half of it is used up. Reads never ask. */
#ifndef WAYBILL_STORE_STORE_ROOM_H
#define WAYBILL_STORE_STORE_ROOM_H

#include "common/base/disk.h"

struct store_room;

enum store_room_use { STORE_ROOM_CHANGES, STORE_ROOM_UPKEEP };

/* Borrows the disk. Without a reserve (0) there is always room. Looks once. */
struct store_room *store_room_new(struct disk *disk, uint64_t reserve_bytes);
void store_room_free(struct store_room *room);
/* Asks the disk; one thread. Where it does not answer, what was seen before holds. */
void store_room_look(struct store_room *room);
/* Any thread, at once. False: RESOURCE_EXHAUSTED, DISK_FULL, with RetryInfo. */
bool store_room_check(struct store_room *room, enum store_room_use use, struct error *error);
/* What was free at the last look; 0 where that is not known. Any thread. */
uint64_t store_room_free_bytes(const struct store_room *room);

#endif
