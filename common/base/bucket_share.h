/* So many of something at once, shared fairly between buckets (fair_share.h). Any thread. */
#ifndef WAYBILL_BASE_BUCKET_SHARE_H
#define WAYBILL_BASE_BUCKET_SHARE_H

#include "common/base/error.h"
#include "common/base/fair_share.h"

struct bucket_share;

/* `what` there are so many of, in plural, for messages; outlives it. */
struct bucket_share *bucket_share_new(uint64_t limit, unsigned percent, const char *what);
/* NULL is fine. */
void bucket_share_free(struct bucket_share *share);
/* Takes one for the bucket. RESOURCE_EXHAUSTED, with RetryInfo: BUCKET_OVER_SHARE, or TOO_MANY_STREAMS
 * where there is none left for anybody; then NULL. */
struct fair_holder *bucket_share_take(struct bucket_share *share, const char *bucket, struct error *error);
/* NULL is fine. */
void bucket_share_give(struct bucket_share *share, struct fair_holder *holder);

/* How many all buckets have. */
uint64_t bucket_share_taken(struct bucket_share *share);

/* The refusal, for those who share something else by buckets. Returns false. */
bool bucket_share_refuse(const char *bucket, const char *what, struct error *error);

#endif
