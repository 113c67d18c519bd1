/* Which changes a watch wants to see. */
#ifndef WAYBILL_WATCH_WATCH_FILTER_H
#define WAYBILL_WATCH_WATCH_FILTER_H

#include <stdbool.h>
#include <stddef.h>

#include "waybill/v1/event.pb-c.h"

struct watch_filter {
    const char *bucket;     /* "" for all */
    const char *key_prefix; /* "" for all */
    const Waybill__V1__ChangeType *types;
    size_t type_count; /* 0 for all */
};

/* What of a change the filter looks at. */
struct change_subject {
    const char *bucket;
    const char *key; /* "" for a change of a bucket */
    Waybill__V1__ChangeType type;
};

/* Borrowed from the event. */
struct change_subject change_subject_of(const Waybill__V1__ChangeEvent *event);
bool watch_filter_matches(const struct watch_filter *filter, const struct change_subject *change);

#endif
