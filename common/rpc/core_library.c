#include "common/rpc/core_library.h"

#include <grpc/grpc.h>
#include <grpc/support/log.h>
#include <pthread.h>
#include <stdlib.h>

#include "common/base/log.h"

/* What the core calls an error is often one client's broken connection: a warning here. */
static void write_log(gpr_log_func_args *args) {
    enum log_level level = args->severity == GPR_LOG_SEVERITY_ERROR ? LOG_LEVEL_WARN : LOG_LEVEL_DEBUG;
    log_event(level, "grpc", LOG_FIELDS(LOG_STR("message", args->message), LOG_STR("file", args->file)));
}

static pthread_once_t prepared = PTHREAD_ONCE_INIT;

static void prepare(void) {
    gpr_set_log_function(write_log);
    /* Servers beside another one need an engine that polls for all of the process. */
    setenv("GRPC_POLL_STRATEGY", "epoll1", 1);
}

void core_library_begin(void) {
    pthread_once(&prepared, prepare);
    grpc_init();
}

void core_library_end(void) {
    /* The plain grpc_shutdown cleans up on a thread that may outlive main. */
    grpc_shutdown_blocking();
}
