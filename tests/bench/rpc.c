/* How fast the rpc room is alone, client and server in two processes over loopback:
 *
 *   bench_rpc [seconds per figure [queue threads of the server]]
 *
 * - unary calls of 300 bytes each way to a handler that answers at once, waiting (one
 *   outstanding) and started (64 outstanding), on one connection;
 * - streams of 1 MiB messages up and down, one and four at a time; the receiver adds up a
 *   byte of every 4 KiB, so that what arrived is known to be what was sent. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/rpc/rpc_channel.h"
#include "common/rpc/rpc_server.h"
#include "common/rpc/rpc_stream.h"
#include "google/protobuf/any.pb-c.h"

enum { MIB = 1 << 20, TEXT_BYTES = 300, STEP_BYTES = 4096, MAX_SAMPLES = 1 << 20 };

struct bench {
    int64_t run_us;
    struct rpc_channel *channel; /* the client's */
};

static int64_t now_us(void) {
    return clock_monotonic_us(&system_clock);
}

static void die(const char *what, const struct error *error) {
    fprintf(stderr, "%s: %s %s\n", what, error->reason, error->message);
    exit(1);
}

/* ---- the server ---- */

static void echo(void *service, struct rpc_call *call) {
    (void)service;
    ProtobufCMessage *request = rpc_call_decode(call, &google__protobuf__any__descriptor);
    if (request != NULL) {
        rpc_call_reply(call, request);
    }
}

static uint64_t look_at(uint64_t sum, const uint8_t *data, size_t size) {
    for (size_t i = 0; i < size; i += STEP_BYTES) {
        sum = sum * 31 + data[i];
    }
    return sum;
}

static void mark(uint8_t *data, size_t size, uint64_t number) {
    for (size_t i = 0; i < size; i += STEP_BYTES) {
        data[i] = (uint8_t)(number + i / STEP_BYTES);
    }
}

/* Sends one message of a MiB: an Any whose value is the buffer. */
static bool send_mib(struct rpc_stream *stream, uint64_t number, uint64_t *sum) {
    static const uint8_t head[] = {2 << 3 | 2, 0x80, 0x80, 0x40};
    struct rpc_buffer *buffer = rpc_buffer_new(MIB);
    mark(rpc_buffer_data(buffer), MIB, number);
    *sum = look_at(*sum, rpc_buffer_data(buffer), MIB);
    return rpc_stream_write_bulk(stream, bytes_of(head, sizeof head), buffer, MIB);
}

static uint64_t receive_all(struct rpc_stream *stream, uint64_t *sum) {
    struct bytes message;
    struct error error;
    uint64_t count = 0;
    enum rpc_read got;
    while ((got = rpc_stream_read(stream, &message, &error)) == RPC_READ_MESSAGE) {
        if (message.size == MIB + 4) {
            *sum = look_at(*sum, message.data + 4, MIB);
            count++;
        }
    }
    if (got == RPC_READ_ERROR) {
        die("stream", &error);
    }
    return count;
}

static void answer_sum(struct rpc_stream *stream, uint64_t sum) {
    char text[32];
    snprintf(text, sizeof text, "%016lx", (unsigned long)sum);
    Google__Protobuf__Any answer = GOOGLE__PROTOBUF__ANY__INIT;
    answer.type_url = text;
    rpc_stream_write(stream, &answer.base);
}

static void upload(void *service, struct rpc_stream *stream) {
    (void)service;
    uint64_t sum = 0;
    receive_all(stream, &sum);
    answer_sum(stream, sum);
    rpc_stream_finish(stream, NULL);
}

static void download(void *service, struct rpc_stream *stream) {
    const struct bench *bench = service;
    int64_t end = now_us() + bench->run_us;
    uint64_t sum = 0;
    uint64_t number = 0;
    while (now_us() < end && send_mib(stream, number++, &sum)) {
    }
    answer_sum(stream, sum);
    rpc_stream_finish(stream, NULL);
}

/* ---- unary ---- */

