#include "common/stream/stream_search.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"

enum {
    FEW = 8,   /* messages that are read one by one, bodies too: a consumer would take longer */
    SOME = 64, /* likewise, where a consumer came to no end */
    FIRST_CHUNK = 256,
    MOST_CHUNK = 16384,
    BATCH = 256, /* messages on their way to us at once; the server lets none have headers over 64 KiB */
    WAIT_MS = 5000,
    STEP_US = 1000000,
    TELL_US = 60000000, /* between two lines about messages of others */
    REQUEST_BYTES = 320,
};

#define PLACE_KEPT_NS INT64_C(30000000000)

struct stream_search {
    struct stream_search_options options;

    /* Of which stream the rest speaks, and over which connection it was seen. */
    int64_t created_ns;
    uint64_t reconnects;
    /* From `low` to `high` all was looked at, and nothing is ours but the message at `low`, if that is `found`. */
    uint64_t low;
    uint64_t high;  /* 0: nothing was */
    uint64_t found; /* 0: none yet */
    uint64_t chunk; /* to look at next, further down */
    /* The newest message that was seen. While it is where it was, so is all before it. */
    uint64_t mark;
    int64_t mark_ns;

    uint64_t others; /* messages, since they were told of */
    int64_t told_us;
};

struct stream_search *stream_search_new(const struct stream_search_options *options) {
    struct stream_search *search = calloc(1, sizeof *search);
    if (search == NULL) {
        abort();
    }
    search->options = *options;
    return search;
}

void stream_search_free(struct stream_search *search) {
    free(search);
}

static bool is_ours(const struct stream_search *search, natsMsg *message) {
    const char *id = NULL;
    return natsMsgHeader_Get(message, "Nats-Msg-Id", &id) == NATS_OK &&
           search->options.is_ours(search->options.self, id);
}

/* Reads a message; one that was removed is none, and no failure. */
static bool read_message(struct stream_search *search, uint64_t sequence, natsMsg **message, struct error *error) {
    jsErrCode code = 0;
    *message = NULL;
    natsStatus status = js_GetMsg(message, stream_connection_jetstream(search->options.connection),
                                  search->options.stream, sequence, NULL, &code);
    return status == NATS_OK || code == JSNoMessageFoundErr ||
           stream_set_error(error, status, code, "reading the stream's last messages");
}

static void see(struct stream_search *search, natsMsg *message, uint64_t sequence, int64_t time_ns,
                uint64_t *newest_of_ours) {
    if (sequence > search->mark) {
        search->mark = sequence;
        search->mark_ns = time_ns;
    }
    if (is_ours(search, message)) {
        *newest_of_ours = sequence;
    } else {
        search->others++;
    }
}

/* ---- a few messages ---- */

static bool scan_few(struct stream_search *search, uint64_t from, uint64_t to, uint64_t *ours, struct error *error) {
    for (uint64_t sequence = from; sequence <= to; sequence++) {
        natsMsg *message;
        if (!read_message(search, sequence, &message, error)) {
            return false;
        }
        if (message != NULL) {
            see(search, message, sequence, natsMsg_GetTime(message), ours);
        }
        natsMsg_Destroy(message);
    }
    return true;
}

/* ---- many ---- */

/* A consumer of headers, which the server forgets by itself should we not come to it. */
struct headers {
    char *consumer;
    natsInbox *inbox;
    natsSubscription *subscription;
    uint64_t delivered;
    uint64_t at; /* the last one's sequence, or the one before the first */
    bool at_end; /* there are no more, says the consumer */
};

static natsStatus make_consumer(struct stream_search *search, uint64_t from, char **name, jsErrCode *code) {
    jsConsumerConfig config;
    jsConsumerInfo *info = NULL;
    jsConsumerConfig_Init(&config);
    config.AckPolicy = js_AckNone;
    config.DeliverPolicy = js_DeliverByStartSequence;
    config.OptStartSeq = from;
    config.HeadersOnly = true;
    config.MemoryStorage = true;
    config.InactiveThreshold = PLACE_KEPT_NS;
    natsStatus status = js_AddConsumer(&info, stream_connection_jetstream(search->options.connection),
                                       search->options.stream, &config, NULL, code);
    if (status == NATS_OK) {
        *name = strdup(info->Name);
        if (*name == NULL) {
            abort();
        }
    }
    jsConsumerInfo_Destroy(info);
    return status;
}

