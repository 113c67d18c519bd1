/* The admin port: plain HTTP for probes, scrapers and people.
 *
 *   /metrics  the registry in Prometheus' text format
 *   /livez    200 while every live check holds (the process makes progress), else 503
 *   /readyz   200 while every ready check holds (the paths work), else 503
 *   /         the same on a page for people
 *
 * livez and readyz list every check by name, one a line, "ok <name>" or "fail <name>: <why>",
 * and end with "all ok" or "not ok".
 * Only GET and HEAD; other methods get 405, other paths 404, a request with a body 413.
 *
 * One thread serves at most ADMIN_HTTP_MAX_CONNECTIONS connections, half of them from one
 * address, and drops one that is idle for ADMIN_HTTP_IDLE_SECONDS. All callbacks run on that thread, one at a time;
 * they must not block, since whoever waits for livez takes a late answer for a dead process. */
#ifndef WAYBILL_OBSERVE_ADMIN_HTTP_H
#define WAYBILL_OBSERVE_ADMIN_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/bytes.h"
#include "common/base/error.h"

enum { ADMIN_HTTP_MAX_CONNECTIONS = 64, ADMIN_HTTP_IDLE_SECONDS = 10 };

struct admin_http;

/* One named question, such as "metadata.write": whether all is well; if not, why (the
 * message) goes into `error`. */
struct admin_check {
    const char *name;
    bool (*holds)(void *self, struct error *error);
    void *self;
};

struct admin_http_options {
    const char *listen;  /* "host:port"; port 0 takes a free one */
    const char *service; /* title of the status page */
    /* Appends the text format; may be NULL. For a registry: admin_http_registry and the registry. */
    void (*write_metrics)(void *self, struct buffer *out);
    void *metrics_self;
    const struct admin_check *live; /* copied, except names */
    size_t live_count;
    const struct admin_check *ready; /* copied, except names */
    size_t ready_count;
    unsigned idle_seconds; /* 0: ADMIN_HTTP_IDLE_SECONDS */
};

/* A write_metrics whose self is a struct metrics. */
void admin_http_registry(void *metrics, struct buffer *out);

/* Binds and begins to serve. UNAVAILABLE (ADDRESS_IN_USE, BAD_ADDRESS) when the address cannot be had. */
struct admin_http *admin_http_start(const struct admin_http_options *options, struct error *error);
/* The port it listens on. */
int admin_http_port(const struct admin_http *admin);
/* Returns when no callback runs any more. NULL is fine. */
void admin_http_stop(struct admin_http *admin);

#endif
