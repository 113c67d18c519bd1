#include "tests/bench/watch_streams.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/bytes.h"

enum {
    FRAME_DATA = 0,
    FRAME_HEADERS = 1,
    FRAME_RST_STREAM = 3,
    FRAME_SETTINGS = 4,
    FRAME_PING = 6,
    FRAME_GOAWAY = 7,
    FRAME_WINDOW_UPDATE = 8,
    FLAG_END_STREAM = 1,
    FLAG_ACK = 1,
    FLAG_END_HEADERS = 4,
    SETTING_INITIAL_WINDOW = 4,
    SETTING_MAX_FRAME = 5,

    FRAME_HEAD_BYTES = 9,
    STREAM_WINDOW = 1 << 20,
    CONNECTION_WINDOW = 1 << 30,
    MAX_FRAME_BYTES = 64 << 10,
    RECEIVE_BYTES = 512 << 10,
    MESSAGE_PREFIX_BYTES = 5,
    /* Of each message so much is kept to find the revision in. */
    MESSAGE_HEAD_BYTES = 64,
    MAX_CONNECTIONS = 64,
};

struct stream {
    bool begun; /* its headers came */
    int64_t next_revision;
    uint32_t window_used; /* since the last update */
    /* The message under way: first its prefix and head, then what is skipped. */
    uint8_t head[MESSAGE_PREFIX_BYTES + MESSAGE_HEAD_BYTES];
    uint32_t head_size;   /* how much of it is there */
    uint32_t head_wanted; /* how much of it comes, once the prefix is known */
    uint32_t rest;        /* bytes of the message behind the head */
};

struct connection {
    int fd;
    struct stream *streams;
    unsigned count;
    uint32_t window_used;
    uint8_t *received; /* RECEIVE_BYTES: a frame that is not complete is kept */
    size_t size;
};

struct watch_streams {
    struct connection connections[MAX_CONNECTIONS];
    unsigned connection_count;
    unsigned streams;
    unsigned begun;
    int64_t goal;     /* the revision that all should see */
    unsigned at_goal; /* streams that have */
    struct watch_streams_stats stats;
};

/* ---- frames out ---- */

static void put_be32_at(uint8_t *out, uint32_t value) {
    for (int i = 0; i < 4; i++) {
        out[i] = (uint8_t)(value >> (24 - 8 * i));
    }
}

static void append_frame(struct buffer *out, uint8_t type, uint8_t flags, uint32_t stream, struct bytes payload) {
    uint8_t head[FRAME_HEAD_BYTES] = {(uint8_t)(payload.size >> 16), (uint8_t)(payload.size >> 8),
                                      (uint8_t)payload.size, type, flags};
    put_be32_at(head + 5, stream);
    buffer_append(out, head, sizeof head);
    buffer_append_bytes(out, payload);
}

static void append_window_update(struct buffer *out, uint32_t stream, uint32_t bytes) {
    uint8_t payload[4];
    put_be32_at(payload, bytes);
    append_frame(out, FRAME_WINDOW_UPDATE, 0, stream, bytes_of(payload, sizeof payload));
}

static void append_setting(struct buffer *out, uint16_t name, uint32_t value) {
    uint8_t setting[6] = {(uint8_t)(name >> 8), (uint8_t)name};
    put_be32_at(setting + 2, value);
    buffer_append(out, setting, sizeof setting);
}

/* A header as HPACK's literal that is not indexed, its name from the static table or given. */
static void append_header(struct buffer *out, unsigned static_name, const char *name, const char *value) {
    if (static_name < 15) {
        buffer_append_u8(out, (uint8_t)static_name);
    } else {
        buffer_append_u8(out, 15);
        buffer_append_u8(out, (uint8_t)(static_name - 15));
    }
    if (static_name == 0) {
        buffer_append_u8(out, (uint8_t)strlen(name));
        buffer_append(out, name, strlen(name));
    }
    buffer_append_u8(out, (uint8_t)strlen(value));
    buffer_append(out, value, strlen(value));
}

