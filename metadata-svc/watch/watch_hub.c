/* States of a watch, under the hub's lock:
 *
 *   NEW ─▶ WAITING ─▶ BUSY ─┬▶ WAITING            in `ready`, or in `idle` at the head
 *             ▲             ├▶ SENDING ─▶ WAITING  in `sending` until taken, later in `stuck`
 *             └─ new changes└▶ ENDED               in `ending` until freed
 *
 * Only the thread that made it BUSY uses its position and calls its client, without the lock.
 * What comes from other threads meanwhile is noted in `taken` and `verdict`. */
#include "metadata-svc/watch/watch_hub.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/log.h"
#include "common/base/thread_crew.h"
#include "metadata-svc/store/change_log.h"
#include "metadata-svc/watch/change_runs.h"
#include "waybill/v1/metadata_service.pb-c.h"

enum {
    TICK_US = WATCH_TICK_MS * 1000,
    WHEEL_TICKS = 512,
    MAX_THREADS = 64,
};

enum watch_state { WATCH_NEW, WATCH_WAITING, WATCH_BUSY, WATCH_SENDING, WATCH_ENDED };

/* A place in a ring; a list is a ring with one place that is no watch's. */
struct ring {
    struct ring *previous, *next;
};

struct watch {
    struct watch_hub *hub;
    struct watch_client client;
    struct watch_filter filter;
    int64_t bookmark_us;

    /* Of the thread that has it BUSY. */
    int64_t next_revision;
    bool looked_up; /* that the first revision is still in the log */

    /* Under the lock. */
    enum watch_state state;
    struct ring place; /* in the list of its state */
    struct ring timer; /* in the wheel */
    uint64_t idle_since_round;
    int64_t sent_us;  /* when it last got something */
    int64_t since_us; /* SENDING, ENDED: since when */
    bool counted;     /* in hub->under_way */
    bool taken;       /* the send of a BUSY watch was taken */
    /* Why it must end; OK while it need not. */
    enum error_code verdict;
};

#define watch_at(ring_, member_) ((struct watch *)(void *)((char *)(ring_)-offsetof(struct watch, member_)))

struct watch_hub {
    struct watch_hub_options options;
    struct change_runs *runs;
    atomic_uint_fast64_t events;
    atomic_uint_fast64_t cut_off;

    pthread_mutex_t lock;
    pthread_cond_t work;
    /* Under the lock. */
    bool stopping;
    uint64_t watches;
    int64_t durable;
    uint64_t round; /* counts how often the idle were made ready */
    struct ring ready, idle, sending, stuck, ending;
    unsigned under_way; /* watches in `sending` */
    int64_t tick;       /* the wheel's hand */
    struct ring wheel[WHEEL_TICKS];

    struct thread_crew crew;
};

/* ---- rings ---- */

static void ring_init(struct ring *ring) {
    ring->previous = ring;
    ring->next = ring;
}

static bool ring_empty(const struct ring *ring) {
    return ring->next == ring;
}

static void ring_remove(struct ring *place) {
    place->previous->next = place->next;
    place->next->previous = place->previous;
    ring_init(place);
}

static void ring_append(struct ring *list, struct ring *place) {
    place->previous = list->previous;
    place->next = list;
    list->previous->next = place;
    list->previous = place;
}

/* Moves all of `from` to the end of `list`. */
static void ring_append_all(struct ring *list, struct ring *from) {
    if (ring_empty(from)) {
        return;
    }
    from->next->previous = list->previous;
    from->previous->next = list;
    list->previous->next = from->next;
    list->previous = from->previous;
    ring_init(from);
}

/* ---- waiting; under the lock ---- */

static int64_t now_us(const struct watch_hub *hub) {
    return clock_monotonic_us(hub->options.clock);
}

/* Takes the watch out of `sending` where it is there. */
static void stop_counting(struct watch *watch) {
    struct watch_hub *hub = watch->hub;
    if (watch->counted) {
        watch->counted = false;
        hub->under_way--;
        pthread_cond_signal(&hub->work);
    }
}

