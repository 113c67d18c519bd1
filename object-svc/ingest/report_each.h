/* Reporting many objects so that one bad report does not take the others with it. */
#ifndef WAYBILL_INGEST_REPORT_EACH_H
#define WAYBILL_INGEST_REPORT_EACH_H

#include <stddef.h>

#include "object-svc/upstream/object_report.h"

/* What became of one: NULL where metadata-svc answered, its verdict is in the report then. */
typedef void report_answer(void *self, size_t index, const struct error *error);

/* One call for all. Where that fails for what is in the reports, not for want of somebody to take
 * them, halves are tried, so that in the end only the bad ones fail. `done` is called once for each. */
void report_each(const struct report_sink *sink, struct object_report *reports, size_t count, report_answer *done,
                 void *self);

#endif
