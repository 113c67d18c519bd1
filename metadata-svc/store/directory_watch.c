#include "metadata-svc/store/directory_watch.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

bool directory_watch_open(struct directory_watch *watch, const char *directory, uint32_t mask, struct error *error) {
    watch->changes = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    watch->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return (watch->changes >= 0 && watch->wake >= 0 &&
            inotify_add_watch(watch->changes, directory, mask | IN_ONLYDIR) >= 0) ||
           error_set_errno(error, errno, "watching %s", directory);
}

void directory_watch_close(struct directory_watch *watch) {
    if (watch->changes >= 0) {
        close(watch->changes);
    }
    if (watch->wake >= 0) {
        close(watch->wake);
    }
}

void directory_watch_wait(struct directory_watch *watch, int timeout_ms, directory_change *visit, void *context) {
    struct pollfd sources[] = {{watch->changes, POLLIN, 0}, {watch->wake, POLLIN, 0}};
    if (poll(sources, 2, timeout_ms) < 0 && errno != EINTR) {
        abort();
    }
    eventfd_t woken;
    eventfd_read(watch->wake, &woken); /* does not wait */
    _Alignas(struct inotify_event) char events[4096];
    ssize_t size;
    while ((size = read(watch->changes, events, sizeof events)) > 0) {
        for (char *at = events; at < events + size;) {
            const struct inotify_event *event = (const struct inotify_event *)at;
            if (event->len > 0) {
                visit(context, event->name, event->mask);
            }
            at += sizeof *event + event->len;
        }
    }
}

void directory_watch_wake(struct directory_watch *watch) {
    eventfd_write(watch->wake, 1); /* fails only if it has been woken very often already */
}
