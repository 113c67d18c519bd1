/* SIGINT, SIGTERM and SIGHUP: a thread waits for them and ends what is under way cleanly.
 *
 * The first signal cancels the client's streams and waits, and the command ends by itself.
 * Where there is none to cancel, or at a second signal, the process ends at once: the
 * unfinished file is removed first. Functions take NULL, for runs without signals. */
#ifndef WAYBILL_CLI_INTERRUPT_H
#define WAYBILL_CLI_INTERRUPT_H

#include <stdbool.h>

#include "common/client/waybill_client.h"

struct interrupt;

/* Blocks the signals in this thread and those made later. A signal that the process was
 * started to ignore stays ignored. */
struct interrupt *interrupt_start(void);
void interrupt_stop(struct interrupt *interrupt);

/* What to cancel; NULL before the client is freed. */
void interrupt_watch_client(struct interrupt *interrupt, struct waybill_client *client);
/* The unfinished file, copied; NULL once there is none. */
void interrupt_watch_file(struct interrupt *interrupt, const char *path);
/* The command looks at interrupt_seen all the while and ends by itself: the first signal ends
 * nothing else. */
void interrupt_is_polled(struct interrupt *interrupt);
/* A signal is how this command is meant to end: the exit status is then 0. */
void interrupt_is_success(struct interrupt *interrupt);

/* Whether a signal came; then `status` is the exit status. */
bool interrupt_seen(struct interrupt *interrupt, int *status);

#endif
