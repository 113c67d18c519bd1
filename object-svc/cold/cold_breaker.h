/* A cold store that is not asked while it keeps failing: a circuit breaker (common/base/circuit.h) in
 * front of another store. One circuit for writing and one for reading, so that a store that takes
 * nothing more is still read.
 *
 * Failures are what the next object would meet, too: a store that is away, full, throttles, has
 * wrong credentials, or a directory that cannot be used. What is about one object (absent, damaged,
 * refused) proves that the store is there. While a circuit is open its calls fail at once:
 * UNAVAILABLE, COLD_STORE_SUSPENDED, with retry_after_ms and the cause in the message.
 *
 * Bytes of an object that was opened are read from the store behind, without a look at the circuit.
 * Says once when a circuit opens and when it closes. Any thread. */
#ifndef WAYBILL_COLD_COLD_BREAKER_H
#define WAYBILL_COLD_COLD_BREAKER_H

#include "common/base/circuit.h"
#include "common/observe/metrics.h"
#include "object-svc/cold/cold_store.h"

#define COLD_STORE_SUSPENDED "COLD_STORE_SUSPENDED"

struct cold_breaker;

enum cold_path { COLD_PATH_WRITE, COLD_PATH_READ, COLD_PATHS };

struct cold_breaker_options {
    const struct clock *clock; /* borrowed */
    struct circuit_limits limits;
    struct metrics *metrics; /* NULL: none */
};

/* Takes the store behind, which is closed with this one. */
struct cold_breaker *cold_breaker_new(struct cold_store *behind, const struct cold_breaker_options *options);
/* Closing it frees the breaker. */
struct cold_store *cold_breaker_store(struct cold_breaker *breaker);

/* Whether a call would be let through now: whoever has many to make asks before. */
bool cold_breaker_ready(struct cold_breaker *breaker, enum cold_path path);
/* Whether the circuit is not closed; then `cause` is the failure that opened it. */
bool cold_breaker_suspended(struct cold_breaker *breaker, enum cold_path path, struct error *cause);

#endif