static void make_ready(struct watch *watch) {
    ring_remove(&watch->place);
    stop_counting(watch);
    watch->state = WATCH_WAITING;
    watch->idle_since_round = 0;
    ring_append(&watch->hub->ready, &watch->place);
    pthread_cond_signal(&watch->hub->work);
}

static void make_idle(struct watch *watch) {
    watch->state = WATCH_WAITING;
    watch->idle_since_round = watch->hub->round;
    ring_append(&watch->hub->idle, &watch->place);
}

/* Those that became ready together keep their mark; the round tells it is old. */
static bool is_idle(const struct watch *watch) {
    return watch->state == WATCH_WAITING && watch->idle_since_round == watch->hub->round;
}

/* Where a watch that is BUSY and not to be ended goes. */
static void settle(struct watch *watch) {
    if (watch->verdict != ERROR_OK || watch->next_revision <= watch->hub->durable) {
        make_ready(watch);
    } else {
        make_idle(watch);
    }
}

void watch_hub_advance(struct watch_hub *hub, int64_t revision) {
    pthread_mutex_lock(&hub->lock);
    if (revision > hub->durable) {
        hub->durable = revision;
        if (!ring_empty(&hub->idle)) {
            hub->round++;
            ring_append_all(&hub->ready, &hub->idle);
            pthread_cond_broadcast(&hub->work);
        }
    }
    pthread_mutex_unlock(&hub->lock);
}

/* ---- time; under the lock ---- */

static void set_timer(struct watch *watch) {
    struct watch_hub *hub = watch->hub;
    int64_t due = (watch->sent_us + watch->bookmark_us + TICK_US - 1) / TICK_US;
    if (due <= hub->tick) {
        due = hub->tick + 1;
    } else if (due >= hub->tick + WHEEL_TICKS) {
        due = hub->tick + WHEEL_TICKS - 1;
    }
    ring_append(&hub->wheel[due % WHEEL_TICKS], &watch->timer);
}

/* Idle watches whose bookmark is due become ready. */
static void strike_timers(struct watch_hub *hub, int64_t now) {
    int64_t tick = now / TICK_US;
    if (tick > hub->tick + WHEEL_TICKS) {
        hub->tick = tick - WHEEL_TICKS;
    }
    while (hub->tick < tick) {
        hub->tick++;
        struct ring due;
        ring_init(&due);
        ring_append_all(&due, &hub->wheel[hub->tick % WHEEL_TICKS]);
        while (!ring_empty(&due)) {
            struct watch *watch = watch_at(due.next, timer);
            ring_remove(&watch->timer);
            if (is_idle(watch) && now - watch->sent_us >= watch->bookmark_us) {
                make_ready(watch);
            }
            set_timer(watch);
        }
    }
}

/* Sends that take long make room for others. */
static void set_aside_stuck(struct watch_hub *hub, int64_t now) {
    while (!ring_empty(&hub->sending)) {
        struct watch *watch = watch_at(hub->sending.next, place);
        if (now - watch->since_us < WATCH_STUCK_US) {
            break;
        }
        ring_remove(&watch->place);
        stop_counting(watch);
        ring_append(&hub->stuck, &watch->place);
    }
}

static void end_stalled(struct watch_hub *hub, int64_t now) {
    while (!ring_empty(&hub->stuck)) {
        struct watch *watch = watch_at(hub->stuck.next, place);
        if (now - watch->since_us < hub->options.stall_timeout_us) {
            break;
        }
        watch->verdict = ERROR_RESOURCE_EXHAUSTED;
        make_ready(watch);
    }
}

/* What a client that was told its end did not take is dropped. */
static void reset_ended(struct watch_hub *hub, int64_t now) {
    while (!ring_empty(&hub->ending)) {
        struct watch *watch = watch_at(hub->ending.next, place);
        if (now - watch->since_us < hub->options.stall_timeout_us) {
            break;
        }
        ring_remove(&watch->place);
        struct error error = {0};
        error_set(&error, ERROR_RESOURCE_EXHAUSTED, "WATCH_TOO_SLOW",
                  "the watch took nothing for too long and was cut off: watch again after the last revision seen");
        watch->client.reset(watch->client.self, &error);
    }
}

