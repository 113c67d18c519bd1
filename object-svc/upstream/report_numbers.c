#include "object-svc/upstream/report_numbers.h"

#include <stdlib.h>
#include <string.h>

/* `last` is at least this from now on. */
static void raise(struct report_numbers *numbers, int64_t least) {
    int64_t last = atomic_load(&numbers->last);
    while (last < least && !atomic_compare_exchange_weak(&numbers->last, &last, least)) {
    }
}

int64_t report_numbers_next(struct report_numbers *numbers) {
    raise(numbers, clock_unix_us(numbers->clock));
    return atomic_fetch_add(&numbers->last, 1) + 1;
}

void report_numbers_learn(struct report_numbers *numbers, struct error *error) {
    if (strcmp(error->reason, "REPORT_LATE") == 0) {
        raise(numbers, strtoll(error->detail_value, NULL, 10));
        error->code = ERROR_UNAVAILABLE;
    }
}