static bool open_headers(struct stream_search *search, uint64_t from, struct headers *headers, struct error *error) {
    jsErrCode code = 0;
    natsConnection *nats = stream_connection_nats(search->options.connection);
    *headers = (struct headers){.at = from - 1};
    natsStatus status = make_consumer(search, from, &headers->consumer, &code);
    status = status == NATS_OK ? natsInbox_Create(&headers->inbox) : status;
    status = status == NATS_OK ? natsConnection_SubscribeSync(&headers->subscription, nats, headers->inbox) : status;
    return status == NATS_OK || stream_set_error(error, status, code, "looking through the stream");
}

static void close_headers(struct stream_search *search, struct headers *headers) {
    if (headers->consumer != NULL) {
        js_DeleteConsumer(stream_connection_jetstream(search->options.connection), search->options.stream,
                          headers->consumer, NULL, NULL);
    }
    stream_unsubscribe(search->options.connection, headers->subscription);
    natsInbox_Destroy(headers->inbox);
    free(headers->consumer);
}

static natsStatus ask_for(struct stream_search *search, const struct headers *headers, uint64_t count) {
    char request[REQUEST_BYTES];
    char body[64];
    snprintf(request, sizeof request, "$JS.API.CONSUMER.MSG.NEXT.%s.%s", search->options.stream, headers->consumer);
    snprintf(body, sizeof body, "{\"batch\":%" PRIu64 ",\"no_wait\":true}", count);
    return natsConnection_PublishRequestString(stream_connection_nats(search->options.connection), request,
                                               headers->inbox, body);
}

/* What is no delivery is the server's word that there are no more ("404"), or that something is wrong. Only a
 * delivery has metadata; headers are whatever somebody published. */
static bool is_end(natsMsg *message) {
    const char *value = NULL;
    return natsMsgHeader_Get(message, "Status", &value) == NATS_OK && strcmp(value, "404") == 0;
}

/* Takes one message, and notes how far that gets us. */
static bool take_headers(struct stream_search *search, struct headers *headers, natsMsg *message, uint64_t to,
                         uint64_t *ours) {
    jsMsgMetaData *meta = NULL;
    if (natsMsg_GetMetaData(&meta, message) != NATS_OK) {
        headers->at_end = true;
        return is_end(message);
    }
    bool whole = meta->Sequence.Consumer == ++headers->delivered; /* else some were lost on their way */
    if (whole && meta->Sequence.Stream <= to) {
        see(search, message, meta->Sequence.Stream, meta->Timestamp, ours);
    }
    headers->at = meta->Sequence.Stream;
    headers->at_end = meta->NumPending == 0;
    jsMsgMetaData_Destroy(meta);
    return whole;
}

/* The library takes a delivery without a body whose headers say so for the server's word that nobody answers,
 * and keeps it to itself: one is passed over like an end, since whatever comes next is read in another way. */
static bool read_batch(struct stream_search *search, struct headers *headers, uint64_t to, uint64_t *ours,
                       struct error *error) {
    uint64_t count = to - headers->at < BATCH ? to - headers->at : BATCH;
    natsStatus status = ask_for(search, headers, count);
    for (uint64_t i = 0; i < count && headers->at < to && !headers->at_end && status == NATS_OK; i++) {
        natsMsg *message = NULL;
        status = natsSubscription_NextMsg(&message, headers->subscription, WAIT_MS);
        if (status == NATS_NO_RESPONDERS) {
            headers->at_end = true;
            return true;
        }
        if (status == NATS_OK && !take_headers(search, headers, message, to, ours)) {
            status = NATS_ERR;
        }
        natsMsg_Destroy(message);
    }
    return status == NATS_OK || stream_set_error(error, status, 0, "looking through the stream");
}

/* {"message":{"seq":7,...}} or {"error":{"err_code":10037,...}} */
static bool parse_next(natsMsg *reply, uint64_t *sequence) {
    json_error_t ignored;
    json_t *root = json_loadb(natsMsg_GetData(reply), (size_t)natsMsg_GetDataLength(reply), 0, &ignored);
    const json_t *found = json_object_get(json_object_get(root, "message"), "seq");
    const json_t *code = json_object_get(json_object_get(root, "error"), "err_code");
    bool good = json_is_integer(found) || json_integer_value(code) == JSNoMessageFoundErr;
    *sequence = json_is_integer(found) ? (uint64_t)json_integer_value(found) : UINT64_MAX;
    json_decref(root);
    return good;
}

