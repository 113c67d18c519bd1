#include "object-svc/ingest/retry_policy.h"

#include <stdlib.h>
#include <string.h>

#include "object-svc/upstream/payload_source.h"

/* The hot store blames the payload by these; for all else it is unwell itself. */
static enum retry_class class_of_hot_fault(const struct error *error) {
    bool bad_bytes = error->code == ERROR_DATA_LOSS && strcmp(error->reason, "PAYLOAD_CORRUPT") == 0;
    if (bad_bytes || error->code == ERROR_INVALID_ARGUMENT) {
        return RETRY_PERMANENT;
    }
    return error->code == ERROR_RESOURCE_EXHAUSTED ? RETRY_THROTTLED : RETRY_OUTAGE;
}

enum retry_class retry_class_of(const struct error *error, enum retry_place place) {
    if (place == RETRY_PLACE_HERE) {
        return class_of_hot_fault(error);
    }
    if (strcmp(error->reason, PULL_GARBLED) == 0) {
        return RETRY_TRANSIENT;
    }
    switch (error->code) {
    case ERROR_RESOURCE_EXHAUSTED:
        return RETRY_THROTTLED;
    case ERROR_UNAVAILABLE:
    case ERROR_DEADLINE_EXCEEDED:
    case ERROR_CANCELLED:
    /* Credentials that do not fit fit no payload. */
    case ERROR_UNAUTHENTICATED:
    case ERROR_PERMISSION_DENIED:
        return RETRY_OUTAGE;
    case ERROR_DATA_LOSS:
    case ERROR_INVALID_ARGUMENT:
    case ERROR_FAILED_PRECONDITION:
    case ERROR_OUT_OF_RANGE:
    case ERROR_ALREADY_EXISTS:
    case ERROR_UNIMPLEMENTED:
        return RETRY_PERMANENT;
    default:
        return RETRY_TRANSIENT;
    }
}

const char *retry_class_name(enum retry_class fault) {
    static const char *const names[] = {"throttled", "outage", "transient", "permanent"};
    return names[fault];
}

bool retry_class_counts(enum retry_class fault) {
    return fault == RETRY_TRANSIENT || fault == RETRY_PERMANENT;
}

static bool is_used_up(const struct retry_policy *policy, enum retry_class fault, uint64_t attempt) {
    if (policy->attempts == 0 || !retry_class_counts(fault)) {
        return false;
    }
    bool few = fault == RETRY_PERMANENT && policy->attempts > RETRY_PERMANENT_ATTEMPTS;
    return attempt >= (few ? (uint64_t)RETRY_PERMANENT_ATTEMPTS : policy->attempts);
}

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t delay_of(const struct retry_policy *policy, uint64_t attempt, unsigned *seed) {
    int64_t longest = policy->first_ms;
    for (uint64_t i = 1; i < attempt && longest < policy->longest_ms; i++) {
        longest *= 2;
    }
    longest = least(longest, policy->longest_ms);
    return longest - (int64_t)rand_r(seed) % (longest / 2 + 1);
}

struct retry_decision retry_decide(const struct retry_policy *policy, enum retry_class fault, const struct error *error,
                                   uint64_t attempt, unsigned *seed) {
    if (is_used_up(policy, fault, attempt)) {
        return (struct retry_decision){.give_up = true};
    }
    int64_t delay_ms = delay_of(policy, attempt, seed);
    int64_t asked_ms = least(error->retry_after_ms, policy->longest_ms);
    return (struct retry_decision){.delay_ms = delay_ms > asked_ms ? delay_ms : asked_ms};
}
