#include "object-svc/tier/move_queue.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bucket_share.h"
#include "common/base/log.h"
#include "common/base/stop_signal.h"
#include "common/base/thread_crew.h"
#include "object-svc/tier/peer_demotion.h"

enum {
    /* Ends that nobody has been told of yet; the oldest are forgotten. */
    ENDED_MAX = 256,
    ENDED_KEPT_MS = 10000,
    GUARD_WAIT_MS = 30000,
    FULL_RETRY_AFTER_MS = 500,
    PEER_POLL_MS = 200,
};

struct waiter {
    void (*done)(void *self, const struct error *error);
    void *self;
    struct waiter *next;
};

enum job_state { JOB_WAITS, JOB_RUNS, JOB_ENDED };

struct job {
    enum job_state state;
    enum move_direction direction;
    struct moved_object object;
    uint64_t turn; /* those of lower turns go first; the same bucket's follow on each other */
    int64_t version;
    bool here;
    char **replicas;
    size_t replica_count;
    bool background;
    struct waiter *waiters;
    atomic_uint_fast64_t moved_bytes;
    struct error error; /* of one that ended; code ERROR_OK: well */
    int64_t ended_us;   /* monotonic */
    struct job *next;
};

struct move_queue {
    struct move_queue_options options;
    struct thread_crew crew;
    struct stop_signal stop;
    pthread_mutex_t lock; /* all that follows */
    pthread_cond_t changed;
    struct job *jobs; /* in the order in which they were asked for; those that ended, too */
    unsigned going;   /* that wait or run */
    uint64_t turn;    /* of the one that began last */
    unsigned ended;
    unsigned waiters;
};

/* ---- jobs ---- */

static void *allocate(size_t size) {
    void *memory = calloc(1, size);
    if (memory == NULL) {
        abort();
    }
    return memory;
}

static struct job *job_new(const struct move_wish *wish) {
    struct job *job = allocate(sizeof *job);
    job->direction = wish->direction;
    job->object = wish->object;
    job->version = wish->version;
    job->here = wish->here;
    job->background = wish->background;
    job->replicas = allocate((wish->replica_count + 1) * sizeof *job->replicas);
    for (size_t i = 0; i < wish->replica_count; i++) {
        job->replicas[job->replica_count] = strdup(wish->replicas[i]);
        if (job->replicas[job->replica_count++] == NULL) {
            abort();
        }
    }
    return job;
}

static void job_free(struct job *job) {
    assert(job->waiters == NULL);
    for (size_t i = 0; i < job->replica_count; i++) {
        free(job->replicas[i]);
    }
    free(job->replicas);
    free(job);
}

/* Under the lock. */
static void add_waiter(struct move_queue *queue, struct job *job, const struct move_wish *wish) {
    queue->waiters += wish->done != NULL;
    job->background = job->background && wish->background;
    if (wish->done != NULL) {
        struct waiter *waiter = allocate(sizeof *waiter);
        *waiter = (struct waiter){wish->done, wish->self, job->waiters};
        job->waiters = waiter;
    }
}

/* Under the lock; then they are told without it. */
static struct waiter *take_waiters(struct move_queue *queue, struct job *job) {
    struct waiter *waiters = job->waiters;
    for (const struct waiter *waiter = waiters; waiter != NULL; waiter = waiter->next) {
        queue->waiters--;
    }
    job->waiters = NULL;
    return waiters;
}

static void tell_waiters(struct waiter *waiters, const struct error *error) {
    while (waiters != NULL) {
        struct waiter *waiter = waiters;
        waiters = waiter->next;
        waiter->done(waiter->self, error);
        free(waiter);
    }
}

/* ---- the list; under the lock ---- */

static struct job *find(struct move_queue *queue, const struct move_wish *wish) {
    struct job *job = queue->jobs;
    while (job != NULL &&
           (job->direction != wish->direction || !uuid_equal(&job->object.payload_id, &wish->object.payload_id))) {
        job = job->next;
    }
    return job;
}

static void take_out(struct move_queue *queue, struct job *job) {
    struct job **link = &queue->jobs;
    while (*link != job) {
        link = &(*link)->next;
    }
    *link = job->next;
    queue->going -= job->state != JOB_ENDED;
    queue->ended -= job->state == JOB_ENDED;
}

static struct job *first_in(struct move_queue *queue, enum job_state state) {
    struct job *job = queue->jobs;
    while (job != NULL && job->state != state) {
        job = job->next;
    }
    return job;
}

/* How earlier moves of the object ended says nothing any more. */
static void forget_ends(struct move_queue *queue, const struct uuid *payload_id) {
    struct job **link = &queue->jobs;
    while (*link != NULL) {
        struct job *job = *link;
        if (job->state == JOB_ENDED && uuid_equal(&job->object.payload_id, payload_id)) {
            take_out(queue, job);
            job_free(job);
        } else {
            link = &job->next;
        }
    }
}

