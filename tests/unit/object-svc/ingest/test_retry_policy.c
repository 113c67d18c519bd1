// rooms: object_ingest
#include <criterion/criterion.h>

#include <stdlib.h>

#include "object-svc/ingest/retry_policy.h"

static const struct retry_policy policy = {.first_ms = 100, .longest_ms = 30000, .attempts = 12};
static const struct error no_error;

static enum retry_class upstream(enum error_code code) {
    struct error error = {.code = code};
    return retry_class_of(&error, RETRY_PLACE_UPSTREAM);
}

static enum retry_class here(enum error_code code, const char *reason) {
    struct error error;
    error_set(&error, code, reason, "x");
    return retry_class_of(&error, RETRY_PLACE_HERE);
}

Test(retry_policy, metadata_svc_away_or_busy_is_no_fault_of_a_payload) {
    cr_assert_eq(upstream(ERROR_UNAVAILABLE), RETRY_OUTAGE);
    cr_assert_eq(upstream(ERROR_DEADLINE_EXCEEDED), RETRY_OUTAGE);
    cr_assert_eq(upstream(ERROR_UNAUTHENTICATED), RETRY_OUTAGE);
    cr_assert_eq(upstream(ERROR_RESOURCE_EXHAUSTED), RETRY_THROTTLED);
    cr_assert_not(retry_class_counts(RETRY_OUTAGE));
    cr_assert_not(retry_class_counts(RETRY_THROTTLED));
}

Test(retry_policy, damaged_bytes_are_permanent_and_odd_failures_transient) {
    cr_assert_eq(upstream(ERROR_DATA_LOSS), RETRY_PERMANENT);
    cr_assert_eq(upstream(ERROR_FAILED_PRECONDITION), RETRY_PERMANENT);
    cr_assert_eq(upstream(ERROR_INTERNAL), RETRY_TRANSIENT);
    cr_assert_eq(upstream(ERROR_UNKNOWN), RETRY_TRANSIENT);
}

Test(retry_policy, an_unwell_disk_of_this_replica_is_no_fault_of_a_payload) {
    cr_assert_eq(here(ERROR_INTERNAL, "IO_ERROR"), RETRY_OUTAGE);
    cr_assert_eq(here(ERROR_DATA_LOSS, "OBJECT_INDEX_CORRUPT"), RETRY_OUTAGE);
    cr_assert_eq(here(ERROR_UNAVAILABLE, "HOT_STORE_READ_ONLY"), RETRY_OUTAGE);
    cr_assert_eq(here(ERROR_RESOURCE_EXHAUSTED, "HOT_STORE_FULL"), RETRY_THROTTLED);
    cr_assert_eq(here(ERROR_DATA_LOSS, "PAYLOAD_CORRUPT"), RETRY_PERMANENT);
    cr_assert_eq(here(ERROR_INVALID_ARGUMENT, "DESCRIPTOR_TOO_LARGE"), RETRY_PERMANENT);
}

Test(retry_policy, what_waits_for_others_is_never_given_up) {
    unsigned seed = 1;
    for (uint64_t attempt = 1; attempt < 5000; attempt++) {
        cr_assert_not(retry_decide(&policy, RETRY_OUTAGE, &no_error, attempt, &seed).give_up);
        cr_assert_not(retry_decide(&policy, RETRY_THROTTLED, &no_error, attempt, &seed).give_up);
    }
}

Test(retry_policy, a_transient_fault_has_its_attempts_and_a_permanent_one_few) {
    unsigned seed = 1;
    cr_assert_not(retry_decide(&policy, RETRY_TRANSIENT, &no_error, 11, &seed).give_up);
    cr_assert(retry_decide(&policy, RETRY_TRANSIENT, &no_error, 12, &seed).give_up);
    cr_assert_not(retry_decide(&policy, RETRY_PERMANENT, &no_error, 2, &seed).give_up);
    cr_assert(retry_decide(&policy, RETRY_PERMANENT, &no_error, 3, &seed).give_up);
    struct retry_policy strict = policy;
    strict.attempts = 1;
    cr_assert(retry_decide(&strict, RETRY_PERMANENT, &no_error, 1, &seed).give_up);
}

Test(retry_policy, without_a_limit_nothing_is_given_up) {
    struct retry_policy patient = policy;
    unsigned seed = 1;
    patient.attempts = 0;
    cr_assert_not(retry_decide(&patient, RETRY_TRANSIENT, &no_error, UINT64_MAX, &seed).give_up);
    cr_assert_not(retry_decide(&patient, RETRY_PERMANENT, &no_error, UINT64_MAX, &seed).give_up);
}

Test(retry_policy, delays_double_up_to_the_longest_with_jitter_of_a_half) {
    static const int64_t longest[] = {100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000};
    for (unsigned seed = 0; seed < 200; seed++) {
        for (uint64_t attempt = 1; attempt <= sizeof longest / sizeof longest[0]; attempt++) {
            unsigned jitter = seed;
            int64_t delay = retry_decide(&policy, RETRY_TRANSIENT, &no_error, attempt, &jitter).delay_ms;
            int64_t most = longest[attempt - 1];
            cr_assert(delay >= most / 2 && delay <= most, "%lld at attempt %llu", (long long)delay,
                      (unsigned long long)attempt);
        }
    }
}

Test(retry_policy, jitter_spreads_what_failed_together) {
    unsigned seed = 7;
    int64_t least = INT64_MAX;
    int64_t most = 0;
    for (int i = 0; i < 200; i++) {
        int64_t delay = retry_decide(&policy, RETRY_OUTAGE, &no_error, 20, &seed).delay_ms;
        least = delay < least ? delay : least;
        most = delay > most ? delay : most;
    }
    cr_assert(most - least > 10000, "from %lld to %lld", (long long)least, (long long)most);
}

Test(retry_policy, the_same_seed_gives_the_same_delays) {
    unsigned one = 42;
    unsigned other = 42;
    for (uint64_t attempt = 1; attempt < 50; attempt++) {
        cr_assert_eq(retry_decide(&policy, RETRY_OUTAGE, &no_error, attempt, &one).delay_ms,
                     retry_decide(&policy, RETRY_OUTAGE, &no_error, attempt, &other).delay_ms);
    }
}

Test(retry_policy, a_pause_that_was_asked_for_is_made_within_the_longest) {
    struct error error = {.retry_after_ms = 5000};
    unsigned seed = 1;
    cr_assert_geq(retry_decide(&policy, RETRY_THROTTLED, &error, 1, &seed).delay_ms, 5000);
    error.retry_after_ms = INT64_MAX;
    cr_assert_eq(retry_decide(&policy, RETRY_THROTTLED, &error, 1, &seed).delay_ms, policy.longest_ms);
}
