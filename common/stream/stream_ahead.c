#include "common/stream/stream_ahead.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/fair_share.h"
#include "common/stream/stream_pull.h"

enum {
    WAIT_MS = 250,
    PLACE_BYTES = 96,
    PLACES_MAX = 256, /* in the server at once; other subjects wait for one to be forgotten */
};

#define PLACE_KEPT_NS INT64_C(60000000000)
#define PLACE_SURE_US INT64_C(20000000) /* since it was last asked for: well within the time it is kept */

/* A subject and when its place in the server was last used. */
struct subject {
    char *name;
    uint64_t key;
    int64_t used_us; /* 0: it may have no place */
};

struct stream_ahead {
    struct stream_connection *connection;
    char stream[64];
    const char *name;
    const char *filter;
    struct subject *subjects;
    int count;
};

struct stream_ahead *stream_ahead_new(struct stream_connection *connection, const char *stream, const char *name,
                                      const char *filter) {
    struct stream_ahead *ahead = calloc(1, sizeof *ahead);
    if (ahead == NULL) {
        abort();
    }
    ahead->connection = connection;
    snprintf(ahead->stream, sizeof ahead->stream, "%s", stream);
    ahead->name = name;
    ahead->filter = filter;
    return ahead;
}

static void forget_subjects(struct subject *subjects, int count) {
    for (int i = 0; i < count; i++) {
        free(subjects[i].name);
    }
    free(subjects);
}

void stream_ahead_free(struct stream_ahead *ahead) {
    if (ahead != NULL) {
        forget_subjects(ahead->subjects, ahead->count);
        free(ahead);
    }
}

static jsOptions not_for_long(void) {
    jsOptions options;
    jsOptions_Init(&options);
    options.Wait = WAIT_MS;
    return options;
}

/* ---- subjects ---- */

static int64_t used_before(const struct stream_ahead *ahead, uint64_t key) {
    for (int i = 0; i < ahead->count; i++) {
        if (ahead->subjects[i].key == key) {
            return ahead->subjects[i].used_us;
        }
    }
    return 0;
}

static void take_subjects(struct stream_ahead *ahead, const jsStreamStateSubjects *found) {
    int count = found != NULL ? found->Count : 0;
    struct subject *subjects = calloc((size_t)count + 1, sizeof *subjects);
    if (subjects == NULL) {
        abort();
    }
    for (int i = 0; i < count; i++) {
        const char *name = found->List[i].Subject;
        uint64_t key = fair_share_key(bytes_of_string(name));
        subjects[i] = (struct subject){.name = strdup(name), .key = key, .used_us = used_before(ahead, key)};
        if (subjects[i].name == NULL) {
            abort();
        }
    }
    forget_subjects(ahead->subjects, ahead->count);
    ahead->subjects = subjects;
    ahead->count = count;
}

int stream_ahead_look(struct stream_ahead *ahead, struct error *error) {
    jsOptions options = not_for_long();
    jsStreamInfo *info = NULL;
    jsErrCode code = 0;
    options.Stream.Info.SubjectsFilter = ahead->filter;
    natsStatus status =
        js_GetStreamInfo(&info, stream_connection_jetstream(ahead->connection), ahead->stream, &options, &code);
    if (status != NATS_OK) {
        stream_set_error(error, status, code, "asking for the stream's subjects");
        return -1;
    }
    take_subjects(ahead, info->State.Subjects);
    jsStreamInfo_Destroy(info);
    return ahead->count;
}

const char *stream_ahead_subject(const struct stream_ahead *ahead, int index) {
    assert(index >= 0 && index < ahead->count);
    return ahead->subjects[index].name;
}

/* ---- places ---- */

/* By a number, since a subject's characters do not make a name. */
static void print_place(const struct stream_ahead *ahead, const struct subject *subject, char out[PLACE_BYTES]) {
    snprintf(out, PLACE_BYTES, "%.64s-%016" PRIx64, ahead->name, subject->key);
}

static int places_in_use(const struct stream_ahead *ahead, int64_t now_us) {
    int count = 0;
    for (int i = 0; i < ahead->count; i++) {
        const struct subject *subject = &ahead->subjects[i];
        count += subject->used_us != 0 && now_us - subject->used_us < PLACE_KEPT_NS / 1000;
    }
    return count;
}

/* Whether the subject has anything behind `after`. */
static natsStatus has_more(struct stream_ahead *ahead, const struct subject *subject, uint64_t after, bool *more,
                           jsErrCode *code) {
    jsOptions options = not_for_long();
    natsMsg *last = NULL;
    natsStatus status = js_GetLastMsg(&last, stream_connection_jetstream(ahead->connection), ahead->stream,
                                      subject->name, &options, code);
    *more = status == NATS_OK && natsMsg_GetSequence(last) > after;
    natsMsg_Destroy(last);
    return *code == JSNoMessageFoundErr ? NATS_OK : status;
}

