/* The files of a directory that begin and end, for a thread that waits for them: inotify(7). */
#ifndef WAYBILL_STORE_DIRECTORY_WATCH_H
#define WAYBILL_STORE_DIRECTORY_WATCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/inotify.h>

#include "common/base/error.h"

struct directory_watch {
    int changes; /* inotify */
    int wake;    /* eventfd */
};

/* `mask` is inotify's, such as IN_CREATE. False: error, and only closing is left to do. */
bool directory_watch_open(struct directory_watch *watch, const char *directory, uint32_t mask, struct error *error);
void directory_watch_close(struct directory_watch *watch);

typedef void directory_change(void *context, const char *name, uint32_t mask);

/* Waits for a change, for being woken, or for so many milliseconds, -1 for ever; then tells of all
 * changes, in their order. */
void directory_watch_wait(struct directory_watch *watch, int timeout_ms, directory_change *visit, void *context);
/* From any thread; lasts until the next wait ends. */
void directory_watch_wake(struct directory_watch *watch);

#endif
