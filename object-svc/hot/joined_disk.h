/* A disk over two directories: what is made goes to one of them, what is there is found in either. A
 * hot store lives on it while it moves from one directory to another (migrate/hot_migrator.h).
 *
 * Any thread. A name is in one of the two at most, as long as whoever makes files does not make those that
 * are there. The names of subdirectories are not joined: for flat directories only. */
#ifndef WAYBILL_HOT_JOINED_DISK_H
#define WAYBILL_HOT_JOINED_DISK_H

#include "common/base/disk.h"

enum { JOINED_DISK_SECONDS_MAX = 16 };

/* Takes `first`; there is no second yet. */
struct disk *joined_disk_new(struct disk *first);
/* Takes a second directory in place of the one before, in which nothing may be any more. False, and
 * nothing is taken, where there were JOINED_DISK_SECONDS_MAX already. */
bool joined_disk_set_second(struct disk *disk, struct disk *second);
/* Where files are made from now on; none is being made elsewhere on return. */
void joined_disk_prefer_second(struct disk *disk, bool second);
/* The directory where nothing is made, NULL where there is but one; valid as long as the joined disk. */
struct disk *joined_disk_other(struct disk *disk);

#endif
