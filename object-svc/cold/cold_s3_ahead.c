#include "object-svc/cold/cold_s3_ahead.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/thread_crew.h"

enum range_state { RANGE_WAITS, RANGE_UNDER_WAY, RANGE_THERE, RANGE_FAILED };

/* A range that a reader will need. */
struct range {
    struct range *next;        /* of the reader, in order */
    struct range *next_queued; /* while it waits */
    struct s3_ahead_reader *reader;
    uint64_t offset;
    size_t size;
    size_t taken; /* by the reader */
    enum range_state state;
    atomic_bool given_up; /* its reader does not want it any more: whoever reads it frees it */
    bool absent;          /* why it failed: this, or the error */
    struct error error;
    uint8_t bytes[];
};

struct s3_ahead_reader {
    struct s3_ahead *ahead;
    char *key;
    uint64_t size_bytes;
    uint64_t next_offset;  /* where the next read begins if it is in order */
    uint64_t streak_bytes; /* read in order */
    uint64_t ahead_end;    /* where the next range begins */

    /* under the lock */
    struct range *first; /* the one that the reader needs next */
    struct range *last;
    unsigned ranges;
    bool counted;        /* among those that share the room */
    unsigned references; /* the reader's owner, and who reads a range of it */
};

struct s3_ahead {
    struct s3_client *client;
    uint64_t max_ranges;
    struct thread_crew crew;

    pthread_mutex_t lock; /* of what follows, and of what readers say is under it */
    pthread_cond_t queued;
    pthread_cond_t came;
    struct range *first; /* that wait */
    struct range *last;
    uint64_t ranges;    /* in memory */
    uint64_t consumers; /* readers that share it */
    bool stopping;
};

/* ---- one range ---- */

static bool fetch(struct s3_client *client, const char *key, struct s3_request *request, bool *absent,
                  struct error *error) {
    struct s3_answer answer;
    request->method = "GET";
    request->key = key;
    request->query = "";
    bool ok = s3_client_do(client, request, &answer, error);
    *absent = ok && answer.status == 404;
    s3_answer_free(&answer);
    return ok && !*absent;
}

/* Without the lock. */
static bool fetch_range(struct s3_client *client, const char *key, struct range *range) {
    struct s3_request request = {
        .into = range->bytes, .offset = range->offset, .size = range->size, .given_up = &range->given_up};
    return fetch(client, key, &request, &range->absent, &range->error);
}

static void range_free(struct range *range) {
    range->reader->ahead->ranges--;
    free(range);
}

static void release_reader(struct s3_ahead_reader *reader) {
    if (--reader->references == 0) {
        free(reader->key);
        free(reader);
    }
}

/* ---- the threads ---- */

static struct range *take_queued(struct s3_ahead *self) {
    while (self->first == NULL && !self->stopping) {
        pthread_cond_wait(&self->queued, &self->lock);
    }
    struct range *range = self->first;
    if (range != NULL) {
        self->first = range->next_queued;
    }
    return range;
}

static void *ahead_loop(void *argument) {
    struct s3_ahead *self = argument;
    struct range *range;
    pthread_mutex_lock(&self->lock);
    while ((range = take_queued(self)) != NULL) {
        struct s3_ahead_reader *reader = range->reader;
        reader->references++;
        range->state = RANGE_UNDER_WAY;
        pthread_mutex_unlock(&self->lock);
        bool ok = fetch_range(self->client, reader->key, range);
        pthread_mutex_lock(&self->lock);
        range->state = ok ? RANGE_THERE : RANGE_FAILED;
        if (atomic_load(&range->given_up)) {
            range_free(range);
        }
        release_reader(reader);
        pthread_cond_broadcast(&self->came);
    }
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

static void enqueue(struct s3_ahead *self, struct range *range) {
    if (self->first == NULL) {
        self->first = range;
    } else {
        self->last->next_queued = range;
    }
    self->last = range;
    pthread_cond_signal(&self->queued);
}

static void dequeue(struct s3_ahead *self, struct range *range) {
    struct range *before = NULL;
    for (struct range *at = self->first; at != range; at = at->next_queued) {
        before = at;
    }
    if (before == NULL) {
        self->first = range->next_queued;
    } else {
        before->next_queued = range->next_queued;
        self->last = self->last == range ? before : self->last;
    }
    range->next_queued = NULL;
}

struct s3_ahead *s3_ahead_new(struct s3_client *client, int64_t threads, uint64_t max_bytes) {
    struct s3_ahead *self = calloc(1, sizeof *self);
    if (self == NULL) {
        abort();
    }
    self->client = client;
    self->max_ranges = threads > 0 ? max_bytes / S3_AHEAD_RANGE_BYTES : 0;
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->queued, NULL);
    pthread_cond_init(&self->came, NULL);
    if (self->max_ranges > 0) {
        int64_t count = threads < S3_AHEAD_THREADS_MAX ? threads : S3_AHEAD_THREADS_MAX;
        thread_crew_start(&self->crew, (unsigned)count, "cold-ahead", ahead_loop, self);
    }
    return self;
}

