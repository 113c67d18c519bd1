#include "common/stream/stream_consumer.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/stream/stream_landmarks.h"
#include "common/stream/stream_pull.h"
#include "common/stream/stuck_watch.h"

enum {
    /* A request that a restarting server forgot is missed for no longer than this. */
    REQUEST_MS = 2000,
    IDLE_CHECK_US = 2000000, /* how often an idle consumer's place is checked */
    DOUBT_CHECK_US = 250000, /* ... and one that may be wrong, after it was looked at once */
    /* Checks in a row that a slow server may leave unanswered before that is an error. */
    UNANSWERED_MAX = 3,
    EARLY_US = 50000, /* a request that is over so long before its time was not waited for */
    NS_PER_MS = 1000000,
};

struct stream_consumer {
    struct stream_connection *connection;
    struct stream_consumer_options options;
    struct stream_pull *pull; /* NULL: to be opened */
    struct stream_landmarks landmarks;
    struct stuck_watch stuck;
    int64_t checked_us;
    uint64_t checked_reconnects; /* of the connection, when the place was good; more: it is in doubt */
    uint64_t looked_reconnects;  /* ... when it was last looked at */
    unsigned unanswered;         /* checks in a row that took too long */
    bool in_touch;               /* the server answered since checks went unanswered */
    bool idle;                   /* the last request brought nothing */
    _Atomic uint64_t resets;
};

struct stream_delivery {
    struct stream_connection *connection;
    natsMsg *message;
    uint64_t count;
    uint64_t sequence;
    uint64_t pending;
    int64_t time_ns;
};

struct stream_consumer *stream_consumer_new(struct stream_connection *connection,
                                            const struct stream_consumer_options *options) {
    struct stream_consumer *consumer = calloc(1, sizeof *consumer);
    if (consumer == NULL) {
        abort();
    }
    consumer->connection = connection;
    consumer->options = *options;
    consumer->looked_reconnects = UINT64_MAX;
    consumer->checked_reconnects = UINT64_MAX; /* it is not known where others left the consumer */
    return consumer;
}

static void drop_pull(struct stream_consumer *consumer) {
    stream_pull_close(consumer->pull);
    consumer->pull = NULL;
}

void stream_consumer_free(struct stream_consumer *consumer) {
    if (consumer != NULL) {
        drop_pull(consumer);
        free(consumer);
    }
}

uint64_t stream_consumer_resets(const struct stream_consumer *consumer) {
    return atomic_load(&consumer->resets);
}

/* ---- time: no call may wait longer than the fetch that it serves ---- */

static int64_t now_us(void) {
    return clock_monotonic_us(&system_clock);
}

static int64_t left_ms(int64_t until_us) {
    int64_t left = (until_us - now_us()) / 1000;
    return left > 1 ? left : 1;
}

static jsOptions within(int64_t until_us) {
    jsOptions options;
    jsOptions_Init(&options);
    options.Wait = left_ms(until_us) < REQUEST_MS ? left_ms(until_us) : REQUEST_MS;
    return options;
}

/* ---- the consumer in the server ---- */

static void fill_config(const struct stream_consumer_options *options, jsConsumerConfig *config) {
    config->AckWait = options->ack_wait_ms * NS_PER_MS;
    config->MaxDeliver = options->max_deliver != 0 ? options->max_deliver : -1;
    config->MaxAckPending = options->max_ack_pending;
    config->FilterSubject = options->filter;
}

/* With its place at `start` (0: the stream's first). */
static natsStatus add_consumer(struct stream_consumer *consumer, uint64_t start, int64_t until_us, jsErrCode *code) {
    jsOptions within_time = within(until_us);
    jsConsumerConfig config;
    jsConsumerConfig_Init(&config);
    config.Durable = consumer->options.durable;
    config.AckPolicy = js_AckExplicit;
    config.DeliverPolicy = start > 0 ? js_DeliverByStartSequence : js_DeliverAll;
    config.OptStartSeq = start;
    fill_config(&consumer->options, &config);
    return js_AddConsumer(NULL, stream_connection_jetstream(consumer->connection), consumer->options.stream, &config,
                          &within_time, code);
}

static bool same_filter(const struct stream_consumer_options *options, const jsConsumerConfig *found) {
    return strcmp(options->filter, found->FilterSubject != NULL ? found->FilterSubject : "") == 0;
}