static void append_request(struct buffer *out, uint32_t stream, int64_t start_revision) {
    enum { METHOD_POST = 0x83, SCHEME_HTTP = 0x86, AUTHORITY = 1, PATH = 4, CONTENT_TYPE = 31 };
    struct buffer headers = {0};
    buffer_append_u8(&headers, METHOD_POST);
    buffer_append_u8(&headers, SCHEME_HTTP);
    append_header(&headers, PATH, NULL, "/waybill.v1.MetadataService/WatchChanges");
    append_header(&headers, AUTHORITY, NULL, "localhost");
    append_header(&headers, CONTENT_TYPE, NULL, "application/grpc");
    append_header(&headers, 0, "te", "trailers");
    append_frame(out, FRAME_HEADERS, FLAG_END_HEADERS, stream, buffer_bytes(&headers));
    buffer_free(&headers);
    uint8_t message[MESSAGE_PREFIX_BYTES + 11] = {0};
    size_t size = MESSAGE_PREFIX_BYTES;
    message[size++] = 1 << 3; /* start_revision */
    uint64_t rest = (uint64_t)start_revision;
    for (; rest >= 0x80; rest >>= 7) {
        message[size++] = (uint8_t)(rest | 0x80);
    }
    message[size++] = (uint8_t)rest;
    put_be32_at(message + 1, (uint32_t)(size - MESSAGE_PREFIX_BYTES));
    append_frame(out, FRAME_DATA, FLAG_END_STREAM, stream, bytes_of(message, size));
}

static bool send_all(int fd, struct buffer *out, struct error *error) {
    size_t sent = 0;
    while (sent < out->size) {
        ssize_t now = send(fd, out->data + sent, out->size - sent, MSG_NOSIGNAL);
        if (now < 0 && errno != EINTR) {
            return error_set_errno(error, errno, "cannot send to the service");
        }
        sent += now > 0 ? (size_t)now : 0;
    }
    buffer_clear(out);
    return true;
}

/* ---- events ---- */

/* A varint at *at; moves behind it. False when the bytes end in it. */
static bool read_varint(const uint8_t **at, const uint8_t *end, uint64_t *value) {
    *value = 0;
    for (unsigned shift = 0; *at < end && shift < 64; shift += 7) {
        uint8_t byte = *(*at)++;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            return true;
        }
    }
    return false;
}

/* The field of that number in a message, as far as only varints and short bytes come before
 * it; its value, or its length with *at behind that. */
static bool find_field(const uint8_t **at, const uint8_t *end, unsigned wanted, uint64_t *value) {
    uint64_t tag;
    while (read_varint(at, end, &tag) && read_varint(at, end, value)) {
        if (tag >> 3 == wanted) {
            return true;
        }
        bool has_bytes = (tag & 7) == 2;
        if (has_bytes && *value > (uint64_t)(end - *at)) {
            return false;
        }
        *at += has_bytes ? *value : 0;
    }
    return false;
}

static bool take_event(struct watch_streams *self, struct stream *stream, struct error *error) {
    enum { ITEM_EVENT = 1, ITEM_BOOKMARK = 2, EVENT_REVISION = 2, BOOKMARK_REVISION = 1 };
    const uint8_t *at = stream->head + MESSAGE_PREFIX_BYTES;
    const uint8_t *end = stream->head + stream->head_size;
    uint64_t tag;
    uint64_t length;
    uint64_t revision;
    if (!read_varint(&at, end, &tag) || !read_varint(&at, end, &length) ||
        !find_field(&at, end, tag >> 3 == ITEM_EVENT ? EVENT_REVISION : BOOKMARK_REVISION, &revision)) {
        return error_set(error, ERROR_DATA_LOSS, "BAD_EVENT", "a message has no revision");
    }
    if (tag >> 3 == ITEM_BOOKMARK) {
        return (int64_t)revision < stream->next_revision ||
               error_set(error, ERROR_DATA_LOSS, "BAD_BOOKMARK", "a bookmark is ahead of its stream");
    }
    if ((int64_t)revision != stream->next_revision) {
        return error_set(error, ERROR_DATA_LOSS, "OUT_OF_ORDER", "revision %llu came where %lld was due",
                         (unsigned long long)revision, (long long)stream->next_revision);
    }
    stream->next_revision++;
    self->stats.events++;
    self->at_goal += (int64_t)revision == self->goal;
    return true;
}