/* The first message from `sequence` on; UINT64_MAX for none. */
static bool find_next(struct stream_search *search, uint64_t sequence, uint64_t *next, struct error *error) {
    char subject[REQUEST_BYTES];
    char body[64];
    natsMsg *reply = NULL;
    snprintf(subject, sizeof subject, "$JS.API.STREAM.MSG.GET.%s", search->options.stream);
    snprintf(body, sizeof body, "{\"seq\":%" PRIu64 ",\"next_by_subj\":\">\"}", sequence);
    natsStatus status = natsConnection_RequestString(&reply, stream_connection_nats(search->options.connection),
                                                     subject, body, WAIT_MS);
    if (status == NATS_OK && !parse_next(reply, next)) {
        status = NATS_ERR;
    }
    natsMsg_Destroy(reply);
    return status == NATS_OK || stream_set_error(error, status, 0, "looking for the stream's next message");
}

/* Reads on to `to`, or to where the consumer seems to end: it counts what there is, and such counts have been
 * wrong, so it is not taken at its word. */
static bool scan_run(struct stream_search *search, uint64_t from, uint64_t to, uint64_t *ours, uint64_t *at,
                     struct error *error) {
    struct headers headers;
    bool good = open_headers(search, from, &headers, error);
    while (good && headers.at < to && !headers.at_end) {
        good = read_batch(search, &headers, to, ours, error);
    }
    close_headers(search, &headers);
    *at = headers.at;
    return good;
}

static bool scan_many(struct stream_search *search, uint64_t from, uint64_t to, uint64_t *ours, struct error *error) {
    while (from <= to) {
        uint64_t at;
        uint64_t next = UINT64_MAX;
        if (!scan_run(search, from, to, ours, &at, error) || (at < to && !find_next(search, at + 1, &next, error))) {
            return false;
        }
        if (next > to) {
            return true;
        }
        from = to - next < SOME ? to + 1 : next + SOME;
        if (!scan_few(search, next, from - 1, ours, error)) {
            return false;
        }
    }
    return true;
}

static bool scan(struct stream_search *search, uint64_t from, uint64_t to, uint64_t *ours, struct error *error) {
    *ours = 0;
    return to - from < FEW ? scan_few(search, from, to, ours, error) : scan_many(search, from, to, ours, error);
}

/* ---- the search ---- */

static void begin(struct stream_search *search, const jsStreamInfo *info) {
    search->created_ns = info->Created;
    search->reconnects = stream_connection_reconnects(search->options.connection);
    search->high = info->State.LastSeq;
    search->low = search->high + 1;
    search->found = 0;
    search->chunk = FEW;
    search->mark = 0;
    search->mark_ns = 0;
}

/* Whether it is the stream that was looked at, as long at least, over the same connection. */
static bool is_same(const struct stream_search *search, const jsStreamInfo *info) {
    return info->Created == search->created_ns && info->State.LastSeq >= search->high &&
           stream_connection_reconnects(search->options.connection) == search->reconnects;
}

/* Whether what was seen is still true. Where the newest message of it is gone, nobody can say. */
static bool still_true(struct stream_search *search, const jsStreamInfo *info, bool *holds, struct error *error) {
    natsMsg *message = NULL;
    *holds = search->high != 0 && is_same(search, info);
    if (!*holds || search->mark == 0) {
        return true;
    }
    if (!read_message(search, search->mark, &message, error)) {
        return false;
    }
    *holds = message != NULL && natsMsg_GetTime(message) == search->mark_ns;
    natsMsg_Destroy(message);
    return true;
}

/* Once ours was found, so much that is new may well have newer ones at its end: it is looked through from there. */
static bool begin_or_go_on(struct stream_search *search, const jsStreamInfo *info, struct error *error) {
    bool holds;
    if (!still_true(search, info, &holds, error)) {
        return false;
    }
    if (!holds || (search->found != 0 && info->State.LastSeq - search->high > MOST_CHUNK)) {
        begin(search, info);
    }
    return true;
}

static bool over(int64_t until_us) {
    return clock_monotonic_us(&system_clock) >= until_us;
}

