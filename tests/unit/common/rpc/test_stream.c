// rooms: waybill_rpc
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "rpc_fixture.h"

TestSuite(stream, .timeout = 120);

enum { MIB = 1 << 20 };

/* FNV-1a over 8-byte words: cheap enough to check every byte sent. */
static uint64_t checksum(uint64_t sum, const uint8_t *data, size_t size) {
    for (size_t i = 0; i + 8 <= size; i += 8) {
        uint64_t word;
        memcpy(&word, data + i, 8);
        sum = (sum ^ word) * 0x100000001b3u;
    }
    return sum;
}

static void fill(uint8_t *data, size_t size, uint64_t seed) {
    for (size_t i = 0; i + 8 <= size; i += 8) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        memcpy(data + i, &seed, 8);
    }
}

/* The head of a google.protobuf.Any whose field 2 (value) has `size` bytes. */
static struct bytes bulk_head(uint8_t head[8], size_t size) {
    size_t used = 0;
    head[used++] = 2 << 3 | 2;
    for (; size >= 0x80; size >>= 7) {
        head[used++] = (uint8_t)(size | 0x80);
    }
    head[used++] = (uint8_t)size;
    return bytes_of(head, used);
}

static Google__Protobuf__Any *parse(struct bytes message) {
    Google__Protobuf__Any *any = google__protobuf__any__unpack(NULL, message.size, message.data);
    cr_assert_not_null(any);
    return any;
}

static bool write_text(struct rpc_stream *stream, const char *text) {
    Google__Protobuf__Any message = fixture_message(text);
    return rpc_stream_write(stream, &message.base);
}

static bool write_bulk(struct rpc_stream *stream, unsigned number, uint64_t *sum) {
    uint8_t head[8];
    struct rpc_buffer *buffer = rpc_buffer_new(MIB);
    fill(rpc_buffer_data(buffer), MIB, number);
    *sum = checksum(*sum, rpc_buffer_data(buffer), MIB);
    return rpc_stream_write_bulk(stream, bulk_head(head, MIB), buffer, MIB);
}

/* Reads bulk messages to the end; how many, and their checksum. */
static unsigned read_bulk(struct rpc_stream *stream, uint64_t *sum, enum rpc_read *end, struct error *error) {
    struct bytes message;
    unsigned count = 0;
    while ((*end = rpc_stream_read(stream, &message, error)) == RPC_READ_MESSAGE) {
        cr_assert_gt(message.size, MIB);
        *sum = checksum(*sum, message.data + message.size - MIB, MIB);
        count++;
    }
    return count;
}

/* Client streaming: answers with the count and checksum of what came. */
static void take_upload(void *service, struct rpc_stream *stream) {
    (void)service;
    struct error error = {0};
    uint64_t sum = 0;
    enum rpc_read end;
    unsigned count = read_bulk(stream, &sum, &end, &error);
    if (end == RPC_READ_END) {
        char text[64];
        snprintf(text, sizeof text, "%u %016lx", count, (unsigned long)sum);
        write_text(stream, text);
        rpc_stream_finish(stream, NULL);
    } else {
        rpc_stream_finish(stream, &error);
    }
}

/* Server streaming: as many MiB as the request's text says. */
static void send_download(void *service, struct rpc_stream *stream) {
    (void)service;
    struct bytes message;
    struct error error = {0};
    if (rpc_stream_read(stream, &message, &error) != RPC_READ_MESSAGE) {
        rpc_stream_finish(stream, &error);
        return;
    }
    Google__Protobuf__Any *request = parse(message);
    unsigned count = (unsigned)atoi(request->type_url);
    google__protobuf__any__free_unpacked(request, NULL);
    uint64_t sum = 0;
    for (unsigned i = 0; i < count && write_bulk(stream, i, &sum); i++) {
    }
    rpc_stream_finish(stream, NULL);
}

/* Bidirectional: each message back. */
static void echo_all(void *service, struct rpc_stream *stream) {
    (void)service;
    struct bytes message;
    struct error error = {0};
    enum rpc_read end;
    while ((end = rpc_stream_read(stream, &message, &error)) == RPC_READ_MESSAGE) {
        Google__Protobuf__Any *any = parse(message);
        rpc_stream_write(stream, &any->base);
        google__protobuf__any__free_unpacked(any, NULL);
    }
    rpc_stream_finish(stream, end == RPC_READ_END ? NULL : &error);
}