static natsStatus make_place(struct stream_ahead *ahead, const struct subject *subject, const char *place,
                             uint64_t after, jsErrCode *code) {
    jsOptions options = not_for_long();
    jsConsumerConfig config;
    jsConsumerConfig_Init(&config);
    config.Durable = place;
    config.AckPolicy = js_AckNone;
    config.DeliverPolicy = js_DeliverByStartSequence;
    config.OptStartSeq = after + 1;
    config.FilterSubject = subject->name;
    config.InactiveThreshold = PLACE_KEPT_NS;
    return js_AddConsumer(NULL, stream_connection_jetstream(ahead->connection), ahead->stream, &config, &options, code);
}

/* One that is there already stays where it is; none is made where there is nothing to find. */
static natsStatus ensure_place(struct stream_ahead *ahead, const struct subject *subject, uint64_t after, bool *there,
                               jsErrCode *code) {
    int64_t now_us = clock_monotonic_us(&system_clock);
    *there = subject->used_us != 0 && now_us - subject->used_us < PLACE_SURE_US;
    if (*there) {
        return NATS_OK;
    }
    bool more = false;
    natsStatus status = has_more(ahead, subject, after, &more, code);
    if (status != NATS_OK || !more || places_in_use(ahead, now_us) >= PLACES_MAX) {
        return status;
    }
    char place[PLACE_BYTES];
    jsOptions options = not_for_long();
    jsConsumerInfo *info = NULL;
    print_place(ahead, subject, place);
    status =
        js_GetConsumerInfo(&info, stream_connection_jetstream(ahead->connection), ahead->stream, place, &options, code);
    jsConsumerInfo_Destroy(info);
    if (status != NATS_OK && *code == JSConsumerNotFoundErr) {
        *code = 0;
        status = make_place(ahead, subject, place, after, code);
    }
    *there = status == NATS_OK;
    return status;
}

/* ---- messages ---- */

/* Those that the consumer has come to meanwhile are passed over. */
static int take_messages(struct stream_pull *pull, uint64_t after, int max,
                         void (*visit)(void *self, struct bytes body), void *self, bool *good, struct error *error) {
    enum pull_outcome outcome = PULL_MESSAGE;
    int count = 0;
    for (int i = 0; i < max && outcome == PULL_MESSAGE; i++) {
        natsMsg *message;
        jsMsgMetaData *meta;
        outcome = stream_pull_next(pull, WAIT_MS, &message, &meta, error);
        if (outcome != PULL_MESSAGE) {
            break;
        }
        if (meta->Sequence.Stream > after) {
            visit(self, bytes_of(natsMsg_GetData(message), (size_t)natsMsg_GetDataLength(message)));
            count++;
        }
        jsMsgMetaData_Destroy(meta);
        natsMsg_Destroy(message);
    }
    if (outcome == PULL_NOTHING) {
        stream_set_error(error, NATS_TIMEOUT, 0, "looking ahead in the stream");
    }
    *good = outcome == PULL_MESSAGE || outcome == PULL_OVER;
    return count;
}

/* A failure after some were found shows again next time. */
static int fetch(struct stream_ahead *ahead, const char *place, uint64_t after, int max,
                 void (*visit)(void *self, struct bytes body), void *self, bool *good, struct error *error) {
    struct stream_pull *pull = stream_pull_open(ahead->connection, ahead->stream, place, max, error);
    int count = 0;
    *good = pull != NULL && stream_pull_ask(pull, max, 0, error);
    if (*good) {
        count = take_messages(pull, after, max, visit, self, good, error);
    }
    stream_pull_close(pull);
    return *good || count > 0 ? count : -1;
}

int stream_ahead_fetch(struct stream_ahead *ahead, int index, uint64_t after, int max,
                       void (*visit)(void *self, struct bytes body), void *self, struct error *error) {
    assert(index >= 0 && index < ahead->count);
    struct subject *subject = &ahead->subjects[index];
    char place[PLACE_BYTES];
    jsErrCode code = 0;
    bool good = false;
    bool there;
    int count = -1;
    natsStatus status = ensure_place(ahead, subject, after, &there, &code);
    if (status == NATS_OK && !there) {
        return 0;
    }
    if (status == NATS_OK) {
        print_place(ahead, subject, place);
        count = fetch(ahead, place, after, max, visit, self, &good, error);
    } else {
        stream_set_error(error, status, code, "looking ahead in the stream");
    }
    subject->used_us = good ? clock_monotonic_us(&system_clock) : 0;
    return count;
}
