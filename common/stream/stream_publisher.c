#include "common/stream/stream_publisher.h"

#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/stream/stream_search.h"

enum {
    REPLY_BYTES = 128,
    DUPLICATE_WINDOW_MS = 120000,
    ACKS_MAX = 65536,
    FOLLOW_MAX = 64,  /* times that an end which moves is followed in one sync */
    HURRIED_MAX = 64, /* messages with an acknowledgement, behind a sync that met messages of others */
    HURRY_MS = 100,
    NS_PER_MS = 1000000,
    DELETION_US = 2000000, /* a server takes to remove a stream's files, behind its answer */
};

struct stream_publisher {
    struct stream_connection *connection;
    struct stream_publisher_options options;
    char *inbox; /* acknowledgements come to <inbox>.<epoch>.<token> */
    natsSubscription *subscription;
    struct stream_search *search;
    natsMsg *last; /* whose body stream_end borrows */
    int hurried;   /* so many more messages are flushed at once */
    bool had_stream;
    int64_t missed_us; /* when the stream that was there was found to be gone; 0: it is there */

    pthread_mutex_t lock; /* below; taken on NATS's thread too */
    struct stream_ack *acks;
    size_t ack_count;
    size_t ack_capacity;
    uint64_t epoch; /* grows with each sync, so that late acknowledgements are told apart */
};

static void refuse(struct stream_ack *ack, enum stream_outcome outcome, const char *why) {
    ack->outcome = outcome;
    snprintf(ack->why, sizeof ack->why, "%s", why != NULL ? why : "no reason given");
}

/* {"stream":"S","seq":7,"duplicate":true} or {"error":{"code":400,"err_code":10071,"description":"..."}} */
static void parse_ack(const char *data, size_t size, struct stream_ack *ack) {
    json_error_t ignored;
    json_t *root = json_loadb(data, size, 0, &ignored);
    const json_t *failure = json_object_get(root, "error");
    const json_t *sequence = json_object_get(root, "seq");
    if (failure != NULL) {
        json_int_t code = json_integer_value(json_object_get(failure, "err_code"));
        bool wrong_last = code == JSStreamWrongLastSequenceErr || code == JSStreamWrongLastMsgIDErr;
        refuse(ack, wrong_last ? STREAM_WRONG_LAST : STREAM_REFUSED,
               json_string_value(json_object_get(failure, "description")));
    } else if (json_is_integer(sequence)) {
        ack->outcome = STREAM_ACCEPTED;
        ack->sequence = (uint64_t)json_integer_value(sequence);
        ack->duplicate = json_is_true(json_object_get(root, "duplicate"));
    } else {
        refuse(ack, STREAM_REFUSED, "the acknowledgement cannot be read");
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
            refuse(&ack, STREAM_NO_RESPONDERS, "no stream takes the subject");
        } else {
            parse_ack(natsMsg_GetData(message), (size_t)natsMsg_GetDataLength(message), &ack);
        }
        keep_ack(publisher, epoch, &ack);
        publisher->options.on_ack(publisher->options.self);
    }
    natsMsg_Destroy(message);
}

static bool is_ours(void *self, const char *message_id) {
    struct stream_publisher *publisher = self;
    return strlen(message_id) < STREAM_MESSAGE_ID_BYTES &&
           (publisher->options.is_ours == NULL || publisher->options.is_ours(publisher->options.self, message_id));
}

struct stream_publisher *stream_publisher_new(struct stream_connection *connection,
                                              const struct stream_publisher_options *options, struct error *error) {
    struct stream_publisher *publisher = calloc(1, sizeof *publisher);
    if (publisher == NULL) {
        abort();
    }
    publisher->connection = connection;
    publisher->options = *options;
    struct stream_search_options search_options = {
        .connection = connection, .stream = options->stream, .is_ours = is_ours, .self = publisher};
    publisher->search = stream_search_new(&search_options);
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
    stream_unsubscribe(publisher->connection, publisher->subscription);
    stream_search_free(publisher->search);
    natsMsg_Destroy(publisher->last);
    pthread_mutex_destroy(&publisher->lock);
    free(publisher->acks);
    free(publisher->inbox);
    free(publisher);
}

/* ---- the stream itself ---- */