void s3_ahead_free(struct s3_ahead *self) {
    if (self == NULL) {
        return;
    }
    pthread_mutex_lock(&self->lock);
    self->stopping = true;
    pthread_cond_broadcast(&self->queued);
    pthread_mutex_unlock(&self->lock);
    thread_crew_join(&self->crew);
    pthread_cond_destroy(&self->came);
    pthread_cond_destroy(&self->queued);
    pthread_mutex_destroy(&self->lock);
    free(self);
}

/* ---- what a reader wants ---- */

static void drop_first(struct s3_ahead_reader *reader) {
    struct range *range = reader->first;
    reader->first = range->next;
    reader->ranges--;
    if (range->state == RANGE_UNDER_WAY) {
        atomic_store(&range->given_up, true);
        return;
    }
    if (range->state == RANGE_WAITS) {
        dequeue(reader->ahead, range);
    }
    range_free(range);
}

/* Wants nothing of what was asked for. */
static void forget(struct s3_ahead_reader *reader) {
    while (reader->first != NULL) {
        drop_first(reader);
    }
    reader->ahead->consumers -= reader->counted;
    reader->counted = false;
}

/* Whether another range may be asked for: as far ahead as the reader has come, and not more than its share. */
static bool may_ask(const struct s3_ahead_reader *reader) {
    const struct s3_ahead *ahead = reader->ahead;
    uint64_t wanted = (reader->streak_bytes + S3_AHEAD_RANGE_BYTES - 1) / S3_AHEAD_RANGE_BYTES;
    uint64_t share = ahead->consumers > 0 ? ahead->max_ranges / ahead->consumers : 0;
    uint64_t most = wanted < S3_AHEAD_RANGES_MAX ? wanted : S3_AHEAD_RANGES_MAX;
    most = most <= share ? most : share > 0 ? share : 1;
    return reader->ranges < most && reader->ahead_end < reader->size_bytes && ahead->ranges < ahead->max_ranges;
}

static void ask(struct s3_ahead_reader *reader) {
    uint64_t left = reader->size_bytes - reader->ahead_end;
    size_t size = left < S3_AHEAD_RANGE_BYTES ? (size_t)left : S3_AHEAD_RANGE_BYTES;
    struct range *range = malloc(sizeof *range + size);
    if (range == NULL) {
        abort();
    }
    *range = (struct range){.reader = reader, .offset = reader->ahead_end, .size = size, .state = RANGE_WAITS};
    if (reader->first == NULL) {
        reader->first = range;
    } else {
        reader->last->next = range;
    }
    reader->last = range;
    reader->ranges++;
    reader->ahead->ranges++;
    reader->ahead_end += size;
    enqueue(reader->ahead, range);
}

static void ask_ahead(struct s3_ahead_reader *reader) {
    if (reader->streak_bytes < S3_AHEAD_BEGIN_BYTES) {
        return;
    }
    if (!reader->counted) {
        reader->counted = true;
        reader->ahead->consumers++;
    }
    while (may_ask(reader)) {
        ask(reader);
    }
}

/* ---- reading ---- */

