/* The event publisher: one thread that drives publisher_core between the change log and
 * JetStream's stream WAYBILL_CHANGES_<shard>. */
#ifndef WAYBILL_PUBLISH_EVENT_PUBLISHER_H
#define WAYBILL_PUBLISH_EVENT_PUBLISHER_H

#include "common/base/clock.h"
#include "metadata-svc/publish/change_reader.h"
#include "metadata-svc/publish/publisher_core.h"

struct event_publisher;

struct event_publisher_options {
    const char *shard; /* outlives the publisher */
    const char *nats_url;
    unsigned window; /* events on their way at most */
    int64_t stream_max_bytes;
    int64_t stream_max_age_ms;
    const struct clock *clock;
    /* Whether events flow, for health; on the publisher's thread. May be NULL. */
    void (*on_state)(void *self, bool publishing);
    void *self;
};

/* A NATS that is away is no failure: events wait in the log. */
struct event_publisher *event_publisher_start(struct change_reader reader,
                                              const struct event_publisher_options *options, struct error *error);
/* There is more to publish. Any thread. */
void event_publisher_notify(struct event_publisher *publisher);
/* The rest is for any thread. The newest revision that the stream is known to have, with all
 * below it; only below that may the change log be trimmed. Before the stream was ever asked it
 * is the newest one that the log no longer has. Goes back when the stream lost events. */
int64_t event_publisher_published_revision(const struct event_publisher *publisher);
bool event_publisher_connected(const struct event_publisher *publisher);
/* FENCED needs an operator; the log line `events_fenced` says what to do. */
enum publisher_state event_publisher_state(const struct event_publisher *publisher);
/* Events acknowledged since the start, those published again included. */
uint64_t event_publisher_published_total(const struct event_publisher *publisher);
/* How often the stream lacked events that had been sent, so that they were sent again. */
uint64_t event_publisher_rewinds(const struct event_publisher *publisher);
/* Events on their way. */
unsigned event_publisher_in_flight(const struct event_publisher *publisher);
/* Gives what is under way a moment to be acknowledged. NULL is fine. */
void event_publisher_stop(struct event_publisher *publisher);

#endif
