/* Answering deliveries by what became of them: done, again after a pause, or never again, with a
 * dead letter where nobody else keeps one. Counts and logs. One thread. */
#ifndef WAYBILL_INGEST_DELIVERY_ANSWERS_H
#define WAYBILL_INGEST_DELIVERY_ANSWERS_H

#include "common/base/clock.h"
#include "common/observe/metrics.h"
#include "common/stream/stream_consumer.h"
#include "object-svc/ingest/dead_letters.h"
#include "object-svc/ingest/ingest_core.h"

struct delivery_answers;

/* What the answers of some deliveries came to. */
struct answer_sums {
    size_t settled; /* not delivered again */
    size_t waiting; /* for somebody who is full or away */
    size_t blocked; /* of those: by what every other payload meets, too, whatever its size */
    size_t failing; /* for another attempt */
};

/* All outlive it. */
struct delivery_answers *delivery_answers_new(struct dead_letters *letters, const struct clock *clock,
                                              struct metrics *metrics);
void delivery_answers_free(struct delivery_answers *answers);
struct counter *delivery_answers_stored(const struct delivery_answers *answers);

/* Each takes the delivery; what is a dead letter is answered by delivery_answers_flush, which must
 * follow after at most INGEST_BATCH_MAX of them; the item and what it borrows stay until then. */
void delivery_answers_item(struct delivery_answers *answers, struct stream_delivery *delivery,
                           const struct ingest_item *item);
/* One that cannot be understood. */
void delivery_answers_garbage(struct delivery_answers *answers, struct stream_delivery *delivery,
                              const struct error *error);
/* Makes the dead letters durable; where that fails their events are delivered again. Returns what
 * all answers since the last flush came to. */
struct answer_sums delivery_answers_flush(struct delivery_answers *answers);

#endif