static bool take_data(struct watch_streams *self, struct stream *stream, const uint8_t *data, size_t size,
                      struct error *error) {
    while (size > 0) {
        if (stream->rest > 0) {
            size_t skipped = size < stream->rest ? size : stream->rest;
            stream->rest -= (uint32_t)skipped;
            data += skipped;
            size -= skipped;
            continue;
        }
        size_t wanted = stream->head_size < MESSAGE_PREFIX_BYTES ? MESSAGE_PREFIX_BYTES : stream->head_wanted;
        size_t taken = wanted - stream->head_size < size ? wanted - stream->head_size : size;
        memcpy(stream->head + stream->head_size, data, taken);
        stream->head_size += (uint32_t)taken;
        data += taken;
        size -= taken;
        if (stream->head_size == MESSAGE_PREFIX_BYTES) {
            uint32_t length = (uint32_t)stream->head[1] << 24 | (uint32_t)stream->head[2] << 16 |
                              (uint32_t)stream->head[3] << 8 | stream->head[4];
            if (length == 0) {
                return error_set(error, ERROR_DATA_LOSS, "BAD_EVENT", "a message is empty");
            }
            stream->head_wanted = MESSAGE_PREFIX_BYTES + (length < MESSAGE_HEAD_BYTES ? length : MESSAGE_HEAD_BYTES);
        }
        if (stream->head_size > MESSAGE_PREFIX_BYTES && stream->head_size == stream->head_wanted) {
            uint32_t length = (uint32_t)stream->head[1] << 24 | (uint32_t)stream->head[2] << 16 |
                              (uint32_t)stream->head[3] << 8 | stream->head[4];
            stream->rest = MESSAGE_PREFIX_BYTES + length - stream->head_wanted;
            if (!take_event(self, stream, error)) {
                return false;
            }
            stream->head_size = 0;
        }
    }
    return true;
}

/* ---- frames in ---- */

struct frame {
    uint8_t type;
    uint8_t flags;
    uint32_t stream;
    struct bytes payload;
};

static struct stream *stream_of(struct connection *connection, uint32_t id) {
    return id % 2 == 1 && id / 2 < connection->count ? &connection->streams[id / 2] : NULL;
}

/* Window that was used is given back when it is worth a frame. */
static void refill(struct connection *connection, struct stream *stream, const struct frame *frame,
                   struct buffer *answer) {
    stream->window_used += (uint32_t)frame->payload.size;
    connection->window_used += (uint32_t)frame->payload.size;
    if (stream->window_used >= STREAM_WINDOW / 2) {
        append_window_update(answer, frame->stream, stream->window_used);
        stream->window_used = 0;
    }
    if (connection->window_used >= CONNECTION_WINDOW / 2) {
        append_window_update(answer, 0, connection->window_used);
        connection->window_used = 0;
    }
}

