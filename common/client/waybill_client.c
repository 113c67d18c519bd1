#include "common/client/waybill_client.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "common/base/uuid.h"
#include "common/client/client_parts.h"
#include "common/rpc/proto_message.h"

enum {
    /* A page of 1000 records with large descriptors. */
    MAX_METADATA_MESSAGE_BYTES = 64 << 20,
    /* A chunk with a record. */
    MAX_BULK_MESSAGE_BYTES = 4 << 20,
    BACKOFF_FIRST_MS = 50,
    BACKOFF_MOST_MS = 2000,
};

/* ---- life ---- */

static const char *or_default(const char *given, const char *otherwise) {
    return given != NULL && given[0] != '\0' ? given : otherwise;
}

struct waybill_client *waybill_client_new(const struct waybill_client_options *options) {
    static const struct waybill_client_options defaults;
    options = options != NULL ? options : &defaults;
    struct waybill_client *client = calloc(1, sizeof *client);
    if (client == NULL) {
        abort();
    }
    client->metadata =
        rpc_channel_new(or_default(options->metadata, WAYBILL_DEFAULT_METADATA), MAX_METADATA_MESSAGE_BYTES);
    client->bulk = rpc_channel_new(or_default(options->bulk, WAYBILL_DEFAULT_BULK), MAX_BULK_MESSAGE_BYTES);
    client->object = rpc_channel_new(or_default(options->object, WAYBILL_DEFAULT_OBJECT), MAX_BULK_MESSAGE_BYTES);
    client->timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : WAYBILL_DEFAULT_TIMEOUT_MS;
    client->max_attempts = options->max_attempts > 0 ? options->max_attempts : WAYBILL_DEFAULT_ATTEMPTS;
    pthread_mutex_init(&client->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&client->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return client;
}

void waybill_client_free(struct waybill_client *client) {
    if (client == NULL) {
        return;
    }
    rpc_channel_free(client->metadata);
    rpc_channel_free(client->bulk);
    rpc_channel_free(client->object);
    pthread_cond_destroy(&client->changed);
    pthread_mutex_destroy(&client->lock);
    free(client);
}

bool waybill_client_cancel(struct waybill_client *client) {
    pthread_mutex_lock(&client->lock);
    client->cancelled = true;
    bool any = client->streams != NULL || client->pauses > 0;
    for (struct client_stream *stream = client->streams; stream != NULL; stream = stream->next) {
        rpc_stream_cancel(stream->stream);
    }
    pthread_cond_broadcast(&client->changed);
    pthread_mutex_unlock(&client->lock);
    return any;
}

static bool fail_cancelled(struct error *error) {
    return error_set(error, ERROR_CANCELLED, "CLIENT_CANCELLED", "the client was told to stop");
}

/* ---- calls ---- */

ProtobufCMessage *client_call(struct waybill_client *client, struct rpc_channel *channel, const char *path,
                              const ProtobufCMessage *request, const ProtobufCMessageDescriptor *response_type,
                              struct arena *arena, struct error *error) {
    struct rpc_call_options options = {.timeout_ms = client->timeout_ms, .max_attempts = client->max_attempts};
    ProtobufCMessage *response = NULL;
    if (!rpc_channel_call(channel, path, &options, request, response_type, arena, &response, error)) {
        return NULL;
    }
    return response;
}

bool client_stream_open(struct waybill_client *client, struct rpc_channel *channel, const char *path,
                        struct client_stream *stream, struct error *error) {
    stream->stream = rpc_channel_open_stream(channel, path, NULL, error);
    if (stream->stream == NULL) {
        return false;
    }
    pthread_mutex_lock(&client->lock);
    if (client->cancelled) {
        rpc_stream_cancel(stream->stream);
    }
    stream->previous = NULL;
    stream->next = client->streams;
    if (client->streams != NULL) {
        client->streams->previous = stream;
    }
    client->streams = stream;
    pthread_mutex_unlock(&client->lock);
    return true;
}

/* From here on nobody but the caller cancels the stream; returns whether somebody may have. */
static bool unlist(struct waybill_client *client, struct client_stream *stream) {
    pthread_mutex_lock(&client->lock);
    if (stream->next != NULL) {
        stream->next->previous = stream->previous;
    }
    *(stream->previous != NULL ? &stream->previous->next : &client->streams) = stream->next;
    bool cancelled = client->cancelled;
    pthread_mutex_unlock(&client->lock);
    return cancelled;
}

bool client_stream_close(struct waybill_client *client, struct client_stream *stream, struct error *error) {
    struct bytes unwanted;
    struct error ignored;
    rpc_stream_writes_done(stream->stream);
    /* Waits for the status while the stream can still be cancelled. */
    if (rpc_stream_read(stream->stream, &unwanted, &ignored) == RPC_READ_MESSAGE) {
        rpc_stream_cancel(stream->stream);
    }
    bool cancelled = unlist(client, stream);
    bool ok = rpc_stream_close(stream->stream, error);
    if (!ok && cancelled && error->code == ERROR_CANCELLED) {
        fail_cancelled(error);
    }
    return ok;
}

void client_stream_abandon(struct waybill_client *client, struct client_stream *stream) {
    struct error ignored;
    rpc_stream_cancel(stream->stream);
    unlist(client, stream);
    rpc_stream_close(stream->stream, &ignored);
}

/* ---- retries ---- */

bool client_worth_retrying(const struct error *error) {
    return error->code == ERROR_UNAVAILABLE || (error->code == ERROR_RESOURCE_EXHAUSTED && error->retry_after_ms > 0);
}

bool client_pause(struct waybill_client *client, int64_t pause_ms, struct error *error) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += pause_ms / 1000;
    until.tv_nsec += pause_ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&client->lock);
    client->pauses++;
    int ended = 0;
    while (!client->cancelled && ended == 0) {
        ended = pthread_cond_timedwait(&client->changed, &client->lock, &until);
    }
    client->pauses--;
    bool cancelled = client->cancelled;
    pthread_mutex_unlock(&client->lock);
    return cancelled ? fail_cancelled(error) : true;
}

