/* One figure of the commit path at a time, as a line of JSON; tests/bench/run-commit starts
 * the servers, asks for the figures in turn and compares them.
 *
 *   bench_commit serve                 a server of null calls; prints its port, ends with stdin
 *   bench_commit bucket                creates the bucket that put and get use
 *   bench_commit null|put|batch|get|etcd   a closed loop of calls on --target
 *   bench_commit flush                 fdatasync after each append of 400 B to a file in --directory
 *
 * --help lists the options. */
#include <fcntl.h>
#include <popt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "tests/bench/null_rpc.h"
#include "tests/bench/workload.h"

enum { MAX_MESSAGE_BYTES = 4 << 20, APPEND_BYTES = 400, MAX_IN_FLIGHT = 4096, GRACE_MS = 1000 };

struct options {
    char *target;
    char *directory;
    int outstanding;
    double seconds;
    double warm_up;
    long first;
    long records;
};

static void print_figure(const struct load_result *result) {
    printf("{\"rate\": %.1f, \"p50_us\": %ld, \"p99_us\": %ld, \"calls\": %lu, \"started\": %lu, \"refused\": %lu}\n",
           load_rate(result), (long)latency_quantile(&result->latency, 0.5),
           (long)latency_quantile(&result->latency, 0.99), (unsigned long)result->calls, (unsigned long)result->started,
           (unsigned long)result->refused);
}

/* ---- the disk ---- */

static void append(int file) {
    static const char record[APPEND_BYTES];
    if (write(file, record, sizeof record) != sizeof record || fdatasync(file) != 0) {
        perror("append");
        exit(1);
    }
}

static void run_flush(const struct options *options, struct load_result *result) {
    char path[4096];
    snprintf(path, sizeof path, "%s/flush-XXXXXX", options->directory);
    int file = mkstemp(path);
    if (file < 0) {
        perror(path);
        exit(1);
    }
    unlink(path);
    int64_t begin = clock_monotonic_us(&system_clock);
    int64_t now = begin;
    while (now < begin + (int64_t)(options->seconds * 1e6)) {
        append(file);
        int64_t then = clock_monotonic_us(&system_clock);
        latency_add(&result->latency, then - now);
        result->calls++;
        now = then;
    }
    result->took_us = now - begin;
    close(file);
}

/* ---- calls ---- */

static void call(struct rpc_channel *channel, const char *path, const ProtobufCMessage *request,
                 const ProtobufCMessageDescriptor *response_type) {
    struct arena arena;
    struct error error;
    ProtobufCMessage *response;
    arena_init(&arena);
    if (!rpc_channel_call(channel, path, NULL, request, response_type, &arena, &response, &error)) {
        load_die(path, &error);
    }
    arena_free(&arena);
}

static void create_bucket(struct rpc_channel *channel) {
    Waybill__V1__Bucket bucket = WAYBILL__V1__BUCKET__INIT;
    Waybill__V1__CreateBucketRequest request = WAYBILL__V1__CREATE_BUCKET_REQUEST__INIT;
    bucket.name = WORKLOAD_BUCKET;
    request.bucket = &bucket;
    call(channel, "/waybill.v1.MetadataService/CreateBucket", &request.base,
         &waybill__v1__create_bucket_response__descriptor);
}

/* So that connecting is not part of the first figures where there is no warm-up. */
static void connect_to_bucket(struct rpc_channel *channel) {
    Waybill__V1__GetBucketRequest request = WAYBILL__V1__GET_BUCKET_REQUEST__INIT;
    request.name = WORKLOAD_BUCKET;
    call(channel, "/waybill.v1.MetadataService/GetBucket", &request.base,
         &waybill__v1__get_bucket_response__descriptor);
}

/* With --seconds the loop ends by time, otherwise when --records calls are answered. */
static struct load load_of(const struct options *options, struct rpc_channel *channel) {
    return (struct load){
        .channel = channel,
        .outstanding = (unsigned)options->outstanding,
        .warm_up_us = options->seconds > 0 ? (int64_t)(options->warm_up * 1e6) : 0,
        .measure_us = (int64_t)(options->seconds * 1e6),
        .calls = options->seconds > 0 ? 0 : (uint64_t)options->records,
    };
}

static void run_null(struct load *load, const struct options *options, struct load_result *result) {
    (void)options;
    load->path = NULL_RPC_PATH;
    load->request = null_rpc_request;
    load->check = null_rpc_check;
    load_run(load, result);
}

static void run_put(struct load *load, const struct options *options, struct load_result *result) {
    struct put_workload put;
    put_workload_init(&put, (uint64_t)options->first);
    load->path = PUT_PATH;
    load->request = put_workload_request;
    load->check = put_workload_check;
    load->self = &put;
    connect_to_bucket(load->channel);
    load_run(load, result);
}

/* The figure counts records, not calls; its latencies are those of the calls. */
static void run_batch(struct load *load, const struct options *options, struct load_result *result) {
    struct batch_workload *batch = calloc(1, sizeof *batch);
    if (batch == NULL) {
        abort();
    }
    batch_workload_init(batch, (uint64_t)options->first, (uint64_t)options->records);
    load->path = BATCH_PATH;
    load->measure_us = 0;
    load->calls = batch_workload_calls(batch);
    load->request = batch_workload_request;
    load->check = batch_workload_check;
    load->self = batch;
    connect_to_bucket(load->channel);
    load_run(load, result);
    result->calls = batch->records;
    result->started = batch->records;
    free(batch);
}