static bool options_match(const struct stream_consumer_options *options, const jsConsumerConfig *found) {
    jsConsumerConfig config = *found;
    fill_config(options, &config);
    return config.AckWait == found->AckWait && config.MaxDeliver == found->MaxDeliver &&
           config.MaxAckPending == found->MaxAckPending && same_filter(options, found);
}

/* A consumer that was made with other options follows ours. */
static natsStatus follow_options(struct stream_consumer *consumer, const jsConsumerInfo *info, int64_t until_us,
                                 jsErrCode *code) {
    const jsConsumerConfig *found = info->Config;
    jsConsumerConfig config = *found;
    fill_config(&consumer->options, &config);
    if (options_match(&consumer->options, found)) {
        return NATS_OK;
    }
    jsOptions within_time = within(until_us);
    return js_UpdateConsumer(NULL, stream_connection_jetstream(consumer->connection), consumer->options.stream, &config,
                             &within_time, code);
}

/* Makes it where it is missing. */
static natsStatus have_consumer(struct stream_consumer *consumer, int64_t until_us, jsErrCode *code) {
    jsOptions within_time = within(until_us);
    jsConsumerInfo *info = NULL;
    natsStatus status = js_GetConsumerInfo(&info, stream_connection_jetstream(consumer->connection),
                                           consumer->options.stream, consumer->options.durable, &within_time, code);
    if (status == NATS_OK) {
        status = follow_options(consumer, info, until_us, code);
    } else if (*code == JSConsumerNotFoundErr) {
        *code = 0;
        consumer->landmarks.count = 0;
        status = add_consumer(consumer, 0, until_us, code);
    }
    jsConsumerInfo_Destroy(info);
    return status;
}

static bool open_pull(struct stream_consumer *consumer, int64_t until_us, struct error *error) {
    const struct stream_consumer_options *options = &consumer->options;
    jsErrCode code = 0;
    natsStatus status = have_consumer(consumer, until_us, &code);
    if (status != NATS_OK) {
        return stream_set_error(error, status, code, "subscribing to the event stream");
    }
    consumer->pull = stream_pull_open(consumer->connection, options->stream, options->durable, STREAM_FETCH_MAX, error);
    return consumer->pull != NULL;
}

/* ---- its place in the stream ---- */

enum place {
    PLACE_GOOD,
    PLACE_IN_DOUBT,  /* the stream is shorter than it was; what it will be filled with decides */
    PLACE_LOST,      /* there is no consumer any more, or not as it was made, or it is stuck */
    PLACE_FOREIGN,   /* somebody made another consumer of its name, or it stays stuck: to be made anew */
    PLACE_REWRITTEN, /* the stream has other messages where some were delivered, or may get them */
};

/* Whether the landmark is what it was; one that was removed tells nothing. */
static natsStatus compare_landmark(struct stream_consumer *consumer, const struct stream_landmark *landmark,
                                   int64_t until_us, bool *same, jsErrCode *code) {
    jsOptions within_time = within(until_us);
    natsMsg *message = NULL;
    const char *id = "";
    *same = true;
    natsStatus status = js_GetMsg(&message, stream_connection_jetstream(consumer->connection), consumer->options.stream,
                                  landmark->sequence, &within_time, code);
    if (status == NATS_OK && landmark->message_id[0] != '\0') {
        natsMsgHeader_Get(message, "Nats-Msg-Id", &id);
        *same = strncmp(id, landmark->message_id, sizeof landmark->message_id - 1) == 0;
    } else if (status == NATS_OK) {
        *same = natsMsg_GetTime(message) == landmark->time_ns;
    } else if (*code == JSNoMessageFoundErr) {
        *code = 0;
        status = NATS_OK;
    }
    natsMsg_Destroy(message);
    return status;
}

/* GOOD when all landmarks are where they were, IN_DOUBT when the stream does not reach to one. */
static natsStatus find_landmarks(struct stream_consumer *consumer, const jsStreamState *stream, int64_t until_us,
                                 enum place *place, jsErrCode *code) {
    natsStatus status = NATS_OK;
    *place = PLACE_GOOD;
    for (unsigned i = 0; i < consumer->landmarks.count && status == NATS_OK && *place != PLACE_REWRITTEN; i++) {
        const struct stream_landmark *landmark = &consumer->landmarks.of[i];
        bool same = true;
        if (landmark->sequence > stream->LastSeq) {
            *place = PLACE_IN_DOUBT;
        } else {
            status = compare_landmark(consumer, landmark, until_us, &same, code);
        }
        *place = same ? *place : PLACE_REWRITTEN;
    }
    return status;
}

