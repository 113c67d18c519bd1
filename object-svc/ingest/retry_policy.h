/* When a payload that could not be stored is tried again, and when it is given up. Pure: no
 * clock, no I/O; the jitter comes from a seed.
 *
 * What was in the way decides, not how often the event was delivered:
 *
 *   throttled   somebody is full or busy: wait as long as they ask for
 *   outage      somebody is away, or this replica's own disk is unwell: wait
 *   transient   it went wrong for this payload and may go well the next time: a number of attempts
 *   permanent   what is stored is damaged, or nobody can understand it: a few attempts
 *
 * The first two are nobody's fault who waits, so they use no attempts up: the payload's
 * deadline, which metadata-svc keeps, ends them. */
#ifndef WAYBILL_INGEST_RETRY_POLICY_H
#define WAYBILL_INGEST_RETRY_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/error.h"

enum retry_class { RETRY_THROTTLED, RETRY_OUTAGE, RETRY_TRANSIENT, RETRY_PERMANENT };

/* What was at work when it went wrong. */
enum retry_place {
    RETRY_PLACE_UPSTREAM, /* metadata-svc: pulling or reporting */
    RETRY_PLACE_HERE,     /* this replica's hot store */
};

struct retry_policy {
    int64_t first_ms;   /* the longest first delay; doubles with every attempt */
    int64_t longest_ms; /* no delay is longer */
    uint64_t attempts;  /* at a transient fault; 0: no limit, at a permanent one neither */
};

enum { RETRY_PERMANENT_ATTEMPTS = 3 }; /* or `attempts`, if that is fewer */

struct retry_decision {
    bool give_up;
    int64_t delay_ms; /* where it is not given up */
};

enum retry_class retry_class_of(const struct error *error, enum retry_place place);
const char *retry_class_name(enum retry_class fault);
/* Whether a fault of this class uses an attempt up. */
bool retry_class_counts(enum retry_class fault);

/* `attempt` is the one that failed, from 1. A delay is at least half of the longest that it may
 * be: full growth and half jitter, so that replicas do not march in step. What the other side
 * asked for (error.retry_after_ms) is waited for, too, up to the policy's longest. */
struct retry_decision retry_decide(const struct retry_policy *policy, enum retry_class fault, const struct error *error,
                                   uint64_t attempt, unsigned *seed);

#endif
