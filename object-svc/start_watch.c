#include "object-svc/start_watch.h"

#include <stdlib.h>

#include "common/base/log.h"
#include "common/base/signals.h"

enum { LOOK_MS = 100 };

static void *look_for_signal(void *argument) {
    struct start_watch *watch = argument;
    while (!stop_signal_pause(&watch->over, LOOK_MS)) {
        if (signals_pending()) {
            log_info("start_interrupted");
            stores_give_up(watch->stores);
            return NULL;
        }
    }
    return NULL;
}

void start_watch_begin(struct start_watch *watch, struct stores *stores) {
    *watch = (struct start_watch){.stores = stores};
    stop_signal_init(&watch->over);
    if (pthread_create(&watch->thread, NULL, look_for_signal, watch) != 0) {
        abort();
    }
    pthread_setname_np(watch->thread, "start-watch");
}

void start_watch_end(struct start_watch *watch) {
    stop_signal_raise(&watch->over);
    pthread_join(watch->thread, NULL);
    stop_signal_destroy(&watch->over);
}
