/* When hot objects were last read, about: for finding those that nobody uses.
 *
 * A table of READ_TIMES_SLOTS seconds, one per object, by its payload id. Objects that fall upon the
 * same slot share it, so one may seem to be read that was not: it then stays hot a little longer,
 * and memory has a bound. The table is written to a file now and then, so that a restart loses the
 * newest reads at most. docs/formats/read-times.md describes it. Any thread. */
#ifndef WAYBILL_TIER_READ_TIMES_H
#define WAYBILL_TIER_READ_TIMES_H

#include "common/base/disk.h"
#include "common/base/uuid.h"

enum { READ_TIMES_SLOTS = 1 << 18 };

struct read_times;

/* Reads the file of an earlier run; one that is missing or damaged counts as empty. The disk is
 * borrowed. */
struct read_times *read_times_open(struct disk *disk);
void read_times_free(struct read_times *times); /* NULL is fine */
void read_times_note(struct read_times *times, const struct uuid *payload_id, int64_t now_unix_us);
/* 0: never, as far as is known. */
int64_t read_times_get(const struct read_times *times, const struct uuid *payload_id);
/* Writes the file anew, whole or not at all; not synced, since nothing depends on it. */
bool read_times_save(const struct read_times *times, struct error *error);

#endif
