/* Runs of the change log in memory, for many watchers: each is read once, decoded once for
 * the filters and encoded once as the message that every watcher gets.
 *
 * A run begins where somebody wanted to read and grows with the log up to its bound. Those
 * least used go when there are too many runs or bytes. Any thread; a read of the log holds up
 * only those who want the same run. */
#ifndef WAYBILL_WATCH_CHANGE_RUNS_H
#define WAYBILL_WATCH_CHANGE_RUNS_H

#include "common/rpc/rpc_push.h"
#include "metadata-svc/store/kv.h"
#include "metadata-svc/watch/watch_filter.h"

enum {
    CHANGE_RUN_ENTRIES = 128,
    CHANGE_RUN_BYTES = 256 << 10, /* a run ends with the entry that reaches this */
    CHANGE_RUNS_MAX = 64,
    CHANGE_RUNS_BYTES = 16 << 20, /* of all runs, beside those in use that are no longer kept */
};

struct change_entry {
    struct change_subject subject;
    struct rpc_message *message; /* a WatchChangesResponse; NULL where the event is damaged */
};

struct change_runs;
struct change_run;

struct change_runs *change_runs_new(struct kv *kv);
/* Nobody may hold a run any more. */
void change_runs_free(struct change_runs *runs);

/* The run that has the revision, which is durable; NULL with the errors of change_log_read. */
struct change_run *change_runs_take(struct change_runs *runs, int64_t revision, struct error *error);
void change_runs_release(struct change_runs *runs, struct change_run *run);
/* The revision's entry; NULL where the run ends before it. */
const struct change_entry *change_run_entry(const struct change_run *run, int64_t revision);

#endif
