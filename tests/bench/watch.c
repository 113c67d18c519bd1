/* Whether thousands of watchers see every change, and what that costs the service:
 *
 *   bench_watch --target HOST:PORT [--watchers 5000] [--records 10000] [--connections 8]
 *               [--pid PID of the service]
 *
 * All watchers begin at the next revision, without a filter; when all stand, the records are
 * committed, 64 puts at a time, each a revision. It ends well only when every watcher saw every
 * revision once and in order, and prints how long that took from the first put on. Nobody else
 * may commit meanwhile. */
#include <popt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "tests/bench/load.h"
#include "tests/bench/watch_streams.h"
#include "waybill/v1/admin_service.pb-c.h"
#include "waybill/v1/metadata_service.pb-c.h"

enum { MESSAGE_BYTES = 1 << 20, OUTSTANDING = 64, KEY_BYTES = 24 };

#define BUCKET "watched-by-many"

struct bench {
    char *target;
    int watchers;
    int records;
    int connections;
    int pid;
    int idle_seconds;
    struct rpc_channel *channel;
    char host[256];
    const char *port;
};

/* ---- the service ---- */

static void call(const struct bench *bench, const char *path, const ProtobufCMessage *request,
                 const ProtobufCMessageDescriptor *type, struct arena *arena, ProtobufCMessage **response) {
    struct error error = {0};
    if (!rpc_channel_call(bench->channel, path, NULL, request, type, arena, response, &error) &&
        error.code != ERROR_ALREADY_EXISTS) {
        load_die(path, &error);
    }
}

static void make_bucket(const struct bench *bench) {
    struct arena arena;
    ProtobufCMessage *response;
    arena_init(&arena);
    Waybill__V1__Bucket bucket = WAYBILL__V1__BUCKET__INIT;
    Waybill__V1__CreateBucketRequest request = WAYBILL__V1__CREATE_BUCKET_REQUEST__INIT;
    bucket.name = BUCKET;
    request.bucket = &bucket;
    call(bench, "/waybill.v1.MetadataService/CreateBucket", &request.base,
         &waybill__v1__create_bucket_response__descriptor, &arena, &response);
    arena_free(&arena);
}

static int64_t newest_revision(const struct bench *bench) {
    struct arena arena;
    ProtobufCMessage *response;
    arena_init(&arena);
    Waybill__V1__GetStatusRequest request = WAYBILL__V1__GET_STATUS_REQUEST__INIT;
    call(bench, "/waybill.v1.AdminService/GetStatus", &request.base, &waybill__v1__get_status_response__descriptor,
         &arena, &response);
    int64_t revision = ((Waybill__V1__GetStatusResponse *)response)->metadata->committed_revision;
    arena_free(&arena);
    return revision;
}

struct puts {
    char key[KEY_BYTES];
    Waybill__V1__PutRecordRequest request;
};

static const ProtobufCMessage *next_put(void *self, uint64_t number) {
    struct puts *puts = self;
    snprintf(puts->key, sizeof puts->key, "record-%llu", (unsigned long long)number);
    return &puts->request.base;
}

static bool is_put(void *self, uint64_t number, struct bytes response) {
    (void)self;
    (void)number;
    return response.size > 0;
}

struct committing {
    const struct bench *bench;
    int64_t took_us;
};

static void *commit_records(void *argument) {
    struct committing *committing = argument;
    struct puts puts = {.request = WAYBILL__V1__PUT_RECORD_REQUEST__INIT};
    puts.request.bucket = BUCKET;
    puts.request.key = puts.key;
    struct load load = {
        .channel = committing->bench->channel,
        .path = "/waybill.v1.MetadataService/PutRecord",
        .outstanding = OUTSTANDING,
        .calls = (uint64_t)committing->bench->records,
        .request = next_put,
        .check = is_put,
        .self = &puts,
    };
    struct load_result *result = calloc(1, sizeof *result);
    if (result == NULL) {
        abort();
    }
    int64_t begin = clock_monotonic_us(&system_clock);
    load_run(&load, result);
    committing->took_us = clock_monotonic_us(&system_clock) - begin;
    free(result);
    return NULL;
}

/* A figure of the service's process in MiB, 0 where it is not known. */
static double memory_mib(const struct bench *bench, const char *name) {
    char path[64];
    char line[256];
    double mib = 0;
    snprintf(path, sizeof path, "/proc/%d/status", bench->pid);
    FILE *status = bench->pid > 0 ? fopen(path, "r") : NULL;
    while (status != NULL && fgets(line, sizeof line, status) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':') {
            mib = atof(line + strlen(name) + 1) / 1024;
        }
    }
    if (status != NULL) {
        fclose(status);
    }
    return mib;
}

