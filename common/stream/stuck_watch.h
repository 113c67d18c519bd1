/* Whether a consumer is stuck: it has messages to deliver and may, and yet nobody gets any from one
 * look to the next. Looks are made by one who waits for messages meanwhile. Pure.
 *
 * A server or a cluster that lost a request, or half of a consumer, looks like that. First a fresh
 * subscription is worth a try, then a fresh consumer. */
#ifndef WAYBILL_STREAM_STUCK_WATCH_H
#define WAYBILL_STREAM_STUCK_WATCH_H

#include <stdbool.h>
#include <stdint.h>

enum { STUCK_RENEW_LOOKS = 3, STUCK_REMAKE_LOOKS = 6 };

enum stuck_verdict { STUCK_NOT, STUCK_RENEW, STUCK_REMAKE };

/* All zero at the start. */
struct stuck_watch {
    uint64_t delivered; /* at the last look */
    unsigned looks;     /* in a row that found it stuck */
};

/* `delivered` counts all deliveries to anybody, `waiting` the messages not yet delivered; `room`:
 * fewer are unanswered than may be. */
enum stuck_verdict stuck_watch_look(struct stuck_watch *watch, uint64_t delivered, uint64_t waiting, bool room);

#endif