/* Keeps how it ended for whoever asks again. */
static void keep_end(struct move_queue *queue, struct job *job, const struct error *error) {
    if (queue->ended == ENDED_MAX) {
        struct job *oldest = first_in(queue, JOB_ENDED);
        take_out(queue, oldest);
        job_free(oldest);
    }
    job->state = JOB_ENDED;
    job->error = *error;
    job->ended_us = clock_monotonic_us(queue->options.ports.clock);
    queue->going--;
    queue->ended++;
}

/* ---- the threads ---- */

struct running {
    struct move_queue *queue;
    struct job *job;
};

static bool draining(struct error *error) {
    return error_set(error, ERROR_UNAVAILABLE, "DRAINING", "the service is shutting down") ||
           error_retry_after(error, ERROR_RETRY_DRAINING_MS);
}

static bool step(void *self, uint64_t bytes, struct error *error) {
    struct running *running = self;
    atomic_fetch_add(&running->job->moved_bytes, bytes);
    return !stop_signal_raised(&running->queue->stop) || draining(error);
}

static bool demote_here(struct move_queue *queue, struct job *job, const struct tier_move *move, struct error *error) {
    return !job->here || tier_demote(&queue->options.ports, &job->object, true, move, error) ||
           /* It left hot between the asking and now: that is what was wanted. */
           strcmp(error->reason, "OBJECT_NOT_FOUND") == 0;
}

static bool demote_there(struct move_queue *queue, struct job *job, const char *replica, struct error *error) {
    bool done = false;
    const struct moved_object *object = &job->object;
    while (peer_demotion_ask(queue->options.peers, replica, object->bucket, object->key, job->version, &done, error)) {
        if (done) {
            return true;
        }
        if (stop_signal_pause(&queue->stop, PEER_POLL_MS)) {
            return draining(error);
        }
    }
    return false;
}

static bool run(struct move_queue *queue, struct job *job, struct error *error) {
    struct running running = {queue, job};
    struct tier_move move = {.wait_ms = GUARD_WAIT_MS, .step = step, .self = &running};
    if (job->direction == MOVE_TO_HOT) {
        return tier_promote(&queue->options.ports, &job->object, &move, error);
    }
    bool good = demote_here(queue, job, &move, error);
    for (size_t i = 0; good && i < job->replica_count; i++) {
        good = demote_there(queue, job, job->replicas[i], error);
    }
    return good;
}

static void end_job(struct move_queue *queue, struct job *job, bool good, const struct error *error) {
    if (!good) {
        log_warn("move_failed", LOG_ERROR(error), LOG_STR("bucket", job->object.bucket),
                 LOG_STR("key", job->object.key), LOG_INT("version", job->object.version),
                 LOG_STR("to", job->direction == MOVE_TO_HOT ? "hot" : "cold"));
    }
    if (queue->options.moved != NULL) {
        queue->options.moved(queue->options.self, job->direction, &job->object, good);
    }
    pthread_mutex_lock(&queue->lock);
    struct waiter *waiters = take_waiters(queue, job);
    forget_ends(queue, &job->object.payload_id);
    bool keep = waiters == NULL && !job->background;
    if (keep) {
        keep_end(queue, job, error);
    } else {
        take_out(queue, job);
    }
    pthread_mutex_unlock(&queue->lock);
    if (!keep) {
        job_free(job);
    }
    tell_waiters(waiters, good ? NULL : error);
}

/* Buckets take turns, as in start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996) with all
 * moves taken for alike. */
static struct job *next_job(struct move_queue *queue) {
    struct job *next = NULL;
    for (struct job *job = queue->jobs; job != NULL; job = job->next) {
        if (job->state == JOB_WAITS && (next == NULL || job->turn < next->turn)) {
            next = job;
        }
    }
    return next;
}

static struct job *take_job(struct move_queue *queue) {
    struct job *job = NULL;
    pthread_mutex_lock(&queue->lock);
    while (!stop_signal_raised(&queue->stop) && (job = next_job(queue)) == NULL) {
        pthread_cond_wait(&queue->changed, &queue->lock);
    }
    if (job != NULL) {
        job->state = JOB_RUNS;
        queue->turn = job->turn;
    }
    pthread_mutex_unlock(&queue->lock);
    return job;
}

static void *move_loop(void *argument) {
    struct move_queue *queue = argument;
    struct job *job;
    while ((job = take_job(queue)) != NULL) {
        struct error error = {0};
        bool good = run(queue, job, &error);
        end_job(queue, job, good, &error);
    }
    return NULL;
}

/* ---- life ---- */

struct move_queue *move_queue_start(const struct move_queue_options *options) {
    struct move_queue *queue = allocate(sizeof *queue);
    queue->options = *options;
    stop_signal_init(&queue->stop);
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->changed, NULL);
    thread_crew_start(&queue->crew, MOVE_QUEUE_THREADS, "move-queue", move_loop, queue);
    return queue;
}

