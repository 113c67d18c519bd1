/* A stop signal that comes while the service starts: nothing waits for a cold store any more that does not answer,
 * so that the start ends soon. The signal stays pending for signals_wait.
 *
 * One thread begins and ends it; a thread of its own looks for the signal. */
#ifndef WAYBILL_OBJECT_START_WATCH_H
#define WAYBILL_OBJECT_START_WATCH_H

#include <pthread.h>

#include "common/base/stop_signal.h"
#include "object-svc/stores.h"

struct start_watch {
    struct stores *stores;
    struct stop_signal over;
    pthread_t thread;
};

/* The stores, which may be opened meanwhile, are borrowed until the end. */
void start_watch_begin(struct start_watch *watch, struct stores *stores);
void start_watch_end(struct start_watch *watch);

#endif
