#include "common/service/service_admin.h"

#include <assert.h>
#include <stdlib.h>

enum { READY_PATHS_MAX = 8 };

struct path_check {
    struct health *health;
    const char *path;
};

struct service_admin {
    struct path_check paths[READY_PATHS_MAX];
    struct admin_http *http; /* NULL: no port */
};

static bool path_serves(void *self, struct error *error) {
    const struct path_check *check = self;
    return health_serving(check->health, check->path) ||
           error_set(error, ERROR_UNAVAILABLE, "NOT_SERVING", "%s does not serve", check->path);
}

/* Answering at all is the proof. */
static bool is_alive(void *self, struct error *error) {
    (void)self;
    (void)error;
    return true;
}

struct service_admin *service_admin_start(const struct service_admin_options *options, struct error *error) {
    struct service_admin *admin = calloc(1, sizeof *admin);
    if (admin == NULL) {
        abort();
    }
    if (options->listen[0] == '\0') {
        return admin;
    }
    assert(options->live_count <= SERVICE_LIVE_MAX);
    struct admin_check live[SERVICE_LIVE_MAX + 1] = {{"process", is_alive, NULL}};
    for (size_t i = 0; i < options->live_count; i++) {
        live[i + 1] = options->live[i];
    }
    struct admin_check ready[READY_PATHS_MAX];
    size_t ready_count = 0;
    for (; ready_count < READY_PATHS_MAX && options->ready_paths[ready_count] != NULL; ready_count++) {
        const char *path = options->ready_paths[ready_count];
        admin->paths[ready_count] = (struct path_check){options->health, path};
        ready[ready_count] = (struct admin_check){path, path_serves, &admin->paths[ready_count]};
    }
    struct admin_http_options http_options = {
        .listen = options->listen,
        .service = options->service,
        .write_metrics = admin_http_registry,
        .metrics_self = options->metrics,
        .live = live,
        .live_count = options->live_count + 1,
        .ready = ready,
        .ready_count = ready_count,
    };
    admin->http = admin_http_start(&http_options, error);
    if (admin->http == NULL) {
        free(admin);
        return NULL;
    }
    return admin;
}

int service_admin_port(const struct service_admin *admin) {
    return admin->http != NULL ? admin_http_port(admin->http) : 0;
}

void service_admin_stop(struct service_admin *admin) {
    if (admin != NULL) {
        admin_http_stop(admin->http);
        free(admin);
    }
}
