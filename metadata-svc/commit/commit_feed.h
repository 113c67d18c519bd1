/* How far the shard is durable, for those who follow it: watchers wait here. */
#ifndef WAYBILL_COMMIT_COMMIT_FEED_H
#define WAYBILL_COMMIT_COMMIT_FEED_H

#include <stdint.h>

struct commit_feed;

struct commit_feed *commit_feed_new(int64_t revision);
/* Only when nobody waits any more. */
void commit_feed_free(struct commit_feed *feed);
/* A higher revision is durable: wakes the waiting. */
void commit_feed_advance(struct commit_feed *feed, int64_t revision);
int64_t commit_feed_revision(struct commit_feed *feed);
/* Waits until more than `revision` is durable, at most timeout_ms; returns what is durable. */
int64_t commit_feed_wait(struct commit_feed *feed, int64_t revision, int64_t timeout_ms);

#endif
