/* How fast a snapshot goes: as many bytes a second at most, spread evenly, so that reading,
 * checksumming and sending them leaves processor and disk to commits. A plain value, for one
 * thread. */
#ifndef WAYBILL_SNAPSHOT_SNAPSHOT_PACE_H
#define WAYBILL_SNAPSHOT_SNAPSHOT_PACE_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/clock.h"

struct snapshot_pace {
    const struct clock *clock;
    int64_t bytes_per_second; /* 0: no limit */
    int64_t due_us;           /* when the next bytes may go; on the monotonic clock */
};

/* Notes that bytes went; how many milliseconds to wait before the next ones. Time that was lost
 * is not made up for. */
int64_t snapshot_pace_after(struct snapshot_pace *pace, size_t bytes);

#endif
