#include "metadata-svc/commit/committer.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "common/base/log.h"
#include "common/base/thread_turn.h"

struct committer {
    struct commit_engine *engine;
    struct committer_options options;
    struct committer_observer observer;
    pthread_t thread;
    struct commit_request **batch; /* the thread's; max_batch places */
    bool failed;                   /* the thread's */

    pthread_mutex_t lock; /* the queue below */
    pthread_cond_t changed;
    struct commit_queue *queue;
    unsigned waiting; /* in it */
    unsigned wake_at; /* how many must wait for the thread to be woken; 0: it is awake */
    bool stopping;

    /* The thread's: what the batch before tells of the next one. */
    unsigned expected;
    unsigned last_count;
};

enum {
    GATHER_GAP_US = 250, /* without company for so long, a batch gathers no more */
    GATHER_MAX_US = 2000,
};

/* Takes what waits, up to the limits of a batch; called with the lock held. */
static size_t take_batch(struct committer *committer) {
    size_t count = commit_queue_take(committer->queue, committer->batch, committer->options.max_batch,
                                     committer->options.max_batch_bytes);
    committer->waiting -= (unsigned)count;
    return count;
}

/* The requests of a large batch that have the same finisher go to it together. */
static void finish_batch(struct committer *committer, size_t count) {
    struct commit_request *list = NULL;
    void (*finish)(struct commit_request * list) = NULL;
    for (size_t i = count; i-- > 0;) {
        struct commit_request *request = committer->batch[i];
        if (count > 1 && request->finish != NULL && (finish == NULL || request->finish == finish)) {
            finish = request->finish;
            request->next = list;
            list = request;
            committer->batch[i] = NULL;
        }
    }
    if (list != NULL) {
        finish(list);
    }
    for (size_t i = 0; i < count; i++) {
        if (committer->batch[i] != NULL) {
            committer->batch[i]->done(committer->batch[i]);
        }
    }
}

static void run_batch(struct committer *committer, size_t count) {
    struct error error = {0};
    int64_t before = commit_engine_revision(committer->engine);
    bool good = commit_engine_run(committer->engine, committer->batch, count, &error);
    int64_t revision = commit_engine_revision(committer->engine);
    if (!good && !committer->failed) {
        committer->failed = true;
        log_error("record_store_failed", LOG_ERROR(&error),
                  LOG_STR("hint", "check the disk, then restart the service: it recovers what was flushed"));
        committer->observer.failed(committer->observer.self, &error);
    }
    if (revision > before) {
        committer->observer.durable(committer->observer.self, revision);
        committer->observer.batch(committer->observer.self, (size_t)(revision - before),
                                  commit_engine_last_flush_us(committer->engine));
    }
    finish_batch(committer, count);
    if (revision > before) {
        committer->observer.answered(committer->observer.self);
    }
}

/* With many callers the first one back must not have a flush for itself while the others are
 * still on their way: a flush costs as much processor time as several commits. Those of the last
 * two batches are the callers that there are: while half of them wait for a flush the other half is
 * on its way, and the next batch gathers until as many are back, for as long as they keep coming. A single caller never
 * waits. */
static void learn(struct committer *committer, size_t count) {
    unsigned callers = (unsigned)count + committer->last_count;
    committer->last_count = (unsigned)count;
    committer->expected = callers / 2;
}

static struct timespec after_us(struct timespec time, long us) {
    time.tv_nsec += us * 1000;
    if (time.tv_nsec >= 1000000000) {
        time.tv_sec++;
        time.tv_nsec -= 1000000000;
    }
    return time;
}

static bool is_before(const struct timespec *a, const struct timespec *b) {
    return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

/* Called with the lock held. */
static void gather(struct committer *committer) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    struct timespec end = after_us(until, GATHER_MAX_US);
    committer->wake_at = committer->expected;
    unsigned seen;
    do {
        seen = committer->waiting;
        until = after_us(until, GATHER_GAP_US);
        int timed_out = 0;
        while (committer->waiting < committer->expected && !committer->stopping && timed_out == 0) {
            timed_out = pthread_cond_timedwait(&committer->changed, &committer->lock, &until);
        }
    } while (committer->waiting < committer->expected && committer->waiting > seen && !committer->stopping &&
             is_before(&until, &end));
}

