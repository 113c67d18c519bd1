/* Messages of a stream that a consumer remembers, to tell later whether it is still the same
 * stream: the furthest one of each time that a server was there without a break. What came
 * before a break and what came after it may be of two streams, so one never takes the other's
 * place until both were found where they were. Part of stream_consumer.c; one thread. */
#ifndef WAYBILL_STREAM_STREAM_LANDMARKS_H
#define WAYBILL_STREAM_STREAM_LANDMARKS_H

#include <stddef.h>
#include <stdint.h>

enum { LANDMARKS_MAX = 4, LANDMARK_ID_BYTES = 64 };

struct stream_landmark {
    uint64_t sequence;
    int64_t time_ns;
    char message_id[LANDMARK_ID_BYTES]; /* "" without one */
    uint64_t era;                       /* grows with every break */
};

struct stream_landmarks {
    struct stream_landmark of[LANDMARKS_MAX]; /* oldest era first */
    unsigned count;
};

/* A message was delivered. With more eras than there is room for, the newest two become one. */
void stream_landmarks_note(struct stream_landmarks *landmarks, const struct stream_landmark *message);
/* All of them are where they were: the furthest says it all. */
void stream_landmarks_settle(struct stream_landmarks *landmarks);
/* The furthest sequence; 0 for none. */
uint64_t stream_landmarks_furthest(const struct stream_landmarks *landmarks);

#endif
