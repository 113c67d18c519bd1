/* Repairs damaged copies in the background, one after the other: whoever finds one notes it, and
 * it is written anew from a good one (copy_repair.h).
 *
 * At most REPAIRS_WAITING_MAX wait, each copy once; one more is dropped and counted: whoever reads
 * it next notes it again. What fails for a reason that may pass is tried again, with pauses that
 * grow, up to REPAIR_ATTEMPTS times. One thread. */
#ifndef WAYBILL_REPAIR_REPAIRER_H
#define WAYBILL_REPAIR_REPAIRER_H

#include "common/observe/metrics.h"
#include "object-svc/repair/copy_repair.h"

enum { REPAIRS_WAITING_MAX = 1024, REPAIR_ATTEMPTS = 10 };

struct repairer;

struct repairer_options {
    struct repair_ports ports; /* stop is the repairer's own */
    struct metrics *metrics;
};

struct repairer *repairer_start(const struct repairer_options *options);
/* Gives up the repair in hand and those that wait. */
void repairer_stop(struct repairer *repairer);

/* Counts the damaged copy and has it repaired. Any thread; never waits for a repair. False: the
 * queue is full. */
bool repairer_note(struct repairer *repairer, const struct repair_copy *copy);
/* The same for a copy that a reader found damaged: in the hot tier of another replica and in the
 * spool there is nothing to repair from here, so they are only counted. */
void repairer_note_read(struct repairer *repairer, const struct damaged_copy *copy);
/* The same for one of this replica's hot copies. */
void repairer_note_hot(struct repairer *repairer, const struct hot_object *object);

#endif