Test(stream, an_upload_arrives_whole_and_in_order) {
    struct rpc_server *server = rpc_server_new(&fixture_options);
    rpc_server_add_stream(server, "/test.Stream/Up", take_upload, NULL);
    fixture_start(server);
    struct rpc_channel *channel = fixture_connect(rpc_server_port(server));
    struct error error = {0};
    struct rpc_stream *stream = rpc_channel_open_stream(channel, "/test.Stream/Up", NULL, &error);
    uint64_t sum = 0;
    for (unsigned i = 0; i < 200; i++) {
        cr_assert(write_bulk(stream, i, &sum));
    }
    cr_assert(rpc_stream_writes_done(stream));
    struct bytes message;
    cr_assert_eq(rpc_stream_read(stream, &message, &error), RPC_READ_MESSAGE, "%s", error.message);
    char expected[64];
    snprintf(expected, sizeof expected, "200 %016lx", (unsigned long)sum);
    Google__Protobuf__Any *answer = parse(message);
    cr_assert_str_eq(answer->type_url, expected);
    google__protobuf__any__free_unpacked(answer, NULL);
    cr_assert_eq(rpc_stream_read(stream, &message, &error), RPC_READ_END);
    cr_assert(rpc_stream_close(stream, &error));
    fixture_stop(server, channel);
}

/* Bidirectional: each message back, with the one after it where that has come already. */
static void echo_gathered(void *service, struct rpc_stream *stream) {
    unsigned *gathered = service;
    struct bytes message;
    struct error error = {0};
    enum rpc_read end;
    while ((end = rpc_stream_read(stream, &message, &error)) == RPC_READ_MESSAGE) {
        Google__Protobuf__Any *any = parse(message);
        if (rpc_stream_has_message(stream)) {
            rpc_stream_more_follows(stream);
            ++*gathered;
        }
        rpc_stream_write(stream, &any->base);
        google__protobuf__any__free_unpacked(any, NULL);
    }
    rpc_stream_finish(stream, end == RPC_READ_END ? NULL : &error);
}

/* None waits for one that does not come, at either end. */
Test(stream, messages_that_others_follow_all_arrive_in_order) {
    unsigned gathered = 0;
    struct rpc_server *server = rpc_server_new(&fixture_options);
    rpc_server_add_stream(server, "/test.Stream/Echo", echo_gathered, &gathered);
    fixture_start(server);
    struct rpc_channel *channel = fixture_connect(rpc_server_port(server));
    struct error error = {0};
    struct rpc_stream *stream = rpc_channel_open_stream(channel, "/test.Stream/Echo", NULL, &error);
    const unsigned count = 500;
    char text[16];
    struct bytes answer;
    for (unsigned i = 0; i < count; i++) {
        snprintf(text, sizeof text, "%u", i);
        Google__Protobuf__Any message = fixture_message(text);
        if (i + 1 == count) {
            cr_assert(rpc_stream_write_last(stream, &message.base));
            break;
        }
        if (i % 10 != 9) {
            rpc_stream_more_follows(stream);
        }
        cr_assert(rpc_stream_write(stream, &message.base));
    }
    for (unsigned i = 0; i < count; i++) {
        cr_assert_eq(rpc_stream_read(stream, &answer, &error), RPC_READ_MESSAGE, "%s", error.message);
        snprintf(text, sizeof text, "%u", i);
        Google__Protobuf__Any *any = parse(answer);
        cr_assert_str_eq(any->type_url, text);
        google__protobuf__any__free_unpacked(any, NULL);
    }
    cr_assert_eq(rpc_stream_read(stream, &answer, &error), RPC_READ_END);
    cr_assert(rpc_stream_close(stream, &error));
    fixture_stop(server, channel);
    cr_assert_gt(gathered, 0);
}

Test(stream, a_download_arrives_whole_and_in_order) {
    struct rpc_server *server = rpc_server_new(&fixture_options);
    rpc_server_add_stream(server, "/test.Stream/Down", send_download, NULL);
    fixture_start(server);
    struct rpc_channel *channel = fixture_connect(rpc_server_port(server));
    struct error error = {0};
    struct rpc_stream *stream = rpc_channel_open_stream(channel, "/test.Stream/Down", NULL, &error);
    cr_assert(write_text(stream, "200"));
    cr_assert(rpc_stream_writes_done(stream));
    uint64_t sum = 0;
    uint64_t expected = 0;
    enum rpc_read end;
    cr_assert_eq(read_bulk(stream, &sum, &end, &error), 200);
    cr_assert_eq(end, RPC_READ_END);
    uint8_t *data = malloc(MIB);
    for (unsigned i = 0; i < 200; i++) {
        fill(data, MIB, i);
        expected = checksum(expected, data, MIB);
    }
    free(data);
    cr_assert_eq(sum, expected);
    cr_assert(rpc_stream_close(stream, &error));
    fixture_stop(server, channel);
}

