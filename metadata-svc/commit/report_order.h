/* Tells reports that come late: a replica numbers what it reports, and one about an object must not be
 * believed once a later one of the same replica about it was. For by then the replica may have acted on
 * the later one's answer, and dropped its copy.
 *
 * In memory only: what was sent to a process that is gone does not come any more. Bounded: an object
 * that finds no place takes that of the one whose number is the lowest, and of those that lost their place only the
 * highest number is known, so that a report may be taken for late that is not; then it is refused,
 * and sent again with a higher number. Used by the commit engine only. */
#ifndef WAYBILL_COMMIT_REPORT_ORDER_H
#define WAYBILL_COMMIT_REPORT_ORDER_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/uuid.h"

enum { REPORT_ORDER_SETS = 16384 };

struct report_order;

/* `sets`: a power of two. */
struct report_order *report_order_new(size_t sets);
/* NULL is fine. */
void report_order_free(struct report_order *order);

/* What a report of the replica about the object must be numbered above; 0 where there was none. */
int64_t report_order_newest(const struct report_order *order, const char *replica, const struct uuid *payload_id);
/* A report with that number, which is above the newest, is being believed. */
void report_order_note(struct report_order *order, const char *replica, const struct uuid *payload_id, int64_t number);

#endif
