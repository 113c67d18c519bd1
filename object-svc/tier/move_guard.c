#include "object-svc/tier/move_guard.h"

#include <assert.h>
#include <string.h>
#include <time.h>

enum { RETRY_AFTER_MS = 200 };

void move_guard_init(struct move_guard *guard) {
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&guard->lock, NULL);
    pthread_cond_init(&guard->left, &monotonic);
    pthread_condattr_destroy(&monotonic);
    memset(guard->chains, 0, sizeof guard->chains);
    for (unsigned i = 0; i <= MOVE_GUARD_MAX; i++) {
        guard->places[i] = (struct move_guard_place){.next = (uint16_t)(i < MOVE_GUARD_MAX ? i + 1 : 0)};
    }
    guard->free = 1;
    guard->count = 0;
}

void move_guard_destroy(struct move_guard *guard) {
    assert(guard->count == 0);
    pthread_cond_destroy(&guard->left);
    pthread_mutex_destroy(&guard->lock);
}

/* Payload ids are random. */
static uint16_t *chain_of(struct move_guard *guard, const struct uuid *payload_id) {
    uint16_t hash;
    memcpy(&hash, payload_id->raw, sizeof hash);
    return &guard->chains[hash % MOVE_GUARD_CHAINS];
}

/* What points to its place; to 0 where it is not inside. */
static uint16_t *find(struct move_guard *guard, const struct uuid *payload_id) {
    uint16_t *link = chain_of(guard, payload_id);
    while (*link != 0 && !uuid_equal(&guard->places[*link].payload_id, payload_id)) {
        link = &guard->places[*link].next;
    }
    return link;
}

static bool is_free(struct move_guard *guard, const struct uuid *payload_id) {
    return guard->count < MOVE_GUARD_MAX && *find(guard, payload_id) == 0;
}

static void put_in(struct move_guard *guard, const struct uuid *payload_id) {
    uint16_t *chain = chain_of(guard, payload_id);
    uint16_t taken = guard->free;
    guard->free = guard->places[taken].next;
    guard->places[taken] = (struct move_guard_place){*payload_id, *chain};
    *chain = taken;
    guard->count++;
}

static void take_out(struct move_guard *guard, uint16_t *link) {
    uint16_t taken = *link;
    *link = guard->places[taken].next;
    guard->places[taken].next = guard->free;
    guard->free = taken;
    guard->count--;
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
    bool waiting = wait_ms > 0;
    struct timespec until = waiting ? time_after(wait_ms) : (struct timespec){0};
    pthread_mutex_lock(&guard->lock);
    while (waiting && !is_free(guard, payload_id)) {
        waiting = pthread_cond_timedwait(&guard->left, &guard->lock, &until) == 0;
    }
    bool entered = is_free(guard, payload_id);
    if (entered) {
        put_in(guard, payload_id);
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
    uint16_t *link = find(guard, payload_id);
    assert(*link != 0);
    take_out(guard, link);
    pthread_cond_broadcast(&guard->left);
    pthread_mutex_unlock(&guard->lock);
}