static void *committer_loop(void *argument) {
    struct committer *committer = argument;
    thread_turn_be_prompt();
    for (;;) {
        pthread_mutex_lock(&committer->lock);
        committer->wake_at = 1;
        while (committer->waiting == 0 && !committer->stopping) {
            pthread_cond_wait(&committer->changed, &committer->lock);
        }
        if (committer->waiting < committer->expected) {
            gather(committer);
        }
        committer->wake_at = 0; /* it is awake */
        size_t count = take_batch(committer);
        pthread_mutex_unlock(&committer->lock);
        if (count == 0) {
            return NULL;
        }
        run_batch(committer, count);
        learn(committer, count);
    }
}

struct committer *committer_start(struct commit_engine *engine, const struct committer_options *options,
                                  struct committer_observer observer) {
    struct committer *committer = calloc(1, sizeof *committer);
    struct commit_request **batch = calloc(options->max_batch, sizeof(struct commit_request *));
    if (committer == NULL || batch == NULL) {
        abort();
    }
    committer->engine = engine;
    committer->options = *options;
    committer->observer = observer;
    committer->batch = batch;
    committer->queue = commit_queue_new(&options->queue);
    pthread_mutex_init(&committer->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&committer->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (pthread_create(&committer->thread, NULL, committer_loop, committer) != 0) {
        abort();
    }
    pthread_setname_np(committer->thread, "committer");
    return committer;
}

/* What lets go of bytes in the end may use more of the disk than others. */
static bool check_room(struct committer *committer, const struct commit_request *request, struct error *error) {
    bool upkeep = request->kind == COMMIT_REPORTS || request->kind == COMMIT_TIMERS;
    return committer->options.room == NULL ||
           store_room_check(committer->options.room, upkeep ? STORE_ROOM_UPKEEP : STORE_ROOM_CHANGES, error);
}

bool committer_submit(struct committer *committer, struct commit_request *request, struct error *error) {
    bool good;
    if (!check_room(committer, request, error)) {
        return false;
    }
    pthread_mutex_lock(&committer->lock);
    if (committer->stopping) {
        good = error_set(error, ERROR_UNAVAILABLE, "DRAINING", "the service is shutting down") ||
               error_retry_after(error, ERROR_RETRY_DRAINING_MS);
    } else {
        good = commit_queue_push(committer->queue, request, error);
    }
    if (good && ++committer->waiting == committer->wake_at) {
        pthread_cond_signal(&committer->changed);
    }
    pthread_mutex_unlock(&committer->lock);
    return good;
}

/* A submitter that waits. */
struct waiter {
    pthread_mutex_t lock; /* finished */
    pthread_cond_t changed;
    bool finished;
};

static void wake_waiter(struct commit_request *request) {
    struct waiter *waiter = request->context;
    pthread_mutex_lock(&waiter->lock);
    waiter->finished = true;
    pthread_cond_signal(&waiter->changed);
    pthread_mutex_unlock(&waiter->lock);
}

bool committer_commit(struct committer *committer, struct commit_request *request, struct error *error) {
    struct waiter waiter = {.finished = false};
    pthread_mutex_init(&waiter.lock, NULL);
    pthread_cond_init(&waiter.changed, NULL);
    request->done = wake_waiter;
    request->context = &waiter;
    bool good = committer_submit(committer, request, error);
    if (good) {
        pthread_mutex_lock(&waiter.lock);
        while (!waiter.finished) {
            pthread_cond_wait(&waiter.changed, &waiter.lock);
        }
        pthread_mutex_unlock(&waiter.lock);
        good = request->committed;
        if (!good) {
            *error = request->error;
        }
    }
    pthread_cond_destroy(&waiter.changed);
    pthread_mutex_destroy(&waiter.lock);
    return good;
}

unsigned committer_waiting(struct committer *committer) {
    pthread_mutex_lock(&committer->lock);
    unsigned waiting = committer->waiting;
    pthread_mutex_unlock(&committer->lock);
    return waiting;
}

void committer_stop(struct committer *committer) {
    if (committer == NULL) {
        return;
    }
    pthread_mutex_lock(&committer->lock);
    committer->stopping = true;
    pthread_cond_signal(&committer->changed);
    pthread_mutex_unlock(&committer->lock);
    pthread_join(committer->thread, NULL);
    pthread_cond_destroy(&committer->changed);
    pthread_mutex_destroy(&committer->lock);
    commit_queue_free(committer->queue);
    free(committer->batch);
    free(committer);
}
