#include "metadata-svc/commit/commit_feed.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct commit_feed {
    pthread_mutex_t lock; /* revision */
    pthread_cond_t advanced;
    int64_t revision;
};

struct commit_feed *commit_feed_new(int64_t revision) {
    struct commit_feed *feed = calloc(1, sizeof *feed);
    if (feed == NULL) {
        abort();
    }
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&feed->lock, NULL);
    pthread_cond_init(&feed->advanced, &monotonic);
    pthread_condattr_destroy(&monotonic);
    feed->revision = revision;
    return feed;
}

void commit_feed_free(struct commit_feed *feed) {
    if (feed != NULL) {
        pthread_cond_destroy(&feed->advanced);
        pthread_mutex_destroy(&feed->lock);
        free(feed);
    }
}

void commit_feed_advance(struct commit_feed *feed, int64_t revision) {
    pthread_mutex_lock(&feed->lock);
    feed->revision = revision;
    pthread_cond_broadcast(&feed->advanced);
    pthread_mutex_unlock(&feed->lock);
}

int64_t commit_feed_revision(struct commit_feed *feed) {
    pthread_mutex_lock(&feed->lock);
    int64_t revision = feed->revision;
    pthread_mutex_unlock(&feed->lock);
    return revision;
}

int64_t commit_feed_wait(struct commit_feed *feed, int64_t revision, int64_t timeout_ms) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += timeout_ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&feed->lock);
    int timed_out = 0;
    while (feed->revision <= revision && timed_out == 0) {
        timed_out = pthread_cond_timedwait(&feed->advanced, &feed->lock, &until);
    }
    int64_t now = feed->revision;
    pthread_mutex_unlock(&feed->lock);
    return now;
}