static void pass_time(struct watch_hub *hub) {
    int64_t now = now_us(hub);
    strike_timers(hub, now);
    set_aside_stuck(hub, now);
    end_stalled(hub, now);
    reset_ended(hub, now);
}

/* ---- a turn; without the lock ---- */

static void end_watch(struct watch *watch, const struct error *error) {
    struct watch_hub *hub = watch->hub;
    pthread_mutex_lock(&hub->lock);
    watch->state = WATCH_ENDED;
    watch->since_us = now_us(hub);
    ring_append(&hub->ending, &watch->place);
    pthread_mutex_unlock(&hub->lock);
    watch->client.finish(watch->client.self, error);
    /* From here on it may be freed. */
}

static void explain(const struct watch *watch, struct error *error) {
    long long next = watch->next_revision;
    switch (watch->verdict) {
    case ERROR_RESOURCE_EXHAUSTED:
        error_set(error, ERROR_RESOURCE_EXHAUSTED, "WATCH_TOO_SLOW",
                  "the watch took nothing for %lld ms while changes waited for it: read faster, or filter more, and "
                  "watch again from revision %lld",
                  (long long)watch->hub->options.stall_timeout_us / 1000, next);
        error_set_detail(error, "next_revision", "%lld", next);
        error->retry_after_ms = 1000;
        break;
    case ERROR_UNAVAILABLE:
        error_set(error, ERROR_UNAVAILABLE, "DRAINING",
                  "the service is shutting down: watch again from the last revision seen");
        error_retry_after(error, ERROR_RETRY_DRAINING_MS);
        break;
    default:
        error_set(error, ERROR_CANCELLED, "WATCH_CANCELLED", "the client ended the watch");
    }
}

static void carry_out(struct watch *watch) {
    struct error error = {0};
    explain(watch, &error);
    if (error.code == ERROR_RESOURCE_EXHAUSTED) {
        atomic_fetch_add(&watch->hub->cut_off, 1);
        log_warn("watch_cut_off", LOG_INT("next_revision", watch->next_revision), LOG_ERROR(&error));
    }
    end_watch(watch, &error);
}

static void send_messages(struct watch *watch, struct rpc_message *const *messages, size_t count) {
    struct watch_hub *hub = watch->hub;
    int64_t begun_us = now_us(hub);
    bool taken = watch->client.send(watch->client.self, messages, count);
    pthread_mutex_lock(&hub->lock);
    watch->sent_us = begun_us;
    if (taken || watch->taken || watch->verdict != ERROR_OK) {
        settle(watch);
    } else {
        watch->state = WATCH_SENDING;
        watch->since_us = begun_us;
        watch->counted = true;
        hub->under_way++;
        ring_append(&hub->sending, &watch->place);
    }
    pthread_mutex_unlock(&hub->lock);
}

static void send_bookmark(struct watch *watch) {
    Waybill__V1__WatchBookmark bookmark = WAYBILL__V1__WATCH_BOOKMARK__INIT;
    bookmark.revision = watch->next_revision - 1;
    Waybill__V1__WatchChangesResponse item = WAYBILL__V1__WATCH_CHANGES_RESPONSE__INIT;
    item.item_case = WAYBILL__V1__WATCH_CHANGES_RESPONSE__ITEM_BOOKMARK;
    item.bookmark = &bookmark;
    uint8_t wire[32];
    assert(protobuf_c_message_get_packed_size(&item.base) <= sizeof wire);
    size_t size = protobuf_c_message_pack(&item.base, wire);
    struct rpc_message *message = rpc_message_new((struct bytes){0}, bytes_of(wire, size));
    send_messages(watch, &message, 1);
    rpc_message_free(message);
}

/* The changes of one send, all of one run. */
struct selection {
    struct rpc_message *messages[WATCH_SEND_MESSAGES];
    size_t count;
    size_t bytes;
    unsigned looked_at;
};