/* `start`: where a rewritten stream has to be delivered from; 0: its first. */
static natsStatus judge_place(struct stream_consumer *consumer, const jsConsumerInfo *info, const jsStreamState *stream,
                              int64_t until_us, enum place *place, uint64_t *start, jsErrCode *code) {
    uint64_t known = stream_landmarks_furthest(&consumer->landmarks);
    natsStatus status = find_landmarks(consumer, stream, until_us, place, code);
    *start = 0;
    if (*place == PLACE_GOOD && info->Delivered.Stream > stream->LastSeq) {
        /* What was delivered behind the landmarks, to whom it may be, is gone. */
        *place = PLACE_REWRITTEN;
        *start = known > 0 ? (info->AckFloor.Stream < known ? info->AckFloor.Stream : known) + 1 : 0;
    }
    return status;
}

/* One that is there, but does not do what it is for. `start`: from where it is to be made anew; what
 * one that somebody made with another idea acknowledged or passed over says nothing. */
static enum place judge_consumer(struct stream_consumer *consumer, const jsConsumerInfo *info, uint64_t *start) {
    const jsConsumerConfig *found = info->Config;
    bool pushes = found->DeliverSubject != NULL && found->DeliverSubject[0] != '\0';
    if (pushes || !same_filter(&consumer->options, found)) {
        *start = 0;
        return PLACE_FOREIGN;
    }
    bool room = info->NumAckPending < consumer->options.max_ack_pending;
    enum stuck_verdict verdict =
        consumer->idle ? stuck_watch_look(&consumer->stuck, info->Delivered.Consumer, info->NumPending, room)
                       : STUCK_NOT;
    if (verdict != STUCK_NOT) {
        log_warn("event_consumer_stuck", LOG_STR("consumer", consumer->options.durable),
                 LOG_INT("waiting", info->NumPending),
                 LOG_STR("hint", verdict == STUCK_RENEW ? "it is subscribed to anew" : "it is made anew"));
    }
    *start = verdict == STUCK_REMAKE ? info->AckFloor.Stream + 1 : 0;
    return verdict == STUCK_REMAKE                                               ? PLACE_FOREIGN
           : verdict == STUCK_RENEW || !options_match(&consumer->options, found) ? PLACE_LOST
                                                                                 : PLACE_GOOD;
}

/* The consumer is asked for first: a stream that grows meanwhile is never behind it. */
static natsStatus find_place(struct stream_consumer *consumer, int64_t until_us, enum place *place, uint64_t *start,
                             jsErrCode *code) {
    jsCtx *jetstream = stream_connection_jetstream(consumer->connection);
    jsOptions within_time = within(until_us);
    jsConsumerInfo *info = NULL;
    jsStreamInfo *stream = NULL;
    natsStatus status =
        js_GetConsumerInfo(&info, jetstream, consumer->options.stream, consumer->options.durable, &within_time, code);
    if (status != NATS_OK && (*code == JSConsumerNotFoundErr || *code == JSStreamNotFoundErr)) {
        *code = 0;
        *place = PLACE_LOST;
        return NATS_OK;
    }
    if (status == NATS_OK) {
        within_time = within(until_us);
        status = js_GetStreamInfo(&stream, jetstream, consumer->options.stream, &within_time, code);
    }
    if (status == NATS_OK) {
        status = judge_place(consumer, info, &stream->State, until_us, place, start, code);
    }
    if (status == NATS_OK && *place == PLACE_GOOD) {
        *place = judge_consumer(consumer, info, start);
    }
    jsConsumerInfo_Destroy(info);
    jsStreamInfo_Destroy(stream);
    return status;
}

static natsStatus reset(struct stream_consumer *consumer, enum place place, uint64_t start, int64_t until_us,
                        jsErrCode *code) {
    log_warn(place == PLACE_REWRITTEN ? "event_stream_rewritten" : "event_consumer_remade",
             LOG_STR("stream", consumer->options.stream), LOG_INT("delivered_again_from", start),
             LOG_STR("hint", place == PLACE_REWRITTEN
                                 ? "the stream lost its end; events are delivered again, which does no harm"
                                 : "the consumer did not do its work; events are delivered again, which does no harm"));
    jsOptions within_time = within(until_us);
    natsStatus status = js_DeleteConsumer(stream_connection_jetstream(consumer->connection), consumer->options.stream,
                                          consumer->options.durable, &within_time, code);
    if (status == NATS_OK) {
        atomic_fetch_add(&consumer->resets, 1);
        consumer->landmarks.count = 0;
        drop_pull(consumer);
        status = add_consumer(consumer, start, until_us, code);
    }
    return status;
}

