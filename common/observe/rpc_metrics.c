#include "common/observe/rpc_metrics.h"

#include <stdlib.h>
#include <string.h>

struct rpc_metrics {
    struct counter_family *handled;
    struct histogram_family *seconds;
};

enum {
    MAX_METHODS = 128,
    MAX_SERIES = MAX_METHODS * 8, /* few codes per method in practice; the rest is "other" */
    METHOD_BYTES = METRIC_MAX_VALUE_BYTES,
};

struct rpc_metrics *rpc_metrics_new(struct metrics *metrics) {
    static const char *const handled_labels[] = {"grpc_service", "grpc_method", "grpc_code", NULL};
    static const char *const seconds_labels[] = {"grpc_service", "grpc_method", NULL};
    struct rpc_metrics *self = malloc(sizeof *self);
    if (self == NULL) {
        abort();
    }
    self->handled = metrics_counter_family(metrics, "grpc_server_handled_total",
                                           "Calls that the server has finished, whatever came of them.", handled_labels,
                                           MAX_SERIES);
    self->seconds = metrics_histogram_family(metrics, "grpc_server_handling_seconds",
                                             "How long the server had a call, from its start to its answer.",
                                             seconds_labels, &metric_buckets_seconds, MAX_METHODS);
    return self;
}

void rpc_metrics_free(struct rpc_metrics *self) {
    free(self);
}

/* "/package.Service/Method" into its two parts; false where it is not of that form. */
static bool split(const char *path, char text[METHOD_BYTES], const char **service, const char **method) {
    size_t length = strlen(path);
    if (path[0] != '/' || length >= METHOD_BYTES) {
        return false;
    }
    memcpy(text, path + 1, length);
    char *slash = strchr(text, '/');
    if (slash == NULL || slash == text || slash[1] == '\0') {
        return false;
    }
    *slash = '\0';
    *service = text;
    *method = slash + 1;
    return true;
}

void rpc_metrics_finished(void *self_pointer, const char *path, enum error_code code, int64_t duration_us) {
    struct rpc_metrics *self = self_pointer;
    char text[METHOD_BYTES];
    const char *names[3] = {"unknown", "unknown", rpc_metrics_code_name(code)};
    if (split(path, text, &names[0], &names[1]) && code == ERROR_UNIMPLEMENTED &&
        histogram_family_find(self->seconds, names) == NULL) {
        /* A name that no handler has answered yet: whatever a client made up. */
        names[0] = names[1] = "unknown";
    }
    counter_add(counter_family_get(self->handled, names), 1);
    histogram_observe_us(histogram_family_get(self->seconds, names), duration_us);
}

const char *rpc_metrics_code_name(enum error_code code) {
    static const char *const names[] = {
        "OK",       "Canceled",        "Unknown",          "InvalidArgument",   "DeadlineExceeded",
        "NotFound", "AlreadyExists",   "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
        "Aborted",  "OutOfRange",      "Unimplemented",    "Internal",          "Unavailable",
        "DataLoss", "Unauthenticated",
    };
    return code >= ERROR_OK && (size_t)code < sizeof names / sizeof names[0] ? names[code] : "Unknown";
}