/* What is new. Each step gets on by one chunk at least. */
static bool look_further_up(struct stream_search *search, uint64_t last, int64_t until_us, struct error *error) {
    bool good = true;
    do {
        uint64_t ours = 0;
        uint64_t to = last - search->high > MOST_CHUNK ? search->high + MOST_CHUNK : last;
        good = to == search->high || scan(search, search->high + 1, to, &ours, error);
        search->high = good ? to : search->high;
        if (good && ours != 0) {
            search->found = ours;
            search->low = ours;
        }
    } while (good && search->high < last && !over(until_us));
    return good;
}

/* What is older, while nothing of ours was found. */
static bool look_further_down(struct stream_search *search, uint64_t first, int64_t until_us, struct error *error) {
    bool good = true;
    while (good && search->found == 0 && search->low > first) {
        uint64_t ours;
        uint64_t from = search->low - first > search->chunk ? search->low - search->chunk : first;
        good = scan(search, from, search->low - 1, &ours, error);
        if (good) {
            search->found = ours;
            search->low = ours != 0 ? ours : from;
            search->chunk = search->chunk < FIRST_CHUNK ? FIRST_CHUNK : search->chunk * 2;
            search->chunk = search->chunk < MOST_CHUNK ? search->chunk : MOST_CHUNK;
        }
        if (over(until_us)) {
            break;
        }
    }
    return good;
}

/* The found message, whole; one that was removed meanwhile is none. */
static bool take_found(struct stream_search *search, natsMsg **message, struct error *error) {
    if (!read_message(search, search->found, message, error)) {
        return false;
    }
    if (*message != NULL && !is_ours(search, *message)) {
        natsMsg_Destroy(*message);
        *message = NULL;
    }
    if (*message == NULL) {
        search->found = 0;
        search->chunk = FEW;
    }
    return true;
}

static bool look(struct stream_search *search, const jsStreamInfo *info, struct stream_search_result *result,
                 struct error *error) {
    int64_t step_us = search->options.step_us != 0 ? search->options.step_us : STEP_US;
    int64_t until_us = clock_monotonic_us(&system_clock) + step_us;
    if (!look_further_up(search, info->State.LastSeq, until_us, error)) {
        return false;
    }
    do {
        if (!look_further_down(search, info->State.FirstSeq, until_us, error)) {
            return false;
        }
        if (search->found != 0 && !take_found(search, &result->newest, error)) {
            return false;
        }
    } while (result->newest == NULL && search->low > info->State.FirstSeq && !over(until_us));
    result->done =
        search->high >= info->State.LastSeq && (result->newest != NULL || search->low <= info->State.FirstSeq);
    return true;
}

static void tell(struct stream_search *search, const jsStreamInfo *info) {
    int64_t now_us = clock_monotonic_us(&system_clock);
    if (search->others == 0 || (search->told_us != 0 && now_us - search->told_us < TELL_US)) {
        return;
    }
    log_warn("foreign_events", LOG_STR("stream", search->options.stream), LOG_INT("count", search->others),
             LOG_INT("last_sequence", info->State.LastSeq),
             LOG_STR("hint", "somebody else publishes to the stream's subjects; deny it in nats-server"));
    search->others = 0;
    search->told_us = now_us;
}

/* Nearly always the last message is ours. (Asked for the last message of a subject, nats-server 2.9 says
 * that there is none when the very last was removed; and subjects of ours may have messages of others.) */
bool stream_search_step(struct stream_search *search, const jsStreamInfo *info, struct stream_search_result *result,
                        struct error *error) {
    natsMsg *last;
    *result = (struct stream_search_result){0};
    if (!read_message(search, info->State.LastSeq, &last, error)) {
        return false;
    }
    if (last != NULL && is_ours(search, last)) {
        begin(search, info);
        see(search, last, info->State.LastSeq, natsMsg_GetTime(last), &search->found);
        search->low = search->found;
        *result = (struct stream_search_result){.done = true, .newest = last};
        return true;
    }
    natsMsg_Destroy(last);
    result->passed = true;
    bool good = begin_or_go_on(search, info, error) && look(search, info, result, error);
    if (good && !result->done) {
        natsMsg_Destroy(result->newest);
        result->newest = NULL;
    }
    tell(search, info);
    return good;
}

bool stream_search_follow(struct stream_search *search, const jsStreamInfo *info, bool *same, struct error *error) {
    uint64_t found = search->found;
    *same = is_same(search, info);
    if (*same && !look_further_up(search, info->State.LastSeq, clock_monotonic_us(&system_clock), error)) {
        return false;
    }
    *same = *same && search->found == found && search->high == info->State.LastSeq;
    return true;
}
