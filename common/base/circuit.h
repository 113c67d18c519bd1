/* A circuit breaker: whether something that fails again and again is worth another try. Pure state;
 * whoever owns it has the clock, and the lock.
 *
 *   closed     all may try; `failures` in a row open it
 *   open       nobody may, for a pause
 *   half open  after the pause one may: success closes it, failure opens it for twice as long
 *
 * Pauses grow up to the longest, less a random part of up to a quarter. */
#ifndef WAYBILL_BASE_CIRCUIT_H
#define WAYBILL_BASE_CIRCUIT_H

#include <stdbool.h>
#include <stdint.h>

struct circuit_limits {
    unsigned failures; /* at least 1 */
    int64_t first_pause_ms;
    int64_t longest_pause_ms;
    int64_t probe_ms; /* one that was let through and is not heard of is not waited for longer */
};

enum circuit_state { CIRCUIT_CLOSED, CIRCUIT_OPEN, CIRCUIT_HALF_OPEN };

struct circuit {
    struct circuit_limits limits;
    enum circuit_state state;
    unsigned failures; /* in a row */
    int64_t pause_ms;  /* of the last opening */
    int64_t wait_us;   /* open: until then; half open: until then the probe is waited for */
    unsigned seed;
};

void circuit_init(struct circuit *circuit, const struct circuit_limits *limits, unsigned seed);
/* Whether circuit_admit would let one through. */
bool circuit_ready(const struct circuit *circuit, int64_t now_us);
/* Lets one through, or not; who is let through tells how it went. */
bool circuit_admit(struct circuit *circuit, int64_t now_us);
/* Returns whether it closed only now. */
bool circuit_succeeded(struct circuit *circuit);
/* Returns whether it was closed and opens now. */
bool circuit_failed(struct circuit *circuit, int64_t now_us);
/* Who was let through learned nothing. */
void circuit_gave_up(struct circuit *circuit);
/* How long until one is let through; 0: now. */
int64_t circuit_left_ms(const struct circuit *circuit, int64_t now_us);

#endif
