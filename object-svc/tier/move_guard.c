#include "object-svc/tier/move_guard.h"

#include <assert.h>
#include <time.h>

enum { RETRY_AFTER_MS = 200 };

void move_guard_init(struct move_guard *guard) {
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&guard->lock, NULL);
    pthread_cond_init(&guard->left, &monotonic);
    pthread_condattr_destroy(&monotonic);
    guard->count = 0;
}

void move_guard_destroy(struct move_guard *guard) {
    assert(guard->count == 0);
    pthread_cond_destroy(&guard->left);
    pthread_mutex_destroy(&guard->lock);
}

static int find(const struct move_guard *guard, const struct uuid *payload_id) {
    for (unsigned i = 0; i < guard->count; i++) {
        if (uuid_equal(&guard->inside[i], payload_id)) {
            return (int)i;
        }
    }
    return -1;
}

static bool is_free(const struct move_guard *guard, const struct uuid *payload_id) {
    return guard->count < MOVE_GUARD_MAX && find(guard, payload_id) < 0;
}

static struct timespec time_after(int64_t wait_ms) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += wait_ms / 1000;
    until.tv_nsec += wait_ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    return until;
}

bool move_guard_enter(struct move_guard *guard, const struct uuid *payload_id, int64_t wait_ms, struct error *error) {
    struct timespec until = time_after(wait_ms);
    bool waiting = wait_ms > 0;
    pthread_mutex_lock(&guard->lock);
    while (waiting && !is_free(guard, payload_id)) {
        waiting = pthread_cond_timedwait(&guard->left, &guard->lock, &until) == 0;
    }
    bool entered = is_free(guard, payload_id);
    if (entered) {
        guard->inside[guard->count++] = *payload_id;
    }
    pthread_mutex_unlock(&guard->lock);
    if (!entered) {
        error_set(error, ERROR_UNAVAILABLE, "OBJECT_MOVING", "the object is being moved; try again");
        error->retry_after_ms = RETRY_AFTER_MS;
    }
    return entered;
}

void move_guard_leave(struct move_guard *guard, const struct uuid *payload_id) {
    pthread_mutex_lock(&guard->lock);
    int index = find(guard, payload_id);
    assert(index >= 0);
    guard->inside[index] = guard->inside[--guard->count];
    pthread_cond_broadcast(&guard->left);
    pthread_mutex_unlock(&guard->lock);
}
