#include "common/stream/stream_publisher.h"

#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPLY_BYTES = 128, DEDUPE_WINDOW_SECONDS = 120, ACKS_MAX = 65536 };

struct stream_publisher {
    struct stream_connection *connection;
    struct stream_publisher_options options;
    char *inbox; /* acknowledgements come to <inbox>.<epoch>.<token> */
    natsSubscription *subscription;

    pthread_mutex_t lock; /* below; taken on NATS's thread too */
    struct stream_ack *acks;
    size_t ack_count;
    size_t ack_capacity;
    uint64_t epoch; /* grows with each sync, so that late acknowledgements are told apart */
};

/* {"stream":"S","seq":7} or {"error":{"code":400,"err_code":10071,"description":"..."}} */
static void parse_ack(const char *data, size_t size, struct stream_ack *ack) {
    json_error_t ignored;
    json_t *root = json_loadb(data, size, 0, &ignored);
    const json_t *failure = json_object_get(root, "error");
    const json_t *sequence = json_object_get(root, "seq");
    if (failure != NULL) {
        const char *description = json_string_value(json_object_get(failure, "description"));
        error_set(&ack->error, ERROR_ABORTED, "EVENT_REFUSED", "the stream refused an event: %s",
                  description != NULL ? description : "no reason given");
    } else if (json_is_integer(sequence)) {
        ack->accepted = true;
        ack->sequence = (uint64_t)json_integer_value(sequence);
    } else {
        error_set(&ack->error, ERROR_INTERNAL, "BAD_ANSWER", "the stream's acknowledgement cannot be read");
    }
    json_decref(root);
}

static void keep_ack(struct stream_publisher *publisher, uint64_t epoch, const struct stream_ack *ack) {
    pthread_mutex_lock(&publisher->lock);
    if (epoch == publisher->epoch && publisher->ack_count < ACKS_MAX) {
        if (publisher->ack_count == publisher->ack_capacity) {
            publisher->ack_capacity = publisher->ack_capacity == 0 ? 256 : publisher->ack_capacity * 2;
            publisher->acks = realloc(publisher->acks, publisher->ack_capacity * sizeof *publisher->acks);
            if (publisher->acks == NULL) {
                abort();
            }
        }
        publisher->acks[publisher->ack_count++] = *ack;
    }
    pthread_mutex_unlock(&publisher->lock);
}

static void on_reply(natsConnection *nats, natsSubscription *subscription, natsMsg *message, void *closure) {
    (void)nats;
    (void)subscription;
    struct stream_publisher *publisher = closure;
    const char *subject = natsMsg_GetSubject(message);
    size_t prefix = strlen(publisher->inbox);
    uint64_t epoch;
    struct stream_ack ack = {0};
    if (strncmp(subject, publisher->inbox, prefix) == 0 &&
        sscanf(subject + prefix, ".%" SCNu64 ".%" SCNd64, &epoch, &ack.token) == 2) {
        if (natsMsg_IsNoResponders(message)) {
            error_set(&ack.error, ERROR_UNAVAILABLE, "EVENT_STREAM_FAILED", "no stream takes events");
        } else {
            parse_ack(natsMsg_GetData(message), (size_t)natsMsg_GetDataLength(message), &ack);
        }
        keep_ack(publisher, epoch, &ack);
        publisher->options.on_ack(publisher->options.self);
    }
    natsMsg_Destroy(message);
}

struct stream_publisher *stream_publisher_new(struct stream_connection *connection,
                                              const struct stream_publisher_options *options, struct error *error) {
    struct stream_publisher *publisher = calloc(1, sizeof *publisher);
    if (publisher == NULL) {
        abort();
    }
    publisher->connection = connection;
    publisher->options = *options;
    pthread_mutex_init(&publisher->lock, NULL);
    natsInbox *inbox = NULL;
    natsStatus status = natsInbox_Create(&inbox);
    if (status == NATS_OK) {
        publisher->inbox = strdup((const char *)inbox);
        natsInbox_Destroy(inbox);
        if (publisher->inbox == NULL) {
            abort();
        }
        char subject[REPLY_BYTES];
        snprintf(subject, sizeof subject, "%s.*.*", publisher->inbox);
        status = natsConnection_Subscribe(&publisher->subscription, stream_connection_nats(connection), subject,
                                          on_reply, publisher);
    }
    if (status != NATS_OK) {
        stream_set_error(error, status, 0, "subscribing to acknowledgements");
        stream_publisher_free(publisher);
        return NULL;
    }
    natsSubscription_SetPendingLimits(publisher->subscription, -1, -1);
    return publisher;
}

void stream_publisher_free(struct stream_publisher *publisher) {
    if (publisher == NULL) {
        return;
    }
    if (publisher->subscription != NULL) {
        natsSubscription_Unsubscribe(publisher->subscription);
        natsSubscription_Destroy(publisher->subscription);
    }
    pthread_mutex_destroy(&publisher->lock);
    free(publisher->acks);
    free(publisher->inbox);
    free(publisher);
}