struct s3_ahead_reader *s3_ahead_reader_new(struct s3_ahead *ahead, const char *key, uint64_t size_bytes) {
    struct s3_ahead_reader *self = calloc(1, sizeof *self);
    if (self == NULL || (self->key = strdup(key)) == NULL) {
        abort();
    }
    self->ahead = ahead;
    self->size_bytes = size_bytes;
    self->references = 1;
    return self;
}

void s3_ahead_reader_free(struct s3_ahead_reader *self) {
    if (self == NULL) {
        return;
    }
    struct s3_ahead *ahead = self->ahead;
    pthread_mutex_lock(&ahead->lock);
    forget(self);
    release_reader(self);
    pthread_mutex_unlock(&ahead->lock);
}

static void follow(struct s3_ahead_reader *self, uint64_t offset) {
    if (offset != self->next_offset) {
        forget(self);
        self->streak_bytes = 0;
    }
    self->next_offset = offset;
    if (self->first == NULL) {
        self->ahead_end = offset;
    }
}

/* Has the bytes of the reader's first range: waits for them, or reads them where nobody does yet. */
static void await_first(struct s3_ahead_reader *self) {
    struct s3_ahead *ahead = self->ahead;
    struct range *range = self->first;
    if (range->state == RANGE_WAITS) {
        dequeue(ahead, range);
        range->state = RANGE_UNDER_WAY;
        pthread_mutex_unlock(&ahead->lock);
        bool ok = fetch_range(ahead->client, self->key, range);
        pthread_mutex_lock(&ahead->lock);
        range->state = ok ? RANGE_THERE : RANGE_FAILED;
    }
    while (range->state == RANGE_UNDER_WAY) {
        pthread_cond_wait(&ahead->came, &ahead->lock);
    }
}

/* What of the first range is wanted now; 0 where that failed. */
static size_t take(struct s3_ahead_reader *self, uint8_t *out, size_t size) {
    struct s3_ahead *ahead = self->ahead;
    struct range *range = self->first;
    size_t left = range->size - range->taken;
    size_t now = left < size ? left : size;
    /* Only its reader's own thread frees a range that is there. */
    pthread_mutex_unlock(&ahead->lock);
    memcpy(out, range->bytes + range->taken, now);
    pthread_mutex_lock(&ahead->lock);
    range->taken += now;
    self->next_offset += now;
    self->streak_bytes += now;
    if (range->taken == range->size) {
        drop_first(self);
        ask_ahead(self);
    }
    return now;
}

/* What was read ahead, or is under way; how much of `size` that is. With the lock held. */
static size_t take_ahead(struct s3_ahead_reader *self, uint8_t *out, size_t size, bool *failed, bool *absent,
                         struct error *error) {
    size_t done = 0;
    while (done < size && self->first != NULL) {
        struct range *range = self->first;
        /* One that failed before anybody needed it may be there by now. */
        bool stale = range->state == RANGE_FAILED;
        await_first(self);
        if (range->state == RANGE_THERE) {
            done += take(self, out + done, size - done);
            continue;
        }
        *failed = !stale;
        *absent = range->absent;
        *error = stale ? *error : range->error;
        forget(self);
        self->streak_bytes = 0;
    }
    return done;
}

static bool read_now(struct s3_ahead_reader *self, uint8_t *out, size_t size, bool *absent, struct error *error) {
    struct s3_request request = {.into = out, .offset = self->next_offset, .size = size};
    if (!fetch(self->ahead->client, self->key, &request, absent, error)) {
        return false;
    }
    self->next_offset += size;
    self->streak_bytes += size;
    return true;
}

bool s3_ahead_read(struct s3_ahead_reader *self, uint64_t offset, uint8_t *out, size_t size, bool *absent,
                   struct error *error) {
    struct s3_ahead *ahead = self->ahead;
    bool failed = false;
    *absent = false;
    pthread_mutex_lock(&ahead->lock);
    follow(self, offset);
    ask_ahead(self);
    size_t done = take_ahead(self, out, size, &failed, absent, error);
    pthread_mutex_unlock(&ahead->lock);
    return !failed && (done == size || read_now(self, out + done, size - done, absent, error));
}
