/* The event publisher: one thread that drives publisher_core between the change log and
 * JetStream's stream WAYBILL_CHANGES_<shard>. */
#ifndef WAYBILL_PUBLISH_EVENT_PUBLISHER_H
#define WAYBILL_PUBLISH_EVENT_PUBLISHER_H

#include "common/base/clock.h"
#include "metadata-svc/publish/change_reader.h"

struct event_publisher;

struct event_publisher_options {
    const char *shard; /* outlives the publisher */
    const char *nats_url;
    unsigned window; /* events on their way at most */
    int64_t stream_max_bytes;
    int64_t stream_max_age_ms;
    const struct clock *clock;
    /* Whether events flow, for health; on the publisher's thread. */
    void (*on_state)(void *self, bool publishing);
    void *self;
};

/* A NATS that is away is no failure: events wait in the log. */
struct event_publisher *event_publisher_start(struct change_reader reader,
                                              const struct event_publisher_options *options, struct error *error);
/* There is more to publish. Any thread. */
void event_publisher_notify(struct event_publisher *publisher);
/* The newest revision that the stream is known to have. Any thread. */
int64_t event_publisher_published_revision(const struct event_publisher *publisher);
bool event_publisher_connected(const struct event_publisher *publisher);
uint64_t event_publisher_rewinds(const struct event_publisher *publisher);
/* Gives what is under way a moment to be acknowledged. NULL is fine. */
void event_publisher_stop(struct event_publisher *publisher);

#endif