bool client_back_off(struct waybill_client *client, unsigned made, const struct error *why, struct error *error) {
    int64_t limit = BACKOFF_FIRST_MS;
    for (unsigned i = 1; i < made && limit < BACKOFF_MOST_MS; i++) {
        limit *= 2;
    }
    limit = limit < BACKOFF_MOST_MS ? limit : BACKOFF_MOST_MS;
    /* Without chance, clients that failed together come back together. */
    uint32_t chance = 0;
    if (getrandom(&chance, sizeof chance, GRND_NONBLOCK) != sizeof chance) {
        chance = (uint32_t)(uintptr_t)why;
    }
    int64_t pause_ms = why->retry_after_ms > 0 ? why->retry_after_ms + chance % BACKOFF_FIRST_MS : chance % (limit + 1);
    return client_pause(client, pause_ms, error);
}

/* ---- messages ---- */

char *client_request_id(const char *given, char made[UUID_TEXT_BYTES]) {
    if (given != NULL && given[0] != '\0') {
        return (char *)given;
    }
    struct uuid id = uuid_make();
    uuid_print(&id, made);
    return made;
}

/* The entries of every map of attributes look like this. */
struct attribute_entry {
    ProtobufCMessage base;
    char *key;
    Waybill__V1__AttributeValue *value;
};

_Static_assert(sizeof(struct attribute_entry) == sizeof(Waybill__V1__PutRecordRequest__AttributesEntry) &&
                   offsetof(struct attribute_entry, value) ==
                       offsetof(Waybill__V1__PutRecordRequest__AttributesEntry, value),
               "an entry of PutRecordRequest.attributes");
_Static_assert(sizeof(struct attribute_entry) == sizeof(Waybill__V1__NewRecordUpload__AttributesEntry) &&
                   offsetof(struct attribute_entry, value) ==
                       offsetof(Waybill__V1__NewRecordUpload__AttributesEntry, value),
               "an entry of NewRecordUpload.attributes");
