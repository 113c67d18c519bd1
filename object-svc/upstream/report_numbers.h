/* Numbers what this replica reports, in the order in which it is sent, so that metadata-svc can tell what comes late
 * (report_service.proto). The clock makes them go on above those from before a restart; where it went back,
 * metadata-svc tells what to count on from. Any thread. */
#ifndef WAYBILL_UPSTREAM_REPORT_NUMBERS_H
#define WAYBILL_UPSTREAM_REPORT_NUMBERS_H

#include <stdatomic.h>

#include "common/base/clock.h"
#include "common/base/error.h"

struct report_numbers {
    const struct clock *clock;
    _Atomic int64_t last;
};

/* The next number; take it last before sending. */
int64_t report_numbers_next(struct report_numbers *numbers);
/* Looks at why a report failed. One that was late is UNAVAILABLE for who sent it: he looks again at
 * what he has, and the next number is high enough. */
void report_numbers_learn(struct report_numbers *numbers, struct error *error);

#endif
