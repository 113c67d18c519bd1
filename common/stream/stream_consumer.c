#include "common/stream/stream_consumer.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"

/* How often an idle consumer's place in the stream is checked. */
enum { CHECK_INTERVAL_US = 2000000 };

struct stream_consumer {
    struct stream_connection *connection;
    struct stream_consumer_options options;
    natsSubscription *subscription; /* NULL: to be made */
    int64_t checked_us;
};

struct stream_delivery {
    natsMsg *message;
    uint64_t count;
};

struct stream_consumer *stream_consumer_new(struct stream_connection *connection,
                                            const struct stream_consumer_options *options) {
    struct stream_consumer *consumer = calloc(1, sizeof *consumer);
    if (consumer == NULL) {
        abort();
    }
    consumer->connection = connection;
    consumer->options = *options;
    return consumer;
}

static void drop_subscription(struct stream_consumer *consumer) {
    if (consumer->subscription != NULL) {
        natsSubscription_Unsubscribe(consumer->subscription);
        natsSubscription_Destroy(consumer->subscription);
        consumer->subscription = NULL;
    }
}

void stream_consumer_free(struct stream_consumer *consumer) {
    if (consumer != NULL) {
        drop_subscription(consumer);
        free(consumer);
    }
}

/* Making a consumer that is there already, with the same configuration, is fine. */
static natsStatus add_consumer(struct stream_consumer *consumer, jsErrCode *code) {
    const struct stream_consumer_options *options = &consumer->options;
    jsConsumerConfig config;
    jsConsumerConfig_Init(&config);
    config.Durable = options->durable;
    config.AckPolicy = js_AckExplicit;
    config.DeliverPolicy = js_DeliverAll;
    config.AckWait = options->ack_wait_ms * 1000000;
    config.MaxDeliver = -1;
    config.MaxAckPending = options->max_ack_pending;
    config.FilterSubject = options->filter;
    jsConsumerInfo *info = NULL;
    natsStatus status =
        js_AddConsumer(&info, stream_connection_jetstream(consumer->connection), options->stream, &config, NULL, code);
    jsConsumerInfo_Destroy(info);
    return status;
}

/* Binds to the consumer, made where it is missing. A subscription that makes it by itself
 * would also delete it when it ends, under the feet of the other replicas. */
static bool subscribe(struct stream_consumer *consumer, struct error *error) {
    const struct stream_consumer_options *options = &consumer->options;
    jsErrCode code = 0;
    natsStatus status = add_consumer(consumer, &code);
    if (status == NATS_OK) {
        jsSubOptions sub_options;
        jsSubOptions_Init(&sub_options);
        sub_options.Stream = options->stream;
        sub_options.Consumer = options->durable;
        sub_options.ManualAck = true;
        status = js_PullSubscribe(&consumer->subscription, stream_connection_jetstream(consumer->connection),
                                  options->filter, options->durable, NULL, &sub_options, &code);
    }
    return status == NATS_OK || stream_set_error(error, status, code, "subscribing to the event stream");
}

/* What the server says of the consumer: gone, or ahead of its stream (which then lost
 * messages, and what is published in their place would never be delivered). */
static bool consumer_is_lost(struct stream_consumer *consumer, struct error *error, bool *lost) {
    jsCtx *jetstream = stream_connection_jetstream(consumer->connection);
    jsConsumerInfo *info = NULL;
    jsStreamInfo *stream = NULL;
    jsErrCode code = 0;
    *lost = false;
    natsStatus status =
        js_GetConsumerInfo(&info, jetstream, consumer->options.stream, consumer->options.durable, NULL, &code);
    if (code == JSConsumerNotFoundErr || code == JSStreamNotFoundErr) {
        *lost = true;
        return true;
    }
    status = status == NATS_OK ? js_GetStreamInfo(&stream, jetstream, consumer->options.stream, NULL, &code) : status;
    if (status == NATS_OK && info->Delivered.Stream > stream->State.LastSeq) {
        log_warn("event_stream_went_back", LOG_INT("delivered", info->Delivered.Stream),
                 LOG_INT("last", stream->State.LastSeq));
        status = js_DeleteConsumer(jetstream, consumer->options.stream, consumer->options.durable, NULL, &code);
        *lost = true;
    }
    jsConsumerInfo_Destroy(info);
    jsStreamInfo_Destroy(stream);
    return status == NATS_OK || stream_set_error(error, status, code, "looking at the consumer");
}

static bool check_place(struct stream_consumer *consumer, struct error *error) {
    int64_t now_us = clock_monotonic_us(&system_clock);
    if (now_us - consumer->checked_us < CHECK_INTERVAL_US) {
        return true;
    }
    bool lost;
    if (!consumer_is_lost(consumer, error, &lost)) {
        return false;
    }
    consumer->checked_us = now_us;
    if (lost) {
        drop_subscription(consumer);
    }
    return true;
}

static struct stream_delivery *take_delivery(natsMsg *message) {
    struct stream_delivery *delivery = calloc(1, sizeof *delivery);
    if (delivery == NULL) {
        abort();
    }
    delivery->message = message;
    delivery->count = 1;
    jsMsgMetaData *meta = NULL;
    if (natsMsg_GetMetaData(&meta, message) == NATS_OK) {
        delivery->count = meta->NumDelivered;
        jsMsgMetaData_Destroy(meta);
    }
    return delivery;
}

int stream_consumer_fetch(struct stream_consumer *consumer, struct stream_delivery **deliveries, int max,
                          int64_t wait_ms, struct error *error) {
    if (consumer->subscription == NULL && !subscribe(consumer, error)) {
        return -1;
    }
    natsMsgList list = {0};
    jsErrCode code = 0;
    natsStatus status = natsSubscription_Fetch(&list, consumer->subscription, max, wait_ms, &code);
    if (status == NATS_OK) {
        for (int i = 0; i < list.Count; i++) {
            deliveries[i] = take_delivery(list.Msgs[i]);
            list.Msgs[i] = NULL; /* the delivery's now */
        }
        int count = list.Count;
        natsMsgList_Destroy(&list);
        return count;
    }
    if (status != NATS_TIMEOUT) {
        /* Whatever broke, a fresh subscription starts from what the server knows. */
        drop_subscription(consumer);
        stream_set_error(error, status, code, "fetching events");
        return -1;
    }
    return check_place(consumer, error) ? 0 : -1;
}

struct bytes stream_delivery_body(const struct stream_delivery *delivery) {
    return bytes_of(natsMsg_GetData(delivery->message), (size_t)natsMsg_GetDataLength(delivery->message));
}

uint64_t stream_delivery_count(const struct stream_delivery *delivery) {
    return delivery->count;
}

void stream_delivery_in_progress(struct stream_delivery *delivery) {
    natsMsg_InProgress(delivery->message, NULL);
}

static void free_delivery(struct stream_delivery *delivery) {
    natsMsg_Destroy(delivery->message);
    free(delivery);
}

void stream_delivery_ack(struct stream_delivery *delivery) {
    natsMsg_Ack(delivery->message, NULL);
    free_delivery(delivery);
}

void stream_delivery_nak(struct stream_delivery *delivery, int64_t delay_ms) {
    natsMsg_NakWithDelay(delivery->message, delay_ms, NULL);
    free_delivery(delivery);
}
