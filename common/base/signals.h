/* How a service is asked to stop: SIGTERM or SIGINT, waited for by main alone. */
#ifndef WAYBILL_BASE_SIGNALS_H
#define WAYBILL_BASE_SIGNALS_H

/* Blocks the stop signals for this thread and those made after it, and ignores SIGPIPE: call
 * it first in main. */
void signals_prepare(void);
/* Waits for a stop signal and returns its number. */
int signals_wait(void);

#endif