/* What the options have to say of a stream. `subjects` is borrowed by the config. */
static void fill_limits(const struct stream_publisher_options *options, jsStreamConfig *config) {
    int64_t duplicate_window_ms =
        options->duplicate_window_ms != 0 ? options->duplicate_window_ms : DUPLICATE_WINDOW_MS;
    config->MaxBytes = options->max_bytes == 0 ? -1 : options->max_bytes;
    config->MaxAge = options->max_age_ms * NS_PER_MS;
    config->Duplicates = duplicate_window_ms * NS_PER_MS;
    if (config->MaxAge > 0 && config->Duplicates > config->MaxAge) {
        config->Duplicates = config->MaxAge; /* the server insists */
    }
}

static natsStatus add_stream(struct stream_publisher *publisher, jsStreamInfo **info, jsErrCode *code) {
    const struct stream_publisher_options *options = &publisher->options;
    const char *subjects[] = {options->subjects};
    jsStreamConfig config;
    jsStreamConfig_Init(&config);
    config.Name = options->stream;
    config.Subjects = subjects;
    config.SubjectsLen = 1;
    config.Storage = js_FileStorage;
    config.Retention = js_LimitsPolicy;
    config.Discard = js_DiscardOld;
    config.Replicas = options->replicas != 0 ? options->replicas : 1;
    config.AllowDirect = true;
    fill_limits(options, &config);
    natsStatus status = js_AddStream(info, stream_connection_jetstream(publisher->connection), &config, NULL, code);
    if (status == NATS_OK) {
        log_info("event_stream_made", LOG_STR("stream", options->stream));
    }
    return status;
}

/* Limits follow the options; all else that an operator may have set is left alone. That this
 * fails is no reason to publish nothing. */
static void follow_options(struct stream_publisher *publisher, const jsStreamInfo *info) {
    jsStreamConfig config = *info->Config;
    fill_limits(&publisher->options, &config);
    if (config.MaxBytes == info->Config->MaxBytes && config.MaxAge == info->Config->MaxAge &&
        config.Duplicates == info->Config->Duplicates) {
        return;
    }
    jsErrCode code = 0;
    struct error error = {0};
    natsStatus status = js_UpdateStream(NULL, stream_connection_jetstream(publisher->connection), &config, NULL, &code);
    if (status == NATS_OK) {
        log_info("event_stream_limits_changed", LOG_STR("stream", publisher->options.stream));
    } else {
        stream_set_error(&error, status, code, "changing the stream's limits");
        log_warn("event_stream_limits_kept", LOG_ERROR(&error),
                 LOG_STR("hint", "the stream keeps the limits it has; compare them with the configuration"));
    }
}

/* nats-server takes a stream off its list first and removes its files then: one that is made anew at
 * once loses its files to the removal of the old one, and takes messages no more (seen with 2.9). */
static bool may_add_stream(struct stream_publisher *publisher, struct error *error) {
    int64_t now_us = clock_monotonic_us(&system_clock);
    if (!publisher->had_stream) {
        return true;
    }
    if (publisher->missed_us == 0) {
        publisher->missed_us = now_us;
    }
    return now_us - publisher->missed_us >= DELETION_US ||
           error_set(error, ERROR_UNAVAILABLE, "EVENT_STREAM_FAILED", "stream %s was deleted; it is made anew soon",
                     publisher->options.stream);
}

/* Asks for the stream, and makes it where it is missing. */
static bool ask(struct stream_publisher *publisher, jsStreamInfo **info, struct error *error) {
    jsErrCode code = 0;
    jsCtx *jetstream = stream_connection_jetstream(publisher->connection);
    natsStatus status = js_GetStreamInfo(info, jetstream, publisher->options.stream, NULL, &code);
    if (status != NATS_OK && code == JSStreamNotFoundErr) {
        if (!may_add_stream(publisher, error)) {
            return false;
        }
        code = 0;
        status = add_stream(publisher, info, &code);
    }
    if (status != NATS_OK) {
        return stream_set_error(error, status, code, "asking for the end of the stream");
    }
    publisher->had_stream = true;
    publisher->missed_us = 0;
    return true;
}

static void take_last(struct stream_publisher *publisher, natsMsg *message, struct stream_end *end) {
    const char *id = "";
    natsMsgHeader_Get(message, "Nats-Msg-Id", &id);
    natsMsg_Destroy(publisher->last);
    publisher->last = message;
    snprintf(end->message_id, sizeof end->message_id, "%s", id);
    end->has_message = true;
    end->message_sequence = natsMsg_GetSequence(message);
    end->body = bytes_of(natsMsg_GetData(message), (size_t)natsMsg_GetDataLength(message));
}

