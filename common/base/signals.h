/* How a service is asked to stop: SIGTERM or SIGINT, waited for by main alone. */
#ifndef WAYBILL_BASE_SIGNALS_H
#define WAYBILL_BASE_SIGNALS_H

#include <stdbool.h>

/* Blocks the stop signals for this thread and those made after it, and ignores SIGPIPE: call
 * it first in main. */
void signals_prepare(void);
/* Whether a stop signal has come that nobody has waited for. Any thread. */
bool signals_pending(void);
/* Waits for a stop signal and returns its number. */
int signals_wait(void);

#endif
