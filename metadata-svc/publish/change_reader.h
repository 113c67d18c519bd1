/* The outbox as the publisher sees it: the change log, or a simulator's stand-in. */
#ifndef WAYBILL_PUBLISH_CHANGE_READER_H
#define WAYBILL_PUBLISH_CHANGE_READER_H

#include "common/base/bytes.h"
#include "common/base/error.h"
#include "metadata-svc/store/kv.h"

struct change_reader {
    /* Oldest and newest durable revision; 0 and 0 for none. */
    bool (*bounds)(void *self, int64_t *oldest, int64_t *newest, struct error *error);
    /* Visits encoded ChangeEvents from `revision` on, in order, until the visitor returns false. */
    bool (*read)(void *self, int64_t revision, bool (*visit)(void *context, int64_t revision, struct bytes event),
                 void *context, struct error *error);
    void *self;
};

/* The change log in the record store. */
struct change_reader change_log_reader(struct kv *kv);

#endif