static int compare(const void *a, const void *b) {
    int64_t left = *(const int64_t *)a;
    int64_t right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

static void print_rate(const char *what, size_t calls, int64_t took_us, int64_t *samples) {
    size_t sampled = calls < MAX_SAMPLES ? calls : MAX_SAMPLES;
    qsort(samples, sampled, sizeof *samples, compare);
    printf("%-28s %9.0f /s   p50 %5ld us   p99 %5ld us\n", what, (double)calls * 1e6 / (double)took_us,
           (long)samples[sampled / 2], (long)samples[sampled * 99 / 100]);
}

static Google__Protobuf__Any make_request(char text[TEXT_BYTES]) {
    Google__Protobuf__Any request = GOOGLE__PROTOBUF__ANY__INIT;
    memset(text, 'x', TEXT_BYTES - 1);
    text[TEXT_BYTES - 1] = '\0';
    request.type_url = text;
    return request;
}

static void bench_waiting(struct bench *bench, int64_t *samples) {
    char text[TEXT_BYTES];
    Google__Protobuf__Any request = make_request(text);
    int64_t begin = now_us();
    size_t calls = 0;
    while (now_us() < begin + bench->run_us) {
        struct arena arena;
        struct error error;
        ProtobufCMessage *response;
        arena_init(&arena);
        int64_t sent = now_us();
        if (!rpc_channel_call(bench->channel, "/bench/Echo", NULL, &request.base, &google__protobuf__any__descriptor,
                              &arena, &response, &error)) {
            die("call", &error);
        }
        samples[calls++ % MAX_SAMPLES] = now_us() - sent;
        arena_free(&arena);
    }
    print_rate("unary, 1 outstanding", calls, now_us() - begin, samples);
}

struct flight {
    struct bench *bench;
    const Google__Protobuf__Any *request;
    int64_t end_us;
    int64_t *samples;
    atomic_size_t calls;
    pthread_mutex_t lock;
    pthread_cond_t landed;
    unsigned outstanding;
};

struct flyer {
    struct flight *flight;
    int64_t sent_us;
};

static void land(void *context, struct bytes response, const struct error *error);

static void take_off(struct flyer *flyer) {
    struct error error;
    flyer->sent_us = now_us();
    if (!rpc_channel_start(flyer->flight->bench->channel, "/bench/Echo", NULL, &flyer->flight->request->base, land,
                           flyer, &error)) {
        die("start", &error);
    }
}

static void land(void *context, struct bytes response, const struct error *error) {
    struct flyer *flyer = context;
    struct flight *flight = flyer->flight;
    if (error != NULL || response.size < TEXT_BYTES) {
        die("started call", error);
    }
    int64_t now = now_us();
    flight->samples[atomic_fetch_add(&flight->calls, 1) % MAX_SAMPLES] = now - flyer->sent_us;
    if (now < flight->end_us) {
        take_off(flyer);
        return;
    }
    pthread_mutex_lock(&flight->lock);
    flight->outstanding--;
    pthread_cond_signal(&flight->landed);
    pthread_mutex_unlock(&flight->lock);
}

static void bench_started(struct bench *bench, unsigned outstanding, int64_t *samples) {
    char text[TEXT_BYTES];
    Google__Protobuf__Any request = make_request(text);
    int64_t begin = now_us();
    struct flight flight = {.bench = bench,
                            .request = &request,
                            .end_us = begin + bench->run_us,
                            .samples = samples,
                            .lock = PTHREAD_MUTEX_INITIALIZER,
                            .landed = PTHREAD_COND_INITIALIZER,
                            .outstanding = outstanding};
    struct flyer *flyers = calloc(outstanding, sizeof *flyers);
    if (flyers == NULL) {
        abort();
    }
    for (unsigned i = 0; i < outstanding; i++) {
        flyers[i].flight = &flight;
        take_off(&flyers[i]);
    }
    pthread_mutex_lock(&flight.lock);
    while (flight.outstanding > 0) {
        pthread_cond_wait(&flight.landed, &flight.lock);
    }
    pthread_mutex_unlock(&flight.lock);
    char what[32];
    snprintf(what, sizeof what, "unary, %u outstanding", outstanding);
    print_rate(what, atomic_load(&flight.calls), now_us() - begin, samples);
    free(flyers);
}

/* ---- streams ---- */

struct runner {
    struct bench *bench;
    pthread_t thread;
    uint64_t messages;
};

static void check_sum(const Google__Protobuf__Any *answer, uint64_t sum) {
    char text[32];
    snprintf(text, sizeof text, "%016lx", (unsigned long)sum);
    if (strcmp(answer->type_url, text) != 0) {
        fprintf(stderr, "what arrived is not what was sent\n");
        exit(1);
    }
}

static struct rpc_stream *open_stream(struct bench *bench, const char *path) {
    struct error error;
    struct rpc_stream *stream = rpc_channel_open_stream(bench->channel, path, NULL, &error);
    if (stream == NULL) {
        die("open", &error);
    }
    return stream;
}

static void *run_upload(void *argument) {
    struct runner *runner = argument;
    struct rpc_stream *stream = open_stream(runner->bench, "/bench/Upload");
    struct error error;
    uint64_t sum = 0;
    int64_t end = now_us() + runner->bench->run_us;
    while (now_us() < end && send_mib(stream, runner->messages, &sum)) {
        runner->messages++;
    }
    rpc_stream_writes_done(stream);
    struct bytes message;
    if (rpc_stream_read(stream, &message, &error) != RPC_READ_MESSAGE) {
        die("upload", &error);
    }
    Google__Protobuf__Any *answer = google__protobuf__any__unpack(NULL, message.size, message.data);
    check_sum(answer, sum);
    google__protobuf__any__free_unpacked(answer, NULL);
    if (!rpc_stream_close(stream, &error)) {
        die("upload", &error);
    }
    return NULL;
}

static void *run_download(void *argument) {
    struct runner *runner = argument;
    struct rpc_stream *stream = open_stream(runner->bench, "/bench/Download");
    struct error error;
    uint64_t sum = 0;
    rpc_stream_writes_done(stream);
    struct bytes message;
    enum rpc_read got;
    while ((got = rpc_stream_read(stream, &message, &error)) == RPC_READ_MESSAGE) {
        if (message.size == MIB + 4) {
            sum = look_at(sum, message.data + 4, MIB);
            runner->messages++;
            continue;
        }
        Google__Protobuf__Any *answer = google__protobuf__any__unpack(NULL, message.size, message.data);
        check_sum(answer, sum);
        google__protobuf__any__free_unpacked(answer, NULL);
    }
    if (!rpc_stream_close(stream, &error)) {
        die("download", &error);
    }
    return NULL;
}

static void bench_streams(struct bench *bench, const char *what, void *(*run)(void *), unsigned count) {
    struct runner runners[16] = {0};
    int64_t begin = now_us();
    uint64_t messages = 0;
    for (unsigned i = 0; i < count; i++) {
        runners[i].bench = bench;
        if (pthread_create(&runners[i].thread, NULL, run, &runners[i]) != 0) {
            abort();
        }
    }
    for (unsigned i = 0; i < count; i++) {
        pthread_join(runners[i].thread, NULL);
        messages += runners[i].messages;
    }
    double seconds = (double)(now_us() - begin) / 1e6;
    printf("%-8s 1 MiB x %u streams        %6.0f MiB/s\n", what, count, (double)messages / seconds);
}

/* ---- two processes ---- */

/* Serves until the other process ends; tells it the port first. */
static int serve(struct bench *bench, unsigned queue_threads, int to_client, int from_client) {
    struct rpc_server_options options = {
        .name = "bench",
        .listen = "127.0.0.1:0",
        .queue_threads = queue_threads,
        .max_unary_in_flight = 4096,
        .max_streams = 16,
        .max_message_bytes = 2 * MIB,
    };
    struct error error;
    struct rpc_server *server = rpc_server_new(&options);
    rpc_server_add_unary(server, "/bench/Echo", RPC_INLINE, echo, NULL);
    rpc_server_add_stream(server, "/bench/Upload", upload, NULL);
    rpc_server_add_stream(server, "/bench/Download", download, bench);
    if (!rpc_server_start(server, &error)) {
        die("start", &error);
    }
    int port = rpc_server_port(server);
    char end;
    if (write(to_client, &port, sizeof port) != sizeof port || read(from_client, &end, 1) != 0) {
        return 1;
    }
    rpc_server_drain(server, 1000);
    rpc_server_free(server);
    return 0;
}

static void run_all(struct bench *bench) {
    int64_t *samples = calloc(MAX_SAMPLES, sizeof *samples);
    if (samples == NULL) {
        abort();
    }
    bench_waiting(bench, samples);
    bench_started(bench, 1, samples);
    bench_started(bench, 64, samples);
    bench_started(bench, 256, samples);
    bench_streams(bench, "upload", run_upload, 1);
    bench_streams(bench, "upload", run_upload, 4);
    bench_streams(bench, "download", run_download, 1);
    bench_streams(bench, "download", run_download, 4);
    free(samples);
}

int main(int argc, char **argv) {
    struct bench bench = {.run_us = (argc > 1 ? atoi(argv[1]) : 3) * INT64_C(1000000)};
    int up[2];
    int down[2];
    if (pipe(up) != 0 || pipe(down) != 0) {
        return 1;
    }
    pid_t child = fork();
    if (child < 0) {
        return 1;
    }
    if (child == 0) {
        close(up[0]);
        close(down[1]);
        return serve(&bench, argc > 2 ? (unsigned)atoi(argv[2]) : 1, up[1], down[0]);
    }
    close(up[1]);
    close(down[0]);
    int port = 0;
    if (read(up[0], &port, sizeof port) != sizeof port) {
        return 1;
    }
    char target[32];
    snprintf(target, sizeof target, "127.0.0.1:%d", port);
    bench.channel = rpc_channel_new(target, 2 * MIB);
    run_all(&bench);
    rpc_channel_free(bench.channel);
    close(down[1]);
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