static natsStatus add_stream(struct stream_publisher *publisher, jsStreamInfo **info, jsErrCode *code) {
    const struct stream_publisher_options *options = &publisher->options;
    jsStreamConfig config;
    jsStreamConfig_Init(&config);
    const char *subjects[] = {options->subjects};
    config.Name = options->stream;
    config.Subjects = subjects;
    config.SubjectsLen = 1;
    config.Storage = js_FileStorage;
    config.Retention = js_LimitsPolicy;
    config.Discard = js_DiscardOld;
    config.Duplicates = DEDUPE_WINDOW_SECONDS * INT64_C(1000000000);
    config.MaxBytes = options->max_bytes == 0 ? -1 : options->max_bytes;
    config.MaxAge = options->max_age_ms * 1000000;
    if (config.MaxAge > 0 && config.Duplicates > config.MaxAge) {
        config.Duplicates = config.MaxAge;
    }
    config.AllowDirect = true;
    return js_AddStream(info, stream_connection_jetstream(publisher->connection), &config, NULL, code);
}

/* The Nats-Msg-Id of the last message, "" when it has none. */
static natsStatus get_last_id(struct stream_publisher *publisher, struct stream_end *end, jsErrCode *code) {
    natsMsg *message = NULL;
    natsStatus status = js_GetMsg(&message, stream_connection_jetstream(publisher->connection),
                                  publisher->options.stream, end->sequence, NULL, code);
    if (status == NATS_OK) {
        const char *id = NULL;
        if (natsMsgHeader_Get(message, "Nats-Msg-Id", &id) == NATS_OK) {
            snprintf(end->message_id, sizeof end->message_id, "%s", id);
        }
        end->has_message = true;
        natsMsg_Destroy(message);
    }
    return status;
}

bool stream_publisher_sync(struct stream_publisher *publisher, struct stream_end *end, struct error *error) {
    pthread_mutex_lock(&publisher->lock);
    publisher->epoch++;
    publisher->ack_count = 0;
    pthread_mutex_unlock(&publisher->lock);

    *end = (struct stream_end){0};
    jsStreamInfo *info = NULL;
    jsErrCode code = 0;
    jsCtx *jetstream = stream_connection_jetstream(publisher->connection);
    natsStatus status = js_GetStreamInfo(&info, jetstream, publisher->options.stream, NULL, &code);
    if (status != NATS_OK && code == JSStreamNotFoundErr) {
        status = add_stream(publisher, &info, &code);
    }
    if (status == NATS_OK) {
        end->sequence = info->State.LastSeq;
        bool empty = info->State.Msgs == 0;
        jsStreamInfo_Destroy(info);
        status = empty ? NATS_OK : get_last_id(publisher, end, &code);
    }
    return status == NATS_OK || stream_set_error(error, status, code, "asking for the end of the stream");
}

static natsStatus set_headers(natsMsg *nats_message, const struct stream_message *message) {
    char expected[24];
    snprintf(expected, sizeof expected, "%" PRIu64, message->expected_last_sequence);
    natsStatus status = natsMsgHeader_Set(nats_message, "Nats-Msg-Id", message->message_id);
    status = status == NATS_OK ? natsMsgHeader_Set(nats_message, "Nats-Expected-Last-Sequence", expected) : status;
    for (size_t i = 0; status == NATS_OK && i < message->header_count; i++) {
        status = natsMsgHeader_Set(nats_message, message->headers[i].name, message->headers[i].value);
    }
    return status;
}

bool stream_publisher_publish(struct stream_publisher *publisher, const struct stream_message *message,
                              struct error *error) {
    char reply[REPLY_BYTES];
    pthread_mutex_lock(&publisher->lock);
    uint64_t epoch = publisher->epoch;
    pthread_mutex_unlock(&publisher->lock);
    snprintf(reply, sizeof reply, "%s.%" PRIu64 ".%" PRId64, publisher->inbox, epoch, message->token);
    natsMsg *nats_message = NULL;
    natsStatus status = natsMsg_Create(&nats_message, message->subject, reply, (const char *)message->body.data,
                                       (int)message->body.size);
    status = status == NATS_OK ? set_headers(nats_message, message) : status;
    status = status == NATS_OK ? natsConnection_PublishMsg(stream_connection_nats(publisher->connection), nats_message)
                               : status;
    natsMsg_Destroy(nats_message);
    return status == NATS_OK || stream_set_error(error, status, 0, "publishing an event");
}

size_t stream_publisher_collect(struct stream_publisher *publisher, struct stream_ack *acks, size_t max) {
    pthread_mutex_lock(&publisher->lock);
    size_t count = publisher->ack_count < max ? publisher->ack_count : max;
    if (count > 0) {
        memcpy(acks, publisher->acks, count * sizeof *acks);
        publisher->ack_count -= count;
        memmove(publisher->acks, publisher->acks + count, publisher->ack_count * sizeof *publisher->acks);
    }
    pthread_mutex_unlock(&publisher->lock);
    return count;
}
