#include "tests/bench/null_stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/rpc/bulk_field.h"
#include "google/protobuf/any.pb-c.h"
#include "tests/bench/load.h"

#define UPLOAD_PATH "/bench/Upload"
#define DOWNLOAD_PATH "/bench/Download"

enum { STEP_BYTES = 4096, VALUE_FIELD = 2, TEXT_BYTES = 32 };

/* What came or went: each message is an Any whose value is a run of bytes. */
struct tally {
    uint64_t sum;
    uint64_t bytes;
};

static void look_at(struct tally *tally, const uint8_t *data, size_t size) {
    for (size_t i = 0; i < size; i += STEP_BYTES) {
        tally->sum = tally->sum * 31 + data[i];
    }
    tally->bytes += size;
}

static void mark(uint8_t *data, size_t size, uint64_t number) {
    for (size_t i = 0; i < size; i += STEP_BYTES) {
        data[i] = (uint8_t)(number + i / STEP_BYTES);
    }
}

static bool send_bytes(struct rpc_stream *stream, uint64_t bytes, struct tally *tally) {
    bool sent = true;
    while (sent && tally->bytes < bytes) {
        uint64_t left = bytes - tally->bytes;
        size_t size = left < NULL_STREAM_CHUNK_BYTES ? (size_t)left : NULL_STREAM_CHUNK_BYTES;
        struct rpc_buffer *body = rpc_buffer_new(size);
        struct buffer head = {0};
        mark(rpc_buffer_data(body), size, tally->bytes / STEP_BYTES);
        look_at(tally, rpc_buffer_data(body), size);
        bulk_field_append(&head, VALUE_FIELD, size);
        sent = rpc_stream_write_bulk(stream, buffer_bytes(&head), body, size);
        buffer_free(&head);
    }
    return sent;
}

/* Counts a message of bytes; false for one of text. */
static bool take_bytes(struct bytes message, struct tally *tally) {
    size_t at = 1; /* behind the tag comes the length */
    if (message.size == 0 || message.data[0] != (VALUE_FIELD << 3 | 2)) {
        return false;
    }
    while (message.data[at++] & 0x80) {
    }
    look_at(tally, message.data + at, message.size - at);
    return true;
}

/* ---- the server ---- */

static void answer(struct rpc_stream *stream, const struct tally *tally) {
    char text[TEXT_BYTES];
    snprintf(text, sizeof text, "%016lx", (unsigned long)tally->sum);
    Google__Protobuf__Any message = GOOGLE__PROTOBUF__ANY__INIT;
    message.type_url = text;
    rpc_stream_finish_with(stream, &message.base);
}

static void serve_upload(void *service, struct rpc_stream *stream) {
    (void)service;
    struct tally tally = {0};
    struct bytes message;
    struct error error;
    while (rpc_stream_read(stream, &message, &error) == RPC_READ_MESSAGE) {
        take_bytes(message, &tally);
    }
    answer(stream, &tally);
}

/* The request says how many bytes in its text. */
static void serve_download(void *service, struct rpc_stream *stream) {
    (void)service;
    struct tally tally = {0};
    struct bytes message;
    struct error error = {0};
    bool sent = false;
    if (rpc_stream_read(stream, &message, &error) == RPC_READ_MESSAGE) {
        Google__Protobuf__Any *request = google__protobuf__any__unpack(NULL, message.size, message.data);
        sent = request != NULL && send_bytes(stream, strtoull(request->type_url, NULL, 10), &tally);
        google__protobuf__any__free_unpacked(request, NULL);
    }
    if (sent) {
        answer(stream, &tally);
    } else {
        rpc_stream_finish(stream, &error);
    }
}

void null_stream_serve(struct rpc_server *server) {
    rpc_server_add_stream(server, UPLOAD_PATH, serve_upload, NULL);
    rpc_server_add_stream(server, DOWNLOAD_PATH, serve_download, NULL);
}

/* ---- the client ---- */

static struct rpc_stream *open_stream(struct rpc_channel *channel, const char *path) {
    struct error error;
    struct rpc_stream *stream = rpc_channel_open_stream(channel, path, NULL, &error);
    if (stream == NULL) {
        load_die(path, &error);
    }
    return stream;
}

static void check_answer(struct bytes message, const struct tally *tally) {
    char text[TEXT_BYTES];
    snprintf(text, sizeof text, "%016lx", (unsigned long)tally->sum);
    if (memmem(message.data, message.size, text, strlen(text)) == NULL) {
        load_die("what arrived is not what was sent", NULL);
    }
}

/* Reads bytes up to the answer with the sum, which must be the one of the tally. */
static void read_answer(struct rpc_stream *stream, const char *path, struct tally *tally) {
    struct bytes message;
    struct error error;
    do {
        if (rpc_stream_read(stream, &message, &error) != RPC_READ_MESSAGE) {
            rpc_stream_close(stream, &error);
            load_die(path, &error);
        }
    } while (take_bytes(message, tally));
    check_answer(message, tally);
    if (!rpc_stream_close(stream, &error)) {
        load_die(path, &error);
    }
}

void null_stream_upload(struct rpc_channel *channel, uint64_t bytes) {
    struct rpc_stream *stream = open_stream(channel, UPLOAD_PATH);
    struct tally tally = {0};
    send_bytes(stream, bytes, &tally);
    rpc_stream_writes_done(stream);
    read_answer(stream, UPLOAD_PATH, &tally);
}

void null_stream_download(struct rpc_channel *channel, uint64_t bytes) {
    struct rpc_stream *stream = open_stream(channel, DOWNLOAD_PATH);
    struct tally tally = {0};
    char text[TEXT_BYTES];
    snprintf(text, sizeof text, "%lu", (unsigned long)bytes);
    Google__Protobuf__Any request = GOOGLE__PROTOBUF__ANY__INIT;
    request.type_url = text;
    rpc_stream_write_last(stream, &request.base);
    read_answer(stream, DOWNLOAD_PATH, &tally);
    if (tally.bytes != bytes) {
        load_die("not all bytes arrived", NULL);
    }
}
