/* Deliveries of the simulated stream, as object-svc's ingest answers them. The linker takes this in place of
 * common/stream/stream_consumer.c. */
#include <stdlib.h>

#include "common/stream/stream_consumer.h"
#include "tests/simulation/sim_core.h"
#include "tests/simulation/sim_stream.h"

struct stream_delivery {
    struct sim_stream *stream;
    struct sim_delivery delivery;
    sim_given_up *given_up;
    void *self;
};

int sim_stream_deliver(struct sim_stream *stream, struct stream_delivery **deliveries, int max, sim_given_up *given_up,
                       void *self) {
    struct sim_delivery fetched[SIM_ACK_PENDING_MAX];
    int count = sim_stream_fetch(stream, fetched, max < SIM_ACK_PENDING_MAX ? max : SIM_ACK_PENDING_MAX);
    for (int i = 0; i < count; i++) {
        deliveries[i] = malloc(sizeof *deliveries[i]);
        if (deliveries[i] == NULL) {
            abort();
        }
        *deliveries[i] = (struct stream_delivery){stream, fetched[i], given_up, self};
    }
    return count;
}

struct bytes stream_delivery_body(const struct stream_delivery *delivery) {
    return delivery->delivery.body;
}

const char *stream_delivery_subject(const struct stream_delivery *delivery) {
    (void)delivery;
    return "waybill.changes.0.simulated.staged";
}

uint64_t stream_delivery_sequence(const struct stream_delivery *delivery) {
    return delivery->delivery.sequence;
}

int64_t stream_delivery_time_ns(const struct stream_delivery *delivery) {
    return delivery->delivery.store_us * 1000;
}

uint64_t stream_delivery_count(const struct stream_delivery *delivery) {
    return delivery->delivery.count;
}

void stream_delivery_in_progress(struct stream_delivery *delivery) {
    sim_stream_in_progress(delivery->stream, &delivery->delivery);
}

void stream_delivery_ack(struct stream_delivery *delivery) {
    sim_stream_ack(delivery->stream, &delivery->delivery);
    free(delivery);
}

void stream_delivery_nak(struct stream_delivery *delivery, int64_t delay_ms) {
    sim_stream_nak(delivery->stream, &delivery->delivery, delay_ms);
    free(delivery);
}

/* Never delivered again, which is what an acknowledgement does. */
void stream_delivery_term(struct stream_delivery *delivery) {
    if (sim_alive()) {
        delivery->given_up(delivery->self, delivery);
    }
    stream_delivery_ack(delivery);
}
