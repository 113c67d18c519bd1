#include "object-svc/cold/cold_store.h"

#include <string.h>

#include "object-svc/cold/cold_directory.h"
#include "object-svc/cold/cold_s3.h"

struct backend {
    const char *name;
    struct cold_store *(*open)(const struct cold_store_options *options, struct error *error);
};

static const struct backend backends[] = {
    {"directory", cold_directory_open},
    {"s3", cold_s3_open},
};

struct cold_store *cold_store_open(const struct cold_store_options *options, struct error *error) {
    for (size_t i = 0; i < sizeof backends / sizeof backends[0]; i++) {
        if (options->backend != NULL && strcmp(options->backend, backends[i].name) == 0) {
            return backends[i].open(options, error);
        }
    }
    error_set_field(error, "cold.backend", "COLD_BACKEND_UNKNOWN", "there is no cold store backend named \"%s\"",
                    options->backend == NULL ? "" : options->backend);
    return NULL;
}
