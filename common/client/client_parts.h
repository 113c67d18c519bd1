/* What the files of the client library share. waybill_client.c has its life, calls and
 * retries; the other client_*.c one group of functions each. */
#ifndef WAYBILL_CLIENT_CLIENT_PARTS_H
#define WAYBILL_CLIENT_CLIENT_PARTS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "common/base/uuid.h"
#include "common/client/waybill_client.h"
#include "common/rpc/rpc_channel.h"
#include "common/rpc/rpc_stream.h"

enum { CLIENT_CHUNK_BYTES = 1 << 20 };

struct waybill_client {
    struct rpc_channel *metadata;
    struct rpc_channel *bulk;
    struct rpc_channel *object;
    int64_t timeout_ms;
    unsigned max_attempts;

    pthread_mutex_t lock;
    pthread_cond_t changed; /* cancelled was set */
    /* Under the lock. */
    bool cancelled;
    struct client_stream *streams;
    unsigned pauses; /* threads in client_pause */
};

/* A stream that waybill_client_cancel can end; on the stack of the call that uses it. */
struct client_stream {
    struct rpc_stream *stream;
    struct client_stream *previous, *next; /* in client->streams, under its lock */
};

/* ---- calls ---- */

/* A short call with deadline and retries; the answer is in the arena, NULL on failure. */
ProtobufCMessage *client_call(struct waybill_client *client, struct rpc_channel *channel, const char *path,
                              const ProtobufCMessage *request, const ProtobufCMessageDescriptor *response_type,
                              struct arena *arena, struct error *error);
bool client_stream_open(struct waybill_client *client, struct rpc_channel *channel, const char *path,
                        struct client_stream *stream, struct error *error);
/* Waits for the status, which is to come by itself: true when it is OK. After
 * waybill_client_cancel the error says so. */
bool client_stream_close(struct waybill_client *client, struct client_stream *stream, struct error *error);
/* Ends a stream whose rest nobody wants. */
void client_stream_abandon(struct waybill_client *client, struct client_stream *stream);

/* ---- retries ---- */

/* Whether another attempt may help. */
bool client_worth_retrying(const struct error *error);
/* Waits before attempt `made` + 1 as `why` asks for. False with CANCELLED in `error`, which
 * may be `why`, when waybill_client_cancel ends it. */
bool client_back_off(struct waybill_client *client, unsigned made, const struct error *why, struct error *error);
/* Waits; false with CANCELLED as above. */
bool client_pause(struct waybill_client *client, int64_t pause_ms, struct error *error);

/* ---- messages ---- */

/* The request id to send: the one given, or a new one in `made`. */
char *client_request_id(const char *given, char made[UUID_TEXT_BYTES]);
/* protobuf-c has no const; what it points to is only read. */
static inline char *client_text(const char *text) {
    return (char *)(text != NULL ? text : "");
}
/* The attributes as entries of the map with this entry type, in the arena. */
void *client_attributes(const struct waybill_attribute *attributes, size_t count,
                        const ProtobufCMessageDescriptor *entry_type, struct arena *arena);
/* A copy in the arena. */
ProtobufCMessage *client_copy(const ProtobufCMessage *message, struct arena *arena);
Google__Protobuf__Duration *client_duration(int64_t ms, struct arena *arena);
/* NULL for NULL. */
Google__Protobuf__Timestamp *client_timestamp(const struct waybill_time *time, struct arena *arena);
/* INTERNAL, reason MALFORMED_RESPONSE. */
bool client_bad_answer(struct error *error, const char *what);

/* ---- sources ---- */

/* A file descriptor as a source; a regular file from where it stands. */
struct client_fd_source {
    struct waybill_source source;
    int fd;
    bool regular;
    int64_t start;
    int64_t offset; /* next byte of the payload */
};
bool client_fd_source_init(struct client_fd_source *source, int fd, struct error *error);

#endif