/* Since the last check the server was away, and may have come back with another stream. */
static bool in_doubt(const struct stream_consumer *consumer) {
    return stream_connection_reconnects(consumer->connection) != consumer->checked_reconnects;
}

static bool check_is_due(const struct stream_consumer *consumer) {
    int64_t age_us = now_us() - consumer->checked_us;
    bool new_server = stream_connection_reconnects(consumer->connection) != consumer->looked_reconnects;
    bool doubt = in_doubt(consumer) || consumer->pull == NULL; /* which whatever broke has dropped */
    return new_server || (doubt && age_us >= DOUBT_CHECK_US) || (consumer->idle && age_us >= IDLE_CHECK_US);
}

static void settle(struct stream_consumer *consumer, enum place place, uint64_t reconnects) {
    consumer->looked_reconnects = reconnects;
    if (place == PLACE_GOOD) {
        stream_landmarks_settle(&consumer->landmarks);
    }
    if (place != PLACE_IN_DOUBT) {
        consumer->checked_reconnects = reconnects;
    }
}

/* Checks the place when it is in doubt, or was not looked at for a while. A check that is not
 * answered in time is made again later: messages may flow all the same. */
static bool check_place(struct stream_consumer *consumer, int64_t until_us, struct error *error) {
    if (!check_is_due(consumer)) {
        return true;
    }
    uint64_t reconnects = stream_connection_reconnects(consumer->connection);
    enum place place = PLACE_GOOD;
    uint64_t start = 0;
    jsErrCode code = 0;
    natsStatus status = find_place(consumer, until_us, &place, &start, &code);
    if (status == NATS_OK && (place == PLACE_REWRITTEN || place == PLACE_FOREIGN)) {
        status = reset(consumer, place, start, until_us, &code);
    }
    consumer->checked_us = now_us();
    if (status == NATS_TIMEOUT && ++consumer->unanswered < UNANSWERED_MAX) {
        return true;
    }
    consumer->unanswered = 0;
    consumer->in_touch = status == NATS_OK;
    if (status != NATS_OK) {
        return stream_set_error(error, status, code, "looking for the consumer's place in the stream");
    }
    if (place == PLACE_LOST) {
        drop_pull(consumer);
    }
    settle(consumer, place, reconnects);
    return true;
}

/* ---- fetching ---- */

static void note_landmark(struct stream_consumer *consumer, const struct stream_delivery *delivery) {
    struct stream_landmark landmark = {
        .sequence = delivery->sequence,
        .time_ns = delivery->time_ns,
        .era = stream_connection_reconnects(consumer->connection),
    };
    const char *id = stream_delivery_header(delivery, "Nats-Msg-Id");
    snprintf(landmark.message_id, sizeof landmark.message_id, "%s", id != NULL ? id : "");
    stream_landmarks_note(&consumer->landmarks, &landmark);
}

static struct stream_delivery *take_delivery(struct stream_consumer *consumer, natsMsg *message, jsMsgMetaData *meta) {
    struct stream_delivery *delivery = calloc(1, sizeof *delivery);
    if (delivery == NULL) {
        abort();
    }
    delivery->connection = consumer->connection;
    delivery->message = message;
    delivery->count = meta->NumDelivered;
    delivery->sequence = meta->Sequence.Stream;
    delivery->pending = meta->NumPending;
    delivery->time_ns = meta->Timestamp;
    jsMsgMetaData_Destroy(meta);
    note_landmark(consumer, delivery);
    return delivery;
}

/* Takes what comes until then; tells why no more does. */
static int take(struct stream_consumer *consumer, struct stream_delivery **deliveries, int max, int64_t until_us,
                enum pull_outcome *outcome, struct error *error) {
    int count = 0;
    *outcome = PULL_MESSAGE;
    while (count < max && *outcome == PULL_MESSAGE) {
        natsMsg *message;
        jsMsgMetaData *meta;
        int64_t wait_ms = until_us != 0 ? left_ms(until_us) : 0;
        *outcome = stream_pull_next(consumer->pull, wait_ms, &message, &meta, error);
        if (*outcome == PULL_MESSAGE) {
            deliveries[count++] = take_delivery(consumer, message, meta);
        }
    }
    return count;
}

/* One request of the server. */
static int request(struct stream_consumer *consumer, struct stream_delivery **deliveries, int max, int64_t until_us,
                   enum pull_outcome *outcome, struct error *error) {
    if (!stream_pull_ask(consumer->pull, max, left_ms(until_us), error)) {
        *outcome = PULL_FAILED;
        return 0;
    }
    return take(consumer, deliveries, max, until_us, outcome, error);
}

