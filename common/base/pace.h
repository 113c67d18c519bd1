/* How fast work in the background goes: as many bytes a second at most, spread evenly, so that
 * it leaves processor and disk to what clients wait for. A plain value, for one thread. */
#ifndef WAYBILL_BASE_PACE_H
#define WAYBILL_BASE_PACE_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/clock.h"

struct pace {
    const struct clock *clock;
    int64_t bytes_per_second; /* 0: no limit */
    int64_t due_us;           /* when the next bytes may go; on the monotonic clock */
};

/* Notes that bytes went; how many milliseconds to wait before the next ones. Time that was lost
 * is not made up for. */
int64_t pace_after(struct pace *pace, size_t bytes);

#endif