Test(stream, both_sides_talk_in_turn) {
    struct rpc_server *server = rpc_server_new(&fixture_options);
    rpc_server_add_stream(server, "/test.Stream/Chat", echo_all, NULL);
    fixture_start(server);
    struct rpc_channel *channel = fixture_connect(rpc_server_port(server));
    struct error error = {0};
    struct rpc_stream *stream = rpc_channel_open_stream(channel, "/test.Stream/Chat", NULL, &error);
    for (int i = 0; i < 500; i++) {
        char text[16];
        snprintf(text, sizeof text, "%d", i);
        cr_assert(write_text(stream, text));
        struct bytes message;
        cr_assert_eq(rpc_stream_read(stream, &message, &error), RPC_READ_MESSAGE);
        Google__Protobuf__Any *answer = parse(message);
        cr_assert_str_eq(answer->type_url, text);
        google__protobuf__any__free_unpacked(answer, NULL);
    }
    cr_assert(rpc_stream_close(stream, &error), "%s", error.message);
    fixture_stop(server, channel);
}

static void *run_upload(void *argument) {
    struct rpc_channel *channel = argument;
    struct error error = {0};
    struct rpc_stream *stream = rpc_channel_open_stream(channel, "/test.Stream/Up", NULL, &error);
    uint64_t sum = 0;
    bool ok = true;
    for (unsigned i = 0; i < 20; i++) {
        ok = write_bulk(stream, i, &sum) && ok;
    }
    rpc_stream_writes_done(stream);
    struct bytes message;
    ok = rpc_stream_read(stream, &message, &error) == RPC_READ_MESSAGE && ok;
    ok = rpc_stream_close(stream, &error) && ok;
    return ok ? channel : NULL;
}

Test(stream, many_streams_share_a_connection) {
    struct rpc_server *server = rpc_server_new(&fixture_options);
    rpc_server_add_stream(server, "/test.Stream/Up", take_upload, NULL);
    fixture_start(server);
    struct rpc_channel *channel = fixture_connect(rpc_server_port(server));
    pthread_t threads[8];
    for (int i = 0; i < 8; i++) {
        pthread_create(&threads[i], NULL, run_upload, channel);
    }
    for (int i = 0; i < 8; i++) {
        void *ok;
        pthread_join(threads[i], &ok);
        cr_assert_not_null(ok);
    }
    fixture_stop(server, channel);
}

/* What a waiting handler saw. */
struct watcher {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool began;
    bool ended;
    bool cancelled;
    struct rpc_stream *stream;
    enum rpc_read read;
    struct error error;
};

#define WATCHER_INIT                                                                                                   \
    { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER }

static void set_flag(struct watcher *watcher, bool *flag) {
    pthread_mutex_lock(&watcher->lock);
    *flag = true;
    pthread_cond_broadcast(&watcher->changed);
    pthread_mutex_unlock(&watcher->lock);
}

static void wait_for_flag(struct watcher *watcher, bool *flag) {
    pthread_mutex_lock(&watcher->lock);
    while (!*flag) {
        pthread_cond_wait(&watcher->changed, &watcher->lock);
    }
    pthread_mutex_unlock(&watcher->lock);
}

static bool has_flag(struct watcher *watcher, const bool *flag) {
    pthread_mutex_lock(&watcher->lock);
    bool set = *flag;
    pthread_mutex_unlock(&watcher->lock);
    return set;
}

/* Waits without reading until its client goes or the server drains. */
static void wait_for_end(void *service, struct rpc_stream *stream) {
    struct watcher *watcher = service;
    watcher->stream = stream;
    set_flag(watcher, &watcher->began);
    while (rpc_stream_wait(stream, 60000)) {
    }
    watcher->cancelled = rpc_stream_cancelled(stream);
    rpc_stream_finish(stream, NULL);
    set_flag(watcher, &watcher->ended);
}