static bool take_frame(struct watch_streams *self, struct connection *connection, const struct frame *frame,
                       struct buffer *answer, struct error *error) {
    struct stream *stream = stream_of(connection, frame->stream);
    bool ends = frame->type == FRAME_RST_STREAM || frame->type == FRAME_GOAWAY ||
                (frame->flags & FLAG_END_STREAM && (frame->type == FRAME_HEADERS || frame->type == FRAME_DATA));
    if (ends) {
        return error_set(error, ERROR_UNAVAILABLE, "STREAM_ENDED",
                         "the service ended stream %u with a frame of type %u", frame->stream, frame->type);
    }
    if (frame->type == FRAME_SETTINGS && !(frame->flags & FLAG_ACK)) {
        append_frame(answer, FRAME_SETTINGS, FLAG_ACK, 0, (struct bytes){0});
    } else if (frame->type == FRAME_PING && !(frame->flags & FLAG_ACK)) {
        append_frame(answer, FRAME_PING, FLAG_ACK, 0, frame->payload);
    } else if (frame->type == FRAME_HEADERS && stream != NULL) {
        self->begun += !stream->begun;
        stream->begun = true;
    } else if (frame->type == FRAME_DATA && stream != NULL) {
        refill(connection, stream, frame, answer);
        return take_data(self, stream, frame->payload.data, frame->payload.size, error);
    }
    return true;
}

static bool take_frames(struct watch_streams *self, struct connection *connection, struct error *error) {
    struct buffer answer = {0};
    size_t at = 0;
    bool good = true;
    while (good && connection->size - at >= FRAME_HEAD_BYTES) {
        const uint8_t *head = connection->received + at;
        size_t size = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
        if (connection->size - at - FRAME_HEAD_BYTES < size) {
            break;
        }
        struct frame frame = {
            .type = head[3],
            .flags = head[4],
            .stream = (uint32_t)(head[5] & 0x7f) << 24 | (uint32_t)head[6] << 16 | (uint32_t)head[7] << 8 | head[8],
            .payload = bytes_of(head + FRAME_HEAD_BYTES, size),
        };
        good = take_frame(self, connection, &frame, &answer, error);
        at += FRAME_HEAD_BYTES + size;
    }
    connection->size -= at;
    memmove(connection->received, connection->received + at, connection->size);
    good = good && send_all(connection->fd, &answer, error);
    buffer_free(&answer);
    return good;
}

static bool receive(struct watch_streams *self, struct connection *connection, struct error *error) {
    ssize_t got =
        recv(connection->fd, connection->received + connection->size, RECEIVE_BYTES - connection->size, MSG_DONTWAIT);
    if (got < 0) {
        return errno == EAGAIN || errno == EINTR || error_set_errno(error, errno, "cannot receive from the service");
    }
    if (got == 0) {
        return error_set(error, ERROR_UNAVAILABLE, "CONNECTION_LOST", "the service closed a connection");
    }
    connection->size += (size_t)got;
    self->stats.bytes += (uint64_t)got;
    return take_frames(self, connection, error);
}

static bool all_begun(const struct watch_streams *self) {
    return self->begun == self->streams;
}

static bool all_at_goal(const struct watch_streams *self) {
    return self->at_goal == self->streams;
}

static bool receive_until(struct watch_streams *self, bool (*enough)(const struct watch_streams *self), int64_t idle_ms,
                          struct error *error) {
    struct pollfd polled[MAX_CONNECTIONS];
    for (unsigned i = 0; i < self->connection_count; i++) {
        polled[i] = (struct pollfd){.fd = self->connections[i].fd, .events = POLLIN};
    }
    while (!enough(self)) {
        int ready = poll(polled, self->connection_count, (int)idle_ms);
        if (ready == 0) {
            return error_set(error, ERROR_DEADLINE_EXCEEDED, "NOTHING_CAME",
                             "nothing came for %lld ms; %u of %u streams stand, %u have seen revision %lld",
                             (long long)idle_ms, self->begun, self->streams, self->at_goal, (long long)self->goal);
        }
        for (unsigned i = 0; i < self->connection_count; i++) {
            if (polled[i].revents != 0 && !receive(self, &self->connections[i], error)) {
                return false;
            }
        }
    }
    return true;
}

