/* Runs scrubs in the background, one at a time: on demand, and by itself every interval. Keeps
 * what the last ones found. Any thread may start one and ask. */
#ifndef WAYBILL_SCRUB_SCRUBBER_H
#define WAYBILL_SCRUB_SCRUBBER_H

#include "common/observe/metrics.h"
#include "object-svc/scrub/scrub_core.h"

enum { SCRUBS_KEPT = 4 };

struct scrubber;

struct scrubber_options {
    struct scrub_ports ports; /* `stop` and `found` are the scrubber's own */
    struct metrics *metrics;
    int64_t interval_ms; /* 0: only on demand. The first one begins an eighth of it after the start */
    int64_t bytes_per_second;
    int64_t confirm_ms;
};

struct scrubber *scrubber_start(const struct scrubber_options *options);
/* Gives up the one that is under way. */
void scrubber_stop(struct scrubber *scrubber);

/* How a scrub is doing; a plain value. */
struct scrub_status {
    struct uuid id;
    struct scrub_options options;
    struct scrub_counts counts;
    int64_t start_us;
    int64_t end_us;     /* 0: it goes on */
    struct error error; /* why it ended early */
};

/* Starts one; bytes_per_second 0 means that of the scrubber. FAILED_PRECONDITION, SCRUB_RUNNING
 * (detail `scrub_id`) where one is under way. */
bool scrubber_begin(struct scrubber *scrubber, const struct scrub_options *options, struct uuid *id,
                    struct error *error);
/* A zero id means the newest. NOT_FOUND, SCRUB_NOT_FOUND. Copies up to `max` findings from number
 * `first` on; `count` tells how many. */
bool scrubber_get(struct scrubber *scrubber, const struct uuid *id, size_t first, struct scrub_finding *findings,
                  size_t max, struct scrub_status *status, size_t *count, struct error *error);

#endif
