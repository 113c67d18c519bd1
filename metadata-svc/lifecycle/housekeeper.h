/* What time alone makes necessary: change-log entries that are published and old are trimmed,
 * request ids whose time is over are forgotten. One thread, in bounded steps, never in the
 * way of a commit. */
#ifndef WAYBILL_LIFECYCLE_HOUSEKEEPER_H
#define WAYBILL_LIFECYCLE_HOUSEKEEPER_H

#include "common/base/clock.h"
#include "metadata-svc/store/kv.h"

struct housekeeper;

struct housekeeper_options {
    int64_t change_log_retention_us;
    const struct clock *clock;
    /* The newest revision that is published: only what is older may be trimmed. Any thread. */
    int64_t (*published_revision)(void *self);
    void *self;
};

struct housekeeper *housekeeper_start(struct kv *kv, const struct housekeeper_options *options);
void housekeeper_stop(struct housekeeper *housekeeper);

#endif
