/* How fast the rpc room is alone, client and server in two processes over loopback:
 *
 *   bench_rpc [seconds per figure [queue threads of the server]]
 *
 * - unary calls of 300 bytes each way to a handler that answers at once, waiting (one
 *   outstanding) and started (64 outstanding), on one connection;
 * - streams of 1 MiB messages up and down, one and four at a time. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/rpc/rpc_channel.h"
#include "common/rpc/rpc_server.h"
#include "google/protobuf/any.pb-c.h"
#include "tests/bench/null_rpc.h"
#include "tests/bench/null_stream.h"

enum { CALL_MIB = 256 };

struct bench {
    int64_t run_us;
    struct rpc_channel *channel; /* the client's */
};

static int64_t now_us(void) {
    return clock_monotonic_us(&system_clock);
}

/* ---- unary ---- */

static void print_rate(const char *what, const struct load_result *result) {
    printf("%-28s %9.0f /s   p50 %5ld us   p99 %5ld us\n", what, load_rate(result),
           (long)latency_quantile(&result->latency, 0.5), (long)latency_quantile(&result->latency, 0.99));
}

static void call_and_wait(struct bench *bench, struct load_result *result) {
    struct arena arena;
    struct error error;
    ProtobufCMessage *response;
    arena_init(&arena);
    int64_t sent = now_us();
    if (!rpc_channel_call(bench->channel, NULL_RPC_PATH, NULL, null_rpc_request(NULL, 0),
                          &google__protobuf__any__descriptor, &arena, &response, &error)) {
        load_die("call", &error);
    }
    latency_add(&result->latency, now_us() - sent);
    result->calls++;
    arena_free(&arena);
}

static void bench_waiting(struct bench *bench, struct load_result *result) {
    int64_t begin = now_us();
    memset(result, 0, sizeof *result);
    while (now_us() < begin + bench->run_us) {
        call_and_wait(bench, result);
    }
    result->took_us = now_us() - begin;
    print_rate("unary, 1 outstanding", result);
}

static void bench_started(struct bench *bench, unsigned outstanding, struct load_result *result) {
    struct load load = {
        .channel = bench->channel,
        .path = NULL_RPC_PATH,
        .outstanding = outstanding,
        .measure_us = bench->run_us,
        .request = null_rpc_request,
        .check = null_rpc_check,
    };
    memset(result, 0, sizeof *result);
    load_run(&load, result);
    char what[32];
    snprintf(what, sizeof what, "unary, %u started", outstanding);
    print_rate(what, result);
}

/* ---- streams ---- */

typedef void transfer_call(struct rpc_channel *channel, uint64_t bytes);

struct runner {
    struct bench *bench;
    transfer_call *transfer;
    pthread_t thread;
    uint64_t messages;
};

static void *run_runner(void *argument) {
    struct runner *runner = argument;
    int64_t end = now_us() + runner->bench->run_us;
    while (now_us() < end) {
        runner->transfer(runner->bench->channel, (uint64_t)CALL_MIB << 20);
        runner->messages += CALL_MIB;
    }
    return NULL;
}

static void bench_streams(struct bench *bench, const char *what, transfer_call *transfer, unsigned count) {
    struct runner runners[16] = {0};
    int64_t begin = now_us();
    uint64_t messages = 0;
    for (unsigned i = 0; i < count; i++) {
        runners[i].bench = bench;
        runners[i].transfer = transfer;
        if (pthread_create(&runners[i].thread, NULL, run_runner, &runners[i]) != 0) {
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
static int serve(unsigned queue_threads, int to_client, int from_client) {
    struct rpc_server_options options = {
        .name = "bench",
        .listen = "127.0.0.1:0",
        .queue_threads = queue_threads,
        .max_unary_in_flight = 4096,
        .max_streams = 16,
        .max_message_bytes = NULL_STREAM_MAX_MESSAGE_BYTES,
    };
    struct error error;
    struct rpc_server *server = rpc_server_new(&options);
    null_rpc_serve(server);
    null_stream_serve(server);
    if (!rpc_server_start(server, &error)) {
        load_die("start", &error);
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
    struct load_result *result = calloc(1, sizeof *result);
    if (result == NULL) {
        abort();
    }
    bench_waiting(bench, result);
    bench_started(bench, 1, result);
    bench_started(bench, 64, result);
    bench_started(bench, 256, result);
    bench_streams(bench, "upload", null_stream_upload, 1);
    bench_streams(bench, "upload", null_stream_upload, 4);
    bench_streams(bench, "download", null_stream_download, 1);
    bench_streams(bench, "download", null_stream_download, 4);
    free(result);
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
        return serve(argc > 2 ? (unsigned)atoi(argv[2]) : 1, up[1], down[0]);
    }
    close(up[1]);
    close(down[0]);
    int port = 0;
    if (read(up[0], &port, sizeof port) != sizeof port) {
        return 1;
    }
    char target[32];
    snprintf(target, sizeof target, "127.0.0.1:%d", port);
    bench.channel = rpc_channel_new(target, NULL_STREAM_MAX_MESSAGE_BYTES);
    run_all(&bench);
    rpc_channel_free(bench.channel);
    close(down[1]);
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