bool watch_streams_await_headers(struct watch_streams *self, int64_t idle_ms, struct error *error) {
    return receive_until(self, all_begun, idle_ms, error);
}

bool watch_streams_await_revision(struct watch_streams *self, int64_t revision, int64_t idle_ms, struct error *error) {
    self->goal = revision;
    self->at_goal = 0;
    for (unsigned i = 0; i < self->connection_count; i++) {
        for (unsigned n = 0; n < self->connections[i].count; n++) {
            self->at_goal += self->connections[i].streams[n].next_revision > revision;
        }
    }
    return receive_until(self, all_at_goal, idle_ms, error);
}

void watch_streams_stats(const struct watch_streams *self, struct watch_streams_stats *stats) {
    *stats = self->stats;
}

/* ---- life ---- */

static int connect_to(const char *host, const char *port, struct error *error) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int failed = getaddrinfo(host, port, &hints, &found);
    if (failed != 0) {
        error_set(error, ERROR_INVALID_ARGUMENT, "BAD_TARGET", "%s:%s: %s", host, port, gai_strerror(failed));
        return -1;
    }
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, found->ai_addr, found->ai_addrlen) != 0) {
        error_set_errno(error, errno, "cannot connect to %s:%s", host, port);
        if (fd >= 0) {
            close(fd);
        }
        fd = -1;
    }
    freeaddrinfo(found);
    int on = 1;
    if (fd >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    return fd;
}

static bool open_connection(struct connection *connection, const struct watch_streams_options *options,
                            struct error *error) {
    connection->fd = connect_to(options->host, options->port, error);
    if (connection->fd < 0) {
        return false;
    }
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    struct buffer settings = {0};
    append_setting(&settings, SETTING_INITIAL_WINDOW, STREAM_WINDOW);
    append_setting(&settings, SETTING_MAX_FRAME, MAX_FRAME_BYTES);
    struct buffer out = {0};
    buffer_append(&out, preface, sizeof preface - 1);
    append_frame(&out, FRAME_SETTINGS, 0, 0, buffer_bytes(&settings));
    append_window_update(&out, 0, CONNECTION_WINDOW);
    for (unsigned i = 0; i < connection->count; i++) {
        connection->streams[i].next_revision = options->start_revision;
        append_request(&out, 2 * i + 1, options->start_revision);
    }
    bool good = send_all(connection->fd, &out, error);
    buffer_free(&settings);
    buffer_free(&out);
    return good;
}

struct watch_streams *watch_streams_open(const struct watch_streams_options *options, struct error *error) {
    if (options->connections < 1 || options->connections > MAX_CONNECTIONS) {
        error_set(error, ERROR_INVALID_ARGUMENT, "BAD_OPTION", "there are 1 to %d connections", MAX_CONNECTIONS);
        return NULL;
    }
    struct watch_streams *self = calloc(1, sizeof *self);
    if (self == NULL) {
        abort();
    }
    self->streams = options->streams;
    bool good = true;
    for (unsigned i = 0; good && i < options->connections; i++) {
        struct connection *connection = &self->connections[i];
        connection->fd = -1;
        connection->count = options->streams / options->connections + (i < options->streams % options->connections);
        connection->streams = calloc(connection->count + 1, sizeof *connection->streams);
        connection->received = malloc(RECEIVE_BYTES);
        if (connection->streams == NULL || connection->received == NULL) {
            abort();
        }
        self->connection_count++;
        good = open_connection(connection, options, error);
    }
    if (!good) {
        watch_streams_close(self);
        return NULL;
    }
    return self;
}

void watch_streams_close(struct watch_streams *self) {
    if (self == NULL) {
        return;
    }
    for (unsigned i = 0; i < self->connection_count; i++) {
        struct connection *connection = &self->connections[i];
        if (connection->fd >= 0) {
            close(connection->fd);
        }
        free(connection->streams);
        free(connection->received);
    }
    free(self);
}