_Static_assert(sizeof(struct attribute_entry) == sizeof(Waybill__V1__UpdateRecordRequest__AttributesEntry) &&
                   offsetof(struct attribute_entry, value) ==
                       offsetof(Waybill__V1__UpdateRecordRequest__AttributesEntry, value),
               "an entry of UpdateRecordRequest.attributes");

static Waybill__V1__AttributeValue *attribute_value(const struct waybill_attribute *attribute, struct arena *arena) {
    Waybill__V1__AttributeValue *value = arena_alloc(arena, sizeof *value);
    waybill__v1__attribute_value__init(value);
    switch (attribute->kind) {
    case WAYBILL_ATTRIBUTE_STRING:
        value->kind_case = WAYBILL__V1__ATTRIBUTE_VALUE__KIND_STRING_VALUE;
        value->string_value = client_text(attribute->text);
        break;
    case WAYBILL_ATTRIBUTE_INT:
        value->kind_case = WAYBILL__V1__ATTRIBUTE_VALUE__KIND_INT_VALUE;
        value->int_value = attribute->number;
        break;
    case WAYBILL_ATTRIBUTE_DOUBLE:
        value->kind_case = WAYBILL__V1__ATTRIBUTE_VALUE__KIND_DOUBLE_VALUE;
        value->double_value = attribute->real;
        break;
    case WAYBILL_ATTRIBUTE_BOOL:
        value->kind_case = WAYBILL__V1__ATTRIBUTE_VALUE__KIND_BOOL_VALUE;
        value->bool_value = attribute->truth;
        break;
    case WAYBILL_ATTRIBUTE_TIME:
        value->kind_case = WAYBILL__V1__ATTRIBUTE_VALUE__KIND_TIMESTAMP_VALUE;
        value->timestamp_value = client_timestamp(&attribute->time, arena);
        break;
    case WAYBILL_ATTRIBUTE_BYTES:
        value->kind_case = WAYBILL__V1__ATTRIBUTE_VALUE__KIND_BYTES_VALUE;
        value->bytes_value = (ProtobufCBinaryData){attribute->raw.size, (uint8_t *)attribute->raw.data};
        break;
    }
    return value;
}

void *client_attributes(const struct waybill_attribute *attributes, size_t count,
                        const ProtobufCMessageDescriptor *entry_type, struct arena *arena) {
    struct attribute_entry **entries = arena_alloc(arena, count * sizeof(struct attribute_entry *));
    for (size_t i = 0; i < count; i++) {
        entries[i] = arena_alloc(arena, sizeof *entries[i]);
        protobuf_c_message_init(entry_type, entries[i]);
        entries[i]->key = client_text(attributes[i].name);
        entries[i]->value = attribute_value(&attributes[i], arena);
    }
    return entries;
}

ProtobufCMessage *client_copy(const ProtobufCMessage *message, struct arena *arena) {
    struct error ignored;
    return proto_decode(message->descriptor, proto_encode(message, arena), arena, &ignored);
}

Google__Protobuf__Duration *client_duration(int64_t ms, struct arena *arena) {
    Google__Protobuf__Duration *duration = arena_alloc(arena, sizeof *duration);
    google__protobuf__duration__init(duration);
    duration->seconds = ms / 1000;
    duration->nanos = (int32_t)(ms % 1000) * 1000000;
    return duration;
}

Google__Protobuf__Timestamp *client_timestamp(const struct waybill_time *time, struct arena *arena) {
    if (time == NULL) {
        return NULL;
    }
    Google__Protobuf__Timestamp *timestamp = arena_alloc(arena, sizeof *timestamp);
    google__protobuf__timestamp__init(timestamp);
    timestamp->seconds = time->seconds;
    timestamp->nanos = time->nanos;
    return timestamp;
}

bool client_bad_answer(struct error *error, const char *what) {
    return error_set(error, ERROR_INTERNAL, "MALFORMED_RESPONSE", "the server's answer %s", what);
}
