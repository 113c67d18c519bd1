/* What time alone makes necessary: change-log entries that are published and old are trimmed,
 * with them the request ids that they answer, objects to drop that nobody comes for are forgotten, timers that are due
 * go to the committer, uploads that nobody went on with are given up. One thread, in bounded steps, so that a commit
 * never waits for more than one step.
 */
#ifndef WAYBILL_LIFECYCLE_HOUSEKEEPER_H
#define WAYBILL_LIFECYCLE_HOUSEKEEPER_H

#include "common/base/clock.h"
#include "metadata-svc/commit/committer.h"
#include "metadata-svc/spool/payload_spool.h"
#include "metadata-svc/store/kv.h"
#include "metadata-svc/store/store_room.h"

struct housekeeper;

struct housekeeper_options {
    int64_t change_log_retention_us;
    int64_t object_drop_retention_us;
    const struct clock *clock;
    struct committer *committer; /* takes what is due */
    struct payload_spool *spool;
    struct store_room *room; /* looked at in every round */
    unsigned redrives_per_second;
    /* Whether an object-svc is there: with none, no payload is announced again. */
    bool (*objects_served)(void *self);
    /* What was due is done and durable. */
    void (*settle)(void *self, const struct commit_request *request);
    /* The newest revision that is published: only what is older may be trimmed. Any thread. */
    int64_t (*published_revision)(void *self);
    void *self;
};

struct housekeeper *housekeeper_start(struct kv *kv, const struct housekeeper_options *options);
void housekeeper_stop(struct housekeeper *housekeeper);

#endif
