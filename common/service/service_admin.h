/* The admin port as both services have it: metrics, a live check, and ready checks that follow
 * the health of named paths, so that HTTP probes and gRPC health agree. */
#ifndef WAYBILL_SERVICE_SERVICE_ADMIN_H
#define WAYBILL_SERVICE_SERVICE_ADMIN_H

#include "common/observe/admin_http.h"
#include "common/observe/metrics.h"
#include "common/rpc/health.h"

struct service_admin;

enum { SERVICE_LIVE_MAX = 7 };

struct service_admin_options {
    const char *listen;  /* "host:port"; "" for no admin port */
    const char *service; /* title of the status page */
    struct metrics *metrics;
    struct health *health;
    const char *const *ready_paths; /* names in `health` that must serve; NULL ends them */
    const struct admin_check *live; /* besides the process's own, at most SERVICE_LIVE_MAX; copied, except names */
    size_t live_count;
};

/* All that the options name outlives it. With no port to listen on it does nothing. */
struct service_admin *service_admin_start(const struct service_admin_options *options, struct error *error);
/* The port it listens on; 0 for none. */
int service_admin_port(const struct service_admin *admin);
/* NULL is fine. */
void service_admin_stop(struct service_admin *admin);

#endif
