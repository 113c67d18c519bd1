#include "common/stream/stream_reader.h"

enum { MESSAGE_WAIT_MS = 10000 };

/* How many messages there are; -1 on failure. */
static int64_t count_messages(struct stream_connection *connection, const char *stream, bool *exists,
                              struct error *error) {
    jsStreamInfo *info = NULL;
    jsErrCode code = 0;
    natsStatus status = js_GetStreamInfo(&info, stream_connection_jetstream(connection), stream, NULL, &code);
    *exists = status == NATS_OK;
    if (status != NATS_OK && code == JSStreamNotFoundErr) {
        return 0;
    }
    if (status != NATS_OK) {
        stream_set_error(error, status, code, "asking for the stream");
        return -1;
    }
    int64_t count = (int64_t)info->State.Msgs;
    jsStreamInfo_Destroy(info);
    return count;
}

/* Takes one message; `left` is how many come after it. */
static bool take(natsMsg *message, stream_message_visitor *visit, void *self, uint64_t *left) {
    jsMsgMetaData *meta = NULL;
    const char *id = "";
    if (natsMsg_GetMetaData(&meta, message) != NATS_OK) {
        return true; /* a heartbeat or the like */
    }
    *left = meta->NumPending;
    jsMsgMetaData_Destroy(meta);
    if (natsMsgHeader_Get(message, "Nats-Msg-Id", &id) != NATS_OK) {
        id = "";
    }
    return visit(self, id, bytes_of(natsMsg_GetData(message), (size_t)natsMsg_GetDataLength(message)));
}

static bool read_messages(natsSubscription *subscription, stream_message_visitor *visit, void *self,
                          struct error *error) {
    uint64_t left = 1;
    while (left > 0) {
        natsMsg *message = NULL;
        natsStatus status = natsSubscription_NextMsg(&message, subscription, MESSAGE_WAIT_MS);
        if (status != NATS_OK) {
            return stream_set_error(error, status, 0, "reading the stream");
        }
        bool go_on = take(message, visit, self, &left);
        natsMsg_Destroy(message);
        if (!go_on) {
            return false;
        }
    }
    return true;
}

bool stream_read_all(struct stream_connection *connection, const char *stream, const char *filter,
                     stream_message_visitor *visit, void *self, bool *exists, struct error *error) {
    int64_t count = count_messages(connection, stream, exists, error);
    if (count <= 0) {
        return count == 0;
    }
    jsSubOptions options;
    jsErrCode code = 0;
    natsSubscription *subscription = NULL;
    jsSubOptions_Init(&options);
    options.Stream = stream;
    options.Ordered = true; /* a message that is lost on the way is fetched again, in its place */
    options.Config.DeliverPolicy = js_DeliverAll;
    natsStatus status =
        js_SubscribeSync(&subscription, stream_connection_jetstream(connection), filter, NULL, &options, &code);
    if (status != NATS_OK) {
        return stream_set_error(error, status, code, "reading the stream");
    }
    bool good = read_messages(subscription, visit, self, error);
    stream_unsubscribe(connection, subscription);
    return good;
}
