/* Many WatchChanges streams on a few connections, received as cheaply as can be: HTTP/2 frames
 * read straight from sockets, of each event no more than its revision. A gRPC library on this
 * side would take more of the machine than the service that is measured.
 *
 * It speaks as much HTTP/2 as a gRPC server needs to hear: windows are refilled as data comes,
 * settings and pings answered, headers not looked into. One thread. */
#ifndef WAYBILL_BENCH_WATCH_STREAMS_H
#define WAYBILL_BENCH_WATCH_STREAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"

struct watch_streams;

struct watch_streams_options {
    const char *host;
    const char *port;
    unsigned connections;
    unsigned streams;       /* over all connections */
    int64_t start_revision; /* each must see this one and all that follow, in order */
};

/* Connects and asks for the streams. NULL with the reason. */
struct watch_streams *watch_streams_open(const struct watch_streams_options *options, struct error *error);
void watch_streams_close(struct watch_streams *self);

/* Receives until every stream has its headers. False: a stream was refused or lost, an event
 * came out of order, or nothing came for idle_ms. */
bool watch_streams_await_headers(struct watch_streams *self, int64_t idle_ms, struct error *error);
/* Receives until every stream has seen the revision. */
bool watch_streams_await_revision(struct watch_streams *self, int64_t revision, int64_t idle_ms, struct error *error);

struct watch_streams_stats {
    uint64_t events;
    uint64_t bytes;
};
void watch_streams_stats(const struct watch_streams *self, struct watch_streams_stats *stats);

#endif
