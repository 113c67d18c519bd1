/* Who follows the changes of the shard, however many: a fixed number of threads gives each
 * watcher its next changes when it has taken those before.
 *
 * A watcher is a position in the change log and a filter; what is sent to it is shared with
 * all others (change_runs.h). Watchers with something to do wait in one queue and get one
 * bounded turn each: those at the head wake together when revisions become durable, those
 * that began in the past queue up again after each turn, so nobody starves.
 *
 * A watcher has at most one send under way. One that has not taken it in the stall timeout is
 * cut off: RESOURCE_EXHAUSTED (WATCH_TOO_SLOW, next_revision as detail), and reset
 * if it does not even take that for as long again. */
#ifndef WAYBILL_WATCH_WATCH_HUB_H
#define WAYBILL_WATCH_WATCH_HUB_H

#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/rpc/rpc_push.h"
#include "metadata-svc/store/kv.h"
#include "metadata-svc/watch/watch_filter.h"

struct watch_hub;
struct watch;

enum {
    WATCH_TICK_MS = 100,         /* how exactly bookmarks and stalls are timed */
    WATCH_SEND_MESSAGES = 128,   /* most changes of one send */
    WATCH_SEND_BYTES = 64 << 10, /* a send ends with the change that reaches this */
    WATCH_TURN_ENTRIES = 512,    /* most changes that one turn looks at */
    /* Most sends at once, so that each is done soon after it began; those that take longer
     * than this no longer count. */
    WATCH_SENDS_UNDER_WAY = 256,
    WATCH_STUCK_US = 100000,
};

struct watch_hub_options {
    unsigned threads;
    int64_t stall_timeout_us;
    int64_t durable; /* the newest revision at the start */
    struct kv *kv;
    const struct clock *clock;
};

/* The other side of a watch; as the functions of rpc_push.h. */
struct watch_client {
    bool (*send)(void *self, struct rpc_message *const *messages, size_t count);
    void (*finish)(void *self, const struct error *error);
    void (*reset)(void *self, const struct error *error);
    void *self;
};

struct watch_settings {
    int64_t next_revision; /* the first one wanted */
    int64_t bookmark_us;   /* longest silence */
    struct watch_filter filter;
};

struct watch_hub *watch_hub_start(const struct watch_hub_options *options);
/* When every watch is freed. NULL is nothing. */
void watch_hub_stop(struct watch_hub *hub);
/* Revisions up to this one are durable. Any thread; never waits for a watcher. */
void watch_hub_advance(struct watch_hub *hub, int64_t revision);

struct watch_hub_stats {
    uint64_t watches; /* there now */
    uint64_t events;  /* sent, to all watchers together */
    uint64_t cut_off;
};
void watch_hub_stats(struct watch_hub *hub, struct watch_hub_stats *stats);

/* A watch that does nothing before watch_begin; it may hear of its end before. What the
 * settings point to must live until watch_freed. */
struct watch *watch_new(struct watch_hub *hub, const struct watch_settings *settings,
                        const struct watch_client *client);
void watch_begin(struct watch *watch);
/* As struct rpc_push_listener; `watch` is a struct watch. */
void watch_taken(void *watch);
void watch_gone(void *watch, const struct error *why);
void watch_freed(void *watch);

#endif
