#include "metadata-svc/watch/change_runs.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "metadata-svc/store/change_log.h"

struct change_run {
    int64_t first;
    atomic_size_t count; /* entries that can be read */
    atomic_size_t bytes;
    atomic_bool ended; /* takes no more entries */
    /* Under the lock of all runs. */
    unsigned users;
    uint64_t last_use;
    bool cached;

    pthread_mutex_t filling; /* for adding entries */
    struct arena texts;
    struct change_entry entries[CHANGE_RUN_ENTRIES];
};

struct change_runs {
    struct kv *kv;
    pthread_mutex_t lock;
    /* Under the lock. */
    uint64_t uses;
    unsigned count;
    struct change_run *run[CHANGE_RUNS_MAX];
};

struct change_runs *change_runs_new(struct kv *kv) {
    struct change_runs *runs = calloc(1, sizeof *runs);
    if (runs == NULL) {
        abort();
    }
    runs->kv = kv;
    pthread_mutex_init(&runs->lock, NULL);
    return runs;
}

static struct change_run *run_new(int64_t first) {
    struct change_run *run = calloc(1, sizeof *run);
    if (run == NULL) {
        abort();
    }
    run->first = first;
    arena_init(&run->texts);
    pthread_mutex_init(&run->filling, NULL);
    return run;
}

static void run_free(struct change_run *run) {
    size_t count = atomic_load(&run->count);
    for (size_t i = 0; i < count; i++) {
        rpc_message_free(run->entries[i].message);
    }
    pthread_mutex_destroy(&run->filling);
    arena_free(&run->texts);
    free(run);
}

void change_runs_free(struct change_runs *runs) {
    for (unsigned i = 0; i < runs->count; i++) {
        run_free(runs->run[i]);
    }
    pthread_mutex_destroy(&runs->lock);
    free(runs);
}

/* ---- which runs are kept; under the lock ---- */

/* Whether the run has the revision or will, once filled. */
static bool covers(const struct change_run *run, int64_t revision) {
    if (revision < run->first || revision >= run->first + CHANGE_RUN_ENTRIES) {
        return false;
    }
    /* `ended` first: a run that ends has all its entries by then. */
    bool ended = atomic_load(&run->ended);
    return !ended || revision < run->first + (int64_t)atomic_load(&run->count);
}

static struct change_run *find(struct change_runs *runs, int64_t revision) {
    for (unsigned i = 0; i < runs->count; i++) {
        if (covers(runs->run[i], revision)) {
            return runs->run[i];
        }
    }
    return NULL;
}

static void drop(struct change_runs *runs, unsigned index) {
    struct change_run *run = runs->run[index];
    runs->run[index] = runs->run[--runs->count];
    run->cached = false;
    if (run->users == 0) {
        run_free(run);
    }
}

static void make_room(struct change_runs *runs) {
    for (;;) {
        size_t bytes = 0;
        unsigned oldest = 0;
        for (unsigned i = 0; i < runs->count; i++) {
            bytes += atomic_load(&runs->run[i]->bytes);
            oldest = runs->run[i]->last_use < runs->run[oldest]->last_use ? i : oldest;
        }
        if (runs->count < CHANGE_RUNS_MAX && bytes < CHANGE_RUNS_BYTES) {
            return;
        }
        drop(runs, oldest);
    }
}

static struct change_run *take(struct change_runs *runs, int64_t revision) {
    pthread_mutex_lock(&runs->lock);
    struct change_run *run = find(runs, revision);
    if (run == NULL) {
        make_room(runs);
        run = run_new(revision);
        run->cached = true;
        runs->run[runs->count++] = run;
    }
    run->users++;
    run->last_use = ++runs->uses;
    pthread_mutex_unlock(&runs->lock);
    return run;
}

void change_runs_release(struct change_runs *runs, struct change_run *run) {
    pthread_mutex_lock(&runs->lock);
    run->users--;
    if (run->users == 0 && !run->cached) {
        run_free(run);
    }
    pthread_mutex_unlock(&runs->lock);
}

/* ---- filling; one thread per run at a time ---- */

/* The event as a WatchChangesResponse: its bytes as they are, behind the field's head. */
static struct rpc_message *make_message(struct bytes event) {
    enum { FIELD_EVENT = 1, WIRE_LENGTH_DELIMITED = 2 };
    uint8_t head[11] = {FIELD_EVENT << 3 | WIRE_LENGTH_DELIMITED};
    size_t used = 1;
    size_t rest = event.size;
    for (; rest >= 0x80; rest >>= 7) {
        head[used++] = (uint8_t)(rest | 0x80);
    }
    head[used++] = (uint8_t)rest;
    return rpc_message_new(bytes_of(head, used), event);
}

static bool add_change(void *context, int64_t revision, struct bytes wire) {
    (void)revision;
    struct change_run *run = context;
    size_t count = atomic_load(&run->count);
    struct change_entry *entry = &run->entries[count];
    struct arena arena;
    arena_init(&arena);
    Waybill__V1__ChangeEvent *event = waybill__v1__change_event__unpack(arena_protobuf(&arena), wire.size, wire.data);
    if (event != NULL) {
        struct change_subject subject = change_subject_of(event);
        entry->subject.bucket = arena_strdup(&run->texts, subject.bucket);
        entry->subject.key = arena_strdup(&run->texts, subject.key);
        entry->subject.type = subject.type;
        entry->message = make_message(wire);
    }
    arena_free(&arena);
    size_t bytes = atomic_fetch_add(&run->bytes, wire.size) + wire.size;
    atomic_store(&run->count, count + 1);
    return count + 1 < CHANGE_RUN_ENTRIES && bytes < CHANGE_RUN_BYTES;
}

static bool fill(struct change_runs *runs, struct change_run *run, int64_t revision, struct error *error) {
    bool good = true;
    pthread_mutex_lock(&run->filling);
    size_t count = atomic_load(&run->count);
    if (revision >= run->first + (int64_t)count && !atomic_load(&run->ended)) {
        good = change_log_read(runs->kv, run->first + (int64_t)count, add_change, run, error);
        count = atomic_load(&run->count);
        if (!good || count == CHANGE_RUN_ENTRIES || atomic_load(&run->bytes) >= CHANGE_RUN_BYTES) {
            atomic_store(&run->ended, true);
        }
    }
    pthread_mutex_unlock(&run->filling);
    return good;
}

struct change_run *change_runs_take(struct change_runs *runs, int64_t revision, struct error *error) {
    for (;;) {
        struct change_run *run = take(runs, revision);
        bool good = change_run_entry(run, revision) != NULL || fill(runs, run, revision, error);
        if (good && change_run_entry(run, revision) != NULL) {
            return run;
        }
        /* It may have ended before the revision while we came: then another one is made. */
        bool ended = atomic_load(&run->ended);
        change_runs_release(runs, run);
        if (!good) {
            return NULL;
        }
        if (!ended) {
            error_set(error, ERROR_INTERNAL, "RECORD_STORE_FAILED", "revision %lld is durable but cannot be read",
                      (long long)revision);
            return NULL;
        }
    }
}

const struct change_entry *change_run_entry(const struct change_run *run, int64_t revision) {
    int64_t index = revision - run->first;
    return index >= 0 && index < (int64_t)atomic_load(&run->count) ? &run->entries[index] : NULL;
}