static void run_get(struct load *load, const struct options *options, struct load_result *result) {
    struct get_workload get;
    get_workload_init(&get, (uint64_t)options->records);
    load->path = GET_PATH;
    load->request = get_workload_request;
    load->check = get_workload_check;
    load->self = &get;
    load_run(load, result);
}

static void run_etcd(struct load *load, const struct options *options, struct load_result *result) {
    struct etcd_workload etcd;
    (void)options;
    etcd_workload_init(&etcd);
    load->path = ETCD_PUT_PATH;
    load->request = etcd_workload_request;
    load->check = etcd_workload_check;
    load->self = &etcd;
    load_run(load, result);
    etcd_workload_verify(&etcd, load->channel, result->started - 1);
}

/* ---- the server of null calls ---- */

static int serve(void) {
    struct rpc_server_options options = {
        .name = "bench",
        .listen = "127.0.0.1:0",
        .queue_threads = 1,
        .max_unary_in_flight = MAX_IN_FLIGHT,
        .max_message_bytes = MAX_MESSAGE_BYTES,
    };
    struct error error;
    struct rpc_server *server = rpc_server_new(&options);
    null_rpc_serve(server);
    if (!rpc_server_start(server, &error)) {
        load_die("start", &error);
    }
    printf("%d\n", rpc_server_port(server));
    fflush(stdout);
    char end;
    while (read(STDIN_FILENO, &end, 1) > 0) {
    }
    rpc_server_drain(server, GRACE_MS);
    rpc_server_free(server);
    return 0;
}

/* ---- the command line ---- */

static const struct {
    const char *name;
    void (*run)(struct load *load, const struct options *options, struct load_result *result);
} loops[] = {{"null", run_null}, {"put", run_put}, {"batch", run_batch}, {"get", run_get}, {"etcd", run_etcd}};

static bool run_loop(const char *name, const struct options *options, struct rpc_channel *channel,
                     struct load_result *result) {
    for (size_t i = 0; i < sizeof loops / sizeof loops[0]; i++) {
        if (strcmp(loops[i].name, name) == 0) {
            struct load load = load_of(options, channel);
            loops[i].run(&load, options, result);
            return true;
        }
    }
    return false;
}

static bool run_calls(const char *name, const struct options *options, struct load_result *result) {
    struct rpc_channel *channel = rpc_channel_new(options->target, MAX_MESSAGE_BYTES);
    bool known = true;
    if (strcmp(name, "bucket") == 0) {
        create_bucket(channel);
    } else {
        known = run_loop(name, options, channel, result);
    }
    rpc_channel_free(channel);
    return known;
}

static bool run(const char *name, const struct options *options) {
    struct load_result *result = calloc(1, sizeof *result);
    if (result == NULL) {
        abort();
    }
    bool known = true;
    if (strcmp(name, "flush") == 0) {
        run_flush(options, result);
    } else {
        known = run_calls(name, options, result);
    }
    if (known) {
        print_figure(result);
    }
    free(result);
    return known;
}

int main(int argc, char **argv) {
    struct options options = {.outstanding = 1, .warm_up = 0.2, .records = 1};
    struct poptOption table[] = {
        {"target", 0, POPT_ARG_STRING, &options.target, 0, "the server", "HOST:PORT"},
        {"directory", 0, POPT_ARG_STRING, &options.directory, 0, "where flush writes", "DIR"},
        {"outstanding", 0, POPT_ARG_INT, &options.outstanding, 0, "calls under way at any time [1]", "N"},
        {"seconds", 0, POPT_ARG_DOUBLE, &options.seconds, 0, "measured time; 0: until --records calls are answered",
         "S"},
        {"warm-up", 0, POPT_ARG_DOUBLE, &options.warm_up, 0, "time before the measured time [0.2]", "S"},
        {"first", 0, POPT_ARG_LONG, &options.first, 0, "number of the first record that put writes", "N"},
        {"records", 0, POPT_ARG_LONG, &options.records, 0, "get: records to pick from; put, batch: how many to write",
         "N"},
        POPT_AUTOHELP POPT_TABLEEND,
    };
    poptContext context = poptGetContext("bench_commit", argc, (const char **)argv, table, 0);
    poptSetOtherOptionHelp(context, "serve|bucket|null|put|batch|get|etcd|flush [OPTION]...");
    int bad = poptGetNextOpt(context);
    const char *name = poptGetArg(context);
    int status = 2;
    if (bad < -1) {
        fprintf(stderr, "bench_commit: %s: %s\n", poptBadOption(context, 0), poptStrerror(bad));
    } else if (name == NULL) {
        poptPrintUsage(context, stderr, 0);
    } else if (strcmp(name, "serve") == 0) {
        status = serve();
    } else if (options.target == NULL && options.directory == NULL) {
        fprintf(stderr, "bench_commit: %s needs --target (flush: --directory)\n", name);
    } else if (!run(name, &options)) {
        fprintf(stderr, "bench_commit: no figure '%s'\n", name);
    } else {
        status = 0;
    }
    poptFreeContext(context);
    free(options.target);
    free(options.directory);
    return status;
}
