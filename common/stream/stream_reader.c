#include "common/stream/stream_reader.h"

#include <stdlib.h>
#include <string.h>

#include "common/stream/stream_pull.h"

enum {
    MESSAGE_WAIT_MS = 10000,
    BATCH = 256, /* messages on their way to us at once */
    TRIES = 5,   /* in a row that bring nothing, though there is more */
};

#define PLACE_KEPT_NS INT64_C(30000000000)

struct reading {
    struct stream_connection *connection;
    const char *stream;
    const char *filter;
    stream_message_visitor *visit;
    void *self;
    uint64_t at;   /* the last one's sequence */
    uint64_t last; /* of the stream, at the call */
};

/* A run through the stream with a consumer, which the server forgets by itself should we not come to it. */
struct run {
    char *consumer;
    struct stream_pull *pull;
    uint64_t delivered;
    uint64_t left; /* to be delivered, says the consumer */
    bool broken;   /* some were lost on their way */
};

enum step { STEP_ON, STEP_END, STEP_FAILED };

static bool find_stream(struct reading *reading, bool *exists, struct error *error) {
    jsStreamInfo *info = NULL;
    jsErrCode code = 0;
    natsStatus status =
        js_GetStreamInfo(&info, stream_connection_jetstream(reading->connection), reading->stream, NULL, &code);
    *exists = status == NATS_OK;
    if (status == NATS_OK) {
        reading->last = info->State.Msgs > 0 ? info->State.LastSeq : 0;
    }
    jsStreamInfo_Destroy(info);
    return status == NATS_OK || code == JSStreamNotFoundErr ||
           stream_set_error(error, status, code, "asking for the stream");
}

static bool open_run(struct reading *reading, struct run *run, struct error *error) {
    jsConsumerConfig config;
    jsConsumerInfo *info = NULL;
    jsErrCode code = 0;
    *run = (struct run){0};
    jsConsumerConfig_Init(&config);
    config.AckPolicy = js_AckNone;
    config.DeliverPolicy = js_DeliverByStartSequence;
    config.OptStartSeq = reading->at + 1;
    config.FilterSubject = reading->filter;
    config.MemoryStorage = true;
    config.InactiveThreshold = PLACE_KEPT_NS;
    natsStatus status =
        js_AddConsumer(&info, stream_connection_jetstream(reading->connection), reading->stream, &config, NULL, &code);
    if (status != NATS_OK) {
        return stream_set_error(error, status, code, "reading the stream");
    }
    run->left = info->NumPending;
    run->consumer = strdup(info->Name);
    if (run->consumer == NULL) {
        abort();
    }
    jsConsumerInfo_Destroy(info);
    run->pull = stream_pull_open(reading->connection, reading->stream, run->consumer, BATCH, error);
    return run->pull != NULL;
}

static void close_run(struct reading *reading, struct run *run) {
    stream_pull_close(run->pull);
    if (run->consumer != NULL) {
        js_DeleteConsumer(stream_connection_jetstream(reading->connection), reading->stream, run->consumer, NULL, NULL);
    }
    free(run->consumer);
}

static enum step visit(struct reading *reading, struct run *run, natsMsg *message, const jsMsgMetaData *meta) {
    const char *id = "";
    run->broken = meta->Sequence.Consumer != ++run->delivered;
    if (run->broken) {
        return STEP_ON;
    }
    if (natsMsgHeader_Get(message, "Nats-Msg-Id", &id) != NATS_OK) {
        id = "";
    }
    run->left = meta->NumPending;
    reading->at = meta->Sequence.Stream;
    struct bytes body = bytes_of(natsMsg_GetData(message), (size_t)natsMsg_GetDataLength(message));
    return reading->visit(reading->self, id, body) ? STEP_ON : STEP_FAILED;
}

/* What one request brings. */
static enum step read_batch(struct reading *reading, struct run *run, struct error *error) {
    if (!stream_pull_ask(run->pull, BATCH, 0, error)) {
        return STEP_FAILED;
    }
    enum step step = STEP_ON;
    for (int i = 0; i < BATCH && step == STEP_ON && !run->broken && reading->at < reading->last; i++) {
        natsMsg *message;
        jsMsgMetaData *meta;
        switch (stream_pull_next(run->pull, MESSAGE_WAIT_MS, &message, &meta, error)) {
        case PULL_MESSAGE:
            step = visit(reading, run, message, meta);
            jsMsgMetaData_Destroy(meta);
            natsMsg_Destroy(message);
            break;
        case PULL_OVER:
            run->broken = run->left > 0 && i == 0; /* else what came last lies before the stream's end */
            return run->left > 0 ? STEP_ON : STEP_END;
        case PULL_NOTHING:
            stream_set_error(error, NATS_TIMEOUT, 0, "reading the stream");
            return STEP_FAILED;
        case PULL_FAILED:
            return STEP_FAILED;
        }
    }
    return step;
}

/* From where the last run came to, until the end, or some were lost on their way. */
static enum step read_run(struct reading *reading, struct error *error) {
    struct run run;
    enum step step = open_run(reading, &run, error) ? STEP_ON : STEP_FAILED;
    while (step == STEP_ON && !run.broken) {
        step = reading->at < reading->last ? read_batch(reading, &run, error) : STEP_END;
    }
    close_run(reading, &run);
    return step;
}

bool stream_read_all(struct stream_connection *connection, const char *stream, const char *filter,
                     stream_message_visitor *visitor, void *self, bool *exists, struct error *error) {
    struct reading reading = {
        .connection = connection, .stream = stream, .filter = filter, .visit = visitor, .self = self};
    if (!find_stream(&reading, exists, error)) {
        return false;
    }
    enum step step = reading.last > 0 ? STEP_ON : STEP_END;
    for (int tries = 0; tries < TRIES && step == STEP_ON; tries++) {
        uint64_t before = reading.at;
        step = read_run(&reading, error);
        tries = reading.at > before ? 0 : tries;
    }
    if (step == STEP_ON) {
        stream_set_error(error, NATS_TIMEOUT, 0, "reading the stream");
    }
    return step == STEP_END;
}
