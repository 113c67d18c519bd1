/* The event stream, as JetStream with one durable pull consumer behaves: it refuses what is not
 * fenced right, knows the ids of what it has, delivers again what is not acknowledged in time, and
 * when it dies loses what it had not flushed, or everything. Between it and the publisher lies a
 * network that is slow, drops events and acknowledgements, and breaks. */
#ifndef WAYBILL_SIM_STREAM_H
#define WAYBILL_SIM_STREAM_H

#include "metadata-svc/publish/event_sink.h"

struct sim_stream;

struct sim_stream *sim_stream_new(void);
void sim_stream_free(struct sim_stream *stream);

/* ---- publishing ---- */

struct event_sink sim_stream_sink(struct sim_stream *stream);
/* Changes with each connection that the publisher got. */
unsigned sim_stream_connection(const struct sim_stream *stream);

/* ---- consuming ---- */

struct sim_delivery {
    uint64_t sequence;
    unsigned consumer; /* which life of the consumer gave it */
    unsigned count;
    int64_t store_us;
    struct bytes body; /* valid until the end of the run */
};

enum { SIM_ACK_WAIT_MS = 5000, SIM_ACK_PENDING_MAX = 24 };

/* What there is to deliver, at most `max`; -1 when the stream is not there. Takes time. */
int sim_stream_fetch(struct sim_stream *stream, struct sim_delivery *deliveries, int max);
/* The same, as object-svc's ingest knows them; `given_up` is told of those that are not to come again. */
struct stream_delivery;
typedef void sim_given_up(void *self, const struct stream_delivery *delivery);
int sim_stream_deliver(struct sim_stream *stream, struct stream_delivery **deliveries, int max, sim_given_up *given_up,
                       void *self);
void sim_stream_ack(struct sim_stream *stream, const struct sim_delivery *delivery);
void sim_stream_nak(struct sim_stream *stream, const struct sim_delivery *delivery, int64_t delay_ms);
void sim_stream_in_progress(struct sim_stream *stream, const struct sim_delivery *delivery);

/* ---- faults ---- */

/* In a thousand: events and answers that are lost on their way. */
void sim_stream_set_losses(struct sim_stream *stream, unsigned per_mille);
void sim_stream_break_connection(struct sim_stream *stream);
/* It dies, and with it what it got in the last `unflushed_us`; it comes back after `down_us`. */
void sim_stream_crash(struct sim_stream *stream, int64_t unflushed_us, int64_t down_us);
/* Its consumer is made anew, some way back: events come again that were acknowledged. */
void sim_stream_reset_consumer(struct sim_stream *stream);
/* Somebody else writes messages, which are no events. */
void sim_stream_intrude(struct sim_stream *stream, unsigned count);
/* Its disk is lost. */
void sim_stream_wipe(struct sim_stream *stream, int64_t down_us);

/* For planted bugs. */
void sim_stream_forget_end(struct sim_stream *stream);     /* sync tells what was once published */
void sim_stream_stop_at_others(struct sim_stream *stream); /* sync finds no event behind other messages */
void sim_stream_take_all(struct sim_stream *stream);       /* no fencing, and no ids known */
void sim_stream_ack_early(struct sim_stream *stream);      /* what is delivered is acknowledged */
void sim_stream_ack_naks(struct sim_stream *stream);       /* so is what was not */

/* ---- what it holds ---- */

size_t sim_stream_count(struct sim_stream *stream);
/* Those that are events. */
size_t sim_stream_events(struct sim_stream *stream);
/* 0 for one that is no event. */
int64_t sim_stream_revision_at(const struct sim_stream *stream, size_t index);
struct bytes sim_stream_event_at(const struct sim_stream *stream, size_t index);
/* Deliveries that are due or under way, and events not delivered yet. */
unsigned sim_stream_undelivered(struct sim_stream *stream);

#endif