/* Finds our newest message; `passed` where others wrote behind it. */
static bool look(struct stream_publisher *publisher, struct stream_end *end, bool *passed, struct error *error) {
    jsStreamInfo *info = NULL;
    struct stream_search_result result = {.done = true};
    *end = (struct stream_end){0};
    if (!ask(publisher, &info, error)) {
        return false;
    }
    follow_options(publisher, info);
    bool good = info->State.Msgs == 0 || stream_search_step(publisher->search, info, &result, error);
    end->sequence = info->State.LastSeq;
    end->unfinished = !result.done;
    *passed = result.passed && result.done;
    if (good && result.newest != NULL) {
        take_last(publisher, result.newest, end);
    }
    jsStreamInfo_Destroy(info);
    return good;
}

/* Whether the end moved meanwhile, with nothing of ours. */
static bool follow_end(struct stream_publisher *publisher, struct stream_end *end, bool *moved, struct error *error) {
    jsStreamInfo *info = NULL;
    if (!ask(publisher, &info, error)) {
        return false;
    }
    uint64_t last = info->State.LastSeq;
    bool good = last == end->sequence || stream_search_follow(publisher->search, info, moved, error);
    jsStreamInfo_Destroy(info);
    *moved = good && *moved && last != end->sequence;
    end->sequence = *moved ? last : end->sequence;
    return good;
}

/* Where others write all the time, the end has moved when we know what is there. It is followed until it stands
 * still for a moment, so that what is published next has a chance to come in time. */
bool stream_publisher_sync(struct stream_publisher *publisher, struct stream_end *end, struct error *error) {
    pthread_mutex_lock(&publisher->lock);
    publisher->epoch++;
    publisher->ack_count = 0;
    pthread_mutex_unlock(&publisher->lock);
    bool moves = false;
    bool good = look(publisher, end, &moves, error);
    publisher->hurried = moves ? HURRIED_MAX : 0;
    for (int i = 0; good && moves && i < FOLLOW_MAX; i++) {
        good = follow_end(publisher, end, &moves, error);
    }
    return good;
}

static natsStatus set_headers(natsMsg *nats_message, const struct stream_message *message) {
    char expected[24];
    snprintf(expected, sizeof expected, "%" PRIu64, message->expected_last_sequence);
    natsStatus status = natsMsgHeader_Set(nats_message, "Nats-Msg-Id", message->message_id);
    status = status == NATS_OK ? natsMsgHeader_Set(nats_message, "Nats-Expected-Last-Sequence", expected) : status;
    if (message->expected_last_id != NULL) {
        status = status == NATS_OK
                     ? natsMsgHeader_Set(nats_message, "Nats-Expected-Last-Msg-Id", message->expected_last_id)
                     : status;
    }
    for (size_t i = 0; status == NATS_OK && i < message->header_count; i++) {
        status = natsMsgHeader_Set(nats_message, message->headers[i].name, message->headers[i].value);
    }
    return status;
}

/* The library lets messages wait for others to go with, a millisecond or two. That is long where others write
 * meanwhile. What a flush comes to, the acknowledgement tells. */
static void hurry(struct stream_publisher *publisher, const struct stream_message *message) {
    if (publisher->hurried > 0 && message->acknowledged) {
        publisher->hurried--;
        natsConnection_FlushTimeout(stream_connection_nats(publisher->connection), HURRY_MS);
    }
}

bool stream_publisher_publish(struct stream_publisher *publisher, const struct stream_message *message,
                              struct error *error) {
    char reply[REPLY_BYTES];
    pthread_mutex_lock(&publisher->lock);
    uint64_t epoch = publisher->epoch;
    pthread_mutex_unlock(&publisher->lock);
    snprintf(reply, sizeof reply, "%s.%" PRIu64 ".%" PRId64, publisher->inbox, epoch, message->token);
    natsMsg *nats_message = NULL;
    natsStatus status = natsMsg_Create(&nats_message, message->subject, message->acknowledged ? reply : NULL,
                                       (const char *)message->body.data, (int)message->body.size);
    status = status == NATS_OK ? set_headers(nats_message, message) : status;
    status = status == NATS_OK ? natsConnection_PublishMsg(stream_connection_nats(publisher->connection), nats_message)
                               : status;
    natsMsg_Destroy(nats_message);
    if (status == NATS_OK) {
        hurry(publisher, message);
    }
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
