#include "common/base/bucket_share.h"

#include <pthread.h>
#include <stdlib.h>

enum { RETRY_AFTER_MS = 500 };

struct bucket_share {
    const char *what;
    pthread_mutex_t lock; /* the share */
    struct fair_share *share;
};

struct bucket_share *bucket_share_new(uint64_t limit, unsigned percent, const char *what) {
    struct bucket_share *share = calloc(1, sizeof *share);
    if (share == NULL) {
        abort();
    }
    share->what = what;
    share->share = fair_share_new(limit, percent);
    pthread_mutex_init(&share->lock, NULL);
    return share;
}

void bucket_share_free(struct bucket_share *share) {
    if (share != NULL) {
        fair_share_free(share->share);
        pthread_mutex_destroy(&share->lock);
        free(share);
    }
}

bool bucket_share_refuse(const char *bucket, const char *what, struct error *error) {
    error_set(error, ERROR_RESOURCE_EXHAUSTED, "BUCKET_OVER_SHARE",
              "the bucket has its share of the %s; the rest is for other buckets: wait for some of its own to end",
              what);
    error_set_detail(error, "bucket", "%s", bucket);
    error->retry_after_ms = RETRY_AFTER_MS;
    return false;
}

struct fair_holder *bucket_share_take(struct bucket_share *share, const char *bucket, struct error *error) {
    struct fair_holder *holder = NULL;
    pthread_mutex_lock(&share->lock);
    enum fair_verdict verdict = fair_share_take(share->share, fair_share_key(bytes_of_string(bucket)), 1, &holder);
    pthread_mutex_unlock(&share->lock);
    if (verdict == FAIR_OVER_SHARE) {
        bucket_share_refuse(bucket, share->what, error);
    } else if (verdict == FAIR_FULL) {
        error_set(error, ERROR_RESOURCE_EXHAUSTED, "TOO_MANY_STREAMS", "too many %s at once; try again later",
                  share->what);
        error->retry_after_ms = RETRY_AFTER_MS;
    }
    return verdict == FAIR_TAKEN ? holder : NULL;
}

void bucket_share_give(struct bucket_share *share, struct fair_holder *holder) {
    if (holder != NULL) {
        pthread_mutex_lock(&share->lock);
        fair_share_give(share->share, holder, 1);
        pthread_mutex_unlock(&share->lock);
    }
}

uint64_t bucket_share_taken(struct bucket_share *share) {
    pthread_mutex_lock(&share->lock);
    uint64_t taken = fair_share_total(share->share);
    pthread_mutex_unlock(&share->lock);
    return taken;
}