/* Selects from the run what the watch wants next, and moves its position behind that. */
static void select_changes(struct watch *watch, const struct change_run *run, struct selection *selection) {
    const struct change_entry *entry;
    while (selection->count < WATCH_SEND_MESSAGES && selection->bytes < WATCH_SEND_BYTES &&
           (entry = change_run_entry(run, watch->next_revision)) != NULL) {
        if (entry->message != NULL && watch_filter_matches(&watch->filter, &entry->subject)) {
            selection->messages[selection->count++] = entry->message;
            selection->bytes += rpc_message_bytes(entry->message).size;
        }
        selection->looked_at++;
        watch->next_revision++;
    }
}

/* The log gives an error for a revision that was trimmed. */
static bool stop_at_first(void *context, int64_t revision, struct bytes event) {
    (void)context;
    (void)revision;
    (void)event;
    return false;
}

static bool look_up_start(struct watch *watch, int64_t durable, struct error *error) {
    if (!watch->looked_up && watch->next_revision <= durable &&
        !change_log_read(watch->hub->options.kv, watch->next_revision, stop_at_first, NULL, error)) {
        return false;
    }
    watch->looked_up = true;
    return true;
}

static void settle_turn(struct watch *watch, int64_t sent_us) {
    struct watch_hub *hub = watch->hub;
    if (now_us(hub) - sent_us >= watch->bookmark_us) {
        send_bookmark(watch);
        return;
    }
    pthread_mutex_lock(&hub->lock);
    settle(watch);
    pthread_mutex_unlock(&hub->lock);
}

/* Gives a BUSY watch what it can get in one turn: a send, or a look at some changes. */
static void take_turn(struct watch *watch, int64_t durable, int64_t sent_us) {
    struct change_runs *runs = watch->hub->runs;
    struct selection selection = {.count = 0};
    struct error error = {0};
    bool good = look_up_start(watch, durable, &error);
    while (good && watch->next_revision <= durable && selection.looked_at < WATCH_TURN_ENTRIES) {
        struct change_run *run = change_runs_take(runs, watch->next_revision, &error);
        good = run != NULL;
        if (!good) {
            break;
        }
        select_changes(watch, run, &selection);
        if (selection.count > 0) {
            atomic_fetch_add(&watch->hub->events, selection.count);
            send_messages(watch, selection.messages, selection.count);
            change_runs_release(runs, run);
            return;
        }
        change_runs_release(runs, run);
    }
    if (good) {
        settle_turn(watch, sent_us);
    } else {
        end_watch(watch, &error);
    }
}

/* ---- the threads ---- */

static void wait_for_work(struct watch_hub *hub) {
    if (hub->watches == 0) {
        pthread_cond_wait(&hub->work, &hub->lock);
        return;
    }
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += TICK_US * 1000L;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_cond_timedwait(&hub->work, &hub->lock, &until);
}

static void *serve(void *argument) {
    struct watch_hub *hub = argument;
    pthread_mutex_lock(&hub->lock);
    while (!hub->stopping) {
        pass_time(hub);
        if (ring_empty(&hub->ready) || hub->under_way >= WATCH_SENDS_UNDER_WAY) {
            wait_for_work(hub);
            continue;
        }
        struct watch *watch = watch_at(hub->ready.next, place);
        ring_remove(&watch->place);
        watch->state = WATCH_BUSY;
        watch->taken = false;
        bool over = watch->verdict != ERROR_OK;
        int64_t durable = hub->durable;
        int64_t sent_us = watch->sent_us;
        pthread_mutex_unlock(&hub->lock);
        if (over) {
            carry_out(watch);
        } else {
            take_turn(watch, durable, sent_us);
        }
        pthread_mutex_lock(&hub->lock);
    }
    pthread_mutex_unlock(&hub->lock);
    return NULL;
}