/* Returns as stream_consumer_fetch does. A server that says at once that there are none, as it does where
 * other replicas wait already, is asked for one alone, for which it waits. */
static int ask(struct stream_consumer *consumer, struct stream_delivery **deliveries, int max, int64_t until_us,
               struct error *error) {
    enum pull_outcome outcome;
    int64_t soon_us = now_us() + REQUEST_MS * 1000;
    until_us = until_us < soon_us ? until_us : soon_us;
    int count = take(consumer, deliveries, max, 0, &outcome, error); /* of requests that we left */
    if (count == 0) {
        count = request(consumer, deliveries, max, until_us, &outcome, error);
    }
    if (count == 0 && outcome == PULL_OVER && now_us() + EARLY_US < until_us) {
        count = request(consumer, deliveries, 1, until_us, &outcome, error);
    }
    if (count > 0) {
        consumer->in_touch = true;
        return count;
    }
    if (outcome == PULL_FAILED) {
        drop_pull(consumer); /* whatever broke, a fresh one starts from what the server knows */
        return -1;
    }
    return 0;
}

int stream_consumer_fetch(struct stream_consumer *consumer, struct stream_delivery **deliveries, int max,
                          int64_t wait_ms, struct error *error) {
    int64_t until_us = now_us() + wait_ms * 1000;
    do {
        /* Half of the time is for the messages themselves. */
        if (!check_place(consumer, (now_us() + until_us) / 2, error) ||
            (consumer->pull == NULL && !open_pull(consumer, until_us, error))) {
            return -1;
        }
        int count = ask(consumer, deliveries, max < STREAM_FETCH_MAX ? max : STREAM_FETCH_MAX, until_us, error);
        consumer->idle = count == 0;
        if (count != 0) {
            return count;
        }
    } while (now_us() + 1000 < until_us);
    return 0;
}

bool stream_consumer_in_touch(const struct stream_consumer *consumer) {
    return consumer->in_touch;
}

/* ---- deliveries ---- */

struct bytes stream_delivery_body(const struct stream_delivery *delivery) {
    return bytes_of(natsMsg_GetData(delivery->message), (size_t)natsMsg_GetDataLength(delivery->message));
}

const char *stream_delivery_subject(const struct stream_delivery *delivery) {
    return natsMsg_GetSubject(delivery->message);
}

const char *stream_delivery_header(const struct stream_delivery *delivery, const char *name) {
    const char *value = NULL;
    return natsMsgHeader_Get(delivery->message, name, &value) == NATS_OK ? value : NULL;
}

uint64_t stream_delivery_sequence(const struct stream_delivery *delivery) {
    return delivery->sequence;
}

uint64_t stream_delivery_pending(const struct stream_delivery *delivery) {
    return delivery->pending;
}

int64_t stream_delivery_time_ns(const struct stream_delivery *delivery) {
    return delivery->time_ns;
}

uint64_t stream_delivery_count(const struct stream_delivery *delivery) {
    return delivery->count;
}

/* natsMsg_Ack and its like need the subscription, which may be gone by now. */
static void answer(struct stream_delivery *delivery, const char *text) {
    natsStatus status = natsConnection_PublishString(stream_connection_nats(delivery->connection),
                                                     natsMsg_GetReply(delivery->message), text);
    if (status != NATS_OK) {
        log_debug("delivery_not_answered", LOG_STR("status", natsStatus_GetText(status)));
    }
}

void stream_delivery_drop(struct stream_delivery *delivery) {
    natsMsg_Destroy(delivery->message);
    free(delivery);
}

void stream_delivery_in_progress(struct stream_delivery *delivery) {
    answer(delivery, "+WPI");
}

void stream_delivery_ack(struct stream_delivery *delivery) {
    answer(delivery, "+ACK");
    stream_delivery_drop(delivery);
}

void stream_delivery_term(struct stream_delivery *delivery) {
    answer(delivery, "+TERM");
    stream_delivery_drop(delivery);
}

void stream_delivery_nak(struct stream_delivery *delivery, int64_t delay_ms) {
    char text[48];
    snprintf(text, sizeof text, "-NAK {\"delay\":%" PRId64 "}", delay_ms * NS_PER_MS);
    answer(delivery, delay_ms > 0 ? text : "-NAK");
    stream_delivery_drop(delivery);
}