static void read_until_end(void *service, struct rpc_stream *stream) {
    struct watcher *watcher = service;
    struct bytes message;
    set_flag(watcher, &watcher->began);
    do {
        watcher->read = rpc_stream_read(stream, &message, &watcher->error);
    } while (watcher->read == RPC_READ_MESSAGE);
    rpc_stream_finish(stream, &watcher->error);
    set_flag(watcher, &watcher->ended);
}

Test(stream, a_waiting_handler_sees_its_client_cancel) {
    struct watcher watcher = WATCHER_INIT;
    struct rpc_server *server = rpc_server_new(&fixture_options);
    rpc_server_add_stream(server, "/test.Stream/Wait", wait_for_end, &watcher);
    fixture_start(server);
    struct rpc_channel *channel = fixture_connect(rpc_server_port(server));
    struct error error = {0};
    struct rpc_stream *stream = rpc_channel_open_stream(channel, "/test.Stream/Wait", NULL, &error);
    rpc_stream_begin(stream);
    wait_for_flag(&watcher, &watcher.began);
    rpc_stream_cancel(stream);
    wait_for_flag(&watcher, &watcher.ended);
    cr_assert(watcher.cancelled);
    cr_assert_not(rpc_stream_close(stream, &error));
    cr_assert_eq(error.code, ERROR_CANCELLED);
    fixture_stop(server, channel);
}

Test(stream, a_blocked_read_sees_the_client_cancel) {
    struct watcher watcher = WATCHER_INIT;
    struct rpc_server *server = rpc_server_new(&fixture_options);
    rpc_server_add_stream(server, "/test.Stream/Read", read_until_end, &watcher);
    fixture_start(server);
    struct rpc_channel *channel = fixture_connect(rpc_server_port(server));
    struct error error = {0};
    struct rpc_stream *stream = rpc_channel_open_stream(channel, "/test.Stream/Read", NULL, &error);
    cr_assert(write_text(stream, "one"));
    wait_for_flag(&watcher, &watcher.began);
    rpc_stream_cancel(stream);
    wait_for_flag(&watcher, &watcher.ended);
    cr_assert_eq(watcher.read, RPC_READ_ERROR);
    cr_assert_eq(watcher.error.code, ERROR_CANCELLED);
    cr_assert_not(rpc_stream_close(stream, &error));
    fixture_stop(server, channel);
}

Test(stream, a_deadline_ends_both_sides) {
    struct watcher watcher = WATCHER_INIT;
    struct rpc_server *server = rpc_server_new(&fixture_options);
    rpc_server_add_stream(server, "/test.Stream/Read", read_until_end, &watcher);
    fixture_start(server);
    struct rpc_channel *channel = fixture_connect(rpc_server_port(server));
    struct error error = {0};
    /* Long enough to arrive, which a busy machine may need a few trials for. */
    for (int64_t timeout_ms = 100; !has_flag(&watcher, &watcher.began); timeout_ms *= 2) {
        struct rpc_call_options options = {.timeout_ms = timeout_ms};
        struct rpc_stream *stream = rpc_channel_open_stream(channel, "/test.Stream/Read", &options, &error);
        struct bytes message;
        cr_assert_eq(rpc_stream_read(stream, &message, &error), RPC_READ_ERROR);
        cr_assert_eq(error.code, ERROR_DEADLINE_EXCEEDED);
        cr_assert_not(rpc_stream_close(stream, &error));
    }
    wait_for_flag(&watcher, &watcher.ended);
    cr_assert_eq(watcher.read, RPC_READ_ERROR);
    fixture_stop(server, channel);
}

Test(stream, an_endless_stream_can_be_closed_at_any_time) {
    struct rpc_server *server = rpc_server_new(&fixture_options);
    rpc_server_add_stream(server, "/test.Stream/Down", send_download, NULL);
    fixture_start(server);
    struct rpc_channel *channel = fixture_connect(rpc_server_port(server));
    struct error error = {0};
    for (int reads = 0; reads < 4; reads++) {
        struct rpc_stream *stream = rpc_channel_open_stream(channel, "/test.Stream/Down", NULL, &error);
        cr_assert(write_text(stream, "1000000"));
        struct bytes message;
        for (int i = 0; i < reads; i++) {
            cr_assert_eq(rpc_stream_read(stream, &message, &error), RPC_READ_MESSAGE);
        }
        cr_assert_not(rpc_stream_close(stream, &error));
        cr_assert_eq(error.code, ERROR_CANCELLED);
    }
    fixture_stop(server, channel);
}

