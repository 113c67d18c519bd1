/* One figure of the object path at a time, as a line of JSON; tests/bench/run-object and
 * run-mixed start the servers, ask for the figures in turn and compare them.
 *
 *   bench_object serve                     a server of null streams; prints its port, ends with stdin
 *   bench_object bucket                    creates --bucket
 *   bench_object disk|direct-disk|loopback what the machine carries
 *   bench_object null-upload|null-read     a closed loop of null streams on --target
 *   bench_object upload|inline|store|read  a closed loop of payloads
 *
 * --help lists the options. */
#include <popt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/null_stream.h"
#include "tests/bench/payloads.h"
#include "tests/bench/raw.h"

enum { MAX_STREAMS = 256, GRACE_MS = 1000, BUSY_ATTEMPTS = 1000 };

struct options {
    char *target;
    char *bulk;
    char *object;
    char *directory;
    char *bucket;
    char *storage_class;
    long cold_after_ms;
    int streams;
    long bytes;
    long first;
    long records;
    long ahead;
    double seconds;
    double warm_up;
};

struct figure {
    struct transfer_result transfer;
    struct store_result store;
};

/* ---- what is moved ---- */

static struct waybill_client *new_client(const struct options *options) {
    struct waybill_client_options client = {
        .metadata = options->target,
        .bulk = options->bulk,
        .object = options->object,
        .max_attempts = BUSY_ATTEMPTS, /* a full spool puts uploads off for as long as it is full */
    };
    return waybill_client_new(&client);
}

static void create_bucket(const struct options *options) {
    static const char *const classes[] = {"default", "hot", "hot-and-cold", "cold"};
    struct waybill_client *client = new_client(options);
    struct waybill_bucket bucket = WAYBILL_BUCKET_INIT;
    struct arena arena;
    struct error error;
    Waybill__V1__Bucket *created;
    bucket.name = options->bucket;
    bucket.cold_after_ms = options->cold_after_ms;
    for (int i = 0; i < 4; i++) {
        if (options->storage_class != NULL && strcmp(options->storage_class, classes[i]) == 0) {
            bucket.storage_class = (Waybill__V1__StorageClass)i;
        }
    }
    arena_init(&arena);
    if (!waybill_create_bucket(client, &bucket, &arena, &created, &error)) {
        load_die("bucket", &error);
    }
    arena_free(&arena);
    waybill_client_free(client);
}

/* With --seconds the loop ends by time, otherwise when --records payloads are moved. */
static struct transfer transfer_of(const struct options *options) {
    return (struct transfer){
        .workers = (unsigned)options->streams,
        .warm_up_us = options->seconds > 0 ? (int64_t)(options->warm_up * 1e6) : 0,
        .measure_us = (int64_t)(options->seconds * 1e6),
        .count = options->seconds > 0 ? 0 : (uint64_t)options->records,
    };
}

struct null_calls {
    struct rpc_channel *channel;
    uint64_t bytes;
};

static void null_upload(void *self, uint64_t number) {
    const struct null_calls *calls = self;
    (void)number;
    null_stream_upload(calls->channel, calls->bytes);
}

static void null_read(void *self, uint64_t number) {
    const struct null_calls *calls = self;
    (void)number;
    null_stream_download(calls->channel, calls->bytes);
}

static void run_null(const struct options *options, bool upload, struct figure *figure) {
    struct null_calls calls = {rpc_channel_new(options->target, NULL_STREAM_MAX_MESSAGE_BYTES),
                               (uint64_t)options->bytes};
    struct transfer transfer = transfer_of(options);
    transfer.move = upload ? null_upload : null_read;
    transfer.self = &calls;
    transfer_run(&transfer, &figure->transfer);
    rpc_channel_free(calls.channel);
}

static void run_null_upload(const struct options *options, struct figure *figure) {
    run_null(options, true, figure);
}

static void run_null_read(const struct options *options, struct figure *figure) {
    run_null(options, false, figure);
}

static struct payloads payloads_of(const struct options *options) {
    return (struct payloads){
        .client = new_client(options),
        .bucket = options->bucket,
        .bytes = (uint64_t)options->bytes,
        .first = (uint64_t)options->first,
        .count = (uint64_t)options->records,
    };
}

static void run_moves(const struct options *options, bool is_inline, void (*move)(void *self, uint64_t number),
                      struct figure *figure) {
    struct payloads payloads = payloads_of(options);
    struct transfer transfer = transfer_of(options);
    payloads.is_inline = is_inline;
    transfer.move = move;
    transfer.self = &payloads;
    transfer_run(&transfer, &figure->transfer);
    waybill_client_free(payloads.client);
}

static void run_upload(const struct options *options, struct figure *figure) {
    run_moves(options, false, payloads_upload, figure);
}

static void run_inline(const struct options *options, struct figure *figure) {
    run_moves(options, true, payloads_upload, figure);
}

static void run_read(const struct options *options, struct figure *figure) {
    run_moves(options, false, payloads_read, figure);
}

static void run_store(const struct options *options, struct figure *figure) {
    struct payloads payloads = payloads_of(options);
    struct transfer transfer = transfer_of(options);
    if (options->ahead < 1) {
        load_die("--ahead is missing", NULL);
    }
    payloads_store(&payloads, &transfer, (uint64_t)options->ahead, &figure->transfer, &figure->store);
    waybill_client_free(payloads.client);
}

/* ---- figures ---- */

static void print_latency(const char *name, const struct latency *latency) {
    printf(", \"%sp50_us\": %ld, \"%sp99_us\": %ld", name, (long)latency_quantile(latency, 0.5), name,
           (long)latency_quantile(latency, 0.99));
}