struct watch_hub *watch_hub_start(const struct watch_hub_options *options) {
    assert(options->threads >= 1 && options->threads <= MAX_THREADS);
    struct watch_hub *hub = calloc(1, sizeof *hub);
    if (hub == NULL) {
        abort();
    }
    hub->options = *options;
    hub->runs = change_runs_new(options->kv);
    hub->durable = options->durable;
    hub->round = 1;
    hub->tick = now_us(hub) / TICK_US;
    ring_init(&hub->ready);
    ring_init(&hub->idle);
    ring_init(&hub->sending);
    ring_init(&hub->stuck);
    ring_init(&hub->ending);
    for (unsigned i = 0; i < WHEEL_TICKS; i++) {
        ring_init(&hub->wheel[i]);
    }
    pthread_mutex_init(&hub->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&hub->work, &monotonic);
    pthread_condattr_destroy(&monotonic);
    thread_crew_start(&hub->crew, options->threads, "watch", serve, hub);
    return hub;
}

void watch_hub_stop(struct watch_hub *hub) {
    if (hub == NULL) {
        return;
    }
    pthread_mutex_lock(&hub->lock);
    assert(hub->watches == 0);
    hub->stopping = true;
    pthread_cond_broadcast(&hub->work);
    pthread_mutex_unlock(&hub->lock);
    thread_crew_join(&hub->crew);
    change_runs_free(hub->runs);
    pthread_cond_destroy(&hub->work);
    pthread_mutex_destroy(&hub->lock);
    free(hub);
}

void watch_hub_stats(struct watch_hub *hub, struct watch_hub_stats *stats) {
    pthread_mutex_lock(&hub->lock);
    stats->watches = hub->watches;
    pthread_mutex_unlock(&hub->lock);
    stats->events = atomic_load(&hub->events);
    stats->cut_off = atomic_load(&hub->cut_off);
}

/* ---- watches come and go ---- */

struct watch *watch_new(struct watch_hub *hub, const struct watch_settings *settings,
                        const struct watch_client *client) {
    struct watch *watch = calloc(1, sizeof *watch);
    if (watch == NULL) {
        abort();
    }
    watch->hub = hub;
    watch->client = *client;
    watch->filter = settings->filter;
    watch->bookmark_us = settings->bookmark_us;
    watch->next_revision = settings->next_revision;
    ring_init(&watch->place);
    ring_init(&watch->timer);
    pthread_mutex_lock(&hub->lock);
    watch->sent_us = now_us(hub);
    hub->watches++;
    set_timer(watch);
    pthread_mutex_unlock(&hub->lock);
    return watch;
}

void watch_begin(struct watch *watch) {
    pthread_mutex_lock(&watch->hub->lock);
    assert(watch->state == WATCH_NEW);
    make_ready(watch);
    pthread_mutex_unlock(&watch->hub->lock);
}

void watch_taken(void *self) {
    struct watch *watch = self;
    pthread_mutex_lock(&watch->hub->lock);
    if (watch->state == WATCH_BUSY) {
        watch->taken = true;
    } else if (watch->state == WATCH_SENDING) {
        ring_remove(&watch->place);
        stop_counting(watch);
        settle(watch);
    }
    pthread_mutex_unlock(&watch->hub->lock);
}

void watch_gone(void *self, const struct error *why) {
    struct watch *watch = self;
    pthread_mutex_lock(&watch->hub->lock);
    if (watch->verdict == ERROR_OK) {
        watch->verdict = why->code == ERROR_UNAVAILABLE ? ERROR_UNAVAILABLE : ERROR_CANCELLED;
        if (watch->state == WATCH_WAITING || watch->state == WATCH_SENDING) {
            make_ready(watch);
        }
    }
    pthread_mutex_unlock(&watch->hub->lock);
}

void watch_freed(void *self) {
    struct watch *watch = self;
    struct watch_hub *hub = watch->hub;
    pthread_mutex_lock(&hub->lock);
    assert(watch->state == WATCH_ENDED);
    ring_remove(&watch->place);
    ring_remove(&watch->timer);
    hub->watches--;
    pthread_mutex_unlock(&hub->lock);
    free(watch);
}