/* Processor time of the service so far, in seconds. */
static double processor_seconds(const struct bench *bench) {
    char path[64];
    unsigned long user = 0;
    unsigned long system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", bench->pid);
    FILE *stat = bench->pid > 0 ? fopen(path, "r") : NULL;
    if (stat != NULL) {
        if (fscanf(stat, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2) {
            user = system = 0;
        }
        fclose(stat);
    }
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

/* ---- the watchers ---- */

static struct watch_streams *open_watches(const struct bench *bench, int64_t start_revision) {
    struct watch_streams_options options = {
        .host = bench->host,
        .port = bench->port,
        .connections = (unsigned)bench->connections,
        .streams = (unsigned)bench->watchers,
        .start_revision = start_revision,
    };
    struct error error = {0};
    struct watch_streams *streams = watch_streams_open(&options, &error);
    if (streams == NULL || !watch_streams_await_headers(streams, bench->idle_seconds * INT64_C(1000), &error)) {
        load_die("watches", &error);
    }
    return streams;
}

static void run(const struct bench *bench) {
    make_bucket(bench);
    int64_t before = newest_revision(bench);
    int64_t begin = clock_monotonic_us(&system_clock);
    struct watch_streams *streams = open_watches(bench, before + 1);
    printf("%d watchers stand after %.2f s; the service has %.0f MiB\n", bench->watchers,
           (double)(clock_monotonic_us(&system_clock) - begin) / 1e6, memory_mib(bench, "VmRSS"));
    struct committing committing = {.bench = bench};
    pthread_t committer;
    double processor = processor_seconds(bench);
    begin = clock_monotonic_us(&system_clock);
    if (pthread_create(&committer, NULL, commit_records, &committing) != 0) {
        abort();
    }
    struct error error = {0};
    if (!watch_streams_await_revision(streams, before + bench->records, bench->idle_seconds * INT64_C(1000), &error)) {
        load_die("watches", &error);
    }
    double seconds = (double)(clock_monotonic_us(&system_clock) - begin) / 1e6;
    pthread_join(committer, NULL);
    struct watch_streams_stats stats;
    watch_streams_stats(streams, &stats);
    printf("%d records committed in %.2f s, every one seen by every watcher after %.2f s\n", bench->records,
           (double)committing.took_us / 1e6, seconds);
    printf("%llu events, %.0f a second, %.0f bytes each on the wire\n", (unsigned long long)stats.events,
           (double)stats.events / seconds, (double)stats.bytes / (double)stats.events);
    if (bench->pid > 0) {
        printf("the service took %.1f s of processor time and at most %.0f MiB\n", processor_seconds(bench) - processor,
               memory_mib(bench, "VmHWM"));
    }
    watch_streams_close(streams);
}

/* "host:port" into its two parts. */
static bool split_target(struct bench *bench) {
    const char *colon = strrchr(bench->target, ':');
    if (colon == NULL || (size_t)(colon - bench->target) >= sizeof bench->host) {
        return false;
    }
    memcpy(bench->host, bench->target, (size_t)(colon - bench->target));
    bench->port = colon + 1;
    return true;
}

int main(int argc, char **argv) {
    struct bench bench = {.watchers = 5000, .records = 10000, .connections = 8, .idle_seconds = 60};
    struct poptOption table[] = {
        {"target", 0, POPT_ARG_STRING, &bench.target, 0, "the service's small-message port", "HOST:PORT"},
        {"watchers", 0, POPT_ARG_INT, &bench.watchers, 0, "streams [5000]", "N"},
        {"records", 0, POPT_ARG_INT, &bench.records, 0, "changes to commit [10000]", "N"},
        {"connections", 0, POPT_ARG_INT, &bench.connections, 0, "that the streams share [8]", "N"},
        {"pid", 0, POPT_ARG_INT, &bench.pid, 0, "the service's process, for its memory", "PID"},
        {"idle", 0, POPT_ARG_INT, &bench.idle_seconds, 0, "fail when nothing came for so long [60]", "S"},
        POPT_AUTOHELP POPT_TABLEEND,
    };
    poptContext context = poptGetContext("bench_watch", argc, (const char **)argv, table, 0);
    int bad = poptGetNextOpt(context);
    if (bad != -1 || poptPeekArg(context) != NULL || bench.target == NULL || bench.watchers < 1 || bench.records < 1 ||
        !split_target(&bench)) {
        if (bad != -1) {
            fprintf(stderr, "bench_watch: %s: %s\n", poptBadOption(context, 0), poptStrerror(bad));
        }
        poptPrintUsage(context, stderr, 0);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    bench.channel = rpc_channel_new(bench.target, MESSAGE_BYTES);
    run(&bench);
    rpc_channel_free(bench.channel);
    free(bench.target);
    poptFreeContext(context);
    return 0;
}