void move_queue_stop(struct move_queue *queue) {
    if (queue == NULL || stop_signal_raised(&queue->stop)) {
        return;
    }
    struct error error = {0};
    draining(&error);
    pthread_mutex_lock(&queue->lock);
    stop_signal_raise(&queue->stop); /* under the lock, so that nothing is begun any more */
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
    thread_crew_join(&queue->crew);
    while (queue->jobs != NULL) {
        pthread_mutex_lock(&queue->lock);
        struct job *job = queue->jobs;
        struct waiter *waiters = take_waiters(queue, job);
        take_out(queue, job);
        pthread_mutex_unlock(&queue->lock);
        job_free(job);
        tell_waiters(waiters, &error);
    }
}

void move_queue_free(struct move_queue *queue) {
    if (queue != NULL) {
        move_queue_stop(queue);
        pthread_cond_destroy(&queue->changed);
        pthread_mutex_destroy(&queue->lock);
        stop_signal_destroy(&queue->stop);
        free(queue);
    }
}

/* ---- asking ---- */

static bool refuse(struct error *error) {
    error_set(error, ERROR_RESOURCE_EXHAUSTED, "MOVES_FULL", "%d objects wait to be moved; try again later",
              MOVE_QUEUE_MAX);
    error->retry_after_ms = FULL_RETRY_AFTER_MS;
    return false;
}

/* The first turn that the bucket does not have yet; `count`: how many it has. */
static uint64_t free_turn(const struct move_queue *queue, const char *bucket, uint64_t *count) {
    uint64_t turn = queue->turn;
    *count = 0;
    for (const struct job *job = queue->jobs; job != NULL; job = job->next) {
        if (job->state != JOB_ENDED && strcmp(job->object.bucket, bucket) == 0) {
            turn = job->turn >= turn ? job->turn + 1 : turn;
            (*count)++;
        }
    }
    return turn;
}

/* Under the lock. */
static bool begin(struct move_queue *queue, const struct move_wish *wish, struct error *error) {
    uint64_t of_bucket;
    uint64_t turn = free_turn(queue, wish->object.bucket, &of_bucket);
    if (queue->going == MOVE_QUEUE_MAX) {
        return refuse(error);
    }
    if (fair_share_judge(MOVE_QUEUE_MAX, queue->options.bucket_percent, queue->going, of_bucket) != FAIR_TAKEN) {
        return bucket_share_refuse(wish->object.bucket, "moves that wait", error);
    }
    struct job *job = job_new(wish);
    job->turn = turn;
    add_waiter(queue, job, wish);
    struct job **link = &queue->jobs;
    while (*link != NULL) {
        link = &(*link)->next;
    }
    *link = job;
    queue->going++;
    pthread_cond_signal(&queue->changed);
    return true;
}

/* The end of an earlier move is told to one that does not wait, and forgotten. False: nothing is to
 * be told. */
static bool tell_end(struct move_queue *queue, struct job *job, const struct move_wish *wish, struct error *error) {
    int64_t age_us = clock_monotonic_us(queue->options.ports.clock) - job->ended_us;
    bool tell = wish->done == NULL && !wish->background && age_us < ENDED_KEPT_MS * 1000;
    *error = tell ? job->error : (struct error){0};
    take_out(queue, job);
    job_free(job);
    return tell;
}

static bool ask(struct move_queue *queue, const struct move_wish *wish, struct move_state *state, struct error *error) {
    if (stop_signal_raised(&queue->stop)) {
        return draining(error);
    }
    if (wish->done != NULL && queue->waiters == MOVE_WAITERS_MAX) {
        return refuse(error);
    }
    struct job *job = find(queue, wish);
    if (job != NULL && job->state == JOB_ENDED) {
        if (tell_end(queue, job, wish, error)) {
            state->ended = error->code == ERROR_OK;
            return state->ended;
        }
        job = NULL;
    }
    if (job == NULL) {
        return begin(queue, wish, error);
    }
    add_waiter(queue, job, wish);
    state->moved_bytes = atomic_load(&job->moved_bytes);
    return true;
}

bool move_queue_ask(struct move_queue *queue, const struct move_wish *wish, struct move_state *state,
                    struct error *error) {
    *state = (struct move_state){0};
    pthread_mutex_lock(&queue->lock);
    bool good = ask(queue, wish, state, error);
    pthread_mutex_unlock(&queue->lock);
    return good;
}

void move_queue_forget(struct move_queue *queue, const struct uuid *payload_id) {
    pthread_mutex_lock(&queue->lock);
    forget_ends(queue, payload_id);
    pthread_mutex_unlock(&queue->lock);
}

unsigned move_queue_length(struct move_queue *queue) {
    pthread_mutex_lock(&queue->lock);
    unsigned going = queue->going;
    pthread_mutex_unlock(&queue->lock);
    return going;
}
