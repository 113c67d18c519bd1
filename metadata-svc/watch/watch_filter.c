#include "metadata-svc/watch/watch_filter.h"

#include <string.h>

struct change_subject change_subject_of(const Waybill__V1__ChangeEvent *event) {
    struct change_subject subject = {.bucket = "", .key = "", .type = event->type};
    if (event->record != NULL) {
        subject.bucket = event->record->bucket;
        subject.key = event->record->key;
    } else if (event->bucket != NULL) {
        subject.bucket = event->bucket->name;
    }
    return subject;
}

static bool type_wanted(const struct watch_filter *filter, Waybill__V1__ChangeType type) {
    for (size_t i = 0; i < filter->type_count; i++) {
        if (filter->types[i] == type) {
            return true;
        }
    }
    return filter->type_count == 0;
}

bool watch_filter_matches(const struct watch_filter *filter, const struct change_subject *change) {
    return (filter->bucket[0] == '\0' || strcmp(filter->bucket, change->bucket) == 0) &&
           strncmp(change->key, filter->key_prefix, strlen(filter->key_prefix)) == 0 &&
           type_wanted(filter, change->type);
}