static void print_figure(const struct options *options, const struct figure *figure) {
    const struct transfer_result *transfer = &figure->transfer;
    double seconds = (double)(transfer->end_us - transfer->begin_us) / 1e6;
    double rate = transfer->moved / seconds;
    printf("{\"rate\": %.2f, \"mb_s\": %.2f, \"started\": %lu", rate, rate * (double)options->bytes / 1e6,
           (unsigned long)transfer->started);
    print_latency("", &transfer->latency);
    if (options->ahead > 0) {
        printf(", \"stored_rate\": %.2f, \"stored_mb_s\": %.2f", figure->store.stored,
               figure->store.stored * (double)options->bytes / 1e6);
        print_latency("stored_", &figure->store.latency);
    }
    printf("}\n");
}

static const struct {
    const char *name;
    void (*run)(const struct options *options, struct figure *figure);
} loops[] = {{"null-upload", run_null_upload}, {"null-read", run_null_read}, {"upload", run_upload},
             {"inline", run_inline},           {"store", run_store},         {"read", run_read}};

static bool run_loop(const char *name, const struct options *options) {
    for (size_t i = 0; i < sizeof loops / sizeof loops[0]; i++) {
        if (strcmp(loops[i].name, name) == 0) {
            struct figure *figure = calloc(1, sizeof *figure);
            if (figure == NULL) {
                abort();
            }
            loops[i].run(options, figure);
            print_figure(options, figure);
            free(figure);
            return true;
        }
    }
    return false;
}

static bool run(const char *name, const struct options *options) {
    int64_t measure_us = (int64_t)(options->seconds * 1e6);
    if (strcmp(name, "bucket") == 0) {
        create_bucket(options);
    } else if (strcmp(name, "disk") == 0) {
        printf("{\"mb_s\": %.2f}\n", raw_disk(options->directory, false, measure_us) / 1e6);
    } else if (strcmp(name, "direct-disk") == 0) {
        printf("{\"mb_s\": %.2f}\n", raw_disk(options->directory, true, measure_us) / 1e6);
    } else if (strcmp(name, "loopback") == 0) {
        printf("{\"mb_s\": %.2f}\n", raw_loopback(measure_us) / 1e6);
    } else {
        return run_loop(name, options);
    }
    return true;
}

/* ---- the server of null streams ---- */

static int serve(void) {
    struct rpc_server_options options = {
        .name = "bench",
        .listen = "127.0.0.1:0",
        .queue_threads = 1,
        .max_unary_in_flight = 1,
        .max_streams = MAX_STREAMS,
        .max_message_bytes = NULL_STREAM_MAX_MESSAGE_BYTES,
    };
    struct error error;
    struct rpc_server *server = rpc_server_new(&options);
    null_stream_serve(server);
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

int main(int argc, char **argv) {
    struct options options = {.streams = 1, .warm_up = 0.2, .bytes = 1 << 20, .records = 1, .cold_after_ms = -1};
    struct poptOption table[] = {
        {"target", 0, POPT_ARG_STRING, &options.target, 0, "null server, or metadata-svc's small port", "HOST:PORT"},
        {"bulk", 0, POPT_ARG_STRING, &options.bulk, 0, "metadata-svc's bulk port", "HOST:PORT"},
        {"object", 0, POPT_ARG_STRING, &options.object, 0, "object-svc", "HOST:PORT"},
        {"directory", 0, POPT_ARG_STRING, &options.directory, 0, "where the disk is written", "DIR"},
        {"bucket", 0, POPT_ARG_STRING, &options.bucket, 0, "where payloads go", "NAME"},
        {"class", 0, POPT_ARG_STRING, &options.storage_class, 0, "bucket: default, hot, hot-and-cold, cold", "CLASS"},
        {"cold-after", 0, POPT_ARG_LONG, &options.cold_after_ms, 0, "bucket: when objects go cold", "MS"},
        {"streams", 0, POPT_ARG_INT, &options.streams, 0, "payloads under way at any time [1]", "N"},
        {"bytes", 0, POPT_ARG_LONG, &options.bytes, 0, "of each payload [1 MiB]", "N"},
        {"seconds", 0, POPT_ARG_DOUBLE, &options.seconds, 0, "measured time; 0: until --records payloads are moved",
         "S"},
        {"warm-up", 0, POPT_ARG_DOUBLE, &options.warm_up, 0, "time before the measured time [0.2]", "S"},
        {"first", 0, POPT_ARG_LONG, &options.first, 0, "number of the first payload that is uploaded", "N"},
        {"records", 0, POPT_ARG_LONG, &options.records, 0, "read: payloads to pick from; else how many to move", "N"},
        {"ahead", 0, POPT_ARG_LONG, &options.ahead, 0, "store: payloads that may wait to be STORED, 1 or more", "N"},
        POPT_AUTOHELP POPT_TABLEEND,
    };
    poptContext context = poptGetContext("bench_object", argc, (const char **)argv, table, 0);
    poptSetOtherOptionHelp(
        context, "serve|bucket|disk|direct-disk|loopback|null-upload|null-read|upload|inline|store|read [OPTION]...");
    int bad = poptGetNextOpt(context);
    const char *name = poptGetArg(context);
    int status = 2;
    if (bad < -1) {
        fprintf(stderr, "bench_object: %s: %s\n", poptBadOption(context, 0), poptStrerror(bad));
    } else if (name == NULL) {
        poptPrintUsage(context, stderr, 0);
    } else if (strcmp(name, "serve") == 0) {
        status = serve();
    } else if (!run(name, &options)) {
        fprintf(stderr, "bench_object: no figure '%s'\n", name);
    } else {
        status = 0;
    }
    poptFreeContext(context);
    char *texts[] = {options.target,    options.bulk,   options.object,
                     options.directory, options.bucket, options.storage_class};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        free(texts[i]);
    }
    return status;
}