Test(stream, a_stream_beyond_the_limit_is_told_to_come_later) {
    struct watcher watcher = WATCHER_INIT;
    struct rpc_server_options options = fixture_options;
    options.max_streams = 1;
    struct rpc_server *server = rpc_server_new(&options);
    rpc_server_add_stream(server, "/test.Stream/Wait", wait_for_end, &watcher);
    rpc_server_add_stream(server, "/test.Stream/Chat", echo_all, NULL);
    fixture_start(server);
    struct rpc_channel *channel = fixture_connect(rpc_server_port(server));
    struct error error = {0};
    struct rpc_stream *first = rpc_channel_open_stream(channel, "/test.Stream/Wait", NULL, &error);
    rpc_stream_begin(first);
    wait_for_flag(&watcher, &watcher.began);
    for (int i = 0; i < 40; i++) {
        struct rpc_stream *second = rpc_channel_open_stream(channel, "/test.Stream/Chat", NULL, &error);
        struct bytes message;
        cr_assert_eq(rpc_stream_read(second, &message, &error), RPC_READ_ERROR);
        cr_assert_eq(error.code, ERROR_RESOURCE_EXHAUSTED);
        cr_assert_str_eq(error.reason, "TOO_MANY_STREAMS");
        cr_assert_gt(error.retry_after_ms, 0);
        cr_assert_not(rpc_stream_close(second, &error));
    }
    rpc_stream_cancel(first);
    cr_assert_not(rpc_stream_close(first, &error));
    wait_for_flag(&watcher, &watcher.ended);
    fixture_stop(server, channel);
}

Test(stream, a_message_too_long_is_named_to_handler_and_client) {
    struct rpc_server_options options = fixture_options;
    options.max_message_bytes = MIB;
    struct rpc_server *server = rpc_server_new(&options);
    rpc_server_add_stream(server, "/test.Stream/Up", take_upload, NULL);
    fixture_start(server);
    struct rpc_channel *channel = fixture_connect(rpc_server_port(server));
    struct error error = {0};
    struct rpc_stream *stream = rpc_channel_open_stream(channel, "/test.Stream/Up", NULL, &error);
    uint64_t sum = 0;
    write_bulk(stream, 0, &sum);
    struct bytes message;
    cr_assert_eq(rpc_stream_read(stream, &message, &error), RPC_READ_ERROR);
    cr_assert_eq(error.code, ERROR_RESOURCE_EXHAUSTED);
    cr_assert_str_eq(error.reason, "MESSAGE_TOO_LARGE");
    cr_assert_not(rpc_stream_close(stream, &error));
    fixture_stop(server, channel);
}

static void return_at_once(void *service, struct rpc_stream *stream) {
    (void)service;
    (void)stream;
}

Test(stream, a_handler_without_a_status_is_an_internal_error) {
    struct rpc_server *server = rpc_server_new(&fixture_options);
    rpc_server_add_stream(server, "/test.Stream/Nothing", return_at_once, NULL);
    fixture_start(server);
    struct rpc_channel *channel = fixture_connect(rpc_server_port(server));
    struct error error = {0};
    struct rpc_stream *stream = rpc_channel_open_stream(channel, "/test.Stream/Nothing", NULL, &error);
    cr_assert_not(rpc_stream_close(stream, &error));
    cr_assert_eq(error.code, ERROR_INTERNAL);
    cr_assert_str_eq(error.reason, "NO_STATUS");
    fixture_stop(server, channel);
}

Test(stream, a_wake_is_not_lost) {
    struct watcher watcher = WATCHER_INIT;
    struct rpc_server *server = rpc_server_new(&fixture_options);
    rpc_server_add_stream(server, "/test.Stream/Wait", wait_for_end, &watcher);
    fixture_start(server);
    struct rpc_channel *channel = fixture_connect(rpc_server_port(server));
    struct error error = {0};
    struct rpc_stream *stream = rpc_channel_open_stream(channel, "/test.Stream/Wait", NULL, &error);
    rpc_stream_begin(stream);
    wait_for_flag(&watcher, &watcher.began);
    for (int i = 0; i < 1000; i++) {
        rpc_stream_wake(watcher.stream);
    }
    pthread_mutex_lock(&watcher.lock);
    cr_assert_not(watcher.ended);
    pthread_mutex_unlock(&watcher.lock);
    rpc_stream_cancel(stream);
    cr_assert_not(rpc_stream_close(stream, &error));
    fixture_stop(server, channel);
}
